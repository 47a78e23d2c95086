"""Analysis of clips whose pixels are not square: a fan is a circle in centimetres, so it is looked for where pixels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from cfd2gray.translation.view import COLOURED
from data_pipeline.geometry import Fan, Hull
from data_pipeline.readers.square import resized, scaled_regions, square_size
from data_pipeline.schema import Region
from data_pipeline.screen.analysis import NOTHING, FlowAnalysis, LiveMasks, analyse
from data_pipeline.screen.fan_fit import squeezed_fan
from data_pipeline.screen.said import Said

SAMPLES = 24
"""Frames that sector, box and kind are decided on, evenly spread over the clip."""

SQUEEZED = 0.06
"""Deviation from square from which a picture counts as squeezed."""


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


def analyse_square(
    frames: np.ndarray, *, regions: Sequence[Region], aspect: float, said: Said = NOTHING
) -> FlowAnalysis:
    """`analyse`, with sector and strata on the grid of ``frames`` uint8 [T, H, W, 3] and geometry where pixels are square.

    Where pixels are said to be square and the sector is no fan, but would be one at another aspect, the picture was squeezed
    (4:3 made square) and is analysed at that aspect: then sector and outline are those of a fan.
    """
    size = square_size(*frames.shape[1:3], aspect)
    if size != frames.shape[1:3]:
        return _analyse_at(size, frames, regions, said)
    found = analyse(frames, regions=tuple(regions), said=said)
    size = _unsqueezed(found)
    if size is None:
        return found
    again = _analyse_at(size, frames, regions, said)
    return again if again.kind == found.kind and isinstance(again.geometry, Fan) else found


def _analyse_at(size: tuple[int, int], frames: np.ndarray, regions: Sequence[Region], said: Said) -> FlowAnalysis:
    """The analysis of frames that are brought to another size, on their own grid."""
    said = said.scaled(size[1] / frames.shape[2], size[0] / frames.shape[1])
    square = np.stack([resized(frame, size) for frame in frames])
    found = analyse(square, regions=_scaled(regions, frames, size), said=said)
    back = frames.shape[1:3]
    return dataclasses.replace(
        found,
        sector=_masked(found.sector.astype(np.uint8), back).astype(bool),
        strata=np.stack([_masked(plane, back) for plane in found.strata]),
    )


def _unsqueezed(found: FlowAnalysis | LiveMasks) -> tuple[int, int] | None:
    """Rows and columns at which a sector of no known shape is a fan: pictures that were squeezed do not say so."""
    if found.kind not in COLOURED or not isinstance(found.geometry, Hull):
        return None
    squeezed = squeezed_fan(found.sector)
    if squeezed is None or abs(squeezed[1] - 1) < SQUEEZED:
        return None
    return square_size(*found.sector.shape, squeezed[1])


class SquareMasks:
    """`LiveMasks` on the clip's grid; ``kind``, ``reason``, ``sector``, ``box`` as there, ``geometry`` in square pixels."""

    def __init__(self, frames: np.ndarray, *, regions: Sequence[Region], aspect: float, said: Said = NOTHING) -> None:
        self._shape = frames.shape[1:3]
        self._size = square_size(*self._shape, aspect)
        self._masks = self._masks_at(self._size, frames, regions, said)
        if self._size == self._shape and (size := _unsqueezed(self._masks)) is not None:
            again = self._masks_at(size, frames, regions, said)
            if again.kind == self._masks.kind and isinstance(again.geometry, Fan):
                self._masks, self._size = again, size
        self._same = self._size == self._shape
        self.kind, self.reason, self.geometry = self._masks.kind, self._masks.reason, self._masks.geometry
        self.sector, self.box = (
            mask if self._same else _masked(mask.astype(np.uint8), self._shape).astype(bool)
            for mask in (self._masks.sector, self._masks.box)
        )

    def _masks_at(self, size: tuple[int, int], frames: np.ndarray, regions: Sequence[Region], said: Said) -> LiveMasks:
        square = frames if size == self._shape else np.stack([resized(frame, size) for frame in frames])
        said = said.scaled(size[1] / self._shape[1], size[0] / self._shape[0])
        return LiveMasks(square, regions=_scaled(regions, frames, size), said=said)

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
        return _masked(self._masks.strata(resized(frame, self._size)), self._shape)


def _masked(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(plane), size[::-1], interpolation=cv2.INTER_NEAREST)


def _scaled(regions: Sequence[Region], frames: np.ndarray, size: tuple[int, int]) -> tuple[Region, ...]:
    return scaled_regions(regions, size[0] / frames.shape[1], size[1] / frames.shape[2])
