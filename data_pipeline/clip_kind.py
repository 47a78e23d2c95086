"""Is it colour flow? A score and a reason from the pixels; tags only break ties."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.colour_box import ColourBox
from data_pipeline.fan_fit import FanFit
from data_pipeline.schema import Geometry, Region


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindOptions:
    """Thresholds: priors, to be changed where they do not fit."""

    present: float = 0.001
    """Share of the sector that must be coloured in a frame for it to count."""
    frames: float = 0.2
    """Share of frames that must count."""
    everywhere: float = 0.6
    """Share of the sector above which colour is an overlay of another kind (elastography, colour B-mode, contrast)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the pixels say."""

    coloured_frames: float
    share: float
    """Median share of the sector that is coloured, over frames with colour."""
    red: float
    blue: float
    green: float
    """Shares of the coloured pixels by hue: 340..60, 160..260, 70..160 degrees."""
    outlined: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """A kind with its certainty."""

    kind: str
    has_colour: bool
    score: float
    reason: str


def evidence(
    some: np.ndarray,
    coloured: np.ndarray,
    ground: tuple[slice, slice],
    fan: FanFit,
    box: ColourBox | None,
    geometry: Geometry,
    options: KindOptions,
) -> Evidence:
    """Collect `Evidence` from sampled frames (uint8 [n, H, W, 3]) and their colour masks (bool [n, h, w])."""
    area = max(int(fan.sector.sum()), 1)
    shares = coloured.sum(axis=(1, 2)) / area
    counted = shares >= options.present
    pixels = some[(slice(None), *ground)][coloured].astype(np.int16)
    red = blue = green = 0.0
    if len(pixels):
        r, g, b = pixels.T
        high, low = pixels.max(axis=1), pixels.min(axis=1)
        span = np.maximum(high - low, 1)
        hue = np.where(r == high, (g - b) / span % 6, np.where(g == high, 2 + (b - r) / span, 4 + (r - g) / span)) * 60
        red = float(((hue <= 60) | (hue >= 340)).mean())
        blue = float(((hue >= 160) & (hue <= 260)).mean())
        green = float(((hue > 70) & (hue < 160)).mean())
    return Evidence(
        coloured_frames=float(counted.mean()),
        share=float(np.median(shares[counted])) if counted.any() else 0.0,
        red=red,
        blue=blue,
        green=green,
        outlined=box is not None and box.outlined,
    )


def judge(seen: Evidence, *, regions: tuple[Region, ...], image_type: tuple[str, ...], options: KindOptions) -> Verdict:
    """The kind of a clip from its `Evidence` and tags."""
    spectral = [region for region in regions if region.data_type in (3, 4) or region.spatial_format == 3]
    if spectral:
        return Verdict(
            kind="spectral", has_colour=False, score=0.9, reason="the header names a spectral Doppler region"
        )
    if any(region.spatial_format == 2 for region in regions):
        return Verdict(kind="mmode", has_colour=False, score=0.9, reason="the header names an M-mode region")
    if seen.coloured_frames < options.frames:
        return Verdict(
            kind="bmode",
            has_colour=False,
            score=1.0 - seen.coloured_frames,
            reason=f"colour in {seen.coloured_frames:.0%} of frames only",
        )
    if seen.share > options.everywhere:
        return Verdict(
            kind="other", has_colour=False, score=0.8, reason=f"colour over {seen.share:.0%} of the sector: an overlay"
        )
    score = 0.5 + 0.2 * seen.outlined + 0.15 * (min(seen.red, seen.blue) > 0.02) + 0.1 * (seen.share >= 0.003)
    tagged = any(region.data_type == 2 for region in regions)
    score = min(score + 0.05 * tagged, 1.0)
    return Verdict(
        kind="cfd",
        has_colour=True,
        score=score,
        reason=f"colour over {seen.share:.1%} of the sector in {seen.coloured_frames:.0%} of frames, "
        f"red {seen.red:.0%}, blue {seen.blue:.0%}, outline {'seen' if seen.outlined else 'not seen'}",
    )
