"""The part of a frame that the network works on: found, reduced to working size, and put back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.threads import each

CONTEXT = 24
"""px at working resolution around the colour that the network sees; its reach in space is not much wider."""
COLOURED = ("cfd", "power")
"""Kinds of clip whose colour hides tissue; see `data_pipeline.screen.analysis`."""
HIDDEN_SHARE = 0.25
"""A reduced pixel counts as hidden when more than this share of it is."""
APART = 0.2
"""Area, in shares of the largest, from which a separate piece of the sector is a sector of its own."""
BUCKET = 32
"""px: the area is rounded up to multiples of this, so that clips of similar size share a compilation, but not beyond the frame:
112 px stay 112."""


def _up(size: int, multiple: int) -> int:
    """``size`` rounded up to a multiple."""
    return -(-size // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class View:
    """The part of the frame that the network sees, and at what scale.

    ``scale`` is working px per native px; ``rows`` and ``columns`` are native; ``height`` and ``width`` the working size,
    a multiple of what the network asks for (padded with black at the bottom and right).
    """

    rows: slice
    columns: slice
    scale: float
    height: int
    width: int

    @classmethod
    def around(cls, touched: np.ndarray, sector: np.ndarray, weights: GeneratorWeights) -> View:
        extent = [np.ptp(np.flatnonzero(sector.any(axis=axis))) + 1 if sector.any() else 1 for axis in (0, 1)]
        scale = min(1.0, weights.settings["size"] / max(extent))
        margin = int(np.ceil(CONTEXT / scale))
        spans = []
        for axis, length in ((1, touched.shape[0]), (0, touched.shape[1])):
            found = np.flatnonzero(touched.any(axis=axis))
            spans.append((max(0, int(found[0]) - margin), min(length, int(found[-1]) + 1 + margin)))
        least = weights.spec.multiple
        height, width = (
            min(_up(round((b - a) * scale), max(BUCKET, least)), _up(round(length * scale), least))
            for (a, b), length in zip(spans, touched.shape)
        )
        return cls(rows=slice(*spans[0]), columns=slice(*spans[1]), scale=scale, height=height, width=width)

    @classmethod
    def of_each_sector(
        cls, touched: np.ndarray, sector: np.ndarray, weights: GeneratorWeights
    ) -> list[tuple[np.ndarray, View]]:
        """``(sector bool [H, W], view)`` of each separate sector with something touched (bool [H, W]) in it.

        The two planes of a biplane screen are two pictures: each has its own scale, and the network sees one at a time.
        """
        _, labels = cv2.connectedComponents(sector.astype(np.uint8))
        parts = [labels == index for index in np.unique(labels[touched & sector])]
        if len(parts) < 2 or min(map(np.count_nonzero, parts)) < APART * max(map(np.count_nonzero, parts)):
            return [(sector, cls.around(touched, sector, weights))]
        return [(part, cls.around(touched & part, part, weights)) for part in parts]

    @property
    def inner(self) -> tuple[int, int]:
        """(width, height) of the view at working scale, without the padding."""
        rows, columns = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return max(1, round(columns * self.scale)), max(1, round(rows * self.scale))

    def _resized(self, cut: np.ndarray) -> np.ndarray:
        return cut if self.scale == 1.0 else cv2.resize(cut, self.inner, interpolation=cv2.INTER_AREA)

    def shrink(
        self, frames: np.ndarray, hidden: np.ndarray, *, sector: np.ndarray, wanted: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames ``[T, H, W, 3]`` and hidden mask ``[T, H, W]`` (uint8) at the working size, black outside the sector, and
        those that are not ``wanted`` (bool ``[T]``).

        A small pixel is hidden when more than a quarter of it is; any other is the average of its visible part alone, or a
        bright outline would shine through as a ghost.
        """
        small = np.zeros((len(frames), self.height, self.width, 3), np.uint8)
        mask = np.zeros((len(frames), self.height, self.width), np.uint8)
        width, height = self.inner
        part = (self.rows, self.columns)
        keep = sector[part].astype(np.uint8)

        def one(t: int) -> None:
            inside, covered = cv2.copyTo(frames[t][part], keep), hidden[t][part]
            share = self._resized(covered.astype(np.float32))
            plain = self._resized(inside)
            if self.scale < 1.0:
                visible = self._resized(cv2.copyTo(inside, 1 - covered).astype(np.float32))
                clean = visible / np.maximum(1.0 - share, 1e-3)[..., None]
                plain = np.where((share > HIDDEN_SHARE)[..., None], plain, np.rint(np.clip(clean, 0, 255)))
            small[t, :height, :width] = plain
            mask[t, :height, :width] = share > HIDDEN_SHARE

        each(one, range(len(frames)) if wanted is None else np.flatnonzero(wanted))
        return small, mask

    def enlarge(self, small: np.ndarray) -> np.ndarray:
        """float ``[T, height, width]`` -> ``[T, rows, columns]`` at native scale."""
        width, height = self.inner
        cut = small[:, :height, :width]
        if self.scale == 1.0:
            return cut
        size = (self.columns.stop - self.columns.start, self.rows.stop - self.rows.start)
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in cut])


def with_neighbours(wanted: np.ndarray, radius: int) -> np.ndarray:
    """bool ``[T]``: true up to ``radius`` frames before and after each true one."""
    near = np.zeros_like(wanted)
    for frame in np.flatnonzero(wanted):
        near[max(0, frame - radius) : frame + radius + 1] = True
    return near
