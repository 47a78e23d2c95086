"""From rows per clip to the evaluation JSON: means, SD, patient intervals, groups, paired gains.

A measure is written as ``{stratum: mean, ..., "sd": {stratum: ...}, "ci95": {stratum: [low, high]}, "n": {...}}``.
``None`` stands for a value that does not exist (a stratum no clip has, an interval over one patient).
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from cfd2gray.metrics.accumulate import Bootstrap, Summary, summarise
from cfd2gray.metrics.image import PSNR_CEILING_DB
from cfd2gray.metrics.ssim import K1, K2, RADIUS, SIGMA
from cfd2gray.metrics.strata import ERODE_PX, RING_PX
from data_pipeline.files import write_atomically

RESULT_VERSION = 1
MODEL_OUTPUTS = ("composited", "raw", "anatomy")
YARDSTICKS = ("speckle_redraw", "speckle_mean")
GROUP_FACTS = ("kind", "vendor", "map")
"""Further facts that `evaluate`'s ``ids`` may give of a clip."""
COLOUR_BINS = ("none", "<5 %", "5-15 %", ">15 %")

Row = Mapping[str, Any]


def assemble(rows: Sequence[Row], *, bootstrap: Bootstrap, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation JSON of ``rows`` (see `evaluate`). The headline is the composited output, the one users get."""
    result = {"result_version": RESULT_VERSION, **_block(rows, bootstrap=bootstrap)}
    groups: dict[str, Callable[[Row], str]] = {
        "by_domain": lambda row: row["domain"],
        "by_view": lambda row: row["view"],
        "by_colour_fraction": lambda row: colour_bin(row["colour_fraction"]),
        "by_kind": lambda row: row.get("kind") or ("shared" if row["shared"] else "separate"),
        "by_vendor": lambda row: row.get("vendor") or "unknown",
        "by_map": lambda row: row.get("map") or "unknown",
    }
    for name, key in groups.items():
        found = sorted({key(row) for row in rows}, key=lambda g: COLOUR_BINS.index(g) if g in COLOUR_BINS else g)
        if name in ("by_vendor", "by_map") and found == ["unknown"]:
            continue
        result[name] = {g: _block([r for r in rows if key(r) == g], bootstrap=bootstrap, brief=True) for g in found}
    result["identity"] = _identity(rows)
    result["settings"] = _settings(bootstrap) | dict(settings)
    result["per_clip"] = [_clean(row) for row in rows]
    return result


def patients_text(count: int) -> str:
    """``1 patient``, ``2 patients``."""
    return "1 patient" if count == 1 else f"{count} patients"


def colour_bin(fraction: float) -> str:
    """Group of a clip by the share of its sector that is painted with colour."""
    if fraction == 0:
        return COLOUR_BINS[0]
    return COLOUR_BINS[1] if fraction < 0.05 else COLOUR_BINS[2] if fraction <= 0.15 else COLOUR_BINS[3]


def _block(rows: Sequence[Row], *, bootstrap: Bootstrap, brief: bool = False) -> dict[str, Any]:
    """Summary of some rows. ``brief`` leaves out the baselines' other measures and the paired gains."""
    patients = [row["patient_id"] for row in rows]
    keys = sorted({(v, m, s) for row in rows for v, ms in row["scores"].items() for m, ss in ms.items() for s in ss})
    values = np.array([[_value(row, key) for key in keys] for row in rows])
    summary = summarise(values, patients, bootstrap=bootstrap)
    outputs: dict[str, Any] = {}
    for variant in dict.fromkeys(key[0] for key in keys):
        columns = {(m, s): i for i, (v, m, s) in enumerate(keys) if v == variant}
        outputs[variant] = _measures(summary, columns)
    block: dict[str, Any] = {"n_clips": len(rows), "n_patients": len(set(patients)), **outputs.pop("composited")}
    for name in MODEL_OUTPUTS[1:]:
        if name in outputs:
            block[name] = outputs.pop(name)
    # The contract asks for the strata right under a baseline's name: they are its SSIM.
    block["baselines"] = {
        name: {k: v for k, v in measures["ssim"].items()} | ({} if brief else measures)
        for name, measures in outputs.items()
    }
    if not brief:
        block["gain"] = _gains(rows, list(outputs), patients, bootstrap)
    return block


def _measures(summary: Summary, columns: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for (measure, stratum), i in columns.items():
        entry = result.setdefault(measure, {"sd": {}, "ci95": {}, "n": {}})
        entry[stratum] = _number(summary.mean[i])
        entry["sd"][stratum] = _number(summary.sd[i])
        entry["ci95"][stratum] = _interval(summary.low[i], summary.high[i])
        entry["n"][stratum] = int(summary.n[i])
    return result


def _gains(rows: Sequence[Row], names: Sequence[str], patients: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """SSIM of the composited output minus that of each baseline, clip by clip, so that the interval is a paired one."""
    strata = list(rows[0]["scores"]["composited"]["ssim"])
    gains: dict[str, Any] = {}
    for name in names:
        difference = [
            [_value(row, ("composited", "ssim", s)) - _value(row, (name, "ssim", s)) for s in strata] for row in rows
        ]
        summary = summarise(np.array(difference), patients, bootstrap=bootstrap)
        gains[name] = _measures(summary, {("ssim", s): i for i, s in enumerate(strata)})["ssim"]
    return gains


def _value(row: Row, key: tuple[str, str, str]) -> float:
    variant, measure, stratum = key
    return row["scores"].get(variant, {}).get(measure, {}).get(stratum, math.nan)


def _identity(rows: Sequence[Row]) -> dict[str, Any]:
    """The pass-through promise: clips without flow come back unchanged, and so does what lies outside the box.

    A clip without flow but with a box drawn into it is none of them: its outline is replaced.
    ``max_change_outside_box`` is in grey levels.
    """
    plain = [row for row in rows if row["colour_fraction"] == 0 and row["synthesised_fraction"] == 0]
    ssims = [_value(row, ("composited", "ssim", "frame")) for row in plain]
    return {
        "n_clips_without_flow": len(plain),
        "ssim_without_flow": _number(np.mean(ssims)) if plain else None,
        "max_change_outside_box": int(max(row["identity_error"] for row in rows)),
        "mean_synthesised_fraction": float(np.mean([row["synthesised_fraction"] for row in rows])),
    }


def _settings(bootstrap: Bootstrap) -> dict[str, Any]:
    """The conventions behind the numbers, and the versions that made them."""
    return {
        "ssim": {
            "definition": "Wang et al. 2004, as a map, mirrored borders",
            "window": f"Gaussian {2 * RADIUS + 1}x{2 * RADIUS + 1}, sigma {SIGMA}",
            "k1": K1,
            "k2": K2,
            "covariance": "population",
            "data_range": 255,
        },
        "quantisation": "predictions rounded to 256 grey levels before scoring",
        "psnr_ceiling_db": round(PSNR_CEILING_DB, 2),
        "strata": {"flow_eroded_px": ERODE_PX, "ring_px": RING_PX},
        "headline": "composited output; the network's own output is under 'raw'",
        "reduction": "mean over a stratum's pixels per clip, then over clips",
        "intervals": {
            "method": "percentile bootstrap over patients",
            "level": bootstrap.level,
            "resamples": bootstrap.resamples,
            "seed": bootstrap.seed,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("cfd2gray", "jax", "flax", "numpy", "opencv-python-headless")},
        },
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(low: float, high: float) -> list[float] | None:
    return [float(low), float(high)] if math.isfinite(low) and math.isfinite(high) else None


def _clean(tree: Any) -> Any:
    """NaN and infinities become ``None``, so that the JSON is one every reader accepts."""
    if isinstance(tree, Mapping):
        return {key: _clean(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_clean(value) for value in tree]
    return _number(tree) if isinstance(tree, float) else tree


def write_result(path: str | os.PathLike[str], result: Mapping[str, Any]) -> None:
    """Write a result as JSON by renaming; a number that is none (NaN, infinity) becomes ``null``."""
    write_atomically(path, json.dumps(_clean(result), indent=1, allow_nan=False))
