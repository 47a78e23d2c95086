"""Fresh noise for every frame at little cost: patches cut from larger tiles, at random places and mirrored."""

from __future__ import annotations

import numpy as np

from data_pipeline.simulation.fields import noise_field

_SIDE = 2.5  # side of a tile over that of a patch: neighbouring frames seldom overlap, and are shifted where they do


class NoiseBank:
    """Stationary Gaussian noise of mean 0 and standard deviation 1, one tile per kernel."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        """``shape``: of every patch, ``(h, w)``."""
        self._rng, self._shape = rng, shape
        self._tile_shape = tuple(int(_SIDE * n) + 1 for n in shape)
        self._tiles: dict[tuple[float, float], np.ndarray] = {}

    def draw(self, axial: float = 0.0, lateral: float = 0.0) -> np.ndarray:
        """Noise blurred with these standard deviations in samples (0: white): float32 ``[h, w]``, read-only."""
        kernel = (axial, lateral)
        if kernel not in self._tiles:
            white = kernel == (0.0, 0.0)
            tile = self._rng.standard_normal(self._tile_shape, np.float32) if white else self._smooth(axial, lateral)
            tile.flags.writeable = False
            self._tiles[kernel] = tile
        (h, w), (height, width) = self._shape, self._tile_shape
        place = self._rng.random(3)
        y, x, turn = int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1)), int(place[2] * 4)
        patch = self._tiles[kernel][y : y + h, x : x + w]
        return patch[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]

    def _smooth(self, axial: float, lateral: float) -> np.ndarray:
        return np.ascontiguousarray(noise_field(self._rng, self._tile_shape, axial, lateral))
