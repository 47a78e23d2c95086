"""Are chambers invented where there is tissue, or closed where there is blood? Under colour, against the simulator's labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from data_pipeline.schema import LABELS, SECTOR

BLOOD = tuple(LABELS.index(name) for name in ("lv", "la", "rv", "ra", "vessel"))
NEIGHBOURHOOD_PX = 5
"""Grey levels are averaged over a square of this side: a single grain of speckle is no chamber."""
CLEAR = 0.25
"""Share of the contrast between blood and tissue by which truth must lie beyond the middle to count as either."""
FAINT = 16.0
"""Grey levels of 255: clips whose blood and tissue differ by less are left out; nobody could tell them apart."""


@dataclasses.dataclass(frozen=True)
class LumenErrors:
    """``invented``: share of hidden tissue that came out as dark as blood; ``closed``: share of hidden blood that came out
    as bright as tissue; both are None where there was nothing of the kind. ``clips``: how many were judged."""

    invented: float | None
    closed: float | None
    clips: int


def lumen_errors(clips: Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]]) -> LumenErrors:
    """Judge translations of clips with labels.

    Args:
      clips: pairs of an example (``grey [T, H, W, 1]``, ``labels``, ``strata``, ``hidden`` ``[T, H, W]``, uint8) and its
        translation uint8 ``[T, H, W]``.

    Raises:
      ValueError: No clip shows blood and tissue of different brightness.
    """
    wrong, total, judged = np.zeros(2), np.zeros(2), 0
    for example, grey in clips:
        truth = example["grey"][..., 0]
        blood = np.isin(example["labels"], BLOOD)
        tissue = ((example["strata"] & SECTOR) > 0) & ~blood
        if not blood.any() or not tissue.any():
            continue
        dark, bright = float(truth[blood].mean()), float(truth[tissue].mean())
        if bright - dark < FAINT:
            continue
        judged += 1
        middle, clear = (bright + dark) / 2, CLEAR * (bright - dark)
        real, found = _smooth(truth), _smooth(grey)
        hidden = example["hidden"] > 0
        kinds = (hidden & tissue & (real > middle + clear), hidden & blood & (real < middle - clear))
        for i, (kind, missed) in enumerate(zip(kinds, (found < middle, found > middle))):
            wrong[i] += np.count_nonzero(kind & missed)
            total[i] += np.count_nonzero(kind)
    if not judged:
        raise ValueError("no clip shows blood darker than tissue; give simulated clips with their labels")
    invented, closed = (float(w / t) if t else None for w, t in zip(wrong, total))
    return LumenErrors(invented=invented, closed=closed, clips=judged)


def _smooth(clip: np.ndarray) -> np.ndarray:
    size = (NEIGHBOURHOOD_PX, NEIGHBOURHOOD_PX)
    return np.stack([cv2.blur(frame.astype(np.float32), size) for frame in clip])
