"""The speckle of what was synthesised, drawn at the size of the screen.

The network works at a reduced size and gives what is to be expected, which is smooth and calm. What it leaves out is the play
of speckle around that. Visible tissue of the same clip says all about it: how strong each octave of detail is at each grey
level, of what grain along and across the beam, and how much of it stays from frame to frame. It is a sample, not the truth:
SSIM falls, realism rises.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np

from cfd2gray.translation.speckle.band import APART, Band
from cfd2gray.translation.view import View
from data_pipeline import pixels
from data_pipeline.geometry import Fan
from data_pipeline.threads import each

BANDS = ((4, (1.4, 2.8)), (1, (0.7, 1.4, 2.8)))
"""Scale (px) and octaves (sigma at that scale), coarse ones first: 11 px to one. Coarser ones the network knows."""
MULTIPLE = max(scale for scale, _ in BANDS)
"""px of which corners are multiples, so that all scales have them."""
FRAMES = 16
"""First frames of a clip in which its speckle is measured,"""
EVERY = 5
"""in pairs that begin so far apart: over half a second of a beat."""
MARGIN = 20
"""px around what is hidden that are looked at."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Speckle:
    """What is drawn on hidden pixels.

    Attributes:
      part: of the frame, ``[h, w]``, in which it may be missing.
      bands: Its octaves.
      amount: 0 .. 1, share of the missing detail's amplitude that is added.
    """

    part: tuple[slice, slice]
    bands: tuple[Band, ...]
    amount: float

    @classmethod
    def of(
        cls,
        touched: np.ndarray,
        sector: np.ndarray,
        beams: tuple[Fan, float] | None,
        luma: np.ndarray,
        *,
        amount: float = 1.0,
    ) -> Self | None:
        """Measured in a clip.

        Args:
          touched: bool ``[H, W]``, what may ever be hidden.
          sector: bool ``[H, W]``.
          beams: a fan, and the height of a pixel over its width; None for parallel beams (`areas.beams_of`).
          luma: uint8 ``[2 n, H, W]``, see `in_pairs`.
          amount: see above.

        Returns:
          None where nothing is asked for, hidden, or visible.
        """
        hidden = touched & sector
        if not amount or not hidden.any():
            return None
        clear = (sector & ~pixels.grown(hidden, APART) & ~pixels.grown(~sector, 1)).astype(np.float32)
        part = _around(hidden, MARGIN, MULTIPLE)
        bands = [Band.of(luma, clear, sector, beams, part, scale=scale, sigmas=sigmas) for scale, sigmas in BANDS]
        found = tuple(band for band in bands if band is not None)
        return cls(part=part, bands=found, amount=amount) if found else None

    def draw(self, merged: np.ndarray, weights: np.ndarray, view: View, first: int) -> None:
        """Add to ``merged`` (float32 ``[T, h, w]`` of a view, 0..255) what it lacks, as far as it was synthesised.

        Args:
          weights: float32 like ``merged``, see `blend_weights`.
          first: Number of the first frame in its clip.
        """
        rows, columns = (
            slice(mine.start - whole.start, mine.stop - whole.start)
            for mine, whole in zip(self.part, (view.rows, view.columns))
        )

        def one(number: int, made: np.ndarray, share: np.ndarray) -> None:
            hidden = share == 1.0
            if not hidden.any():
                return
            at = _around(hidden, MARGIN, MULTIPLE)
            made, share, hidden = made[rows, columns][at], share[at], hidden[at]
            added = np.zeros_like(share)
            for band in self.bands:
                added += band.added(number, hidden, made + added, at)
            made += self.amount * share * added

        each(one, range(first, first + len(merged)), merged, weights[:, rows, columns])


def in_pairs(frames: np.ndarray) -> np.ndarray:
    """Pairs of frames that follow each other, uint8 luma ``[2 n, H, W]`` (``[1, H, W]`` of one frame), among the first of
    ``frames`` (uint8 ``[T, H, W, 3]``)."""
    starts = range(0, max(min(len(frames), FRAMES) - 1, 1), EVERY)
    return pixels.luma(frames[[t for start in starts for t in (start, start + 1) if t < len(frames)]])


def _around(mask: np.ndarray, margin: int, multiple: int) -> tuple[slice, slice]:
    """The rectangle that holds a mask and ``margin`` px around it, within the frame, from multiples of ``multiple`` on."""
    found = (np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0)))
    return tuple(
        slice(max(int(at[0]) - margin, 0) // multiple * multiple, min(int(at[-1]) + 1 + margin, size))
        for at, size in zip(found, mask.shape)
    )
