"""Are masses under colour painted away? How much of a mass's contrast to the blood around it a translation keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from data_pipeline.schema import LABELS

MASS = LABELS.index("other")
BLOOD = tuple(LABELS.index(name) for name in ("lv", "la", "rv", "ra"))
AROUND_PX = 6
"""Blood this near to the mass is what it stands out from."""
ENOUGH_PX = 12
"""Fewer hidden pixels of a mass in a frame, or of blood around it, decide nothing."""
KEPT = 0.5
"""A mass counts as kept when this share of its true contrast is there."""
FAINT = 8.0
"""Grey levels of 255: a true contrast below this could not be seen without colour either, and is left out."""


@dataclasses.dataclass(frozen=True)
class MassRecall:
    """``kept``: share of frames in which the mass is kept; ``contrast``: mean share of the true contrast, clipped to 0..1;
    ``frames``, ``clips``: how many were judged."""

    kept: float
    contrast: float
    frames: int
    clips: int


def mass_recall(clips: Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]]) -> MassRecall:
    """Judge translations of clips whose labels show a mass.

    Args:
      clips: pairs of an example (``grey [T, H, W, 1]``, ``labels``, ``hidden`` ``[T, H, W]``, uint8) and its translation
        uint8 ``[T, H, W]``. The part of the mass that colour hides is judged, frame by frame.

    Raises:
      ValueError: No frame of any clip can be judged.
    """
    shares: list[np.ndarray] = []
    for example, grey in clips:
        found = _contrast_shares(example, grey)
        if found.size:
            shares.append(found)
    if not shares:
        raise ValueError("no frame shows a mass that colour hides; give clips with the label 'other' under colour")
    every = np.concatenate(shares)
    return MassRecall(
        kept=float(np.mean(every >= KEPT)),
        contrast=float(np.mean(np.clip(every, 0.0, 1.0))),
        frames=len(every),
        clips=len(shares),
    )


def _contrast_shares(example: Mapping[str, np.ndarray], grey: np.ndarray) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * AROUND_PX + 1, 2 * AROUND_PX + 1))
    shares = []
    for truth, labels, hidden, found in zip(example["grey"][..., 0], example["labels"], example["hidden"], grey):
        mass = labels == MASS
        under = mass & (hidden > 0)
        if under.sum() < ENOUGH_PX:
            continue
        around = (cv2.dilate(mass.astype(np.uint8), kernel) > 0) & np.isin(labels, BLOOD)
        if around.sum() < ENOUGH_PX:
            continue
        true = float(truth[under].mean()) - float(truth[around].mean())
        if true < FAINT:
            continue
        shares.append((float(found[under].mean()) - float(found[around].mean())) / true)
    return np.asarray(shares)
