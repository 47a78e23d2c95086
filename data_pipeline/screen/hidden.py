"""Which pixels a model must not trust: what colour painted, what is drawn over the sector, and the bleed of both."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.pixels import around
from data_pipeline.schema import FLOW, OUTLINE, SECTOR
from data_pipeline.screen.colour.mask import Tint, colour_level, fit_tint
from data_pipeline.threads import each

_NEIGHBOURS = np.ones((3, 3), np.uint8)
BLED = 24
"""Saturation beyond the grey map's from which a neighbour of colour is not trusted.

Chroma is stored at half resolution and bleeds, luma is not: grey neighbours are clean. On real clips with pasted colour
this gives .03 to .05 more SSIM under colour at 224 to 480 rows than hiding every neighbour (limits of 12 to 32 differ
by less than .01).
"""
BLENDED = 16
"""Grey levels by which a neighbour of a drawn line that was blended with it is brighter than what lies beyond. Of pixels
beside lines that are off by more than 16 levels this finds 86 %, and hides 5 % more (16 simulated clips of 448 px, lines as
found)."""
SCREEN = 400
"""Rows from which lines are looked at so: in clips that were reduced, outlines hold their sides, and what is bright beside
them is tissue (224 rows, true outlines: .017 of SSIM in the box lost; 512 rows: .004 gained)."""


def bleed_px(height: int) -> int:
    """How far colour bleeds into its neighbours' chroma, in pixels of a frame of this height.

    Screens store chroma at half resolution: 2 px at their 600 rows (measured), in proportion where they were reduced.
    Below 150 rows that is none: of the pixels that colour changes by more than 24 grey levels 0.3 % are then left
    (simulated clips of 112 to 144 rows); one more pixel would leave 0.05 %, and hide a third more.
    """
    return round(2 * height / 600)


def hidden_mask(strata: np.ndarray, frames: np.ndarray | None = None, *, tint: Tint | None = None) -> np.ndarray:
    """What a model must not trust: flow and outline, and those of their neighbours that took on colour or brightness.

    Args:
      strata: uint8 ``[T, H, W]``.
      frames: uint8 ``[T, H, W, 3]`` RGB that the strata belong to; without them every neighbour within `bleed_px` counts.
      tint: of the frames' grey map; found in them by default.

    Returns:
      uint8 ``[T, H, W]`` in {0, 1}, zero outside the sector.

    Raises:
      ValueError: strata or frames of another shape or dtype.
    """
    if strata.dtype != np.uint8 or strata.ndim != 3:
        raise ValueError(f"strata must be uint8 [T, H, W], got {strata.dtype} {list(strata.shape)}")
    if frames is not None and (frames.dtype != np.uint8 or frames.shape != (*strata.shape, 3)):
        raise ValueError(f"frames must be uint8 {[*strata.shape, 3]}, got {frames.dtype} {list(frames.shape)}")
    px = bleed_px(strata.shape[1])
    kernel = np.ones((2 * px + 1, 2 * px + 1), np.uint8)
    if frames is not None and tint is None and px:
        tint = fit_tint(frames, (strata[0] & SECTOR) > 0)
    hidden = np.zeros_like(strata)

    def one(t: int) -> None:
        painted = ((strata[t] & (FLOW | OUTLINE)) > 0).view(np.uint8)
        near = cv2.dilate(painted, kernel) if px else painted
        part = around(cv2.dilate(near, _NEIGHBOURS))  # and what lies beyond
        if part[0].stop == 0:
            return
        near = near[part]
        if frames is not None and px:
            outline = (strata[t][part] & OUTLINE > 0).view(np.uint8)
            blended = _blended(outline, painted[part], frames[t][part]) if len(frames[t]) >= SCREEN else outline
            near = painted[part] | blended | (near & (colour_level(frames[t][part], tint) > BLED))
        hidden[t][part] = near & (strata[t][part] & SECTOR)

    each(one, range(len(strata)))
    return hidden


def _blended(outline: np.ndarray, painted: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The smooth sides of drawn lines, uint8 ``[h, w]``: neighbours of ``outline`` brighter than what else lies beside."""
    if not outline.any():
        return outline
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    beyond = cv2.erode(cv2.max(luma, 255 * painted), _NEIGHBOURS)
    return cv2.dilate(outline, _NEIGHBOURS) & (cv2.subtract(luma, beyond) > BLENDED)
