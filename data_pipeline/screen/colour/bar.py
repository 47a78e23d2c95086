"""The colour bar beside the sector: which colours the map has, read from the legend and not guessed from the flow."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.pixels import saturation


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourBar:
    """Shares of the bar's coloured rows by hue, 0..1, and its place ``(x0, y0, x1, y1)`` in pixels."""

    red: float
    blue: float
    green: float
    place: tuple[int, int, int, int]


def find_colour_bar(frame: np.ndarray, sector: np.ndarray) -> ColourBar | None:
    """The largest colour bar of ``frame`` (uint8 [H, W, 3]) outside ``sector`` (bool [H, W]), or ``None``.

    A bar is a tall narrow block, 0.8..8 % of the width and at least 8 % of the height, whose rows are constant along x.
    A black or white middle may cut it in two: pieces one above the other are joined.
    """
    height, width = sector.shape
    outside = cv2.erode((~sector).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    coloured = ((saturation(frame) > 40) & outside).astype(np.uint8)
    coloured = cv2.morphologyEx(coloured, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    coloured = cv2.morphologyEx(coloured, cv2.MORPH_CLOSE, np.ones((max(int(0.06 * height), 3), 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(coloured)
    best: tuple[int, ColourBar] | None = None
    for x0, y0, wide, tall, area in stats[1:count]:
        if not 0.008 * width <= wide <= 0.08 * width + 4 or tall < max(0.08 * height, 2.5 * wide):
            continue
        if area < 0.75 * wide * tall:
            continue
        margin = 1 if wide > 4 else 0
        block = frame[y0 : y0 + tall, x0 + margin : x0 + wide - margin].astype(np.int16)
        if np.median(block.std(axis=1).max(axis=1)) > 14:
            continue
        if best is None or area > best[0]:
            rows = np.median(block, axis=1)
            best = (int(area), _hues(rows, (int(x0), int(y0), int(x0 + wide), int(y0 + tall))))
    return None if best is None else best[1]


def _hues(rows: np.ndarray, place: tuple[int, int, int, int]) -> ColourBar:
    red, blue, green = hue_shares(rows[(rows.max(axis=1) - rows.min(axis=1)) > 40])
    return ColourBar(red=red, blue=blue, green=green, place=place)


def hue_shares(pixels: np.ndarray) -> tuple[float, float, float]:
    """``(red, blue, green)``: shares of ``pixels`` ``[n, 3]`` with hue 340..60, 160..260 and 70..160 degrees."""
    if not len(pixels):
        return 0.0, 0.0, 0.0
    pixels = pixels.astype(np.float32)
    r, g, b = pixels.T
    high = pixels.max(axis=1)
    span = np.maximum(high - pixels.min(axis=1), 1)
    hue = np.where(r == high, (g - b) / span % 6, np.where(g == high, 2 + (b - r) / span, 4 + (r - g) / span)) * 60
    red = float(((hue <= 60) | (hue >= 340)).mean())
    return red, float(((hue >= 160) & (hue <= 260)).mean()), float(((hue > 70) & (hue < 160)).mean())
