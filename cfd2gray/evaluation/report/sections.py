"""The report's sections, each a pure function of the evaluation JSON; ``None`` where there is nothing to say."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cfd2gray.evaluation.measures import MEASURES, STRATUM_MEANINGS, STRATUM_TITLES, Measure
from cfd2gray.evaluation.report.findings import best_baseline, findings
from cfd2gray.evaluation.report.sprites import ERROR_FULL_SCALE
from cfd2gray.evaluation.report.tables import output_rows
from cfd2gray.evaluation.results import MODEL_OUTPUTS, YARDSTICKS
from cfd2gray.pages.blocks import Cards, Cell, Chart, Clips, Download, Facts, Findings, Panel, Section, Table, Tabs, Two
from cfd2gray.pages.charts import Dot, Facet, Line, interval_plot, line_plot, scatter_plot, strip_plot
from cfd2gray.pages.curves import training_plots
from cfd2gray.pages.numbers import DASH, number

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


def summary(result: Mapping[str, Any]) -> Section:
    """Headline cards and findings."""
    cards = Cards(cards=[_card(result, measure, stratum) for measure, stratum in _CARDS])
    return Section(anchor="summary", title="In short", blocks=[cards, Findings(findings=findings(result))])


def _card(result: Mapping[str, Any], measure: str, stratum: str) -> dict[str, str]:
    shown, values = MEASURES[measure], result[measure]
    best = best_baseline(result, stratum) if measure == "ssim" else None
    ends = values["ci95"].get(stratum)
    spoken = f"95 % interval {shown.interval(ends)}" if ends else "no interval"
    return {
        "name": f"{shown.title}, {STRATUM_TITLES[stratum]}",
        "number": shown.number(values.get(stratum)),
        "range": f"{spoken}; SD over clips {shown.number(values['sd'].get(stratum))}",
        "versus": f"best do-nothing: {best[0].replace('_', ' ')}, {number(best[1])}" if best else shown.reading,
    }


def clips(described: Sequence[Mapping[str, Any]]) -> Section | None:
    """Players of the report's clips."""
    if not described:
        return None
    lead = (
        "Worst, median and best by SSIM in flow; random ones are the same in every report on the same clips. Each row "
        "plays in lock-step. 'Translation' is the composited output; error is its absolute difference from "
        f"the truth, from black (0) to yellow ({ERROR_FULL_SCALE} grey levels or more). The pictures are compressed "
        "for this page; the scores were taken before."
    )
    title = "Clips: worst, median, best, random, and other failures"
    return Section(anchor="clips", nav="Clips", title=title, lead=lead, blocks=[Clips(clips=described)])


def measures(result: Mapping[str, Any]) -> Section:
    """One tab per measure: interval plot and table over strata, model, baselines and yardsticks."""
    rows = output_rows(result)
    tabs = [
        (f"measure-{name}", shown.title, _measure_panel(rows, name, shown))
        for name, shown in MEASURES.items()
        if name in result and name not in _ARTEFACTS
    ]
    tabs.append(("measure-artefacts", "Artefacts", _artefact_panel(rows)))
    meanings = [(STRATUM_TITLES[stratum], meaning) for stratum, meaning in STRATUM_MEANINGS.items()]
    below = [Facts(pairs=meanings, summary="What the regions mean")]
    lead = (
        "Every row is scored alike. The do-nothing baselines are what one gets without any model; a model earns its "
        "place only where its interval clears theirs. 'Model' is the composited output that users get."
    )
    return Section(anchor="measures", title="Measures", lead=lead, blocks=[Tabs(tabs=tabs, below=below)])


def kind_of(key: str) -> str:
    """Style of a row: the headline output, a yardstick, or plain."""
    return "model" if key == "composited" else "yardstick" if key in YARDSTICKS else "plain"


def dot(key: str, label: str, values: Mapping[str, Any], stratum: str, shown: Measure) -> Dot:
    """A measure's mean and interval in a stratum, in its display unit."""
    value, ends = values.get(stratum), values["ci95"].get(stratum)
    value, ends = value and value * shown.factor, ends and [end * shown.factor for end in ends]
    return Dot(label=label, value=value, ends=ends, kind=kind_of(key))


_CELLS = "mean ± SD over clips, below it the 95 % interval (bootstrap over patients)"


def _measure_panel(rows: Sequence[tuple[str, str, Mapping[str, Any]]], name: str, shown: Measure) -> list[Any]:
    facets = [
        Facet(
            title=STRATUM_TITLES[stratum],
            dots=[dot(key, label, values[name], stratum, shown) for key, label, values in rows],
            reference=shown.reference,
        )
        for stratum in shown.strata
        if stratum not in ("ring", "untouched")
    ]
    unit = f", {shown.unit}" if shown.unit else ""
    table = _outputs_table(
        f"{shown.title}{unit}: {_CELLS}; {shown.reading}", rows, [(STRATUM_TITLES[s], name, s) for s in shown.strata]
    )
    return [Chart(svg=interval_plot(facets, digits=shown.digits)), table]


def _artefact_panel(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Any]:
    columns = [
        (MEASURES[m].title + (f", {MEASURES[m].unit}" if MEASURES[m].unit else ""), m, MEASURES[m].strata[0])
        for m in _ARTEFACTS
    ]
    facets = [
        Facet(
            title=title,
            dots=[dot(key, label, values[m], stratum, MEASURES[m]) for key, label, values in rows],
            reference=MEASURES[m].reference,
        )
        for title, m, stratum in columns
    ]
    readings = "; ".join(f"{MEASURES[m].title.lower()}: {MEASURES[m].reading}" for m in _ARTEFACTS)
    plot = Chart(svg=interval_plot(facets, digits=2, shared=False))
    return [plot, _outputs_table(f"{_CELLS}; {readings}", rows, columns)]


def _outputs_table(caption: str, rows: Sequence[tuple[str, str, Mapping[str, Any]]], columns) -> Table:
    """A row per output; ``columns`` are (title, measure, stratum)."""
    return Table(
        caption=caption,
        head=["", *(title for title, _, _ in columns)],
        rows=[
            (kind_of(key), [label, *(_cell(values[m], stratum, MEASURES[m]) for _, m, stratum in columns)])
            for key, label, values in rows
        ],
    )


def _cell(values: Mapping[str, Any], stratum: str, shown: Measure) -> Cell:
    """Mean and SD, the interval below them, and the number of clips as the tooltip."""
    sd = values["sd"].get(stratum)
    return Cell(
        text=shown.number(values.get(stratum)),
        aside="" if sd is None else f"±{shown.number(sd)}",
        small=shown.interval(values["ci95"].get(stratum)),
        about=f"{values['n'].get(stratum, 0)} clips",
    )


def distributions(result: Mapping[str, Any]) -> Section | None:
    """Per-clip scores: as strips per method, and against the amount of colour."""
    rows = [row for row in result["per_clip"] if row["scores"]["composited"]["ssim"]["flow"] is not None]
    if not rows:
        return None
    strips = [
        (label, [row["scores"][key]["ssim"]["flow"] for row in rows if key in row["scores"]], kind_of(key))
        for key, label, _ in output_rows(result)
        if key not in MODEL_OUTPUTS[1:]
    ]
    points: dict[str, list[tuple[float, float]]] = {domain: [] for domain in sorted({row["domain"] for row in rows})}
    for row in rows:
        points[row["domain"]].append((100 * row["colour_fraction"], row["scores"]["composited"]["ssim"]["flow"]))
    against = scatter_plot(
        "SSIM in flow against colour, every clip", list(points.items()), x_label="colour in the sector, %"
    )
    lead = "A mean can hide a tail. Each point is one clip; boxes span the quartiles."
    plots = (strip_plot("SSIM in flow, every clip", strips), against)
    return Section(
        anchor="clips-spread", nav="Spread", title="Spread over clips", lead=lead, blocks=[side_by_side(plots)]
    )


def side_by_side(plots: Sequence[Any]) -> Two:
    """Charts, each on a panel."""
    return Two(panels=[Panel(blocks=[Chart(svg=plot)]) for plot in plots])


def groups(result: Mapping[str, Any]) -> Section | None:
    """Tables per clinical domain, view, colour fraction and so on."""
    tables = [_group_table(result[name], title) for name, title in _GROUPS.items() if len(result.get(name, {})) > 1]
    if not tables:
        return None
    lead = (
        "The same model, one row per group. An average over views or domains says little about any one of them. Cells: "
        f"{_CELLS}."
    )
    return Section(anchor="groups", title="Where it works", lead=lead, blocks=[Panel(blocks=tables)])


def _group_table(blocks: Mapping[str, Any], title: str) -> Table:
    columns = [f"{MEASURES[m].title}, {STRATUM_TITLES[s]}" for m, s in _GROUP_COLUMNS]
    rows = []
    for name, block in blocks.items():
        best = best_baseline(block, "flow")
        beside = Cell(text=number(best[1]), small=best[0].replace("_", " ")) if best else DASH
        cells = [_cell(block[m], s, MEASURES[m]) for m, s in _GROUP_COLUMNS]
        rows.append(("", [name, str(block["n_clips"]), str(block["n_patients"]), *cells, beside]))
    return Table(title=title, head=["", "clips", "patients", *columns, "best do-nothing, flow"], rows=rows)


def confidence(result: Mapping[str, Any]) -> Section | None:
    """Does the confidence map say the truth? Reliability and sparsification, over synthesised pixels."""
    facts = result.get("confidence")
    if not facts:
        return None
    reliable, sparse = facts["reliability"], facts["sparsification"]
    ideal = Line(label="ideal", x=(0, 1), y=(0, 1))
    found = Line(label="found", x=reliable["claimed"], y=reliable["found"])
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
    title = "Can its confidence be trusted?"
    return Section(anchor="confidence", nav="Confidence", title=title, lead=lead, blocks=[side_by_side(plots)])


def training(history: Sequence[Mapping[str, Any]] | None) -> Section | None:
    """Curves of a run's metrics (dicts with ``step``)."""
    plots = training_plots(history or ())
    return Section(anchor="training", title="Training", blocks=[side_by_side(plots)]) if plots else None


def settings(result: Mapping[str, Any]) -> Section:
    """Every setting and version behind the numbers, and the numbers themselves to take along."""
    blocks = [Facts(pairs=_pairs(result["settings"])), Facts(title="Pass-through", pairs=_pairs(result["identity"]))]
    encoded = base64.b64encode(json.dumps(result).encode()).decode()
    link = Download(
        name="evaluation.json", text="Download the numbers (JSON)", uri=f"data:application/json;base64,{encoded}"
    )
    return Section(
        anchor="settings",
        nav="Settings",
        title="Settings and versions",
        lead="What has to be the same before two reports may be compared.",
        blocks=[Panel(blocks=blocks), link],
    )


def _pairs(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names in words and values as text, whatever lies within another after its name."""
    return [
        (name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
        for name, value in flatten_dict(tree, sep=", ").items()
    ]
