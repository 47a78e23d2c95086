"""Which clips a report shows: worst, median, best, random and failures, kept in bounded memory while evaluation runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportClip:
    """One clip of a report. ``anatomy`` and ``truth`` may be ``None``; all frames have the same T, H, W."""

    name: str
    cfd: np.ndarray
    """uint8 ``[T, H, W, 3]``."""
    grey: np.ndarray
    """The final output, uint8 ``[T, H, W]``."""
    strata: np.ndarray
    """uint8 bit flags ``[T, H, W]``."""
    anatomy: np.ndarray | None = None
    truth: np.ndarray | None = None
    fps: float = 20.0
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Shown beside the clip: name -> number or short text."""
    tag: str = ""
    """``worst``, ``median``, ``best`` or anything short."""

    def __post_init__(self) -> None:
        for name, channels in (("cfd", (3,)), ("grey", ()), ("strata", ()), ("anatomy", ()), ("truth", ())):
            array = getattr(self, name)
            if array is None and name in ("anatomy", "truth"):
                continue
            wanted = (*self.cfd.shape[:3], *channels)
            if array.dtype != np.uint8 or array.shape != wanted:
                raise ValueError(
                    f"ReportClip.{name} must be uint8 {list(wanted)}, got {array.dtype} {list(array.shape)}"
                )


class Gallery:
    """Collects candidates from `evaluate` and gives the chosen ones to the report.

    Clips are ranked by SSIM in flow; clips without flow, which any pass-through gets right, are shown only when there
    are no others. For the median a random sample of candidates is kept, since it is not known before the end. The random
    ones are those with the smallest ids, which are hashes: nobody picked them, and every run on the same clips shows them.
    """

    def __init__(self, *, per_group: int = 2, candidates: int = 12) -> None:
        if per_group < 1:
            raise ValueError(f"a gallery shows at least one clip per group, got per_group={per_group}")
        self._per_group = per_group
        self._candidates = candidates
        self._rng = np.random.default_rng(0)
        self._scores: list[float] = []
        self._plain: list[ReportClip] = []
        self._worst: list[tuple[float, ReportClip]] = []
        self._best: list[tuple[float, ReportClip]] = []
        self._random: list[tuple[str, ReportClip]] = []
        self._sample: list[tuple[float, ReportClip]] = []
        self._failures: dict[str, tuple[float, ReportClip]] = {}

    def offer(self, row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Consider one scored clip. ``arrays`` are its batch arrays and the uint8 predictions (``output_*``)."""
        value = row["scores"]["composited"]["ssim"]["flow"]
        if math.isnan(value):
            if len(self._plain) < self._per_group:
                self._plain.append(dataclasses.replace(_report_clip(row, arrays), tag="no flow"))
            return
        self._scores.append(value)
        clip = _report_clip(row, arrays)
        self._random = sorted([*self._random, (row["clip_id"], clip)], key=_first)[: self._per_group]
        for tag, badness in _badness(row).items():
            if badness > max(_WORTH_SHOWING, self._failures.get(tag, (0.0, clip))[0]):
                self._failures[tag] = (badness, clip)
        self._worst = sorted([*self._worst, (value, clip)], key=_first)[: self._per_group]
        self._best = sorted([*self._best, (value, clip)], key=_first)[-self._per_group :]
        if len(self._sample) < self._candidates:
            self._sample.append((value, clip))
        elif (slot := int(self._rng.integers(len(self._scores)))) < self._candidates:
            self._sample[slot] = (value, clip)

    def clips(self) -> list[ReportClip]:
        """Worst, median, best, random, then clips that fail in another way than SSIM sees; a clip is shown once."""
        if not self._scores:
            return list(self._plain)
        middle = float(np.median(self._scores))
        central = sorted(self._sample, key=lambda pair: abs(pair[0] - middle))[: 3 * self._per_group]
        chosen, taken = [], set()
        failures = [(tag, [pair]) for tag, pair in self._failures.items()]
        groups = (("worst", self._worst), ("best", self._best[::-1]), ("median", central), ("random", self._random))
        for tag, group in (*groups, *failures):
            count = 0
            for _, clip in group:
                if id(clip) not in taken and count < self._per_group:
                    taken.add(id(clip))
                    chosen.append(dataclasses.replace(clip, tag=tag))
                    count += 1
        order = ("worst", "median", "best", "random", *self._failures)
        return sorted(chosen, key=lambda clip: order.index(clip.tag))


def _first(pair: tuple[Any, ReportClip]) -> Any:
    return pair[0]


_WORTH_SHOWING = 0.25
"""Badness from which a clip joins the failure gallery."""


def _badness(row: Mapping[str, Any]) -> dict[str, float]:
    """How far a clip is off in what SSIM does not see; 0 is right, NaN where it cannot be said."""
    scores = row["scores"]["composited"]

    def off(measure: str, stratum: str) -> float:
        value = scores.get(measure, {}).get(stratum, math.nan)
        return abs(math.log(value)) if value > 0 else math.nan

    return {
        "flicker": off("flicker_ratio", "flow"),
        "texture": off("texture_std_ratio", "flow"),
        "seam": off("seam_score", "frame"),
        "colour left": abs(scores.get("colour_residue", {}).get("flow", math.nan)),
    }


def _report_clip(row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ReportClip:
    scores = row["scores"]["composited"]
    shown = {
        "SSIM flow": scores["ssim"]["flow"],
        "SSIM box": scores["ssim"]["box"],
        "SSIM frame": scores["ssim"]["frame"],
        "PSNR flow (dB)": scores["psnr"]["flow"],
        "flicker ratio": scores["flicker_ratio"]["flow"],
        "colour in sector": f"{100 * row['colour_fraction']:.0f} %",
    }
    return ReportClip(
        name=f"{row['view']} {row['clip_id'][:8]}",
        cfd=np.array(arrays["cfd"]),
        grey=np.array(arrays["output_composited"]),
        strata=np.array(arrays["strata"]),
        anatomy=np.array(arrays["output_anatomy"]) if "output_anatomy" in arrays else None,
        truth=np.array(arrays["grey"][..., 0]),
        fps=row["fps"] or 20.0,
        metrics={name: value for name, value in shown.items() if isinstance(value, str) or not math.isnan(value)},
    )
