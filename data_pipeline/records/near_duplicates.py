"""Clips in different splits that show the same picture: a leak that patient ids cannot reveal.

Re-exports, copies under another id, crops: their mean frames nearly agree. Two clips are reported when the normalised
cross-correlation of their mean frames, reduced to 32 x 32, exceeds 0.98 after what all clips have in common (the
sector) is taken out.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator

import cv2
import numpy as np

SIDE = 32
THRESHOLD = 0.98
MAX_REPORTED = 1000
MISSED = 1e-3
"""Chance that a pair just above the threshold is not found, in sets of more than `_ALL`; for what is more alike it is less."""
_ALL = 2048
"""Clips up to which all are compared with all."""
_AXES = 24
"""Principal axes on which two clips must lie close before they are compared in full."""
_BLOCK = 1 << 12
"""Images that are held at once."""
_SAMPLE = 1024
"""Images, or up to twice as many, that say where the axes lie."""


def pixels(text: str) -> bytes:
    """The bytes of a `thumbnail`, black where there is none."""
    return base64.b64decode(text) if text else bytes(SIDE * SIDE)


def thumbnail(grey: np.ndarray) -> str:
    """The mean frame of ``grey [T, H, W, 1]`` as ``SIDE x SIDE`` bytes in base 64."""
    mean = grey[..., 0].mean(axis=0, dtype=np.float32)
    small = cv2.resize(mean, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.rint(small).astype(np.uint8).tobytes()).decode()


def find(images: np.ndarray | Stored, splits: np.ndarray) -> list[tuple[int, int]]:
    """Near-duplicates in different splits, as places in ``images``, at most `MAX_REPORTED`; in about n log n.

    Clips are hashed by the sides of random planes on which they lie (Charikar 2002): two unit vectors at an angle a share
    a side with probability ``1 - a / pi``. Those that share all sides of one of several such tables are compared.

    Args:
        images: uint8 ``[N, SIDE * SIDE]``, whose rows are read as they are needed.
        splits: ``[N]``, of each image.
    """
    names, split = np.unique(splits, return_inverse=True)
    if len(names) < 2:
        return []
    units = _Units(images)
    points = units.on_axes()
    found: set[tuple[int, int]] = set()
    for one, other in _candidates(units, split):
        near = ((points[one] - points[other]) ** 2).sum(
            axis=1
        ) < 2 - 2 * THRESHOLD + 1e-4  # no projection moves them apart
        for first in range(0, int(near.sum()), _BLOCK):
            left, right = one[near][first : first + _BLOCK], other[near][first : first + _BLOCK]
            alike = np.einsum("ni,ni->n", units[left], units[right]) > THRESHOLD
            found.update((min(pair), max(pair)) for pair in zip(left[alike].tolist(), right[alike].tolist()))
            if len(found) >= MAX_REPORTED:
                return sorted(found)[:MAX_REPORTED]
    return sorted(found)


def _candidates(units: _Units, split: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of places in different splits that share a hash."""
    for codes in _hashes(units):
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        first, step = np.arange(len(codes)), 1
        while len(first):  # neighbours of one hash, then those two places apart, and so on
            first = first[: np.searchsorted(first, len(codes) - step)]
            first = first[codes[first] == codes[first + step]]
            one, other = order[first], order[first + step]
            apart = split[one] != split[other]
            yield one[apart], other[apart]
            step += 1


def _hashes(units: _Units) -> np.ndarray:
    """uint32 ``[tables, N]``."""
    n = len(units)
    if n <= _ALL:
        return np.zeros((1, n), np.uint32)
    bits = math.ceil(math.log2(n)) + 1
    shared = (1 - math.acos(THRESHOLD) / math.pi) ** bits
    tables = math.ceil(math.log(MISSED) / math.log(1 - shared))
    planes = np.random.default_rng(0).standard_normal((SIDE * SIDE, tables * bits), np.float32)
    codes = np.empty((tables, n), np.uint32)
    for first in range(0, n, _BLOCK):
        sides = (units[slice(first, first + _BLOCK)] @ planes > 0).reshape(-1, tables, bits)
        codes[:, first : first + _BLOCK] = (sides @ (1 << np.arange(bits, dtype=np.uint32))).T
    return codes


class Stored:
    """Rows of uint8 ``[N, SIDE * SIDE]`` that lie in a file, in the order of ``places`` there."""

    def __init__(self, path: str | os.PathLike[str], places: np.ndarray) -> None:
        self._path, self._places = path, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, which) -> np.ndarray:
        places, size = self._places[which], SIDE * SIDE
        first, last = int(places.min()), int(places.max())
        if last - first < 2 * len(places):
            rows = np.fromfile(self._path, np.uint8, (last - first + 1) * size, offset=first * size)
            return rows.reshape(-1, size)[places - first]
        with open(self._path, "rb") as file:  # a map would count all its pages as ours
            rows = b"".join(os.pread(file.fileno(), size, int(place) * size) for place in places)
        return np.frombuffer(rows, np.uint8).reshape(-1, size)


class _Units:
    """Images as unit vectors without what all have in common, float32, made when they are asked for."""

    def __init__(self, images: np.ndarray | Stored) -> None:
        self._images = images
        self._mean = np.zeros(SIDE * SIDE, np.float32)
        if len(images) >= 50:  # with few clips their mean would take out the clips themselves
            total = np.zeros(SIDE * SIDE)
            for first in range(0, len(images), _BLOCK):
                total += images[first : first + _BLOCK].sum(axis=0, dtype=np.float64)
            self._mean = (total / len(images)).astype(np.float32)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, places) -> np.ndarray:
        images = self._images[places].astype(np.float32) - self._mean
        images -= images.mean(axis=1, keepdims=True)
        return images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-6)

    def on_axes(self) -> np.ndarray:
        """All of them on orthonormal axes, nearly the principal ones of some, float32 ``[N, axes]``."""
        n = len(self)
        some = self[slice(None, None, max(1, n // _SAMPLE))].astype(float)
        axes = np.random.default_rng(0).standard_normal((SIDE * SIDE, _AXES))
        for _ in range(
            4
        ):  # block power iteration (Halko et al. 2011); axes that are only nearly principal prune as truly
            axes = some.T @ (some @ axes)
            sizes, mixed = np.linalg.eigh(axes.T @ axes)
            kept = sizes > 1e-10 * sizes.max(initial=1e-6)  # few images span few axes
            axes = axes @ (mixed[:, kept] / np.sqrt(sizes[kept]))
        axes = axes.astype(np.float32)
        points = np.empty((n, axes.shape[1]), np.float32)
        for first in range(0, n, _BLOCK):
            points[first : first + _BLOCK] = self[slice(first, first + _BLOCK)] @ axes
        return points
