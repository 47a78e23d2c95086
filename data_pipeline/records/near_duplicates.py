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

SIDE = 32
THRESHOLD = 0.98
MAX_REPORTED = 1000
_BLOCK = 2048


def thumbnail(grey: np.ndarray) -> str:
    """The mean frame of ``grey [T, H, W, 1]`` as ``SIDE x SIDE`` bytes in base 64."""
    mean = grey[..., 0].mean(axis=0, dtype=np.float32)
    small = cv2.resize(mean, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.rint(small).astype(np.uint8).tobytes()).decode()


def find(clips: Sequence[tuple[str, str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of ids of near-duplicates in different splits, at most `MAX_REPORTED`.

    Args:
        clips: ``(clip_id, split, thumbnail)``.
    """
    if len({split for _, split, _ in clips}) < 2:
        return ()
    images = np.stack([np.frombuffer(base64.b64decode(text), np.uint8) for _, _, text in clips]).astype(np.float32)
    # With few clips their mean would take out the clips themselves.
    if len(clips) >= 50:
        images -= images.mean(axis=0)
    images -= images.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(images, axis=1, keepdims=True)
    images /= np.maximum(norms, 1e-6)
    split = np.unique([name for _, name, _ in clips], return_inverse=True)[1]
    found: list[tuple[str, str]] = []
    for row in range(0, len(clips), _BLOCK):
        for column in range(row, len(clips), _BLOCK):
            alike = images[row : row + _BLOCK] @ images[column : column + _BLOCK].T > THRESHOLD
            alike &= split[row : row + _BLOCK, None] != split[None, column : column + _BLOCK]
            for i, j in zip(*np.nonzero(alike)):
                if row + i < column + j:
                    found.append(tuple(sorted((clips[row + i][0], clips[column + j][0]))))
                if len(found) == MAX_REPORTED:
                    return tuple(sorted(found))
    return tuple(sorted(found))
