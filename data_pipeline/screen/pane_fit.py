"""How one pane lies over the other: whole pixels where that is enough, else parts of a pixel and a slightly other scale.

Panes of one screen usually lie at a whole pitch. Where a recorder resampled the screen they do not, and two panes may be
drawn at scales that differ by a few percent. Then the grey pane is resampled onto the grid of the colour pane.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

MAX_SCALE = 0.03
"""Greatest relative difference in scale of two panes; beyond it they are two pictures."""
_ALIKE = 2.0
"""Mean difference, grey levels, of panes that whole pixels bring together: a codec's noise."""
_GAIN = 0.85
"""A resampling fit must bring the error down to this share: resampled pixels are never quite the recorded ones."""
_SCALE_PX, _SHIFT_PX = 0.15, 0.08
"""Displacements at the panes' edge, px, below which scale or shift is not worth resampling."""


@dataclasses.dataclass(frozen=True)
class PaneFit:
    """``grey[scale * (y - cy) + cy + dy, scale * (x - cx) + cx + dx]`` fits ``colour[y, x]``, about the middle (cy, cx)."""

    dy: float = 0.0
    dx: float = 0.0
    scale: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether pixels are only moved, not resampled."""
        return self.scale == 1.0 and self.dy == int(self.dy) and self.dx == int(self.dx)

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """``frames`` uint8 ``[T, H, W]`` on the grid of the colour pane; the border is repeated."""
        if self.whole:
            return shifted(frames, int(self.dy), int(self.dx))
        return np.stack([_warp(frame, (self.scale, self.dy, self.dx), cv2.INTER_LANCZOS4) for frame in frames])


def fit_panes(
    colour: np.ndarray, grey: np.ndarray, untouched: np.ndarray, *, scale: float = 1.0, free_scale: bool = True
) -> PaneFit:
    """Fit the grey pane to the colour pane.

    Args:
        colour, grey: luma, uint8 ``[T, H, W]``.
        untouched: bool ``[T, H, W]``, pixels to compare.
        scale: where to begin, from the header's pixel sizes.
        free_scale: whether the scale may change.
    """
    dy, dx = align(colour, grey, untouched) if scale == 1.0 else (0, 0)
    if not untouched.any() or (scale == 1.0 and _error(colour, grey, untouched, (1.0, dy, dx)) < _ALIKE):
        return PaneFit(dy, dx)
    start = np.array([scale, dy, dx], np.float64)
    found = start
    for sigma in (3.0, 1.5, 0.8) if scale != 1.0 or free_scale else (1.5, 0.8):
        found = _descend(colour, grey, untouched, found, sigma=sigma, free_scale=free_scale)
    if abs(found[0] - 1) > MAX_SCALE + 0.005 or np.abs(found[1:] - start[1:]).max() > 3:
        return PaneFit(dy, dx)
    reach = 0.5 * max(colour.shape[1:])
    small = abs(found[0] - 1) * reach < _SCALE_PX and np.abs(found[1:] - np.round(found[1:])).max() < _SHIFT_PX
    if small or _error(colour, grey, untouched, found) > _GAIN * _error(colour, grey, untouched, (1.0, dy, dx)):
        return PaneFit(dy, dx)
    return PaneFit(dy=round(float(found[1]), 3), dx=round(float(found[2]), 3), scale=round(float(found[0]), 5))


def align(colour: np.ndarray, grey: np.ndarray, untouched: np.ndarray) -> tuple[int, int]:
    """``(dy, dx)`` in -2..2 by which ``grey[y + dy, x + dx]`` fits ``colour[y, x]`` best.

    Args:
        colour, grey: luma, uint8 ``[T, H, W]``.
        untouched: bool ``[T, H, W]``, pixels to compare.
    """
    best, shift = np.inf, (0, 0)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            moved = shifted(grey, dy, dx)
            error = float(cv2.absdiff(colour, moved)[untouched].mean()) if untouched.any() else np.inf
            if error < best - 1e-6 or (error < best + 1e-6 and abs(dy) + abs(dx) < sum(map(abs, shift))):
                best, shift = error, (dy, dx)
    return shift


def shifted(frames: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """``out[:, y, x] = frames[:, y + dy, x + dx]``; the border is repeated."""
    rows = np.clip(np.arange(frames.shape[1]) + dy, 0, frames.shape[1] - 1)
    columns = np.clip(np.arange(frames.shape[2]) + dx, 0, frames.shape[2] - 1)
    return frames[:, rows][:, :, columns]


def _warp(frame: np.ndarray, place: tuple[float, float, float], how: int) -> np.ndarray:
    scale, dy, dx = (float(value) for value in place)
    cy, cx = 0.5 * (frame.shape[0] - 1), 0.5 * (frame.shape[1] - 1)
    matrix = np.float64([[scale, 0, cx + dx - scale * cx], [0, scale, cy + dy - scale * cy]])
    flags = how | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, matrix, frame.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _error(colour: np.ndarray, grey: np.ndarray, untouched: np.ndarray, place) -> float:
    moved = np.stack([_warp(frame, place, cv2.INTER_LANCZOS4) for frame in grey])
    return float(cv2.absdiff(colour, moved)[untouched].mean())


def _descend(
    colour: np.ndarray, grey: np.ndarray, untouched: np.ndarray, place: np.ndarray, *, sigma: float, free_scale: bool
) -> np.ndarray:
    """Gauss-Newton steps on the squared difference of both panes, blurred by ``sigma`` px."""
    blur = lambda frame: cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma)  # noqa: E731
    targets, sources = [blur(frame) for frame in colour], [blur(frame) for frame in grey]
    height, width = colour.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - 0.5 * (height - 1), x - 0.5 * (width - 1)
    for _ in range(12):
        normal, right = np.zeros((3, 3)), np.zeros(3)
        for target, source, keep in zip(targets, sources, untouched):
            moved = _warp(source, place, cv2.INTER_LINEAR)
            gy, gx = np.gradient(
                moved
            )  # with respect to the colour pane's pixels; the scale is 1 but for a few percent
            step = np.stack([(gx * x + gy * y)[keep], gy[keep], gx[keep]]).astype(np.float64)
            normal += step @ step.T
            right += step @ (target - moved)[keep]
        if not free_scale:
            normal[0], normal[:, 0], right[0] = 0, 0, 0
        change = np.linalg.solve(normal + np.diag(1e-6 * np.diag(normal) + 1e-9), right)
        place = place + change
        if abs(change[0]) * 0.5 * max(height, width) < 0.01 and np.abs(change[1:]).max() < 0.01:
            break
    return place
