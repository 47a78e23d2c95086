"""Clips in different splits that show the same picture: a leak that patient ids cannot reveal.

Re-exports, copies under another id, crops: their mean frames nearly agree. Two clips are reported when the normalised
cross-correlation of their mean frames, reduced to 32 x 32, exceeds 0.98 after what all clips have in common (the
sector) is taken out.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
import scipy.spatial

SIDE = 32
THRESHOLD = 0.98
MAX_REPORTED = 1000
_AXES = 12
"""Principal axes the search tree is built on: enough to tell most clips apart, few enough for a tree to help."""
_BLOCK = 256


def thumbnail(grey: np.ndarray) -> str:
    """The mean frame of ``grey [T, H, W, 1]`` as ``SIDE x SIDE`` bytes in base 64."""
    mean = grey[..., 0].mean(axis=0, dtype=np.float32)
    small = cv2.resize(mean, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.rint(small).astype(np.uint8).tobytes()).decode()


def find(clips: Sequence[tuple[str, str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of ids of near-duplicates in different splits, at most `MAX_REPORTED`, found in about n log n.

    Unit vectors that correlate by more than c lie closer than ``sqrt(2 - 2 c)``, and no projection moves them apart: a
    k-d tree on a few principal axes misses none, and what it offers is compared in full.

    Args:
        clips: ``(clip_id, split, thumbnail)``.
    """
    splits = np.array([split for _, split, _ in clips])
    if len(set(splits)) < 2:
        return ()
    images = np.stack([np.frombuffer(base64.b64decode(text), np.uint8) for _, _, text in clips]).astype(np.float32)
    # With few clips their mean would take out the clips themselves.
    if len(clips) >= 50:
        images -= images.mean(axis=0)
    images -= images.mean(axis=1, keepdims=True)
    images /= np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-6)
    some = images[:: max(1, len(images) // 4096)]
    points = images @ np.linalg.eigh(some.T @ some)[1][:, -_AXES:]
    radius = float(np.sqrt(2 - 2 * THRESHOLD)) + 1e-4
    found: set[tuple[str, str]] = set()
    names = sorted(set(splits), key=lambda name: int((splits == name).sum()))
    for place, one in enumerate(names[:-1]):
        rest, own = np.flatnonzero(np.isin(splits, names[place + 1 :])), np.flatnonzero(splits == one)
        tree = scipy.spatial.KDTree(points[rest])
        for first in range(0, len(own), _BLOCK):
            block = own[first : first + _BLOCK]
            for clip, near in zip(block, tree.query_ball_point(points[block], radius)):
                others = rest[near]
                for other in others[images[others] @ images[clip] > THRESHOLD]:
                    found.add(tuple(sorted((clips[clip][0], clips[other][0]))))
            if len(found) >= MAX_REPORTED:
                return tuple(sorted(found)[:MAX_REPORTED])
    return tuple(sorted(found))
