"""Report sections of downstream tasks, data recovery, the shortcut audit and domains."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from cfd2gray.evaluation.report.sections import kind_of, section
from cfd2gray.evaluation.report.svg import Dot, Facet, Line, interval_plot, line_plot


def downstream(result: Mapping[str, Any]) -> str:
    """F1 and Dice on real and on translated clips."""
    facts = result.get("downstream")
    if not facts:
        return ""
    parts = []
    if "f1_real" in facts:
        parts.append(f'<div class="panel scroll">{_f1_plot(facts)}{_f1_table(facts)}</div>')
    beside = [_dice_table(facts)] if "dice" in facts else []
    beside += [_controls_table(facts)] if facts.get("f1_controls") or facts.get("dice_controls") else []
    if beside:
        parts.append(f'<div class="panel scroll">{"<br>".join(beside)}</div>')
    if "note" in facts:
        parts.append(f'<p class="lead">{escape(facts["note"])}</p>')
    lead = (
        f"The same models on the real clip and on its translation, {facts['n_clips']} clips with flow of "
        f"{facts['n_patients']} patients that they were not trained on."
    )
    return section(
        "downstream", "Do translated clips work as real ones?", lead, f'<div class="two">{"".join(parts)}</div>'
    )


def _f1_plot(facts: Mapping[str, Any]) -> str:
    intervals = facts["f1_ci95"] or {}
    dots = []
    for name, kind in (("real", "plain"), ("synthetic", "model")):
        low, high = intervals.get(name) or (None, None)
        label = "real clips" if name == "real" else "translated clips"
        dots.append(Dot(label=label, value=facts[f"f1_{name}"], low=low, high=high, kind=kind))
    equal = facts["equivalence"]
    verdict = {True: "equivalent", False: "equivalence not shown", None: "equivalence cannot be judged on one patient"}
    interval = equal["ci90"]
    spoken = f" (90 % interval {interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    text = (
        f"Difference {facts['f1_difference']:+.3f}{spoken}; with a margin of {equal['margin']:g}: "
        f"{verdict[equal['equivalent']]}. {facts['changed_predictions']} clips are classified differently."
    )
    plot = interval_plot([Facet(title="F1, mean over classes", dots=dots)], width=500)
    return f'{plot}<p class="lead">{escape(text)}</p>'


def _f1_table(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{row['n']}</td><td>{_number(row['real'])}</td>"
        f"<td>{_number(row['synthetic'])}</td></tr>"
        for name, row in facts["f1_per_class"].items()
    )
    head = "<tr><th></th><th scope='col'>clips</th><th scope='col'>real</th><th scope='col'>translated</th></tr>"
    return f"<table><caption>F1 per class</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _controls_table(facts: Mapping[str, Any]) -> str:
    """The same heads on the model's translation, on what takes no model, and on the ceilings."""
    f1, dice = facts.get("f1_controls", {}), facts.get("dice_controls", {})
    rows = [("model", "model", facts.get("f1_synthetic"), facts)]
    rows += [(name, kind_of(name), f1.get(name), dice.get(name, {})) for name in f1 or dice]
    body = "".join(
        f'<tr class="{kind}"><th scope="row">{escape(name.replace("_", " "))}</th><td>{_number(score)}</td>'
        f"<td>{_number(found.get('dice'))}</td><td>{_number(found.get('dice_truth_synthetic'))}</td></tr>"
        for name, kind, score, found in rows
    )
    titles = ("F1", "Dice with real", "Dice with truth")
    head = "<tr><th></th>" + "".join(f"<th scope='col'>{title}</th>" for title in titles) + "</tr>"
    caption = "The same heads on the controls: without any model, and with the anatomy known but not the speckle"
    return f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _dice_table(facts: Mapping[str, Any]) -> str:
    columns = [
        (name, title)
        for name, title in (
            ("dice", "real against translated"),
            ("dice_truth_real", "truth against real"),
            ("dice_truth_synthetic", "truth against translated"),
        )
        if name in facts
    ]
    head = "".join(f"<th scope='col'>{title}</th>" for _, title in columns)
    cells = ""
    for name, _ in columns:
        interval = facts.get(f"{name}_ci95")
        small = f"<small>{interval[0]:.3f}&ndash;{interval[1]:.3f}</small>" if interval else ""
        cells += f"<td>{_number(facts[name])}{small}</td>"
    rows = f'<tr class="model"><th scope="row">all labels</th>{cells}</tr>'
    for label, values in facts["dice_per_label"].items():
        rows += f"<tr><th scope='row'>{escape(label)}</th>"
        rows += "".join(f"<td>{_number(values.get(name))}</td>" for name, _ in columns) + "</tr>"
    caption = "Dice overlap of segmentations, mean over clips"
    return f"<table><caption>{caption}</caption><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def recovery(result: Mapping[str, Any]) -> str:
    """Learning curves with and without translated clips."""
    facts = result.get("recovery")
    if not facts:
        return ""
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
    rows = ""
    for i, n in enumerate(facts["patients"]):
        rows += f"<tr><th scope='row'>{n}</th>"
        for points in [*facts["arms"].values(), facts["gain"]]:
            interval = points[i]["ci95"]
            small = f"<small>{interval[0]:.2f}&ndash;{interval[1]:.2f}</small>" if interval else ""
            rows += f"<td>{points[i]['f1']:.3f}{small}</td>"
        rows += "</tr>"
    head = "".join(f"<th scope='col'>{title}</th>" for title in [*names.values(), "gain by translation"])
    table = f"<table><thead><tr><th>patients</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    lead = "A view classifier trained on scarce greyscale, alone and with other patients' colour-flow clips translated."
    body = f'<div class="two"><div class="panel">{plot}</div><div class="panel scroll">{table}</div></div>'
    return section("recovery", "What do recovered clips add?", lead, body)


def audit(result: Mapping[str, Any]) -> str:
    """Can origins be told apart, where does the classifier look, and does a label leak?"""
    facts = result.get("audit")
    if not facts:
        return ""
    found = facts["translation"]
    low, high = found["ci95"] or (None, None)
    dots = [Dot(label="same clips", value=found["auc"], low=low, high=high, kind="model")]
    origin = facts.get("origin")
    if origin:
        low, high = origin["ci95"] or (None, None)
        dots.append(Dot(label="other clips", value=origin["auc"], low=low, high=high, kind="plain"))
    facet = Facet(title="AUC of telling translated from real", dots=dots, reference=0.5)
    plot = interval_plot([facet], digits=2, width=500)
    apart = "The same clips: real against its own translation."
    if origin:
        apart += f" Other clips, as in an archive: {origin['parts']}, {origin['n_clips']} in all."
    plot += f'<p class="lead">{escape(apart)}</p>'
    looks = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{100 * row['share']:.0f} %</td><td>{100 * row['area']:.0f} %</td></tr>"
        for name, row in found.get("saliency", {}).items()
    )
    table = (
        "<table><caption>Where the classifier looks</caption><thead><tr><th></th><th scope='col'>its attention</th>"
        f"<th scope='col'>share of the picture</th></tr></thead><tbody>{looks}</tbody></table>"
        if looks
        else ""
    )
    pictures = "".join(
        f'<img src="{escape(picture)}" alt="frames of a translated clip, bright where the classifier looks">'
        for picture in found.get("pictures", ())
    )
    if pictures:
        table += f'<div class="saliency">{pictures}</div>'
    text = (
        found["warning"] or "The classifier cannot tell translated clips from real ones beyond the audit's threshold."
    )
    leak = facts.get("label", {}).get("warning")
    warnings = "".join(f'<p class="lead">{escape(line)}</p>' for line in (text, leak) if line)
    body = f'{warnings}<div class="two"><div class="panel">{plot}</div><div class="panel">{table}</div></div>'
    return section("audit", "Shortcut audit", "", body)


def _number(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.3f}"
