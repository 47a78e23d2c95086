"""The report's sections as HTML fragments, each a pure function of the evaluation JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from cfd2gray.evaluation.measures import MEASURES, STRATUM_MEANINGS, STRATUM_TITLES, Measure
from cfd2gray.evaluation.report.curves import training_plots
from cfd2gray.evaluation.report.findings import best_baseline, findings
from cfd2gray.evaluation.report.svg import Dot, Facet, Line, interval_plot, line_plot, scatter_plot, strip_plot
from cfd2gray.evaluation.report.tables import output_rows
from cfd2gray.evaluation.results import CEILINGS, MODEL_OUTPUTS

_CARDS = (("ssim", "flow"), ("ssim", "box"), ("flicker_ratio", "flow"), ("texture_std_ratio", "flow"))
_ARTEFACTS = ("seam_score", "outline_residue", "colour_residue")
_GROUPS = {
    "by_domain": "Clinical domain",
    "by_view": "View",
    "by_colour_fraction": "Colour in the sector",
    "by_kind": "Kind of pair",
    "by_vendor": "Vendor",
    "by_map": "Colour map",
}
_GROUP_COLUMNS = (
    ("ssim", "box"),
    ("ssim", "flow"),
    ("psnr", "flow"),
    ("flicker_ratio", "flow"),
    ("texture_std_ratio", "flow"),
)


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """A titled section; ``lead`` and ``title`` are plain text, ``body`` is HTML."""
    return (
        f'<section id="{anchor}"><h2>{escape(title)}</h2>'
        + (f'<p class="lead">{escape(lead)}</p>' if lead else "")
        + f"{body}</section>"
    )


def summary(result: Mapping[str, Any]) -> str:
    """Headline cards and findings."""
    cards = "".join(_card(result, measure, stratum) for measure, stratum in _CARDS)
    items = "".join(
        f'<li><span class="level {level}">{level}</span><span>{escape(text)}</span></li>'
        for level, text in ((finding["level"], finding["text"]) for finding in findings(result))
    )
    return section(
        "summary", "In short", "", f'<div class="cards">{cards}</div><ul class="findings panel">{items}</ul>'
    )


def _card(result: Mapping[str, Any], measure: str, stratum: str) -> str:
    shown, values = MEASURES[measure], result[measure]
    versus = shown.reading
    best = best_baseline(result, stratum) if measure == "ssim" else None
    if best:
        versus = f"best do-nothing: {best[0].replace('_', ' ')}, {best[1]:.3f}"
    interval = values["ci95"].get(stratum)
    spoken = (
        f"95 % interval {number(interval[0], shown)} to {number(interval[1], shown)}" if interval else "no interval"
    )
    spoken += f"; SD over clips {number(values['sd'].get(stratum), shown)}"
    return (
        f'<div class="card"><span class="name">{escape(shown.title)}, {STRATUM_TITLES[stratum]}</span>'
        f'<span class="number">{number(values.get(stratum), shown)}</span><span class="range">{spoken}</span>'
        f'<span class="versus">{escape(versus)}</span></div>'
    )


def measures(result: Mapping[str, Any]) -> str:
    """One tab per measure: interval plot and table over strata, model, baselines and ceilings."""
    rows = output_rows(result)
    panels = {
        name: (shown.title, _measure_panel(rows, name, shown))
        for name, shown in MEASURES.items()
        if name in result and name not in _ARTEFACTS
    }
    panels["artefacts"] = ("Artefacts", _artefact_panel(rows))
    tabs = "".join(
        f'<button type="button" data-panel="measure-{name}" aria-pressed="false">{escape(title)}</button>'
        for name, (title, _) in panels.items()
    )
    bodies = "".join(f'<div id="measure-{name}">{body}</div>' for name, (_, body) in panels.items())
    meanings = "".join(f"<dt>{STRATUM_TITLES[s]}</dt><dd>{escape(m)}</dd>" for s, m in STRATUM_MEANINGS.items())
    explained = f"<details><summary>What the regions mean</summary><dl>{meanings}</dl></details>"
    lead = (
        "Every row is scored alike. The do-nothing baselines are what one gets without any model; a model earns its "
        "place only where its interval clears theirs. 'Model' is the composited output that users get."
    )
    return section(
        "measures", "Measures", lead, f'<div class="tabs">{tabs}</div><div class="panel">{bodies}{explained}</div>'
    )


def kind_of(key: str) -> str:
    """Style class of a row: the headline output, a ceiling, or plain."""
    return "model" if key == "composited" else "ceiling" if key in CEILINGS else "plain"


def _dot(key: str, label: str, values: Mapping[str, Any], stratum: str, shown: Measure) -> Dot:
    value, interval = values.get(stratum), values["ci95"].get(stratum)
    low, high = interval or (None, None)
    scale = lambda v: None if v is None else v * shown.factor  # noqa: E731
    return Dot(label=label, value=scale(value), low=scale(low), high=scale(high), kind=kind_of(key))


def _measure_panel(rows: Sequence[tuple[str, str, Mapping[str, Any]]], name: str, shown: Measure) -> str:
    facets = [
        Facet(
            title=STRATUM_TITLES[stratum],
            dots=[_dot(key, label, values[name], stratum, shown) for key, label, values in rows],
            reference=shown.reference,
        )
        for stratum in shown.strata
        if stratum not in ("ring", "untouched")
    ]
    unit = f", {shown.unit}" if shown.unit else ""
    head = "".join(f"<th scope='col'>{STRATUM_TITLES[s]}</th>" for s in shown.strata)
    body = "".join(
        f'<tr class="{kind_of(key)}"><th scope="row">{escape(label)}</th>'
        + "".join(_td(values[name], s, shown) for s in shown.strata)
        + "</tr>"
        for key, label, values in rows
    )
    caption = f"{shown.title}{unit}: {_CELLS}; {shown.reading}"
    return f"{interval_plot(facets, digits=shown.digits)}{_table(caption, head, body)}"


_CELLS = "mean ± SD over clips, below it the 95 % interval (bootstrap over patients)"


def _table(caption: str, head: str, body: str) -> str:
    table = f"<caption>{escape(caption)}</caption><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{table}</table></div>'


def _artefact_panel(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> str:
    facets = [
        Facet(
            title=f"{MEASURES[name].title}" + (f", {MEASURES[name].unit}" if MEASURES[name].unit else ""),
            dots=[_dot(key, label, v[name], MEASURES[name].strata[0], MEASURES[name]) for key, label, v in rows],
            reference=MEASURES[name].reference,
        )
        for name in _ARTEFACTS
    ]
    readings = "; ".join(f"{MEASURES[name].title.lower()}: {MEASURES[name].reading}" for name in _ARTEFACTS)
    head = "".join(f"<th scope='col'>{escape(facet.title)}</th>" for facet in facets)
    body = "".join(
        f'<tr class="{kind_of(key)}"><th scope="row">{escape(label)}</th>'
        + "".join(_td(values[name], MEASURES[name].strata[0], MEASURES[name]) for name in _ARTEFACTS)
        + "</tr>"
        for key, label, values in rows
    )
    return interval_plot(facets, digits=2, shared=False) + _table(f"{_CELLS}; {readings}", head, body)


def _td(values: Mapping[str, Any], stratum: str, shown: Measure) -> str:
    """Cell with mean and SD, the interval below them, and the number of clips as its tooltip."""
    interval, sd = values["ci95"].get(stratum), values["sd"].get(stratum)
    small = f"<small>{number(interval[0], shown)}&ndash;{number(interval[1], shown)}</small>" if interval else ""
    spread = "" if sd is None else f'<span class="sd"> ±{number(sd, shown)}</span>'
    about = f"{values['n'].get(stratum, 0)} clips"
    return f'<td title="{about}">{number(values.get(stratum), shown)}{spread}{small}</td>'


def number(value: float | None, shown: Measure) -> str:
    """A value in its display unit, or a dash."""
    return "&ndash;" if value is None else f"{value * shown.factor:.{shown.digits}f}"


def distributions(result: Mapping[str, Any]) -> str:
    """Per-clip scores: as strips per method, and against the amount of colour."""
    clips = [row for row in result["per_clip"] if row["scores"]["composited"]["ssim"]["flow"] is not None]
    if not clips:
        return ""
    names = [(key, label) for key, label, _ in output_rows(result) if key not in MODEL_OUTPUTS[1:]]
    strips = [
        (label, [row["scores"][key]["ssim"]["flow"] for row in clips if key in row["scores"]], kind_of(key))
        for key, label in names
    ]
    domains = sorted({row["domain"] for row in clips})
    points = [
        (
            d,
            [
                (100 * r["colour_fraction"], r["scores"]["composited"]["ssim"]["flow"])
                for r in clips
                if r["domain"] == d
            ],
        )
        for d in domains
    ]
    plots = strip_plot("SSIM in flow, every clip", strips)
    plots = f'<div class="panel">{plots}</div><div class="panel">' + scatter_plot(
        "SSIM in flow against colour, every clip", points, x_label="colour in the sector, %"
    )
    lead = "A mean can hide a tail. Each point is one clip; boxes span the quartiles."
    return section("clips-spread", "Spread over clips", lead, f'<div class="two">{plots}</div></div>')


def groups(result: Mapping[str, Any]) -> str:
    """Tables per clinical domain, view, colour fraction and so on."""
    parts = [_group_table(result[name], title) for name, title in _GROUPS.items() if len(result.get(name, {})) > 1]
    if not parts:
        return ""
    lead = (
        "The same model, one row per group. An average over views or domains says little about any one of them. Cells: "
        f"{_CELLS}."
    )
    return section("groups", "Where it works", lead, f'<div class="panel scroll">{"".join(parts)}</div>')


def _group_table(blocks: Mapping[str, Any], title: str) -> str:
    head = (
        "".join(f"<th scope='col'>{MEASURES[m].title}, {STRATUM_TITLES[s]}</th>" for m, s in _GROUP_COLUMNS)
        + "<th scope='col'>best do-nothing, flow</th>"
    )
    body = ""
    for name, block in blocks.items():
        best = best_baseline(block, "flow")
        cells = "".join(_td(block[m], s, MEASURES[m]) for m, s in _GROUP_COLUMNS)
        beside = f"{best[1]:.3f}<small>{escape(best[0].replace('_', ' '))}</small>" if best else "&ndash;"
        body += (
            f'<tr><th scope="row">{escape(name)}</th><td>{block["n_clips"]}</td><td>{block["n_patients"]}</td>'
            f"{cells}<td>{beside}</td></tr>"
        )
    return (
        f"<h3>{escape(title)}</h3><table><thead><tr><th></th><th scope='col'>clips</th>"
        f"<th scope='col'>patients</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def confidence(result: Mapping[str, Any]) -> str:
    """Does the confidence map say the truth? Reliability and sparsification, over synthesised pixels."""
    facts = result.get("confidence")
    if not facts:
        return ""
    reliable, sparse = facts["reliability"], facts["sparsification"]
    ideal = Line(label="ideal", x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]))
    found = Line(label="found", x=np.array(reliable["claimed"]), y=np.array(reliable["found"]))
    removed = 100 * np.array(sparse["removed"])
    curves = [
        Line(label="by confidence", x=removed, y=255 * np.array(sparse["error"])),
        Line(label="best possible", x=removed, y=255 * np.array(sparse["oracle"])),
        Line(label="no order", x=removed, y=np.full(len(removed), 255 * sparse["error"][0])),
    ]
    plots = (
        line_plot("share of pixels within tolerance", [found, ideal], x_label="claimed share"),
        line_plot("mean error of what is left, grey levels", curves, x_label="least trusted pixels removed, %"),
    )
    lead = (
        f"Confidence claims the probability that a synthesised pixel lies within {100 * facts['tolerance']:.0f} % of "
        f"full scale of the truth. Mean gap between claim and finding: {reliable['ece']:.3f}. Removing the least "
        "trusted pixels should lower the error; area between that curve and the best possible one, relative to no order: "
        f"{sparse['ause']:.2f} (0 is perfect, 1 is no better than chance)."
    )
    body = "".join(f'<div class="panel">{plot}</div>' for plot in plots)
    return section("confidence", "Can its confidence be trusted?", lead, f'<div class="two">{body}</div>')


def training(history: Sequence[Mapping[str, Any]] | None) -> str:
    """Curves of a run's metrics (dicts with ``step``)."""
    plots = "".join(f'<div class="panel">{plot}</div>' for plot in training_plots(history or ()))
    return section("training", "Training", "", f'<div class="two">{plots}</div>') if plots else ""


def settings(result: Mapping[str, Any]) -> str:
    """Every setting and version behind the numbers."""
    pairs = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _flat(result["settings"]))
    identity = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _flat(result["identity"]))
    body = f'<div class="panel"><dl>{pairs}</dl><h3>Pass-through</h3><dl>{identity}</dl></div>'
    return section(
        "settings", "Settings and versions", "What has to be the same before two reports may be compared.", body
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in tree.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{name}, ")
        else:
            pairs.append((name, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return pairs
