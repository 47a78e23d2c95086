"""Where the insonified area lies: edge lines meet in the apex, arcs give the radii, a rectangle fits linear probes.

One fit per clip, on the brightest value every pixel ever takes, because a single frame has dark edges. Text, ECG and
bars that touch the fan are removed by the shape of the model, not by thresholds.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry, Hull, Rectangle
from data_pipeline.schema import check_frames

SQUEEZED_SIDE = 256
"""Largest side in px at which the aspect is looked for."""
ASPECTS = tuple(0.5 * 1.15**k for k in range(11))
"""Heights over widths of a pixel that are tried first, .5 to 2; 4:3 made square is .75, the reverse 1.33."""
SQUEEZED_LEAST = 0.93
"""Intersection over union with the sector from which the squeezed fan is believed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FanFit:
    """A fitted sector."""

    geometry: Geometry
    sector: np.ndarray
    """bool [H, W]."""
    agreement: float
    """Intersection over union of the model and the lit area, 0..1 (1 for the hull, which has no model)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FanOptions:
    """Thresholds of the fit: priors from one vendor's clips, to be changed where they do not fit."""

    dark: int = 7
    """Grey levels above the background from which a pixel counts as lit."""
    edge_rows: tuple[float, float] = (0.06, 0.45)
    """Share of the height over which the edges of a fan are straight."""
    curvilinear_from: float = 0.12
    """r0 / r1 from which a fan is called curvilinear."""
    min_agreement: float = 0.72
    """Below this the model is given up and the hull of the lit area returned."""
    max_frames: int = 24
    """Frames looked at, spread over the clip."""


def fit_sector(frames: np.ndarray, *, cm_per_px: float | None = None, options: FanOptions | None = None) -> Geometry:
    """Geometry of the sector in ``frames`` (uint8 ``[T, H, W, 3]``): a `Fan`, a `Rectangle`, or a `Hull`."""
    return fit_fan(frames, cm_per_px=cm_per_px, options=options).geometry


def fit_fan(frames: np.ndarray, *, cm_per_px: float | None = None, options: FanOptions | None = None) -> FanFit:
    """Like `fit_sector`, with the mask and how well the model agrees with the lit area."""
    check_frames(frames, channels=3)
    options = options or FanOptions()
    some = spread(frames, options.max_frames)
    ground = border_colour(some)
    peak = peak_level(cv2.absdiff(some, np.broadcast_to(ground, some.shape)) if ground.any() else some)
    lit, faint = _lit_area(peak, options)
    height, width = lit.shape
    common = {"cm_per_px": float(cm_per_px or 0.0), "native_height": height, "native_width": width}
    if not lit.any():
        geometry = Hull(x1=float(width), y1=float(height), **common)
        return FanFit(geometry=geometry, sector=np.ones((height, width), bool), agreement=0.0)
    candidates = []
    for model in (_fit_rectangle(lit, faint), *_fit_fans(lit, options)):
        if model is None:
            continue
        geometry = dataclasses.replace(model, **common)
        sector = geometry.mask((height, width))
        candidates.append(FanFit(geometry=geometry, sector=sector, agreement=_agreement(sector, lit)))
    best = max(candidates, key=lambda fit: fit.agreement - 0.25 * _lean(fit.geometry), default=None)
    if best is not None and best.agreement >= options.min_agreement:
        return best
    return _hull(lit, common)


def fan_of(sector: np.ndarray) -> tuple[Fan | None, float]:
    """The fan that is nearest to a mask, bool [H, W], and their intersection over union."""
    fans = _fit_fans(sector, FanOptions()) if sector.any() else []
    masks = [fan.mask(sector.shape) for fan in fans]
    shared = [np.count_nonzero(m & sector) / np.count_nonzero(m | sector) for m in masks]
    return max(zip(fans, shared), key=lambda pair: pair[1], default=(None, 0.0))


def squeezed_fan(sector: np.ndarray) -> tuple[Fan, float] | None:
    """The fan and the aspect at which a sector is one: the fan lies on the grid ``(x, aspect * y)``.

    Args:
      sector: bool ``[H, W]``.

    Returns:
      None where no aspect makes it a fan. A sector that is one as it stands gives an aspect of about 1.
    """
    scale = min(1.0, SQUEEZED_SIDE / max(sector.shape))
    size = tuple(max(1, round(side * scale)) for side in sector.shape[::-1])
    mask = cv2.resize(sector.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    mask = cv2.copyMakeBorder(mask, 4, 4, 4, 4, cv2.BORDER_CONSTANT)
    fits = {aspect: _fan_at(mask, aspect) for aspect in ASPECTS}
    best = max(fits, key=lambda aspect: fits[aspect][1])
    fits |= {aspect: _fan_at(mask, aspect) for aspect in (best / 1.07, best / 1.035, best * 1.035, best * 1.07)}
    best = max(fits, key=lambda aspect: fits[aspect][1])
    fan, agreement = fits[best]
    if fan is None or agreement < SQUEEZED_LEAST:
        return None
    return fan.moved(4, 4 * best).moved(0, 0, scale=scale), best


def _fan_at(mask: np.ndarray, aspect: float) -> tuple[Fan | None, float]:
    """The fan of a mask (uint8 [h, w]) whose rows are stretched, and its intersection over union with it."""
    tall = cv2.resize(mask, (mask.shape[1], max(round(mask.shape[0] * aspect), 8)), interpolation=cv2.INTER_AREA)
    return fan_of(tall > 127)


def agreed(fit: FanFit, seen: np.ndarray, *, least: float = 0.93) -> FanFit:
    """The fitted sector where it agrees with the one that was recognised, bool [H, W]; else the recognised one.

    The fit is exact at the edges of fans and rectangles; it knows no pair of sectors, no sector upside down and no
    bright surroundings. ``least``: intersection over union from which they agree.
    """
    both, either = np.count_nonzero(fit.sector & seen), np.count_nonzero(fit.sector | seen)
    if both >= least * either or np.count_nonzero(seen) < 0.03 * seen.size:
        return fit
    return recognised(fit, seen)


def recognised(fit: FanFit, sector: np.ndarray) -> FanFit:
    """A sector of any form, bool [H, W], in place of the fitted one."""
    common = {k: getattr(fit.geometry, k) for k in ("cm_per_px", "native_height", "native_width")}
    return dataclasses.replace(_hull(sector, common), sector=sector)


def spread(frames: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` frames of ``frames`` [T, ...], evenly spread."""
    n = len(frames)
    return frames if n <= count else frames[np.linspace(0, n - 1, count).round().astype(int)]


def border_colour(frames: np.ndarray) -> np.ndarray:
    """uint8 [3]: the one colour that most of the frame's border has all the time, black where there is none.

    Dark greys count as black: what is dim is found by level. Blue consoles and exports for print are neither.
    """
    first = frames[0].astype(np.int16)
    sides = (first[0], first[-1], first[:, 0], first[:, -1])
    colour = np.median(np.concatenate(sides), axis=0)
    if colour.max() < 80 and np.ptp(colour) < 16:
        return np.zeros(3, np.uint8)
    same = [(np.abs(side - colour).max(axis=1) <= 4).mean() > 0.5 for side in sides]
    return colour.astype(np.uint8) if all(same) else np.zeros(3, np.uint8)


def peak_level(frames: np.ndarray) -> np.ndarray:
    """Largest value of every pixel over time and channels, uint8 [H, W]."""
    peak = frames[0]
    for frame in frames[1:]:
        peak = np.maximum(peak, frame)
    return cv2.max(cv2.max(peak[..., 0].copy(), peak[..., 1].copy()), peak[..., 2].copy())


def _lit_area(peak: np.ndarray, options: FanOptions) -> tuple[np.ndarray, np.ndarray]:
    """The largest connected lit area, and all that is above the background at all; bool [H, W] each."""
    small = min(peak.shape) < 200
    smooth = cv2.medianBlur(peak, 3 if small else 5)
    counts = np.bincount(smooth.ravel(), minlength=256)
    ground = int(counts[:80].argmax())
    if counts[ground] < 0.15 * smooth.size:  # no flat background: the image is all sector
        ground = 0
    level = cv2.absdiff(smooth, np.full_like(smooth, ground))
    lit, faint = (level > options.dark).astype(np.uint8), level > 1
    size = 3 if small else 5
    lit = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lit)
    main = None
    for index in 1 + np.argsort(stats[1:count, cv2.CC_STAT_AREA])[::-1]:
        area = labels == index
        x0, wide, pixels = (int(stats[index, i]) for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_AREA))
        if np.bincount(peak[area], minlength=256).max() > 0.5 * pixels:
            continue  # a banner of the user interface is mostly one value, tissue is not
        if main is None:
            main, (left, right), total = area, (x0, x0 + wide), pixels
            continue
        if pixels < 0.03 * total:
            break
        # a dark vessel or chamber may cut the sector in two: join what lies above or below and is nearly as wide
        if min(x0 + wide, right) - max(x0, left) > 0.8 * wide and wide > 0.3 * (right - left):
            main |= area
    return (np.zeros(peak.shape, bool) if main is None else main), faint


def _lean(geometry: Geometry) -> float:
    """How far a fan is from symmetric about the vertical, beyond 4 degrees, over its width; 0 for rectangles."""
    if not isinstance(geometry, Fan) or geometry.t1 <= geometry.t0:
        return 0.0
    return max(abs(geometry.t0 + geometry.t1) - math.radians(4), 0.0) / (geometry.t1 - geometry.t0)


def _agreement(sector: np.ndarray, lit: np.ndarray) -> float:
    """Intersection over union that charges dark area inside the sector only half: edges and depths are often dark."""
    both = np.count_nonzero(sector & lit)
    missed = np.count_nonzero(lit) - both
    dark = np.count_nonzero(sector) - both
    return both / max(both + missed + 0.5 * dark, 1.0)


def _fit_rectangle(lit: np.ndarray, faint: np.ndarray) -> Rectangle | None:
    """Rows and columns that are mostly lit; drops what sticks out (bars, text), follows depths that fade out."""
    rows, columns = lit.sum(axis=1), lit.sum(axis=0)
    ys = np.nonzero(rows > 0.7 * np.percentile(rows, 95))[0]
    xs = np.nonzero(columns > 0.5 * np.percentile(columns, 95))[0]
    if len(ys) < 8 or len(xs) < 8:
        return None
    bottom = int(ys[-1])
    below = faint[bottom + 1 :, xs[0] : xs[-1] + 1].mean(axis=1) < 0.1
    bottom += int(below.argmax()) if below.any() else len(below)
    return Rectangle(x0=float(xs[0]), x1=float(xs[-1] + 1), y0=float(ys[0]), y1=float(bottom + 1))


def _fit_fans(lit: np.ndarray, options: FanOptions) -> list[Fan]:
    """Fan models from the two edge lines as seen, and from either edge mirrored where the other one is dark."""
    ys = np.nonzero(lit.any(axis=1))[0]
    top, tall = int(ys[0]), int(ys[-1] - ys[0])
    if tall < 16:
        return []
    window = slice(int(options.edge_rows[0] * tall), max(int(options.edge_rows[1] * tall), 12))
    rows = np.arange(top, top + tall + 1)[window]
    left = lit[rows].argmax(axis=1)
    right = lit.shape[1] - 1 - lit[rows][:, ::-1].argmax(axis=1)
    seen = lit[rows].any(axis=1)
    a = _edge_line(rows[seen & (left > 1)], left[seen & (left > 1)], -1)
    inside = seen & (right < lit.shape[1] - 2)
    b = _edge_line(rows[inside], right[inside], 1)
    if a is None or b is None:
        return []
    models = [_fan_from_lines(lit, a, b, options)]
    if abs(math.atan(a[0]) + math.atan(b[0])) > math.radians(4):
        # A probe is symmetric: the steeper line is the one whose edge faded, so mirror the flatter about the axis. That is
        # the middle of the probe's face, or of the picture where a corner of the face is dark too.
        wide, sign = (a, -1) if abs(a[0]) > abs(b[0]) else (b, 1)
        for axis_x in (_axis(lit, top), 0.5 * (lit.shape[1] - 1)) if abs(wide[0]) > 1e-3 else ():
            apex_y = (axis_x - wide[1]) / wide[0]
            mirrored = (-wide[0], axis_x + wide[0] * apex_y)
            models.append(_fan_from_lines(lit, *((wide, mirrored) if sign < 0 else (mirrored, wide)), options))
    return [model for model in models if model is not None]


def _axis(lit: np.ndarray, top: int) -> float:
    """Column of the top of the lit area: the middle of the probe's face."""
    xs = np.nonzero(lit[top : top + 4].any(axis=0))[0]
    return 0.5 * float(xs[0] + xs[-1])


def _edge_line(rows: np.ndarray, columns: np.ndarray, side: int) -> tuple[float, float] | None:
    """``(slope, offset)`` of the supporting line ``x = slope * y + offset`` that most edge points lie on.

    Points inside the line are dark edges and cost nothing, points outside it are text and cost three times what a point
    on the line earns. Every pair of 40 spread points is tried, then the line is fitted to the points on it.
    """
    if len(rows) < 8:
        return None
    y, x = rows.astype(float), columns.astype(float)
    tolerance = 1.5 if len(rows) < 120 else 2.0
    some = np.unique(np.linspace(0, len(y) - 1, 40).astype(int))
    first, second = np.triu_indices(len(some), k=max(len(some) // 4, 1))
    first, second = some[first], some[second]
    slope = (x[second] - x[first]) / (y[second] - y[first])
    offset = x[first] - slope * y[first]
    outward = (x[None] - slope[:, None] * y[None] - offset[:, None]) * side  # [pairs, points]
    score = (np.abs(outward) <= tolerance).sum(axis=1) - 3.0 * (outward > tolerance).sum(axis=1)
    best = int(score.argmax())
    line = (slope[best], offset[best])
    for _ in range(3):
        on = np.abs(x - line[0] * y - line[1]) <= tolerance
        if on.sum() < 8:
            break
        line = np.polyfit(y[on], x[on], 1)
    return float(line[0]), float(line[1])


def _fan_from_lines(
    lit: np.ndarray, left: tuple[float, float], right: tuple[float, float], options: FanOptions
) -> Fan | None:
    (a1, b1), (a2, b2) = left, right
    if a2 - a1 < 0.05:  # parallel or converging downwards: not a fan
        return None
    apex_y = (b2 - b1) / (a1 - a2)
    apex_x = a1 * apex_y + b1
    t0, t1 = math.atan(a1), math.atan(a2)
    yy, xx = np.nonzero(lit)
    dx, dy = xx - apex_x, yy - apex_y
    radius, angle = np.hypot(dx, dy), np.arctan2(dx, dy)
    middle, half = 0.5 * (t0 + t1), 0.5 * (t1 - t0)
    near_axis = np.abs(angle - middle) < 0.6 * half
    if near_axis.sum() < 32:
        return None
    r1 = float(np.percentile(radius[near_axis], 99.7))
    r0 = _inner_radius(radius[near_axis], angle[near_axis], middle, half)
    if r1 - r0 < 16:
        return None
    kind = "curvilinear" if r0 > options.curvilinear_from * r1 else "phased"
    return Fan(kind=kind, apex_x=apex_x, apex_y=apex_y, r0=max(r0, 0.0), r1=r1, t0=t0, t1=t1)


def _inner_radius(radius: np.ndarray, angle: np.ndarray, middle: float, half: float) -> float:
    """Radius of the probe's face: median over beams of where each begins."""
    beam = np.clip(((angle - middle) / (0.6 * half) + 1) * 8, 0, 15).astype(int)
    first = np.full(16, np.inf)
    np.minimum.at(first, beam, radius)
    found = first[np.isfinite(first)]
    return float(np.median(found)) if len(found) else 0.0


def _hull(lit: np.ndarray, common: dict) -> FanFit:
    contours, _ = cv2.findContours(lit.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = cv2.convexHull(np.concatenate(contours))
    mask = np.zeros(lit.shape, np.uint8)
    cv2.fillConvexPoly(mask, points, 1)
    ys, xs = np.nonzero(mask)
    geometry = Hull(x0=float(xs.min()), x1=float(xs.max() + 1), y0=float(ys.min()), y1=float(ys.max() + 1), **common)
    return FanFit(geometry=geometry, sector=mask.astype(bool), agreement=1.0)
