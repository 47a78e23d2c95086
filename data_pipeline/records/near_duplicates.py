"""Clips in different splits that show the same picture: a leak that patient ids cannot reveal.

Re-exports, copies under another id, crops: their mean frames nearly agree. Two clips are reported when the normalised
cross-correlation of their mean frames, reduced to 32 x 32, exceeds 0.98 after what all clips have in common (the
sector) is taken out.
"""

from __future__ import annotations

import base64
import os

import cv2
import numpy as np
import scipy.spatial

SIDE = 32
THRESHOLD = 0.98
MAX_REPORTED = 1000
_AXES = 12
"""Principal axes the search tree is built on: enough to tell most clips apart, few enough for a tree to help."""
_BLOCK = 256
_COMPARED = 1 << 14
"""Images that are compared at once: bounds what is held."""


def pixels(text: str) -> bytes:
    """The bytes of a `thumbnail`, black where there is none."""
    return base64.b64decode(text) if text else bytes(SIDE * SIDE)


def thumbnail(grey: np.ndarray) -> str:
    """The mean frame of ``grey [T, H, W, 1]`` as ``SIDE x SIDE`` bytes in base 64."""
    mean = grey[..., 0].mean(axis=0, dtype=np.float32)
    small = cv2.resize(mean, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.rint(small).astype(np.uint8).tobytes()).decode()


def find(images: np.ndarray | Stored, splits: np.ndarray) -> list[tuple[int, int]]:
    """Near-duplicates in different splits, as places in ``images``, at most `MAX_REPORTED`; found in about n log n.

    Unit vectors that correlate by more than c lie closer than ``sqrt(2 - 2 c)``, and no projection moves them apart: a
    k-d tree on a few principal axes misses none, and what it offers is compared in full.

    Args:
        images: uint8 ``[N, SIDE * SIDE]``, whose rows are read as they are needed.
        splits: ``[N]``, of each image.
    """
    if len(set(splits)) < 2:
        return []
    unit = _Units(images)
    points = unit.on_axes()
    radius = float(np.sqrt(2 - 2 * THRESHOLD)) + 1e-4
    found: set[tuple[int, int]] = set()
    names = sorted(set(splits), key=lambda name: int((splits == name).sum()))
    for place, one in enumerate(names[:-1]):
        rest, own = np.flatnonzero(np.isin(splits, names[place + 1 :])), np.flatnonzero(splits == one)
        tree = scipy.spatial.KDTree(points[rest])
        for first in range(0, len(own), _BLOCK):
            block = own[first : first + _BLOCK]
            for clip, near in zip(block, tree.query_ball_point(points[block], radius)):
                for part in range(0, len(near), _COMPARED):
                    others = rest[near[part : part + _COMPARED]]
                    for other in others[unit[others] @ unit[[clip]][0] > THRESHOLD]:
                        found.add((min(int(clip), int(other)), max(int(clip), int(other))))
                if len(found) >= MAX_REPORTED:
                    return sorted(found)[:MAX_REPORTED]
    return sorted(found)


class Stored:
    """Rows of uint8 ``[N, SIDE * SIDE]`` that lie in a file, in the order of ``places`` there."""

    def __init__(self, path: str | os.PathLike[str], places: np.ndarray) -> None:
        self._path, self._places = path, places
        self.shape = (len(places), SIDE * SIDE)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, which) -> np.ndarray:
        places = self._places[which]
        first = int(places.min())
        if int(places.max()) - first < 2 * len(places):
            rows = np.fromfile(
                self._path, np.uint8, (int(places.max()) - first + 1) * SIDE * SIDE, offset=first * SIDE * SIDE
            )
            return rows.reshape(-1, SIDE * SIDE)[places - first]
        return np.memmap(self._path, np.uint8, "r").reshape(-1, SIDE * SIDE)[places]  # the map goes when this returns


class _Units:
    """Images as unit vectors without what all have in common, float32, made when they are asked for."""

    def __init__(self, images: np.ndarray | Stored) -> None:
        self._images = images
        self._mean = np.zeros(images.shape[1], np.float32)
        if len(images) >= 50:  # with few clips their mean would take out the clips themselves
            total = np.zeros(images.shape[1])
            for first in range(0, len(images), _COMPARED):
                total += images[first : first + _COMPARED].sum(axis=0, dtype=np.float64)
            self._mean = (total / len(images)).astype(np.float32)

    def __getitem__(self, places) -> np.ndarray:
        images = self._images[places].astype(np.float32) - self._mean
        images -= images.mean(axis=1, keepdims=True)
        return images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-6)

    def on_axes(self) -> np.ndarray:
        """All of them on the principal axes of some, float32 ``[N, axes]``."""
        n = len(self._images)
        some = self[slice(None, None, max(1, n // 4096))]
        axes = np.linalg.eigh(some.T @ some)[1][:, -_AXES:]
        return np.concatenate([self[slice(first, first + _COMPARED)] @ axes for first in range(0, n, _COMPARED)])
