"""How alike two pictures are: luma and correlation, as every way of pairing measures them."""

from __future__ import annotations

import cv2
import numpy as np


def luma(frames: np.ndarray) -> np.ndarray:
    """Luma (BT.601) of uint8 ``[T, H, W, 3]``: uint8 ``[T, H, W]``."""
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two lists of levels, -1..1; 0 where one of them is even."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-6))
