"""Detail of a frame, octave by octave, and how strong it is at each grey level."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LEVELS = np.array([0, 4, 8, 16, 24, 32, 48, 64, 96, 128, 176, 256])
"""Edges of the grey levels between which detail is compared: finer where the eye is."""
_BINS = np.searchsorted(LEVELS, np.arange(256), side="right") - 1
"""In which of them each grey level lies."""
_MIDDLES = (LEVELS[1:] + LEVELS[:-1]) / 2
LEAST = 60
"""Pixels of a level from which its detail is believed."""
DENSE = 60_000
"""Pixels of a picture up to which each is counted."""


def octaves_of(
    image: np.ndarray, sigmas: Sequence[float], shares: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, list[np.ndarray]]:
    """What is left, and detail by octave, finest first, of ``image`` (float32 ``[h, w]``).

    Args:
      sigmas: px, of the Gaussians between whose blurs octaves lie.
      shares: `blurred` of what is visible: the image is 0 elsewhere, and only its visible pixels count.
    """
    finer, found = image, []
    for k, sigma in enumerate(sigmas):
        coarser = cv2.GaussianBlur(image, (0, 0), sigma)
        if shares:
            coarser /= shares[k]
        found.append(finer - coarser)
        finer = coarser
    return finer, found


def blurred(visible: np.ndarray, sigmas: Sequence[float]) -> list[np.ndarray]:
    """The share of visible pixels (float32 ``[h, w]``) around each, by each of ``sigmas``; never 0."""
    return [np.maximum(cv2.GaussianBlur(visible, (0, 0), sigma), 0.05) for sigma in sigmas]


def grey(level: np.ndarray) -> np.ndarray:
    """Whole grey levels, uint8."""
    return np.clip(level, 0, 255).astype(np.uint8)


def magnitudes(octaves: list[np.ndarray], level: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Number of pixels and sum of magnitudes of each octave at each of `LEVELS` (``level``: uint8), float
    ``[1 + octaves, levels]``.

    Magnitudes, because squares would make the few pixels of marks and walls count for more than the speckle. Of large pictures
    every second pixel either way stands for four.
    """
    every = 1 if where.size < DENSE else 2
    some = (slice(None, None, every),) * 2
    chosen = np.flatnonzero(where[some])
    at = _BINS.take(level[some].take(chosen))
    values = [np.abs(octave[some].take(chosen)) for octave in octaves]
    return every**2 * np.stack([np.bincount(at, value, len(LEVELS) - 1) for value in (None, *values)])


def strength(found: np.ndarray) -> np.ndarray | None:
    """Mean magnitude of each octave at each level, float ``[octaves, levels]``, of `magnitudes`; None where too little is
    seen."""
    known = found[0] >= LEAST
    if not known.any():
        return None
    levels = np.arange(len(LEVELS) - 1)
    means = found[1:, known] / found[0, known]
    return np.stack([np.interp(levels, levels[known], row) for row in means])


def by_level(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    """float32 like ``level`` (uint8): values of the levels, linear between their middles."""
    return cv2.LUT(level, np.interp(np.arange(256), _MIDDLES, values).astype(np.float32))
