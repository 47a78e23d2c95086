"""Several evaluations side by side: `cfd2gray report RUN...`.

Runs are compared clip by clip where they scored the same clips, so that the interval is one of the difference; settings
that differ are named first, since they may explain more than the models do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cfd2gray.evaluation.measures import MEASURES, STRATUM_TITLES
from cfd2gray.evaluation.report.findings import best_baseline
from cfd2gray.evaluation.report.page import player, write_page
from cfd2gray.evaluation.report.sections import number, section
from cfd2gray.evaluation.report.svg import Dot, Facet, interval_plot
from cfd2gray.metrics.accumulate import Bootstrap, summarise

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
    flat = {name: _flat(result["settings"]) for name, result in results.items()}
    keys = sorted({key for settings in flat.values() for key in settings})
    return {
        key: {name: settings.get(key, "-") for name, settings in flat.items()}
        for key in keys
        if key.split(".")[0] not in _INCIDENTAL and len({settings.get(key, "-") for settings in flat.values()}) > 1
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def write_comparison(
    path: str | os.PathLike,
    results: Mapping[str, Mapping[str, Any]],
    *,
    clips: Sequence[Sequence[Mapping[str, Any]]] = (),
    title: str = "Comparison of runs",
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
    return write_page(path, title=title, facts=facts, parts=parts, clips=shared)


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


def _clips(shared: Sequence[Mapping[str, Any]]) -> str:
    if not shared:
        return ""
    lead = "Clips that all reports show, every run's translation in lock-step."
    return section("clips", "Clips", lead, "".join(player(clip) for clip in shared))


def _summary(results: Mapping[str, Mapping[str, Any]], outcome: Mapping[str, Any]) -> str:
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
        interval = flow["ci95"]
        spoken = f"{flow['mean']:+.3f}" + (
            f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ", no interval"
        )
        verdict = (
            "better"
            if interval and interval[0] > 0
            else "worse"
            if interval and interval[1] < 0
            else "no clear difference"
        )
        level = {"better": "good", "worse": "warning"}.get(verdict, "note")
        lines.append((level, f"{name} against {outcome['reference']}: SSIM in flow {spoken}{partly}, {verdict}."))
    if outcome["settings"]:
        lines.insert(0, ("warning", "The runs were not scored alike; see the settings that differ below."))
    items = "".join(
        f'<li><span class="level {level}">{level}</span><span>{escape(text)}</span></li>' for level, text in lines
    )
    return section("summary", "In short", "", f'<ul class="findings panel">{items}</ul>')


def _measures(results: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for measure, strata in _SHOWN:
        shown = MEASURES[measure]
        facets = [
            Facet(
                title=f"{shown.title}, {STRATUM_TITLES[stratum]}",
                dots=[_dot(name, result[measure], stratum, "model") for name, result in results.items()]
                + ([_baseline_dot(results, stratum)] if measure == "ssim" else []),
                reference=shown.reference,
            )
            for stratum in strata
        ]
        parts.append(interval_plot(facets, digits=shown.digits))
    lead = "Mean over clips with 95 % patient-bootstrap intervals. Overlapping intervals do not mean no difference: see below."
    return section("measures", "Measures", lead, f'<div class="panel">{"".join(parts)}</div>')


def _dot(name: str, values: Mapping[str, Any], stratum: str, kind: str) -> Dot:
    low, high = values["ci95"].get(stratum) or (None, None)
    return Dot(label=name, value=values.get(stratum), low=low, high=high, kind=kind)


def _baseline_dot(results: Mapping[str, Mapping[str, Any]], stratum: str) -> Dot:
    result = next(iter(results.values()))
    best = best_baseline(result, stratum)
    if best is None:
        return Dot(label="best do-nothing", value=None)
    dot = _dot("best do-nothing", result["baselines"][best[0]], stratum, "plain")
    return dot


def _differences(outcome: Mapping[str, Any]) -> str:
    head = "".join(
        f"<th scope='col'>{MEASURES[m].title}, {STRATUM_TITLES[s]}</th>" for m, strata in _SHOWN for s in strata
    )
    body = ""
    for name, difference in outcome["difference"].items():
        cells = ""
        for m, strata in _SHOWN:
            for s in strata:
                cell = None if difference is None else difference[m][s]
                interval = cell["ci95"] if cell else None
                small = f"<small>{interval[0]:+.3f} to {interval[1]:+.3f}</small>" if interval else ""
                cells += f"<td>{number(cell['mean'] if cell else None, MEASURES[m])}{small}</td>"
        body += f"<tr><th scope='row'>{escape(name)}</th>{cells}</tr>"
    lead = (
        f"Difference to {outcome['reference']}, clip by clip, with the 95 % interval of the difference over patients."
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return section("clips-spread", "Differences", lead, f'<div class="panel scroll">{table}</div>')


def _downstream(results: Mapping[str, Mapping[str, Any]]) -> str:
    """F1 and Dice of the runs that were asked for them; each has heads of its own."""
    titles = {
        "f1_real": "F1 on real",
        "f1_synthetic": "F1 on translated",
        "dice": "Dice, real against translated",
        "dice_truth_synthetic": "Dice, truth against translated",
    }
    found = {name: result["downstream"] for name, result in results.items() if "downstream" in result}
    if not found:
        return ""
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles.values())
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td>{'&ndash;' if facts.get(key) is None else format(facts[key], '.3f')}</td>" for key in titles)
        + "</tr>"
        for name, facts in found.items()
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return section(
        "downstream", "Do translated clips work as real ones?", "", f'<div class="panel scroll">{table}</div>'
    )


def _settings(outcome: Mapping[str, Any]) -> str:
    if not outcome["settings"]:
        return section("settings", "Settings", "All settings that bear on the scores are the same in all runs.", "")
    names = list(next(iter(outcome["settings"].values())))
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th scope='row'>{escape(key)}</th>"
        + "".join(f"<td>{escape(values[name])}</td>" for name in names)
        + "</tr>"
        for key, values in outcome["settings"].items()
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return section("settings", "Settings that differ", "", f'<div class="panel scroll">{table}</div>')
