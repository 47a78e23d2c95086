"""Analysis of clips whose pixels are not square: a fan is a circle in centimetres, so it is looked for where pixels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from data_pipeline.schema import Region
from data_pipeline.screen.analysis import NOTHING, FlowAnalysis, LiveMasks, analyse
from data_pipeline.screen.said import Said

NEARLY = 0.02
"""Deviation from square that changes nothing."""
SAMPLES = 24
"""Frames that sector, box and kind are decided on, evenly spread over the clip."""


def sampled(stream: Iterable[np.ndarray], *, count: int = SAMPLES) -> np.ndarray:
    """Between ``count / 2`` and ``count`` evenly spread frames of a clip of unknown length; all of a shorter one."""
    kept: list[np.ndarray] = []
    every = 1
    for number, frame in enumerate(stream):
        if number % every:
            continue
        if len(kept) == count:
            kept, every = kept[::2], 2 * every
            if number % every:
                continue
        kept.append(frame)
    return np.stack(kept)


def square_size(height: int, width: int, aspect: float) -> tuple[int, int]:
    """Rows and columns of the frame with square pixels; the coarser axis is refined.

    Args:
      aspect: height of a pixel over its width.
    """
    if abs(aspect - 1) < NEARLY:
        return height, width
    return (round(height * aspect), width) if aspect > 1 else (height, round(width / aspect))


def analyse_square(
    frames: np.ndarray, *, regions: Sequence[Region], aspect: float, said: Said = NOTHING
) -> FlowAnalysis:
    """`analyse`, with sector and strata on the grid of ``frames`` uint8 [T, H, W, 3] and geometry where pixels are square."""
    size = square_size(*frames.shape[1:3], aspect)
    if size == frames.shape[1:3]:
        return analyse(frames, regions=tuple(regions), said=said)
    said = said.scaled(size[1] / frames.shape[2], size[0] / frames.shape[1])
    square = np.stack([_resized(frame, size) for frame in frames])
    found = analyse(square, regions=_scaled(regions, frames, size), said=said)
    back = frames.shape[1:3]
    return dataclasses.replace(
        found,
        sector=_masked(found.sector.astype(np.uint8), back).astype(bool),
        strata=np.stack([_masked(plane, back) for plane in found.strata]),
    )


class SquareMasks:
    """`LiveMasks` on the clip's grid; ``kind``, ``reason``, ``sector``, ``box`` as there, ``geometry`` in square pixels."""

    def __init__(self, frames: np.ndarray, *, regions: Sequence[Region], aspect: float, said: Said = NOTHING) -> None:
        self._shape = frames.shape[1:3]
        self._size = square_size(*self._shape, aspect)
        self._same = self._size == self._shape
        square = frames if self._same else np.stack([_resized(frame, self._size) for frame in frames])
        said = said.scaled(self._size[1] / self._shape[1], self._size[0] / self._shape[0])
        self._masks = LiveMasks(square, regions=_scaled(regions, frames, self._size), said=said)
        self.kind, self.reason, self.geometry = self._masks.kind, self._masks.reason, self._masks.geometry
        self.sector, self.box = (
            mask if self._same else _masked(mask.astype(np.uint8), self._shape).astype(bool)
            for mask in (self._masks.sector, self._masks.box)
        )

    def analysis(self, frames: Sequence[np.ndarray]) -> FlowAnalysis:
        """What is colour in some frames, each uint8 [H, W, 3]."""
        return FlowAnalysis(
            sector=self.sector,
            strata=np.stack([self._strata(frame) for frame in frames]),
            kind=self.kind,
            reason=self.reason,
            box_found=bool(self.box.any()),
            score=self._masks.score,
            geometry=self.geometry,
        )

    def _strata(self, frame: np.ndarray) -> np.ndarray:
        if self._same:
            return self._masks.strata(frame)
        return _masked(self._masks.strata(_resized(frame, self._size)), self._shape)


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=cv2.INTER_LINEAR)


def _masked(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(plane), size[::-1], interpolation=cv2.INTER_NEAREST)


def _scaled(regions: Sequence[Region], frames: np.ndarray, size: tuple[int, int]) -> tuple[Region, ...]:
    y, x = size[0] / frames.shape[1], size[1] / frames.shape[2]
    return tuple(
        dataclasses.replace(
            region,
            x0=round(region.x0 * x),
            x1=round(region.x1 * x),
            y0=round(region.y0 * y),
            y1=round(region.y1 * y),
            cm_per_px_x=region.cm_per_px_x and region.cm_per_px_x / x,
            cm_per_px_y=region.cm_per_px_y and region.cm_per_px_y / y,
        )
        for region in regions
    )
