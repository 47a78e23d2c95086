"""Report sections of downstream tasks, data recovery and the shortcut audit; ``None`` where they were not asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cfd2gray.evaluation.report.sections import kind_of
from cfd2gray.pages.blocks import Cell, Chart, Panel, Pictures, Section, Table, Text, Two
from cfd2gray.pages.charts import Dot, Facet, Line, interval_plot, line_plot
from cfd2gray.pages.numbers import interval, number, percent


def downstream(result: Mapping[str, Any]) -> Section | None:
    """F1 and Dice on real and on translated clips."""
    facts = result.get("downstream")
    if not facts:
        return None
    panels = []
    if "f1_real" in facts:
        panels.append(Panel(blocks=[*_f1_plot(facts), _f1_table(facts)]))
    beside = [_dice_table(facts)] if "dice" in facts else []
    beside += [_controls_table(facts)] if facts.get("f1_controls") or facts.get("dice_controls") else []
    if beside:
        panels.append(Panel(blocks=beside))
    if "note" in facts:
        panels.append(Panel(blocks=[Text(text=facts["note"])]))
    lead = (
        f"The same models on the real clip and on its translation, {facts['n_clips']} clips with flow of "
        f"{facts['n_patients']} patients that they were not trained on."
    )
    title = "Do translated clips work as real ones?"
    return Section(anchor="downstream", nav="As real ones?", title=title, lead=lead, blocks=[Two(panels=panels)])


def _f1_plot(facts: Mapping[str, Any]) -> list[Any]:
    intervals = facts["f1_ci95"] or {}
    dots = []
    for name, label, kind in (("real", "real clips", "plain"), ("synthetic", "translated clips", "model")):
        dots.append(Dot(label=label, value=facts[f"f1_{name}"], ends=intervals.get(name), kind=kind))
    equal = facts["equivalence"]
    verdict = {True: "equivalent", False: "equivalence not shown", None: "equivalence cannot be judged on one patient"}
    spoken = f" (90 % interval {interval(equal['ci90'], signed=True)})" if equal["ci90"] else ""
    text = (
        f"Difference {number(facts['f1_difference'], signed=True)}{spoken}; with a margin of {equal['margin']:g}: "
        f"{verdict[equal['equivalent']]}. {facts['changed_predictions']} clips are classified differently."
    )
    plot = interval_plot([Facet(title="F1, mean over classes", dots=dots)], width=500)
    return [Chart(svg=plot), Text(text=text)]


def _f1_table(facts: Mapping[str, Any]) -> Table:
    rows = [
        ("", [name, str(row["n"]), number(row["real"]), number(row["synthetic"])])
        for name, row in facts["f1_per_class"].items()
    ]
    return Table(caption="F1 per class", head=("", "clips", "real", "translated"), rows=rows)


def _controls_table(facts: Mapping[str, Any]) -> Table:
    """The same heads on the model's translation, on what takes no model, and on the yardsticks."""
    f1, dice = facts.get("f1_controls", {}), facts.get("dice_controls", {})
    rows = [("model", "model", facts.get("f1_synthetic"), facts)]
    rows += [(name, kind_of(name), f1.get(name), dice.get(name, {})) for name in f1 or dice]
    cells = [
        (kind, [name.replace("_", " "), *map(number, (score, own.get("dice"), own.get("dice_truth_synthetic")))])
        for name, kind, score, own in rows
    ]
    caption = "The same heads on the controls: without any model, and with the anatomy known but not the speckle"
    return Table(caption=caption, head=("", "F1", "Dice with real", "Dice with truth"), rows=cells)


def _dice_table(facts: Mapping[str, Any]) -> Table:
    titles = {
        "dice": "real against translated",
        "dice_truth_real": "truth against real",
        "dice_truth_synthetic": "truth against translated",
    }
    columns = [name for name in titles if name in facts]
    overall = [Cell(text=number(facts[name]), small=interval(facts.get(f"{name}_ci95"))) for name in columns]
    rows = [("model", ["all labels", *overall])]
    rows += [
        ("", [label, *(number(values.get(name)) for name in columns)])
        for label, values in facts["dice_per_label"].items()
    ]
    caption = "Dice overlap of segmentations, mean over clips"
    return Table(caption=caption, head=["", *(titles[name] for name in columns)], rows=rows)


def recovery(result: Mapping[str, Any]) -> Section | None:
    """Learning curves with and without translated clips."""
    facts = result.get("recovery")
    if not facts:
        return None
    names = {
        "greyscale_alone": "greyscale alone",
        "with_translated": "and translated clips",
        "with_acquired": "had they been acquired",
    }
    x = np.array(facts["patients"], float)
    lines = [
        Line(label=names[arm], x=x, y=np.array([point["f1"] for point in points]))
        for arm, points in facts["arms"].items()
    ]
    plot = line_plot("F1 on real greyscale clips", lines, x_label="patients with greyscale clips")
    arms = [*facts["arms"].values(), facts["gain"]]
    rows = [
        ("", [str(n), *(Cell(text=number(arm[i]["f1"]), small=interval(arm[i]["ci95"], 2)) for arm in arms)])
        for i, n in enumerate(facts["patients"])
    ]
    table = Table(head=["patients", *names.values(), "gain by translation"], rows=rows)
    lead = "A view classifier trained on scarce greyscale, alone and with other patients' colour-flow clips translated."
    body = Two(panels=[Panel(blocks=[Chart(svg=plot)]), Panel(blocks=[table])])
    return Section(anchor="recovery", nav="Recovery", title="What do recovered clips add?", lead=lead, blocks=[body])


def audit(result: Mapping[str, Any]) -> Section | None:
    """Can origins be told apart, where does the classifier look, and does a label leak?"""
    facts = result.get("audit")
    if not facts:
        return None
    found, origin = facts["translation"], facts.get("origin")
    apart = "The same clips: real against its own translation."
    if origin:
        apart += f" Other clips, as in an archive: {origin['parts']}, {origin['n_clips']} in all."
    text = (
        found["warning"] or "The classifier cannot tell translated clips from real ones beyond the audit's threshold."
    )
    leak = facts.get("label", {}).get("warning")
    body = Two(panels=[Panel(blocks=[_auc_plot(found, origin), Text(text=apart)]), Panel(blocks=_attention(found))])
    warnings = [Text(text=line) for line in (text, leak) if line]
    return Section(anchor="audit", nav="Audit", title="Shortcut audit", blocks=[*warnings, body])


def _auc_plot(same: Mapping[str, Any], other: Mapping[str, Any] | None) -> Chart:
    dots = []
    for label, found, kind in (("same clips", same, "model"), ("other clips", other, "plain")):
        if found:
            dots.append(Dot(label=label, value=found["auc"], ends=found["ci95"], kind=kind))
    facet = Facet(title="AUC of telling translated from real", dots=dots, reference=0.5)
    return Chart(svg=interval_plot([facet], digits=2, width=500))


def _attention(found: Mapping[str, Any]) -> list[Any]:
    rows = [("", [name, percent(r["share"]), percent(r["area"])]) for name, r in found.get("saliency", {}).items()]
    head = ("", "its attention", "share of the picture")
    blocks: list[Any] = [Table(caption="Where the classifier looks", head=head, rows=rows)] if rows else []
    if found.get("pictures"):
        about = "frames of a translated clip, bright where the classifier looks"
        blocks.append(Pictures(uris=found["pictures"], about=about))
    return blocks
