"""What the learned parser sees, as masks at the screen's own size: sectors, the box's outline and extent, marks."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.pixels import grown
from data_pipeline.screen.colour.mask import hysteresis
from data_pipeline.screen.parser.network import Parse, parse_screen


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedOptions:
    """Shares from which a pixel counts, and sizes relative to the frame."""

    sector: float = 0.5
    flow: float = 0.2
    outline: float = 0.2
    overlay: tuple[float, float] = (0.3, 0.6)
    """Of marks: pieces above the first that hold a pixel above the second (saturated tissue is not sure of itself)."""
    small_sector: float = 0.2
    """Area of a further sector, in shares of the largest, from which it counts (biplane, dual, inset)."""
    least: float = 0.15
    """Length of an outline, in (height + width) of the frame, below which what was marked is none."""
    moved: float = 1.5
    """An outline stands still unless all looks together mark this many times the area that most of them mark."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """Masks bool [H, W].

    Attributes:
      parse: what they come from.
      sector: imaged tissue, all sectors of the screen.
      box: within the outline, or the extent of the colour. outline: drawn lines. overlay: marks that are no flow.
      flow: where flow was ever seen.
    """

    parse: Parse
    sector: np.ndarray
    box: np.ndarray
    outline: np.ndarray
    overlay: np.ndarray
    flow: np.ndarray


def see(frames: np.ndarray, darkest: np.ndarray, *, options: LearnedOptions | None = None, looks: int = 3) -> Learned:
    """Parse frames uint8 [T, H, W, 3].

    Args:
      darkest: uint8 [H, W], lowest level of each pixel over time: lines that stand still are bright in it.
      looks: frames that the network is run on.
    """
    options = options or LearnedOptions()
    parse = parse_screen(frames, looks=looks)
    shape = frames.shape[1:3]
    sector = _sectors(parse.native(parse.sector, shape) > options.sector, options)
    drawn = parse.native(parse.outline, shape)
    seen = (drawn > options.outline) & (drawn > 0.6 * cv2.dilate(drawn, np.ones((3, 3), np.uint8)))
    if np.count_nonzero(parse.outline > options.outline) < options.least * sum(parse.outline.shape):
        seen = np.zeros(shape, bool)
    outline = _thin(seen, darkest, parse.outline.shape[0] / shape[0]) if seen.any() else seen
    flow = parse.native(parse.flow.max(axis=0), shape) > options.flow
    weak, strong = options.overlay
    overlay = hysteresis(parse.native(parse.overlay, shape), weak=weak, strong=strong)
    return Learned(
        parse=parse,
        sector=sector,
        box=_box((drawn > 2 * options.outline) & outline, flow, sector),
        outline=outline,
        overlay=overlay & ~outline & ~flow,
        flow=flow,
    )


def moves(parse: Parse, *, options: LearnedOptions | None = None) -> bool:
    """The outline is elsewhere in other frames of the clip."""
    options = options or LearnedOptions()
    if len(parse.at) < 2:
        return False
    most = parse.outlines.max(axis=0)
    ever = most > options.outline
    still = ever & (parse.outline > 0.6 * most)
    return bool(ever.sum() > options.least * sum(ever.shape) and ever.sum() > options.moved * still.sum())


def _sectors(mask: np.ndarray, options: LearnedOptions) -> np.ndarray:
    """The large pieces of a mask, their holes filled."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    area = stats[1:, cv2.CC_STAT_AREA]
    large = 1 + np.nonzero(area >= options.small_sector * area.max())[0]
    kept = np.isin(labels, large).astype(np.uint8)
    contours, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(kept, contours, -1, 1, -1)
    return kept > 0


def _thin(band: np.ndarray, darkest: np.ndarray, scale: float) -> np.ndarray:
    """The line inside the band that the network marked at its own size: what stands out from both its sides.

    Where nothing stands out (a faint line, or one that moves) the band itself is taken. At full size the band is the
    ridge of a line, which lines of several pixels, or smooth ones, are wider than.
    """
    reduced = scale <= 0.8
    reach = 2 * round(1.5 / scale) + 3 if reduced else 7
    bright = darkest.astype(np.int16) - cv2.medianBlur(darkest, min(reach, 31) | 1) > 8
    if reduced:
        line = band & bright
        band = line | (band & ~grown(line, reach // 2))
    return band | (grown(band, 1) & bright)


def _box(outline: np.ndarray, flow: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """In each sector the convex hull of outline and colour."""
    box = np.zeros(sector.shape, np.uint8)
    count, labels = cv2.connectedComponents(sector.astype(np.uint8))
    inside = (outline | flow) & sector
    for index in range(1, count):
        part = inside & (labels == index)
        part = cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) | (part & outline)
        points = cv2.findNonZero(part.astype(np.uint8))
        if points is not None and len(points) > 8:
            cv2.fillConvexPoly(box, cv2.convexHull(points), 1)
    within = cv2.erode(box, np.ones((3, 3), np.uint8)) > 0 if outline.any() else box > 0  # the line is not the box
    return (within | flow) & sector & (box > 0)
