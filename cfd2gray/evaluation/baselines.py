"""Do-nothing translations that every table carries beside the model.

A model that does not beat these where colour was has learned nothing. All take and return uint8 NumPy clips on the
host; ``hidden`` marks what a translation may not trust (colour, box outline, their bleed).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cfd2gray.translation.composite import blend_weights, composite
from data_pipeline import pixels

TELEA_RADIUS = 3


def luma(cfd: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 ``[T, H, W, 3]`` -> uint8 ``[T, H, W]``: the input as if printed in grey."""
    del hidden
    return pixels.luma(cfd)


def desaturate(cfd: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The smallest of R, G, B: saturated colour goes dark, grey stays."""
    del hidden
    return cfd.min(axis=-1)


def inpaint(cfd: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Telea's fast-marching inpainting (radius 3) of the hidden pixels, frame by frame; luma elsewhere."""
    return np.stack([_telea(frame, holes) for frame, holes in zip(luma(cfd, hidden), hidden > 0)])


def temporal_median(cfd: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Hidden pixels take the median of the frames in which the same pixel is seen; Telea where it never is."""
    grey, holes = luma(cfd, hidden), hidden > 0
    seen = (~holes).sum(axis=0)
    ordered = np.sort(np.where(holes, np.int16(999), grey), axis=0)  # seen values first
    lower, upper = np.maximum(seen - 1, 0) // 2, seen // 2
    pick = [np.take_along_axis(ordered, index[None], axis=0)[0] for index in (lower, np.minimum(upper, len(grey) - 1))]
    median = ((pick[0] + pick[1]) // 2).astype(np.int16)
    never = seen == 0
    filled = np.where(holes & ~never, median, grey).astype(np.uint8)
    return np.stack([_telea(frame, never) for frame in filled]) if never.any() else filled


def _telea(frame: np.ndarray, holes: np.ndarray) -> np.ndarray:
    if not holes.any():
        return frame
    return cv2.inpaint(np.ascontiguousarray(frame), holes.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)


def redrawn_speckle(
    untouched: np.ndarray, redraws: np.ndarray, hidden: np.ndarray, box: np.ndarray, *, feather: int
) -> dict[str, np.ndarray]:
    """The right anatomy with other speckle, put together like a result: a yardstick for a translation that knows one and not
    the other.

    No upper bound: a translation that finds the same tissue in another frame knows its speckle too.

    Args:
      untouched: luma of the input, uint8 ``[T, H, W]``.
      redraws: uint8 ``[K, T, H, W]``, the same anatomy simulated with K other draws of speckle.
      hidden, box: uint8 ``[T, H, W]``, and feather, px: as in `composite.blend_weights`.

    Returns:
      ``speckle_redraw`` (the first draw) and ``speckle_mean`` (the mean of all draws), uint8 ``[T, H, W]``. The mean
      scores higher on SSIM although no real image looks like it: that is the reward SSIM gives to blur.
    """
    if redraws.ndim != 4 or redraws.shape[1:] != untouched.shape:
        raise ValueError(f"redraws must be [K, *{list(untouched.shape)}] like the clip, got {list(redraws.shape)}")
    weights, base = blend_weights(hidden, box, feather=feather), untouched.astype(np.float32)
    drawn = {"speckle_redraw": redraws[0], "speckle_mean": redraws.mean(axis=0, dtype=np.float32)}
    return {name: np.round(composite(base, made, weights)).astype(np.uint8) for name, made in drawn.items()}


BASELINES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "luma": luma,
    "desaturate": desaturate,
    "inpaint": inpaint,
    "temporal_median": temporal_median,
}
"""Name in every table -> ``f(cfd uint8 [T, H, W, 3], hidden uint8 [T, H, W]) -> uint8 [T, H, W]``."""
