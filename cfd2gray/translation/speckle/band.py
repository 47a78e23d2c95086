"""Some octaves of speckle at their own scale: what a translation lacks of them, drawn."""

from __future__ import annotations

import dataclasses
from typing import Self

import cv2
import numpy as np

from cfd2gray.translation.speckle.grain import Grain, Grid
from cfd2gray.translation.speckle.octaves import blurred, by_level, grey, magnitudes, octaves_of, strength
from data_pipeline import pixels
from data_pipeline.geometry import Fan

FAR = 300
"""Pixels beside the hidden ones for which all visible ones together count, per level."""
APART = 3
"""px from anything hidden at which visible tissue begins."""
CALM = 0.6
"""Change from frame to frame of the network's own detail, in that of visible detail as strong: it is calmer. .6 on nine real
colour clips and six simulated ones, in each octave."""
MOST = 1.25
"""Of visible detail's strength, up to which detail is added for the sake of its change."""
MOST_CORRECTED = 2.0
"""Largest factor by which an octave is corrected for its overlap with the others."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """Octaves of detail of a part of the frame, in whose corner both coordinates are multiples of ``scale``.

    Attributes:
      scale: px of the frame that are one here.
      sigmas: px here, of the octaves; see `octaves_of`.
      inside: bool ``[h, w]``, the sector.
      grain: of the clip. place: float32 ``(depth, beam)`` on its grid, ``[h, w]`` each.
    """

    scale: int
    sigmas: tuple[float, ...]
    inside: np.ndarray
    grain: Grain
    place: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls,
        luma: np.ndarray,
        clear: np.ndarray,
        sector: np.ndarray,
        beams: tuple[Fan, float] | None,
        part: tuple[slice, slice],
        *,
        scale: int,
        sigmas: tuple[float, ...],
    ) -> Self | None:
        """Measured in ``luma`` (uint8 ``[2 n, H, W]``, see `Grain.of`) where ``clear`` (float32 ``[H, W]``) is 1; None where
        too little is seen. For ``beams`` see `areas.beams_of`."""
        share = reduced(clear, scale)
        visible = (share > 0.99).astype(np.float32)
        frames = [reduced(frame * clear, scale) * visible for frame in luma]
        inner = reduced(sector.astype(np.float32), scale) > 0.5
        if not inner.any() or not visible.any():
            return None
        if beams is not None:
            (fan, aspect), middle = beams, (scale - 1) / 2
            beams = fan.moved(middle, middle * aspect, scale=scale), aspect
        grid = Grid.of(inner, beams)
        grain = Grain.of(frames, visible, grid, sigmas)
        here = tuple(slice(span.start // scale, -(-span.stop // scale)) for span in part)
        place = tuple(np.ascontiguousarray(a[here]) for a in (grid.depth, grid.beam))
        inside = ~pixels.grown(~inner, 1)[here]
        return None if grain is None else cls(scale=scale, sigmas=sigmas, inside=inside, grain=grain, place=place)

    def added(self, number: int, hidden: np.ndarray, made: np.ndarray, at: tuple[slice, slice]) -> np.ndarray:
        """The detail that ``made`` lacks.

        Args:
          number: of the frame in its clip.
          hidden: bool, at the frame's own scale. made: float32 in 0..255, alike, the translation so far.
          at: Where of the part both lie, from multiples of `scale` on.

        Returns:
          float32, alike, to be added.
        """
        height, width = made.shape
        here = tuple(slice(span.start // self.scale, -(-span.stop // self.scale)) for span in at)
        inside, depth, beam = (plane[here] for plane in (self.inside, *self.place))
        covered, made = (reduced(a, self.scale) for a in (hidden.astype(np.float32), made))
        hidden = covered > 0.5
        level, own = octaves_of(made, self.sigmas)
        level, far = grey(level), self.grain.seen
        # Blood and tissue of one grey level differ: what lies nearest says most.
        beside = magnitudes(own, level, inside & ~pixels.grown(covered, APART))
        should = strength(beside + far * np.minimum(far[0], FAR) / np.maximum(far[0], 1))
        does = strength(magnitudes(own, level, hidden))
        if does is None:
            return np.float32(0.0)
        loose = 0.5 * self.grain.change**2 / (1.0 - self.grain.still)
        for_change = does**2 + loose * np.maximum(should**2 - (CALM * does) ** 2, 0.0)
        wanted = np.maximum(should, np.minimum(np.sqrt(for_change), MOST * should))
        lacks = np.sqrt(np.maximum(wanted**2 - does**2, 0.0))
        _, noise = octaves_of(self.grain.at(number, self.scale, level, (depth, beam)), self.sigmas)
        parts, put = [], []
        for octave, missing, inner in zip(noise, lacks, blurred(covered, self.sigmas)):
            # Near visible pixels detail goes on from them: only what is deeper than an octave's grain is open.
            missing = by_level(missing, level) * np.clip(2.0 * inner - 1.0, 0.0, 1.0)
            parts.append(missing * octave / max(float(np.abs(octave[hidden]).mean()), 1e-3))
            put.append(float(missing[hidden].mean()))
        # Octaves overlap: what their sum has of each is not what was put in.
        got = [float(np.abs(octave[hidden]).mean()) for octave in octaves_of(sum(parts), self.sigmas)[1]]
        factors = [min(share / max(had, 1e-3), MOST_CORRECTED) for share, had in zip(put, got)]
        return enlarged(sum(factor * part for factor, part in zip(factors, parts)), self.scale)[:height, :width]


def reduced(image: np.ndarray, scale: int) -> np.ndarray:
    """float32 ``[h, w]``, means of squares of ``scale`` px; the last ones are filled with the edge."""
    if scale == 1:
        return image
    height, width = image.shape
    padded = cv2.copyMakeBorder(image, 0, -height % scale, 0, -width % scale, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, None, fx=1.0 / scale, fy=1.0 / scale, interpolation=cv2.INTER_AREA)


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """The way back, smooth."""
    return image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
