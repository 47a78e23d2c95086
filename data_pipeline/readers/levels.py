"""Numbers of any type to 8-bit pictures: one scale for a whole clip, so that no frame is shown brighter than it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from data_pipeline.readers.video import over_black

Planes = Callable[[], Iterator[np.ndarray]]
"""Called once per pass; yields the frames as they are stored, ``[H, W]`` or ``[H, W, C]``."""


class Levels:
    """How the samples of one clip become uint8.

    Bytes stay as they are. Others are measured over the whole clip first. Floats within 0..1 are shown on that range and
    integers lose the low bits of the smallest of 8, 10, 12, 14 or 16 bits that hold them all (flag ``levels_scaled``);
    decibels of -90..0, as beamformers write them, are shown on -60..0 (``levels_decibel``); anything else is stretched from
    its lowest to its highest value (``levels_stretched``).

    Args:
      planes: the clip's frames, read once to measure them where they are no bytes, and again to show them.
    """

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._shift: int | None = None
        self._range: tuple[float, float] | None = None
        self.flags: tuple[str, ...] = ()

    def to_rgb(self, frame: np.ndarray) -> np.ndarray:
        """uint8 ``[H, W, 3]`` of a frame ``[H, W]`` or ``[H, W, 1 | 3 | 4]``."""
        if frame.dtype == bool:
            frame = frame * np.uint8(255)
        if frame.dtype != np.uint8:
            frame = self._scaled(frame)
        if frame.ndim == 2 or frame.shape[2] == 1:
            return np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
        return over_black(frame) if frame.shape[2] == 4 else np.ascontiguousarray(frame)

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        if self._range is None:
            self._measure()
        if self._shift is not None:
            return (frame.astype(np.int64) >> self._shift).clip(0, 255).astype(np.uint8)
        low, high = self._range
        known = np.clip(np.nan_to_num(frame.astype(np.float64), nan=low), low, high)
        return np.rint((known - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)

    def _measure(self) -> None:
        low, high, whole = np.inf, -np.inf, True
        for frame in self._planes():
            finite = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
            if finite.dtype != np.uint8 and finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                whole = whole and (finite.dtype.kind != "f" or bool((finite == np.rint(finite)).all()))
        self._range = (0.0, 255.0)
        if low >= 0 and high <= 1 and not whole:
            self._range, self.flags = (0.0, 1.0), ("levels_scaled",)
        elif low >= 0 and high <= 255:
            self._shift = 0 if whole else None
        elif low >= 0 and whole and high < 1 << 16:
            self._shift = next(bits for bits in (10, 12, 14, 16) if high < 1 << bits) - 8
            self.flags = ("levels_scaled",)
        elif -90 <= low < -20 and high <= 0.5 and not whole:
            self._range, self.flags = (-60.0, 0.0), ("levels_decibel",)
        elif np.isfinite(low):
            self._range, self.flags = (low, high), ("levels_stretched",)
