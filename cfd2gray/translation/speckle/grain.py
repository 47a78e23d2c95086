"""The grain of a clip's visible speckle, measured along and across its beams, and noise of that grain.

Speckle is the interference of echoes within one cell of resolution: as long as the pulse along the beam, as wide as the beam
across it, which is an angle. On a grid of depths and beams it is therefore nearly the same everywhere, and noise with its
spectrum has its grain; the frames' own correlation says how it changes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np

from cfd2gray.translation.speckle.octaves import blurred, by_level, grey, magnitudes, octaves_of, strength
from data_pipeline.geometry import Fan

REACH = (12, 24)
"""Lags in depth and beams up to which correlation is measured: several grains."""
LEAST_FIELD = 256
"""Rows and columns of noise at least, so that shifts of it have little in common."""
PX_AT = 0.6
"""Share of the deepest radius at which a column is as wide as a pixel."""
LIVELY = (0.5, 1.5)
"""Local detail of speckle, in that of its grey level: less is rounding, saturation or shadow, more is a wall or a letter."""
NEAR = 6.0
"""px (sigma) within which that is judged."""
STRONGEST = 5.0
"""Mean magnitudes at which detail is cut: a wall's edge is no speckle."""
FAINTEST = 0.25
"""Grey levels: detail below it is rounding."""
FEWEST_PAIRS = 50
"""Pairs of pixels from which their correlation is believed."""
QUANTILES = np.linspace(0.005, 0.995, 100)
"""By which the spread of visible speckle is told,"""
NORMAL = np.array([statistics.NormalDist().inv_cdf(share) for share in QUANTILES])
"""and what they are of Gaussian noise."""
STILLEST = 0.98
"""Correlation from frame to frame beyond which it is taken for this."""
LOOSE = 0.15
"""Correlation from frame to frame below which there is none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Depth and beam of every pixel of a frame, and the way back.

    Attributes:
      depth: float32 ``[H, W]``, rows of a pixel's height from the shallowest one.
      beam: Alike, columns from the first beam; a pixel wide at `PX_AT` of the depth where beams spread.
      places: float32 ``(x, y)`` px of every row and column, ``[rows, columns]``.
    """

    depth: np.ndarray
    beam: np.ndarray
    places: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, sector: np.ndarray, beams: tuple[Fan, float] | None) -> Self:
        """For a sector (bool ``[H, W]``); ``beams``: a fan, and the height of a pixel over its width; None: parallel beams."""
        y, x = (a.astype(np.float32) for a in np.mgrid[: sector.shape[0], : sector.shape[1]])
        fan, aspect = (None, 1.0) if beams is None else beams
        if fan is None:
            depth, beam, per_column = y, x, 1.0
        else:
            right, down = x - fan.apex_x, aspect * y - fan.apex_y
            depth, beam = np.hypot(right, down), np.arctan2(right, down)
            per_column = 1.0 / float(PX_AT * depth[sector].max())
        shallow, first = (float(a[sector].min()) for a in (depth, beam))
        depth, beam = depth - shallow, (beam - first) / per_column
        rows, columns = (np.arange(math.ceil(a[sector].max()) + 1) for a in (depth, beam))
        ways = rows + shallow, columns * per_column + first
        at_x, at_y = np.meshgrid(ways[1], ways[0]) if fan is None else fan.points(*ways)
        return cls(depth, beam, (at_x.astype(np.float32), (at_y / aspect).astype(np.float32)))

    def unrolled(self, plane: np.ndarray) -> np.ndarray:
        """float32 ``[H, W]`` -> float32 ``[rows, columns]``."""
        return cv2.remap(plane, *self.places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)


@dataclasses.dataclass(frozen=True, eq=False)
class Grain:
    """What visible speckle of a clip is like, and noise alike.

    Attributes:
      field: float32 ``[rows, columns]`` of a `Grid`, noise of mean 0 and standard deviation 1; it goes on at its ends.
      seen: `octaves.magnitudes` of visible tissue, the mean of the frames.
      change: From one frame to the next, in magnitudes, float ``[octaves, levels]``: 1.4 where nothing stays.
    """

    field: np.ndarray
    seen: np.ndarray
    change: np.ndarray

    @classmethod
    def of(cls, frames: Sequence[np.ndarray], visible: np.ndarray, grid: Grid, sigmas: Sequence[float]) -> Self | None:
        """Measured in pairs of frames that follow each other; a frame alone is taken to be followed by one with which it has
        nothing in common.

        Args:
          frames: float32 ``[H, W]`` each, 0 where ``visible`` (float32 ``[H, W]``) is not 1.
          sigmas: See `octaves_of`.

        Returns:
          None where too little is seen.
        """
        shares, where = blurred(visible, sigmas), visible > 0
        levels, details = zip(*(octaves_of(frame, sigmas, shares) for frame in frames))
        levels = [grey(level) for level in levels]
        seen = np.mean([magnitudes(detail, level, where) for detail, level in zip(details, levels)], axis=0)
        strong = strength(seen)
        if strong is None:
            return None
        units = [_in_magnitudes(sum(detail), strong, level) * visible for detail, level in zip(details, levels)]
        near = np.maximum(cv2.GaussianBlur(visible, (0, 0), NEAR), 0.05)
        local = cv2.GaussianBlur(sum(np.abs(unit) for unit in units), (0, 0), NEAR) / (near * len(units))
        known = grid.unrolled((where & (LIVELY[0] < local) & (local < LIVELY[1])).astype(np.float32)) > 0.99
        if np.count_nonzero(known) < FEWEST_PAIRS:
            return None
        planes = [grid.unrolled(unit) * known for unit in units]
        noise = _noise(_correlation(planes, known), known.shape)
        spread = np.quantile(np.concatenate([plane[known] for plane in planes]), QUANTILES)
        field = np.interp(noise, NORMAL, spread).astype(np.float32)
        steps = [
            magnitudes([after - before for before, after in zip(*details[k : k + 2])], levels[k], where)
            for k in range(0, len(frames) - 1, 2)
        ]
        stepped = strength(np.mean(steps, axis=0)) if steps else None
        nothing_stays = np.full_like(strong, math.sqrt(2.0))
        change = nothing_stays if stepped is None else stepped / np.maximum(strong, FAINTEST)
        return cls((field - field.mean()) / field.std(), seen, change)

    @functools.cached_property
    def still(self) -> np.ndarray:
        """Correlation of visible detail from one frame to the next at each level, float ``[levels]``: less in blood than in
        tissue."""
        return np.clip(1.0 - 0.5 * self.change**2, 0.0, STILLEST).mean(axis=0)

    def at(self, frame: int, key: int, level: np.ndarray, place: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Noise of standard deviation 1, float32 ``[h, w]``, the same for the same ``frame`` and ``key``; as much of it as in
        visible tissue (`still`) is that of the frame before.

        Args:
          level: uint8 ``[h, w]``, grey levels.
          place: float32 ``(depth, beam)`` of each pixel, `Grid`.
        """
        most = float(self.still.max())
        fresh = self._shifted(key, frame)
        if most < LOOSE:
            return _placed(fresh, place)
        # Shifts of the field have nothing in common; what stays goes from one to the next by and by.
        before, part = divmod(frame * math.acos(most) / (0.5 * math.pi), 1.0)
        slow = [self._shifted(key, int(before) + k, 1) for k in (0, 1)]
        slow = math.cos(0.5 * math.pi * part) * slow[0] + math.sin(0.5 * math.pi * part) * slow[1]
        share = by_level(np.sqrt(self.still / most), level)
        return share * _placed(slow, place) + np.sqrt(1.0 - share**2) * _placed(fresh, place)

    def _shifted(self, *key: int) -> np.ndarray:
        shift = np.random.default_rng(key).integers(self.field.shape)
        return np.roll(self.field, tuple(shift), axis=(0, 1))


def _placed(field: np.ndarray, place: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return cv2.remap(field, *place[::-1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def _in_magnitudes(detail: np.ndarray, strong: np.ndarray, level: np.ndarray) -> np.ndarray:
    """``detail`` in mean magnitudes of its grey level (``strong``: `octaves.strength`), without walls' edges."""
    whole = np.sqrt((strong**2).sum(axis=0))
    return np.clip(detail / np.maximum(by_level(whole, level), FAINTEST), -STRONGEST, STRONGEST)


def _correlation(planes: list[np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Of pixels `REACH` and less apart, float ``[2 REACH + 1]``, both of them ``seen``; the mean over ``planes``."""
    shape = [cv2.getOptimalDFTSize(size + reach) for size, reach in zip(seen.shape, REACH)]

    def products(plane: np.ndarray) -> np.ndarray:
        whole = np.fft.irfft2(np.abs(np.fft.rfft2(plane.astype(np.float32), shape)) ** 2, shape)
        return np.roll(whole, REACH, axis=(0, 1))[: 2 * REACH[0] + 1, : 2 * REACH[1] + 1]

    pairs = np.maximum(products(seen), FEWEST_PAIRS)
    return sum(products(plane) for plane in planes) / (len(planes) * pairs)


def _noise(correlation: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Noise with that correlation (Wiener and Khinchin), float32 of standard deviation 1, at least of ``shape``."""
    faded = correlation * np.outer(*(np.hanning(size + 2)[1:-1] for size in correlation.shape))
    shape = tuple(cv2.getOptimalDFTSize(max(size, LEAST_FIELD)) for size in shape)
    padded = np.zeros(shape, np.float32)
    padded[: faded.shape[0], : faded.shape[1]] = faded
    power = np.maximum(np.fft.rfft2(np.roll(padded, [-reach for reach in REACH], axis=(0, 1))).real, 0.0)
    white = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(power), shape)
    return noise / max(float(noise.std()), 1e-6)
