"""Cut a clip to its sector: black outside it, padded to a square, resized."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.geometry import Geometry


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SectorCrop:
    """A square cut around the sector of a clip, and the numbers to undo it.

    The square may reach beyond the frame; what lies outside the frame or the sector is black. Make one with
    `from_geometry`.
    """

    x0: int
    """Left column of the square in the native frame (may be negative)."""
    y0: int
    side: int
    """Side of the square in native pixels."""
    size: int
    """Side of the result."""
    sector: np.ndarray
    """bool [H, W], native."""
    geometry: Geometry
    """In coordinates of the result, with ``scale, dx, dy`` leading back."""

    @staticmethod
    def from_geometry(
        geometry: Geometry, sector: np.ndarray, *, margin: float = 0.02, size: int | None = None
    ) -> SectorCrop:
        """The smallest square around ``sector`` (bool [H, W]) plus ``margin`` of its longer side on every side.

        Args:
          size: side of the result in pixels; ``None`` keeps native resolution.

        Raises:
          ValueError: empty sector, negative margin, or a size below 8.
        """
        if sector.dtype != bool or sector.ndim != 2 or not sector.any():
            raise ValueError(
                f"sector must be a bool [H, W] mask with at least one pixel, got {sector.dtype} {sector.shape}"
            )
        if margin < 0 or (size is not None and size < 8):
            raise ValueError(f"margin must be >= 0 and size None or >= 8, got {margin} and {size}")
        ys, xs = np.nonzero(sector.any(axis=1))[0], np.nonzero(sector.any(axis=0))[0]
        tall, wide = int(ys[-1] - ys[0] + 1), int(xs[-1] - xs[0] + 1)
        side = max(tall, wide) + 2 * math.ceil(margin * max(tall, wide))
        x0 = int(xs[0]) - (side - wide) // 2
        y0 = int(ys[0]) - (side - tall) // 2
        size = side if size is None else size
        scale = side / size
        # pixel centres: x_native = (x + 0.5) * scale - 0.5 + x0
        dx, dy = 0.5 * scale - 0.5 + x0, 0.5 * scale - 0.5 + y0
        moved = dataclasses.replace(
            geometry.moved(dx, dy, scale=scale),
            native_height=sector.shape[0],
            native_width=sector.shape[1],
            scale=scale,
            dx=dx,
            dy=dy,
        )
        return SectorCrop(x0=x0, y0=y0, side=side, size=size, sector=sector, geometry=moved)

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """uint8 ``[T, H, W]`` or ``[T, H, W, C]`` to ``[T, size, size(, C)]``: area mean down, bilinear up."""
        self._check(frames)
        out = np.empty((len(frames), self.size, self.size, *frames.shape[3:]), np.uint8)
        method = cv2.INTER_AREA if self.size <= self.side else cv2.INTER_LINEAR
        inside = self.sector.astype(np.uint8)
        for frame, result in zip(frames, out):
            black = frame * (inside if frame.ndim == 2 else inside[..., None])
            result[...] = self._resize(self._cut(black), self.size, method).reshape(result.shape)
        return out

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        """bool or {0, 1} ``[T, H, W]`` to the same dtype ``[T, size, size]``: the soft mask above 0.25."""
        self._check(mask)
        out = np.empty((len(mask), self.size, self.size), mask.dtype)
        method = cv2.INTER_AREA if self.size <= self.side else cv2.INTER_LINEAR
        for plane, result in zip(mask, out):
            soft = (plane > 0).astype(np.float32) * self.sector
            result[...] = self._resize(self._cut(soft), self.size, method) > 0.25
        return out

    def apply_strata(self, strata: np.ndarray) -> np.ndarray:
        """Bit flags uint8 ``[T, H, W]`` to ``[T, size, size]``, every flag resized as a mask of its own."""
        out = np.zeros((len(strata), self.size, self.size), np.uint8)
        for bit in (1, 2, 4, 8, 16, 32, 64, 128):
            if (strata & bit).any():
                out |= self.apply_mask((strata & bit > 0).astype(np.uint8)) * np.uint8(bit)
        return out

    def _check(self, frames: np.ndarray) -> None:
        if frames.ndim not in (3, 4) or frames.shape[1:3] != self.sector.shape:
            raise ValueError(
                f"frames must be [T, {self.sector.shape[0]}, {self.sector.shape[1]}(, C)], as cut, "
                f"got {list(frames.shape)}"
            )

    def _cut(self, frame: np.ndarray) -> np.ndarray:
        height, width = self.sector.shape
        top, bottom = max(self.y0, 0), min(self.y0 + self.side, height)
        left, right = max(self.x0, 0), min(self.x0 + self.side, width)
        square = np.zeros((self.side, self.side, *frame.shape[2:]), frame.dtype)
        square[top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0] = frame[top:bottom, left:right]
        return square

    @staticmethod
    def _resize(image: np.ndarray, side: int, method: int) -> np.ndarray:
        if image.shape[0] == side:
            return image
        return cv2.resize(image, (side, side), interpolation=method)
