"""What the screen parser looks at: one frame, and what its pixels do over time, at the size it works on."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from data_pipeline.pixels import extremes, saturation
from data_pipeline.threads import each

WORKING_PX = 288
"""Longest side of what the network sees; larger screens are reduced, smaller ones are left alone."""
MULTIPLE = 16
"""Both sides are padded to multiples of this."""
CHANNELS = 12
"""Mean red, green, blue; greatest and least luma and greatest saturation of the pixels that were joined; over time
least, greatest and spread of luma, least and greatest saturation; whether time was seen at all."""
MOMENTS = 8
"""Frames that the statistics over time look at, at most."""


def working_size(height: int, width: int, *, longest: int = WORKING_PX) -> tuple[int, int]:
    """Height and width in pixels at which a screen is parsed."""
    scale = min(1.0, longest / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def clip_features(frames: np.ndarray, at: np.ndarray, *, longest: int = WORKING_PX) -> np.ndarray:
    """Features of some frames of a clip.

    Args:
      frames: uint8 [T, H, W, 3] RGB, the frames that statistics over time are taken from (all are used).
      at: int [n], which of them to describe.

    Returns:
      uint8 [n, h, w, CHANNELS]; 255 is 1.
    """
    size = working_size(*frames.shape[1:3], longest=longest)
    small = np.stack(each(_reduced, frames, itertools.repeat(size)))  # [T, h, w, 6]
    luma = small[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    most, least = extremes(small[..., :3])
    strength = most - least
    spread = np.clip(4 * luma.std(axis=0), 0, 255)
    seen = np.full(size, 255.0 if len(frames) > 1 else 0.0, np.float32)
    over_time = [luma.min(axis=0), luma.max(axis=0), spread, strength.min(axis=0), strength.max(axis=0), seen]
    still = np.stack(over_time, axis=-1).astype(np.uint8)
    return np.stack([np.concatenate([small[k], still], axis=-1) for k in at])


def _reduced(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [h, w, 6]: means of RGB, and extremes that a mean would blur away: of thin lines and thin colour."""
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    strength = saturation(frame)
    height, width = luma.shape
    if size == (height, width):
        return np.dstack([frame, luma, luma, strength])
    reach = max(round(max(height / size[0], width / size[1])), 1)
    kernel = np.ones((reach, reach), np.uint8)
    shrink = lambda plane, how: cv2.resize(plane, (size[1], size[0]), interpolation=how)  # noqa: E731
    most, least, strong = cv2.dilate(luma, kernel), cv2.erode(luma, kernel), cv2.dilate(strength, kernel)
    extremes = [shrink(plane, cv2.INTER_NEAREST) for plane in (most, least, strong)]
    return np.dstack([shrink(frame, cv2.INTER_AREA), *extremes])


def padded(features: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, C] -> zero-padded below and to the right to multiples of `MULTIPLE`."""
    height, width = features.shape[1:3]
    return np.pad(features, ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)))
