"""A reader study's scores in the terminal and as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from cfd2gray.pages.blocks import Cell, Chart, Facts, Findings, Panel, Section, Table, Two
from cfd2gray.pages.charts import Dot, Facet, Line, interval_plot, line_plot
from cfd2gray.pages.numbers import DASH, interval, number, percent
from cfd2gray.pages.page import write_page
from cfd2gray.pages.terminal import terminal_table


def reader_findings(scores: Mapping[str, Any]) -> list[str]:
    """What the study says, in sentences."""
    pooled, power = scores["pooled"], scores["power"]
    low, high = pooled["ci95"]
    told = low > 0.5
    spread = f" ± {100 * pooled['sd_of_readers']:.0f} % over readers" if pooled["sd_of_readers"] is not None else ""
    sentences = [
        f"{scores['n_readers']} readers told real from translated clips with an accuracy of {100 * pooled['accuracy']:.0f} %"
        f"{spread} ({100 * low:.0f}-{100 * high:.0f} %, exact, {pooled['n']} answers; guessing is 50 %): "
        + (
            "they can tell."
            if told
            else "not distinguishable from guessing."
            if high >= 0.5
            else "worse than guessing."
        )
    ]
    smallest = power["smallest_accuracy_seen"]
    if not told and smallest:
        sentences.append(
            f"With {power['n_answers']} answers an accuracy of {100 * smallest:.0f} % or more would have been noticed "
            "with 80 % power; a smaller ability cannot be excluded."
        )
    kappa = scores["agreement"]["fleiss_kappa"]
    if kappa is not None:
        sentences.append(f"Readers agree with each other with Fleiss' kappa {kappa:.2f} (0 is chance, 1 is complete).")
    return sentences


def print_scores(scores: Mapping[str, Any]) -> None:
    """Findings and one row per reader."""
    console = Console()
    for sentence in reader_findings(scores):
        console.print(sentence, highlight=False)
    head = ("reader", "accuracy [95 %]", "found synthetic", "found real", "AUC", "s/clip")
    rows = [
        (
            row["reader"],
            f"{number(row['accuracy'], 2)} [{number(row['ci95'][0], 2)}, {number(row['ci95'][1], 2)}]",
            number(row["sensitivity"]["share"], 2),
            number(row["specificity"]["share"], 2),
            number(row["auc"], 2),
            number(row["seconds_per_clip"], 0),
        )
        for row in scores["readers"]
    ]
    console.print(terminal_table(head, rows))


def print_power(power: Mapping[str, Any]) -> None:
    """What a number of answers can see."""
    console = Console()
    n, smallest = power["n_answers"], power["smallest_accuracy_seen"]
    able = (
        "no accuracy with 80 % power" if smallest is None else f"an accuracy of {100 * smallest:.1f} % with 80 % power"
    )
    console.print(f"{n} answers (readers x clips) tell from guessing {able}.", highlight=False)
    rows = []
    for accuracy, chance in power["power"].items():
        needed = power["answers_needed"].get(accuracy, "")
        rows.append((accuracy, percent(chance), "more than 20000" if needed is None else str(needed)))
    console.print(terminal_table(("true accuracy", f"power of {n} answers", "answers needed for 80 %"), rows))


def write_reader_page(path: str | os.PathLike, scores: Mapping[str, Any]) -> Path:
    """The scores as a self-contained page with interval plot, ROC and tables."""
    said = Findings(findings=[{"level": "note", "text": text} for text in reader_findings(scores)])
    pooled = scores["pooled"]
    dots = [Dot(label="all readers", value=pooled["accuracy"], ends=pooled["ci95"], kind="model")]
    dots += [Dot(label=row["reader"], value=row["accuracy"], ends=row["ci95"]) for row in scores["readers"]]
    accuracy = interval_plot([Facet(title="accuracy, 95 % exact", dots=dots, reference=0.5)], digits=2, width=500)
    roc = scores["roc"]
    curve = Line(label=f"readers, AUC {pooled['auc']:.2f}", x=roc["false_alarms"], y=roc["sensitivity"])
    chance = Line(label="guessing", x=(0, 1), y=(0, 1))
    plots = (accuracy, line_plot("ROC by confidence", [curve, chance], x_label="real clips called synthetic"))
    title_power = "What this study could have seen"
    parts = [
        Section(anchor="summary", title="In short", blocks=[said]),
        Section(anchor="readers", title="Readers",
                blocks=[Two(panels=[Panel(blocks=[Chart(svg=plot)]) for plot in plots])]),
        Section(anchor="readers-table", title="Reader by reader",
                blocks=[Panel(blocks=[_table(scores)])]),
        Section(anchor="power", nav="Power", title=title_power, blocks=[Panel(blocks=[_power(scores["power"])])]),
    ]  # fmt: skip
    facts = f"{scores['n_readers']} readers, {scores['n_items']} clips each, study {scores['study']}"
    return write_page(path, title="Reader study", facts=facts, sections=parts)


def _table(scores: Mapping[str, Any]) -> Table:
    head = (
        "reader", "experience, years", "accuracy", "found synthetic", "found real", "AUC", "agrees with own repeats",
        "seconds per clip", "p against guessing",
    )  # fmt: skip
    rows = []
    for row in scores["readers"]:
        shares = [(row["accuracy"], row["ci95"])]
        shares += [(row[key]["share"], row[key]["ci95"]) for key in ("sensitivity", "specificity")]
        own = row["self_agreement"]
        cells = [
            row["reader"],
            str(row["experience"] or DASH),
            *(Cell(text=number(share, 2), small=interval(ends, 2)) for share, ends in shares),
            number(row["auc"], 2),
            DASH if own is None else f"{percent(own['share'])} of {own['n']}",
            number(row["seconds_per_clip"], 0),
            number(row["p_against_guessing"]),
        ]
        rows.append(("", cells))
    return Table(head=head, rows=rows)


def _power(power: Mapping[str, Any]) -> Facts:
    pairs = [(f"power to see an accuracy of {a}", percent(p)) for a, p in power["power"].items()]
    pairs += [
        (f"answers needed to see {a} with 80 % power", "more than 20000" if n is None else str(n))
        for a, n in power["answers_needed"].items()
    ]
    return Facts(pairs=pairs)
