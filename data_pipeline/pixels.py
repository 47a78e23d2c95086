"""Formulas of pixels that every room shares: luma, saturation, correlation, grown masks."""

from __future__ import annotations

import cv2
import numpy as np


def luma(frames: np.ndarray) -> np.ndarray:
    """BT.601 luma uint8 ``[T, H, W]`` of RGB uint8 ``[T, H, W, 3]`` (``[H, W]`` of one frame); grey keeps its value."""
    if frames.ndim == 3:
        return cv2.cvtColor(np.ascontiguousarray(frames), cv2.COLOR_RGB2GRAY)
    return np.stack([luma(frame) for frame in frames])


def extremes(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``max(R, G, B)`` and ``min(R, G, B)``, uint8 ``[..., H, W]``, of RGB uint8 ``[..., H, W, 3]``."""
    red, green, blue = cv2.split(frames.reshape(-1, *frames.shape[-2:]))  # one tall picture
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return most.reshape(frames.shape[:-1]), least.reshape(frames.shape[:-1])


def saturation(frame: np.ndarray) -> np.ndarray:
    """``max(R, G, B) - min(R, G, B)``, uint8 ``[H, W]``, of an RGB frame uint8 ``[H, W, 3]``."""
    return cv2.subtract(*extremes(frame))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two samples of levels, -1..1; 0 where one of them is even."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-6))


def around(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the rectangle that holds what is non-zero in ``mask`` [H, W]; of nothing without any."""
    x, y, wide, tall = cv2.boundingRect(mask.view(np.uint8))
    return slice(y, y + tall), slice(x, x + wide)


def grown(mask: np.ndarray, px: int) -> np.ndarray:
    """bool ``[H, W]``: a mask (non-zero is in it) and what lies at most ``px`` rows and columns from it."""
    return cv2.dilate((mask != 0).astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0
