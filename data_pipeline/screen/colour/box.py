"""Where the colour box is: an exact rectangle in (depth, lateral) beam coordinates, drawn as four static lines.

The colour itself says roughly where the box is; the outline says exactly where. On every side the complete static line
nearest to the colour wins, not the strongest: near field and pericardium are lines too.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry
from data_pipeline.screen.colour.beam_grid import (
    BeamGrid,
    beam_grid,
    extent,
    line_contrast,
    line_map,
    line_reach,
    side_profile,
)

_FRINGE = 0.5
"""px on either side of an outline where it still shows: lines are drawn smoothly."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxOptions:
    """Thresholds of the box locator: priors from measured clips, to be changed where they do not fit."""

    complete: float = 0.7
    """Share of a side that must show a line."""
    contrast: int = 12
    """Grey levels by which a line must stand out from both its sides."""
    dash_contrast: int = 70
    """The same for a line whose gaps may be bridged (dashed outlines); less in pictures below 480 px."""
    margin: float = 0.02
    """Added around the colour's extent where no outline is found, as a share of that extent."""
    max_steer_deg: float = 25.0
    """Largest lean of the colour lines of a linear probe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourBox:
    """Sides of a box in the beam coordinates of `Geometry.coordinates` (px; rad or px)."""

    depth: tuple[float, float]
    lateral: tuple[float, float]
    steer: float
    """Lean of the sides on linear probes, rad; 0 on fans."""
    drawn: tuple[bool, bool, bool, bool]
    """Whether the outline was seen: top, bottom, left, right."""
    line_px: float
    """Width of the drawn line, px (0 when none)."""

    @property
    def outlined(self) -> bool:
        """At least three of four sides carry a drawn line."""
        return sum(self.drawn) >= 3


def locate_box(
    weight: np.ndarray, darkest: np.ndarray, geometry: Geometry, *, options: BoxOptions | None = None
) -> ColourBox | None:
    """The colour box of a clip (or of a window of it).

    Args:
      weight: float32 ``[H, W]``, how often every pixel was coloured.
      darkest: uint8 ``[H, W]``, the lowest level over time of ``max(R, G, B)``: static lines stay bright, tissue and
        flow do not.
      geometry: of the sector; its ``steer`` is ignored and found here.

    Returns:
      ``None`` when no pixel is coloured.
    """
    options = options or BoxOptions()
    if not (weight > 0).any():
        return None
    if isinstance(geometry, Fan):
        return _locate(weight, darkest, geometry, options)
    return _locate_steered(weight, darkest, geometry, options)


def box_masks(
    box: ColourBox, geometry: Geometry, shape: tuple[int, int], *, near_px: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(inside, near, outline)``, bool ``[H, W]``: the box, the box grown by ``near_px``, its drawn sides."""
    depth, lateral = geometry.leaning(box.steer).coordinates(shape)
    per_lateral = geometry.lateral_px(depth)
    above, below = depth - np.float32(box.depth[0]), depth - np.float32(box.depth[1])
    left, right = ((lateral - np.float32(side)) * per_lateral for side in box.lateral)

    def within(grow: float) -> np.ndarray:
        return (above >= -grow) & (below <= grow) & (left >= -grow) & (right <= grow)

    outline = np.zeros(shape, bool)
    if any(box.drawn):
        half = max(0.5 * box.line_px, 0.75) + _FRINGE
        for drawn, distance in zip(box.drawn, (above, below, left, right)):
            if drawn:
                outline |= np.abs(distance) <= half
        outline &= within(half)
    return within(0.0), within(near_px), outline


def _locate(weight: np.ndarray, darkest: np.ndarray, geometry: Geometry, options: BoxOptions) -> ColourBox:
    grid = beam_grid(geometry)
    colour, level = grid.sample(weight.astype(np.float32)), grid.sample(darkest)
    rows = extent(colour.sum(axis=1))
    columns = extent(colour.sum(axis=0))
    return _refine(level, rows, columns, grid, geometry, options, min(weight.shape))


def _locate_steered(weight: np.ndarray, darkest: np.ndarray, geometry: Geometry, options: BoxOptions) -> ColourBox:
    """Find the lean of the colour lines first: the angle at which both lateral sides are the most complete."""
    upright = geometry.leaning(0.0)
    grid = beam_grid(upright)
    colour = grid.sample(weight.astype(np.float32))
    line = line_contrast(cv2.GaussianBlur(grid.sample(darkest), (3, 3), 0.6), 1, line_reach(min(weight.shape)))
    line = np.clip(line, 0, 80).astype(np.float32)
    top, bottom = (int(edge) for edge in extent(colour.sum(axis=1)))
    if bottom - top < 8:
        return _locate(weight, darkest, upright, options)
    line, colour = line[top : bottom + 1], colour[top : bottom + 1]
    limit = math.radians(options.max_steer_deg)
    angles, best, best_score = np.arange(-limit, limit + 1e-6, math.radians(1.0)), 0.0, -math.inf
    for _ in range(2):
        for angle in angles:
            score = _lateral_score(line, colour, float(angle))
            if score > best_score:
                best, best_score = float(angle), score
        angles = best + np.radians(np.linspace(-0.9, 0.9, 19))
    leaning = _locate(weight, darkest, geometry.leaning(best), options)
    if any(leaning.drawn[2:]):
        return leaning
    return _locate(weight, darkest, upright, options)


def _lateral_score(line: np.ndarray, colour: np.ndarray, angle: float) -> float:
    """Mean contrast of the best left and right side if colour lines lean by ``angle``; both images [rows, columns]."""
    slope = math.tan(angle)
    pad = int(abs(slope) * len(line)) + 1
    shape = (line.shape[1] + 2 * pad, line.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inverse = np.array([[1.0, slope, -pad], [0.0, 1.0, 0.0]], np.float32)
    profile = cv2.warpAffine(line, inverse, shape, flags=flags).mean(axis=0)
    left, right = extent(cv2.warpAffine(colour, inverse, shape, flags=flags).sum(axis=0))
    return float(profile[: int(left) + 4].max() + profile[max(int(right) - 3, 0) :].max())


def _refine(
    level: np.ndarray,
    rows: tuple[float, float],
    columns: tuple[float, float],
    grid: BeamGrid,
    geometry: Geometry,
    options: BoxOptions,
    short_side: int,
) -> ColourBox:
    reach = line_reach(short_side)
    level = cv2.GaussianBlur(level, (3, 3), 0.6)
    # A line thinner than a pixel is dimmer than it was drawn: in small pictures less contrast makes a dash.
    dash = options.dash_contrast * min(1.0, max(0.45, short_side / 480))
    across = [line_map(level, axis, reach, faint=options.contrast, bright=int(dash)) for axis in (0, 1)]
    start = (*rows, *columns)
    sides, drawn = list(start), [False] * 4
    slack = 2.0 * reach
    for _ in range(3):
        usual = _usual_level(level, sides, drawn)
        spans = ((sides[2], sides[3]), (sides[0], sides[1]))
        for index in range(4):
            axis = index // 2
            low, high = spans[axis]
            inner = slice(int(low + 0.04 * (high - low)), max(int(high - 0.04 * (high - low)), int(low) + 2))
            line = across[axis][:, inner] if axis == 0 else across[axis][inner].T
            complete = line.mean(axis=1)
            outward = index % 2  # 0: the side lies before the colour, 1: behind it
            position = np.arange(len(complete))
            allowed = position <= start[index] + slack if not outward else position >= start[index] - slack
            allowed &= complete > options.complete
            if usual is not None:
                bright = cv2.dilate(side_profile(level, axis, inner)[:, None], np.ones((3, 1), np.uint8))[:, 0]
                allowed &= (bright >= 0.7 * usual) & (bright <= 1.4 * usual)
            hits = position[allowed] if outward else position[allowed][::-1]
            if len(hits):
                nearest = _corner(hits, across[1 - axis], axis, sides, drawn, reach)
                sides[index], drawn[index] = _centre(level, axis, inner, int(nearest), outward, reach), True
            else:
                grow = options.margin * (start[2 * axis + 1] - start[2 * axis])
                sides[index] = start[index] + (grow if outward else -grow)
                drawn[index] = False
    if not _consistent(level, sides, drawn):
        grow = [options.margin * (start[1] - start[0])] * 2 + [options.margin * (start[3] - start[2])] * 2
        sides = [at + g * (1 if i % 2 else -1) for i, (at, g) in enumerate(zip(start, grow))]
        drawn = [False] * 4
    width = _line_width(level, sides, drawn, reach)
    n_depth, n_lateral = level.shape
    sides = [min(max(side, 0.0), (n_depth if i < 2 else n_lateral) - 1.0) for i, side in enumerate(sides)]
    return ColourBox(
        depth=tuple(grid.depth0 + side * grid.d_depth for side in sides[:2]),
        lateral=tuple(grid.lateral0 + side * grid.d_lateral for side in sides[2:]),
        steer=geometry.steer,
        drawn=tuple(drawn),
        line_px=width,
    )


def _corner(hits: np.ndarray, lines: np.ndarray, axis: int, sides: list[float], drawn: list[bool], reach: int) -> int:
    """The line of ``hits`` (nearest first) at which the two sides across end: a vessel wall has no corners.

    Starting with the nearest, move on as long as both sides across go on as lines (map ``lines``) to the next one.
    """
    nearest = int(hits[0])
    first = 2 * (1 - axis)
    if not (drawn[first] and drawn[first + 1]):
        return nearest
    for further in hits[1:]:
        low, high = sorted((nearest, int(further)))
        if high - low <= 2 * reach:
            continue
        for side in sides[first : first + 2]:
            at = min(max(int(round(side)), 1), lines.shape[1 - axis] - 2)
            around = slice(at - 1, at + 2)
            part = lines[low:high, around] if axis == 0 else lines[around, low:high].T
            if part.max(axis=1).mean() < 0.75:
                return nearest
        nearest = int(further)
    return nearest


def _centre(level: np.ndarray, axis: int, inner: slice, nearest: int, outward: int, reach: int) -> float:
    """Sub-sample position of the line next to ``nearest`` (whose map was dilated by one)."""
    profile = side_profile(level, axis, inner)
    low, high = (max(nearest - reach, 0), nearest + 2) if not outward else (max(nearest - 1, 0), nearest + reach + 1)
    part = profile[low : min(high, len(profile))]
    excess = np.clip(part - np.median(profile[max(low - reach, 0) : high + reach]) - 4, 0, None)
    peak = int(part.argmax())
    window = slice(max(peak - 1, 0), peak + 2)
    total = excess[window].sum()
    if total <= 0:
        return float(low + peak)
    return float(low + (np.arange(len(part))[window] * excess[window]).sum() / total)


def _side_levels(level: np.ndarray, sides: list[float], drawn: list[bool]) -> list[float]:
    """Grey level of every drawn side."""
    levels = []
    for index in range(4):
        if drawn[index]:
            axis = index // 2
            low, high = (sides[2], sides[3]) if axis == 0 else (sides[0], sides[1])
            profile = side_profile(level, axis, slice(int(max(low, 0)), max(int(high), int(low) + 2)))
            centre = int(round(sides[index]))
            levels.append(float(profile[max(centre - 1, 0) : centre + 2].max(initial=0.0)))
    return levels


def _usual_level(level: np.ndarray, sides: list[float], drawn: list[bool]) -> float | None:
    """Grey level of the outline, once three sides tell it: lines of tissue are darker or brighter."""
    return float(np.median(_side_levels(level, sides, drawn))) if sum(drawn) >= 3 else None


def _consistent(level: np.ndarray, sides: list[float], drawn: list[bool]) -> bool:
    """Whether the sides found can be one outline: three or four of them, or two of one brightness."""
    if sum(drawn) >= 3:
        return True
    levels = _side_levels(level, sides, drawn)
    return sum(drawn) == 2 and min(levels) > 0.8 * max(levels) and min(levels) > 100


def _line_width(level: np.ndarray, sides: list[float], drawn: list[bool], reach: int) -> float:
    """Median full width at half height of the drawn sides, px; 0 when none is drawn."""
    widths = []
    for index in range(4):
        if not drawn[index]:
            continue
        axis = index // 2
        low, high = (sides[2], sides[3]) if axis == 0 else (sides[0], sides[1])
        profile = side_profile(level, axis, slice(int(max(low, 0)), max(int(high), int(low) + 2)))
        centre = int(round(sides[index]))
        part = profile[max(centre - reach, 0) : centre + reach + 1]
        if len(part):
            ground = np.min(part)
            widths.append(float((part > 0.5 * (part.max() + ground)).sum()))
    return float(np.median(widths)) if widths else 0.0
