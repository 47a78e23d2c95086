"""Which pixels a model must not trust: what colour painted, what is drawn over the sector, and the bleed of both."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.schema import FLOW, OUTLINE, SECTOR


def bleed_px(height: int) -> int:
    """How far colour bleeds into its neighbours' chroma, in pixels of a frame of this height.

    Screens store chroma at half resolution: 2 px at their 600 rows (measured), in proportion where they were reduced.
    Below 150 rows that is none: of the pixels that colour changes by more than 24 grey levels 0.3 % are then left
    (simulated clips of 112 to 144 rows); one more pixel would leave 0.05 %, and hide a third more.
    """
    return round(2 * height / 600)


def hidden_mask(strata: np.ndarray, *, dilate_px: int | tuple[int, int] | None = None) -> np.ndarray:
    """What a model must not trust: flow and outline, grown over their chroma bleed.

    Args:
      strata: uint8 ``[T, H, W]``.
      dilate_px: growth in pixels, one number or ``(x, y)``; by default `bleed_px` of the height.

    Returns:
      uint8 ``[T, H, W]`` in {0, 1}, zero outside the sector.
    """
    if strata.dtype != np.uint8 or strata.ndim != 3:
        raise ValueError(f"strata must be uint8 [T, H, W], got {strata.dtype} {list(strata.shape)}")
    dilate_px = bleed_px(strata.shape[1]) if dilate_px is None else dilate_px
    grow_x, grow_y = (dilate_px, dilate_px) if isinstance(dilate_px, int) else dilate_px
    if grow_x < 0 or grow_y < 0:
        raise ValueError(f"dilate_px must not be negative, got {dilate_px}")
    kernel = np.ones((2 * grow_y + 1, 2 * grow_x + 1), np.uint8)
    hidden = np.empty_like(strata)
    for plane, out in zip(strata, hidden):
        painted = ((plane & (FLOW | OUTLINE)) > 0).astype(np.uint8)
        out[...] = cv2.dilate(painted, kernel) & (plane & SECTOR)
    return hidden
