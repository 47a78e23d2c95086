"""Several evaluations side by side: `cfd2gray report RUN...`.

Runs are compared clip by clip where they scored the same clips, so that the interval is one of the difference; settings
that differ are named first, since they may explain more than the models do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cfd2gray.evaluation.measures import MEASURES, STRATUM_TITLES
from cfd2gray.evaluation.report.findings import best_baseline
from cfd2gray.evaluation.report.sections import dot
from cfd2gray.metrics.accumulate import Bootstrap, summarise
from cfd2gray.pages.blocks import Cell, Chart, Clips, Findings, Panel, Section, Table
from cfd2gray.pages.charts import Dot, Facet, interval_plot
from cfd2gray.pages.numbers import interval, number, with_interval
from cfd2gray.pages.page import write_page

_SHOWN = (
    ("ssim", ("box", "flow", "flow_eroded")),
    ("psnr", ("box", "flow")),
    ("texture_std_ratio", ("box", "flow")),
    ("flicker_ratio", ("box", "flow")),
)
_INCIDENTAL = ("seconds", "device", "model", "weights_digest", "checkpoint")
"""Settings that are expected to differ between runs."""


def load_result(path: str | os.PathLike) -> dict[str, Any]:
    """An ``evaluation.json``, or the one inside a run's or evaluation's folder.

    Raises:
      ValueError: nothing there, or something else.
    """
    path = Path(path)
    candidates = [path, path / "evaluation.json", path / "evaluation" / "evaluation.json"]
    found = next((c for c in candidates if c.is_file()), None)
    if found is None:
        raise ValueError(f"{path}: no evaluation.json there; make one with `cfd2gray evaluate`")
    try:
        result = json.loads(found.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{found}: not JSON ({error})") from error
    missing = [
        k for k in ("ssim", "per_clip", "settings", "baselines") if not isinstance(result, dict) or k not in result
    ]
    if missing:
        raise ValueError(f"{found}: not an evaluation result, it lacks {missing}")
    return result


def run_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Short, distinct names of runs: the last parts of their paths that differ."""
    parts = [[p for p in Path(path).parts if p not in ("evaluation", "evaluation.json", "/")] for path in paths]
    for depth in range(1, 1 + max(len(p) for p in parts)):
        names = ["/".join(p[-depth:]) or str(path) for p, path in zip(parts, paths)]
        if len(set(names)) == len(names):
            return names
    return [f"{i + 1}: {path}" for i, path in enumerate(paths)]


def compare(results: Mapping[str, Mapping[str, Any]], *, bootstrap: Bootstrap | None = None) -> dict[str, Any]:
    """Differences between runs.

    Args:
      results: name -> evaluation JSON, the first being the one compared with.
      bootstrap: for the intervals of differences.

    Returns:
      ``{"reference": name, "settings": {setting: {name: value}}, "common_clips": {name: n},
      "difference": {name: {measure: {stratum: {"mean", "ci95", "n"}}}}}``. Differences are over the clips that both
      runs scored; ``None`` where there are none.
    """
    if len(results) < 2:
        raise ValueError(f"a comparison needs at least two runs, got {len(results)}")
    bootstrap = bootstrap or Bootstrap()
    names = list(results)
    reference = results[names[0]]
    own = {row["clip_id"]: row for row in reference["per_clip"]}
    outcome: dict[str, Any] = {
        "reference": names[0],
        "settings": _differing_settings(results),
        "common_clips": {},
        "difference": {},
    }
    for name in names[1:]:
        pairs = [(own[r["clip_id"]], r) for r in results[name]["per_clip"] if r["clip_id"] in own]
        outcome["common_clips"][name] = len(pairs)
        outcome["difference"][name] = _difference(pairs, bootstrap) if pairs else None
    return outcome


def _difference(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], bootstrap: Bootstrap) -> dict[str, Any]:
    keys = [(m, s) for m, strata in _SHOWN for s in strata]
    values = np.array([[_score(b, m, s) - _score(a, m, s) for m, s in keys] for a, b in pairs])
    summary = summarise(values, [a["patient_id"] for a, _ in pairs], bootstrap=bootstrap)
    result: dict[str, Any] = {}
    for i, (m, s) in enumerate(keys):
        known = np.isfinite(summary.low[i])
        result.setdefault(m, {})[s] = {
            "mean": float(summary.mean[i]) if summary.n[i] else None,
            "ci95": [float(summary.low[i]), float(summary.high[i])] if known else None,
            "n": int(summary.n[i]),
        }
    return result


def _score(row: Mapping[str, Any], measure: str, stratum: str) -> float:
    value = row["scores"]["composited"].get(measure, {}).get(stratum)
    return np.nan if value is None else value


def _differing_settings(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    flat = {name: flatten_dict(result["settings"], sep=".") for name, result in results.items()}
    keys = sorted({key for settings in flat.values() for key in settings if key.split(".")[0] not in _INCIDENTAL})
    values = {key: {name: str(settings.get(key, "-")) for name, settings in flat.items()} for key in keys}
    return {key: of_runs for key, of_runs in values.items() if len(set(of_runs.values())) > 1}


def write_comparison(
    path: str | os.PathLike,
    results: Mapping[str, Mapping[str, Any]],
    *,
    clips: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> Path:
    """The comparison as a self-contained page; ``clips`` are those of each run's report (`report.clips_of`)."""
    outcome = compare(results)
    shared = shared_clips(list(results), clips)
    parts = [
        _summary(results, outcome),
        _clips(shared),
        _measures(results),
        _differences(outcome),
        _downstream(results),
        _settings(outcome),
    ]
    clips = sorted({result["n_clips"] for result in results.values()})
    facts = f"{len(results)} runs · {' or '.join(str(n) for n in clips)} clips each"
    return write_page(path, title="Comparison of runs", facts=facts, sections=parts, clips=shared)


def shared_clips(names: Sequence[str], clips: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Clips that all runs' reports show, each with every run's translation beside the others."""
    if len(clips) < 2:
        return []
    by_name = [{clip["name"]: clip for clip in own} for own in clips]
    joined = []
    for name, first in by_name[0].items():
        same = [own[name] for own in by_name if name in own]
        grids = {tuple(clip[key] for key in ("frames", "width", "height", "columns")) for clip in same}
        if len(same) < len(clips) or len(grids) > 1:
            continue
        sheets = [{panel["name"]: panel["sheet"] for panel in clip["panels"]} for clip in same]
        panels = {"colour flow": sheets[0]["colour flow"]}
        panels |= {run: sheet["translation"] for run, sheet in zip(names, sheets)}
        panels |= {"truth": sheets[0]["truth"]} if "truth" in sheets[0] else {}
        scores = {run: clip["metrics"].get("SSIM flow", "-") for run, clip in zip(names, same)}
        listed = [{"name": panel, "sheet": sheet} for panel, sheet in panels.items()]
        joined.append(
            {**first, "tag": "", "panels": listed, "metrics": {f"SSIM flow, {run}": s for run, s in scores.items()}}
        )
    return joined


def _clips(shared: Sequence[Mapping[str, Any]]) -> Section | None:
    if not shared:
        return None
    lead = "Clips that all reports show, every run's translation in lock-step."
    return Section(anchor="clips", title="Clips", lead=lead, blocks=[Clips(clips=shared)])


def _summary(results: Mapping[str, Mapping[str, Any]], outcome: Mapping[str, Any]) -> Section:
    lines = []
    for name, difference in outcome["difference"].items():
        if difference is None:
            lines.append(("warning", f"{name} shares no clip with {outcome['reference']}: nothing can be paired."))
            continue
        flow = difference["ssim"]["flow"]
        common, total = outcome["common_clips"][name], results[name]["n_clips"]
        partly = (
            "" if common == total == results[outcome["reference"]]["n_clips"] else f" on the {common} clips both scored"
        )
        if flow["mean"] is None:
            lines.append(("note", f"{name} and {outcome['reference']} have no clip with flow in common."))
            continue
        ends = flow["ci95"]
        spoken = with_interval(flow["mean"], ends, signed=True) + ("" if ends else ", no interval")
        verdict = "better" if ends and ends[0] > 0 else "worse" if ends and ends[1] < 0 else "no clear difference"
        level = {"better": "good", "worse": "warning"}.get(verdict, "note")
        lines.append((level, f"{name} against {outcome['reference']}: SSIM in flow {spoken}{partly}, {verdict}."))
    if outcome["settings"]:
        lines.insert(0, ("warning", "The runs were not scored alike; see the settings that differ below."))
    found = Findings(findings=[{"level": level, "text": text} for level, text in lines])
    return Section(anchor="summary", title="In short", blocks=[found])


def _measures(results: Mapping[str, Mapping[str, Any]]) -> Section:
    charts = []
    for measure, strata in _SHOWN:
        shown = MEASURES[measure]
        facets = [
            Facet(
                title=f"{shown.title}, {STRATUM_TITLES[stratum]}",
                dots=[dot("composited", name, result[measure], stratum, shown) for name, result in results.items()]
                + ([_baseline_dot(results, stratum)] if measure == "ssim" else []),
                reference=shown.reference,
            )
            for stratum in strata
        ]
        charts.append(Chart(svg=interval_plot(facets, digits=shown.digits)))
    lead = "Mean over clips with 95 % patient-bootstrap intervals. Overlapping intervals do not mean no difference: see below."
    return Section(anchor="measures", title="Measures", lead=lead, blocks=[Panel(blocks=charts)])


def _baseline_dot(results: Mapping[str, Mapping[str, Any]], stratum: str) -> Dot:
    result = next(iter(results.values()))
    best = best_baseline(result, stratum)
    if best is None:
        return Dot(label="best do-nothing", value=None)
    return dot(best[0], "best do-nothing", result["baselines"][best[0]], stratum, MEASURES["ssim"])


def _differences(outcome: Mapping[str, Any]) -> Section:
    columns = [(m, s) for m, strata in _SHOWN for s in strata]
    rows = []
    for name, difference in outcome["difference"].items():
        cells = []
        for m, s in columns:
            own = {"mean": None, "ci95": None} if difference is None else difference[m][s]
            cells.append(Cell(text=MEASURES[m].number(own["mean"]), small=interval(own["ci95"], signed=True)))
        rows.append(("", [name, *cells]))
    table = Table(head=["", *(f"{MEASURES[m].title}, {STRATUM_TITLES[s]}" for m, s in columns)], rows=rows)
    lead = (
        f"Difference to {outcome['reference']}, clip by clip, with the 95 % interval of the difference over patients."
    )
    return Section(anchor="differences", title="Differences", lead=lead, blocks=[Panel(blocks=[table])])


def _downstream(results: Mapping[str, Mapping[str, Any]]) -> Section | None:
    """F1 and Dice of the runs that were asked for them; each has heads of its own."""
    titles = {
        "f1_real": "F1 on real",
        "f1_synthetic": "F1 on translated",
        "dice": "Dice, real against translated",
        "dice_truth_synthetic": "Dice, truth against translated",
    }
    found = {name: result["downstream"] for name, result in results.items() if "downstream" in result}
    if not found:
        return None
    rows = [("", [name, *(number(facts.get(key)) for key in titles)]) for name, facts in found.items()]
    table = Table(head=["", *titles.values()], rows=rows)
    title = "Do translated clips work as real ones?"
    return Section(anchor="downstream", nav="As real ones?", title=title, blocks=[Panel(blocks=[table])])


def _settings(outcome: Mapping[str, Any]) -> Section:
    if not outcome["settings"]:
        lead = "All settings that bear on the scores are the same in all runs."
        return Section(anchor="settings", title="Settings", lead=lead, blocks=[])
    names = list(next(iter(outcome["settings"].values())))
    rows = [("", [key, *(values[name] for name in names)]) for key, values in outcome["settings"].items()]
    table = Table(head=["", *names], rows=rows)
    return Section(anchor="settings", nav="Settings", title="Settings that differ", blocks=[Panel(blocks=[table])])
