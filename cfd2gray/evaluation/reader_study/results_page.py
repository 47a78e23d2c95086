"""A reader study's scores in the terminal and as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cfd2gray.evaluation.report.page import write_page
from cfd2gray.evaluation.report.sections import section
from cfd2gray.evaluation.report.svg import Dot, Facet, Line, interval_plot, line_plot


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


def print_scores(scores: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Findings and one row per reader."""
    console = console or Console()
    for sentence in reader_findings(scores):
        console.print(sentence, highlight=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="")
    for name in ("reader", "accuracy [95 %]", "found synthetic", "found real", "AUC", "s/clip"):
        table.add_column(name, justify="left" if name == "reader" else "right", no_wrap=True)
    for row in scores["readers"]:
        table.add_row(
            row["reader"],
            f"{row['accuracy']:.2f} [{row['ci95'][0]:.2f}, {row['ci95'][1]:.2f}]",
            f"{row['sensitivity']['share']:.2f}",
            f"{row['specificity']['share']:.2f}",
            f"{row['auc']:.2f}",
            f"{row['seconds_per_clip']:.0f}",
        )
    console.print(table)


def print_power(power: Mapping[str, Any], *, console: Console | None = None) -> None:
    """What a number of answers can see."""
    console = console or Console()
    n, smallest = power["n_answers"], power["smallest_accuracy_seen"]
    able = (
        "no accuracy with 80 % power" if smallest is None else f"an accuracy of {100 * smallest:.1f} % with 80 % power"
    )
    console.print(f"{n} answers (readers x clips) tell from guessing {able}.", highlight=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="")
    for name in ("true accuracy", f"power of {n} answers", "answers needed for 80 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for accuracy, chance in power["power"].items():
        needed = power["answers_needed"].get(accuracy, "")
        table.add_row(accuracy, f"{100 * chance:.0f} %", "more than 20000" if needed is None else str(needed))
    console.print(table)


def write_reader_page(path: str | os.PathLike, scores: Mapping[str, Any], *, title: str = "Reader study") -> Path:
    """The scores as a self-contained page with interval plot, ROC and tables."""
    items = "".join(
        f'<li><span class="level note">found</span><span>{escape(text)}</span></li>' for text in reader_findings(scores)
    )
    dots = [
        Dot(label=row["reader"], value=row["accuracy"], low=row["ci95"][0], high=row["ci95"][1])
        for row in scores["readers"]
    ]
    pooled = scores["pooled"]
    dots.insert(
        0,
        Dot(label="all readers", value=pooled["accuracy"], low=pooled["ci95"][0], high=pooled["ci95"][1], kind="model"),
    )
    accuracy = interval_plot([Facet(title="accuracy, 95 % exact", dots=dots, reference=0.5)], digits=2, width=500)
    curve = Line(
        label=f"readers, AUC {pooled['auc']:.2f}",
        x=np.array(scores["roc"]["false_alarms"]),
        y=np.array(scores["roc"]["sensitivity"]),
    )
    chance = Line(label="guessing", x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]))
    plots = f'<div class="panel">{accuracy}</div><div class="panel">' + line_plot(
        "ROC by confidence", [curve, chance], x_label="real clips called synthetic"
    )
    parts = [
        section("summary", "In short", "", f'<ul class="findings panel">{items}</ul>'),
        section("readers", "Readers", "", f'<div class="two">{plots}</div></div>'),
        section("readers-table", "Reader by reader", "", _table(scores)),
        section("power", "What this study could have seen", "", _power(scores["power"])),
    ]
    facts = f"{scores['n_readers']} readers, {scores['n_items']} clips each, study {scores['study']}"
    return write_page(path, title=title, facts=facts, parts=parts, clips=[])


def _table(scores: Mapping[str, Any]) -> str:
    head = (
        "reader", "experience, years", "accuracy", "found synthetic", "found real", "AUC", "agrees with own repeats",
        "seconds per clip", "p against guessing",
    )  # fmt: skip
    rows = "".join(
        "<tr>"
        + f"<th scope='row'>{escape(row['reader'])}</th><td>{escape(str(row['experience'] or '-'))}</td>"
        + "".join(
            f"<td>{value:.2f}<small>{low:.2f}&ndash;{high:.2f}</small></td>"
            for value, (low, high) in (
                (row["accuracy"], row["ci95"]),
                (row["sensitivity"]["share"], row["sensitivity"]["ci95"]),
                (row["specificity"]["share"], row["specificity"]["ci95"]),
            )
        )
        + f"<td>{row['auc']:.2f}</td><td>{_own(row['self_agreement'])}</td><td>{row['seconds_per_clip']:.0f}</td>"
        + f"<td>{row['p_against_guessing']:.3f}</td></tr>"
        for row in scores["readers"]
    )
    titles = "".join(f"<th scope='col'>{name}</th>" for name in head)
    return f'<div class="panel scroll"><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'


def _own(agreement: Mapping[str, Any] | None) -> str:
    return "&ndash;" if agreement is None else f"{100 * agreement['share']:.0f} % of {agreement['n']}"


def _power(power: Mapping[str, Any]) -> str:
    pairs = [(f"power to see an accuracy of {a}", f"{100 * p:.0f} %") for a, p in power["power"].items()]
    pairs += [
        (f"answers needed to see {a} with 80 % power", "more than 20000" if n is None else str(n))
        for a, n in power["answers_needed"].items()
    ]
    return '<div class="panel"><dl>' + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in pairs) + "</dl></div>"
