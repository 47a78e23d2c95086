"""Does it measure like ultrasound? The figures of a clip, and a table against those of a real one.

``REAL`` was measured on one clip (PLAX, 30 frames of 600 x 800, 18 Hz, colour box and bar): a prior, not a truth.
Counts of components and holes depend on resolution, so clips are compared at a similar size (fan radius 400..600 px).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.simulation.scan_grid import ScanGrid

_STEP_CM, _STEP_DEG = 0.031, 0.30  # the polar grid of the measurement: the real clip's pixel, and a third of its lag
_AXIAL_LAG, _LATERAL_LAG = 2, 3  # 0.62 mm and 0.9 degrees
# Standard deviations of the high-pass, in grid samples. The kernel behind the real clip's figures is not known; with
# this one a reference simulation whose figures were published with them has the same correlations and 0.6 of the rms.
_HIGH_PASS = 3.0, 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """``real``: value of the measured clip; ``low``, ``high``: what a clip may have, wide on purpose; ``meaning``."""

    real: float
    low: float
    high: float
    meaning: str


REAL: dict[str, Figure] = {
    "colour_of_box": Figure(real=0.46, low=0.15, high=0.80, meaning="share of the box that is coloured (median frame)"),
    "components": Figure(real=15, low=2, high=60, meaning="connected patches of colour per frame"),
    "holes": Figure(real=66, low=4, high=260, meaning="uncoloured holes enclosed by colour per frame"),
    "highpass_rms": Figure(real=0.09, low=0.04, high=0.20, meaning="rms of the high-passed velocity over Nyquist"),
    "axial_correlation": Figure(real=0.51, low=0.30, high=0.80, meaning="of the high-passed velocity at 0.62 mm"),
    "lateral_correlation": Figure(real=0.51, low=0.25, high=0.80, meaning="of the high-passed velocity at 0.9 degrees"),
    "mask_iou": Figure(real=0.56, low=0.30, high=0.85, meaning="overlap of the colour mask with the next frame's"),
    "sign_agreement": Figure(real=0.71, low=0.55, high=0.97, meaning="pixels coloured twice that keep their side"),
    "speed_p25": Figure(real=0.13, low=0.05, high=0.24, meaning="25th percentile of |v| over Nyquist"),
    "speed_p50": Figure(real=0.23, low=0.12, high=0.40, meaning="median of |v| over Nyquist"),
    "speed_p75": Figure(real=0.36, low=0.22, high=0.60, meaning="75th percentile of |v| over Nyquist"),
    "speed_p95": Figure(real=0.57, low=0.38, high=0.92, meaning="95th percentile of |v| over Nyquist"),
    "grey_mean": Figure(real=68, low=25, high=110, meaning="mean grey in the fan, outside the box"),
    "grey_p25": Figure(real=11, low=0, high=60, meaning="25th percentile of grey"),
    "grey_p50": Figure(real=53, low=10, high=110, meaning="median grey"),
    "grey_p75": Figure(real=111, low=40, high=165, meaning="75th percentile of grey"),
    "grey_p95": Figure(real=186, low=80, high=245, meaning="95th percentile of grey"),
    "grey_p99": Figure(real=233, low=110, high=255, meaning="99th percentile of grey"),
    "grey_below_8": Figure(real=0.22, low=0.0, high=0.5, meaning="share of the fan darker than 8"),
    "speckle_axial_mm": Figure(real=0.6, low=0.25, high=1.4, meaning="lag where speckle correlates 0.5 axially"),
    "speckle_lateral_deg": Figure(real=1.1, low=0.5, high=2.6, meaning="lag where speckle correlates 0.5 laterally"),
    "chroma_step_ratio": Figure(real=0.04, low=0.0, high=1.2, meaning="chroma step inside over between column pairs"),
}  # fmt: skip
"""Figures of the real clip, see the module; `measure` returns a value for each."""


def measure(
    cfd: np.ndarray, grey: np.ndarray, strata: np.ndarray, velocity: np.ndarray, fan: ScanGrid
) -> dict[str, float]:
    """Measure a clip.

    Args:
      cfd: uint8 ``[T, H, W, 3]``; grey: uint8 ``[T, H, W]`` or ``[T, H, W, 1]``; strata: uint8 ``[T, H, W]``.
      velocity: float ``[T, H, W]`` over Nyquist (-1..1), NaN off the flow.
      fan: the clip's geometry.
    Returns: a value for every key of ``REAL``; NaN where the clip has nothing to measure.
    """
    grey = grey[..., 0] if grey.ndim == 4 else grey
    figures = {
        **_mask_figures(strata),
        **_velocity_figures(velocity, fan),
        **_grey_figures(grey, strata, fan),
        "chroma_step_ratio": _chroma_step_ratio(cfd, strata),
    }
    return {name: float(figures[name]) for name in REAL}


def summarise(measured: list[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Lowest, median and highest of each figure over clips."""
    if not measured:
        raise ValueError("summarise needs the figures of at least one clip, got none")
    out = {}
    for name in REAL:
        values = np.array([m[name] for m in measured])
        values = values[np.isfinite(values)]
        out[name] = tuple(np.percentile(values, (0, 50, 100))) if len(values) else (np.nan,) * 3
    return out


def table(measured: dict[str, list[dict[str, float]]]) -> str:
    """A text table: one line per figure, the real clip, then lowest..median..highest of each group of clips."""
    sums = {group: summarise(clips) for group, clips in measured.items()}
    lines = [f"{'figure':22}{'real':>8}  {'allowed':>15}" + "".join(f"  {g:>24}" for g in sums)]
    for name, figure in REAL.items():
        cells = []
        for group in sums.values():
            low, middle, high = group[name]
            mark = " " if figure.low <= middle <= figure.high else "*"
            cells.append(f"{f'{_short(middle)} ({_short(low)}..{_short(high)}){mark}':>24}")
        allowed = f"{_short(figure.low)}..{_short(figure.high)}"
        lines.append(f"{name:22}{_short(figure.real):>8}  {allowed:>15}  " + "  ".join(cells))
    return "\n".join(lines)


def outside(figures: dict[str, float]) -> dict[str, float]:
    """The figures that miss their tolerance, NaN included."""
    return {n: v for n, v in figures.items() if not REAL[n].low <= v <= REAL[n].high}


def _mask_figures(strata: np.ndarray) -> dict[str, float]:
    flow, box = (strata & FLOW) > 0, (strata & BOX) > 0
    share = flow.sum((1, 2)) / np.maximum(box.sum((1, 2)), 1)
    used = share > 0.02
    components, holes = [], []
    for k in np.flatnonzero(used):
        components.append(cv2.connectedComponents(flow[k].astype(np.uint8), connectivity=8)[0] - 1)
        count, labels = cv2.connectedComponents((~flow[k]).astype(np.uint8), connectivity=4)
        edge = set(np.unique(labels[~box[k]]).tolist())
        holes.append(sum(1 for label in range(1, count) if label not in edge))
    both, either = (flow[1:] & flow[:-1]).sum((1, 2)), (flow[1:] | flow[:-1]).sum((1, 2))
    keep = either > 0
    return {
        "colour_of_box": float(np.median(share)) if len(share) else np.nan,
        "components": float(np.mean(components)) if components else np.nan,
        "holes": float(np.mean(holes)) if holes else np.nan,
        "mask_iou": float(np.mean(both[keep] / either[keep])) if keep.any() else np.nan,
    }


def _velocity_figures(velocity: np.ndarray, fan: ScanGrid) -> dict[str, float]:
    v = velocity.astype(np.float32)
    shown = np.isfinite(v)
    speed = np.abs(v[shown])
    both = shown[1:] & shown[:-1]
    out = {f"speed_p{q}": float(np.percentile(speed, q)) if len(speed) else np.nan for q in (25, 50, 75, 95)}
    out["sign_agreement"] = float(((v[1:] > 0) == (v[:-1] > 0))[both].mean()) if both.any() else np.nan
    maps, total, axial, lateral, count = _polar_maps(fan), 0.0, [], [], 0
    for k in range(0, len(v), max(1, len(v) // 8)):
        if not shown[k].any():
            continue
        field = cv2.remap(np.where(shown[k], v[k], 0), *maps, cv2.INTER_NEAREST, borderValue=0)
        mask = cv2.remap(shown[k].astype(np.uint8), *maps, cv2.INTER_NEAREST, borderValue=0) > 0
        weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigmaX=_HIGH_PASS[1], sigmaY=_HIGH_PASS[0])
        high = np.where(
            mask,
            field
            - cv2.GaussianBlur(field, (0, 0), sigmaX=_HIGH_PASS[1], sigmaY=_HIGH_PASS[0]) / np.maximum(weight, 1e-3),
            0,
        )
        total, count = total + float((high**2).sum()), count + int(mask.sum())
        for store, (a, b) in (
            (axial, (np.s_[_AXIAL_LAG:], np.s_[:-_AXIAL_LAG])),
            (lateral, (np.s_[:, _LATERAL_LAG:], np.s_[:, :-_LATERAL_LAG])),
        ):
            pair = mask[a] & mask[b]
            if pair.sum() > 50:
                x, y = high[a][pair], high[b][pair]
                store.append(float((x * y).mean() / np.sqrt((x * x).mean() * (y * y).mean() + 1e-12)))
    out["highpass_rms"] = float(np.sqrt(total / count)) if count else np.nan
    out["axial_correlation"] = float(np.mean(axial)) if axial else np.nan
    out["lateral_correlation"] = float(np.mean(lateral)) if lateral else np.nan
    return out


def _grey_figures(grey: np.ndarray, strata: np.ndarray, fan: ScanGrid) -> dict[str, float]:
    outside_box = ((strata & SECTOR) > 0) & ((strata & (BOX | OUTLINE)) == 0)
    values = grey[outside_box]
    if not len(values):
        return dict.fromkeys([n for n in REAL if n.startswith(("grey", "speckle"))], np.nan)
    out = {f"grey_p{q}": float(np.percentile(values, q)) for q in (25, 50, 75, 95, 99)}
    out |= {"grey_mean": float(values.mean()), "grey_below_8": float((values < 8).mean())}
    maps = _polar_maps(fan)
    k = len(grey) // 2
    polar = cv2.remap(grey[k].astype(np.float32), *maps, cv2.INTER_LINEAR, borderValue=0)
    # Speckle lives in mid-grey tissue: no walls, no blood, no clipped pixels.
    level = cv2.GaussianBlur(polar, (0, 0), sigmaX=6, sigmaY=8)
    tissue = (level > 40) & (level < 170)
    texture = polar - level
    step_mm, step_deg = 10 * _STEP_CM, _STEP_DEG
    out["speckle_axial_mm"] = _half_lag(texture, tissue, axis=0, step=step_mm)
    out["speckle_lateral_deg"] = _half_lag(texture, tissue, axis=1, step=step_deg)
    return out


def _half_lag(texture: np.ndarray, tissue: np.ndarray, *, axis: int, step: float) -> float:
    """Lag at which the correlation of the texture falls through one half."""
    before = 1.0
    for lag in range(1, 16):
        a, b = (np.s_[lag:], np.s_[:-lag]) if axis == 0 else (np.s_[:, lag:], np.s_[:, :-lag])
        pair = tissue[a] & tissue[b]
        if pair.sum() < 200:
            return np.nan
        x, y = texture[a][pair], texture[b][pair]
        now = float((x * y).mean() / np.sqrt((x * x).mean() * (y * y).mean() + 1e-9))
        if now < 0.5:
            return step * (lag - 1 + (before - 0.5) / max(before - now, 1e-6))
        before = now
    return 15 * step


def _chroma_step_ratio(cfd: np.ndarray, strata: np.ndarray) -> float:
    """Mean chroma step between columns 2k, 2k+1 over that between 2k+1, 2k+2, where both are coloured."""
    flow = (strata & FLOW) > 0
    if not flow.any():
        return np.nan
    inside, between = [0.0, 0], [0.0, 0]
    for k in range(0, len(cfd), max(1, len(cfd) // 6)):
        chroma = cv2.cvtColor(cfd[k], cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32)
        step = np.abs(np.diff(chroma, axis=1)).sum(-1)
        pair = flow[k][:, 1:] & flow[k][:, :-1]
        for store, at in ((inside, np.s_[:, 0::2]), (between, np.s_[:, 1::2])):
            store[0] += float(step[at][pair[at]].sum())
            store[1] += int(pair[at].sum())
    if not inside[1] or not between[0]:
        return np.nan
    return (inside[0] / inside[1]) / (between[0] / max(between[1], 1))


def _polar_maps(fan: ScanGrid) -> tuple[np.ndarray, np.ndarray]:
    """Image places (x, y) of the measurement's polar grid; a degree of a linear fan counts as 1.05 mm."""
    r = np.arange(fan.r[0], fan.r[-1], _STEP_CM / fan.cm_per_px, dtype=np.float32)[:, None]
    if fan.linear:
        x = np.arange(fan.t[0], fan.t[-1], _STEP_DEG * 0.105 / fan.cm_per_px, dtype=np.float32)[None]
        return np.repeat(x, len(r), 0), np.repeat(r, x.shape[1], 1)
    t = np.arange(fan.t[0], fan.t[-1], np.radians(_STEP_DEG), dtype=np.float32)[None]
    g = fan.geometry
    return (g.apex_x + r * np.sin(t)).astype(np.float32), (g.apex_y + r * np.cos(t)).astype(np.float32)


def _short(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.3g}"
