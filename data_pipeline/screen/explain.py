"""A picture of what the analysis saw: sector, box, hidden pixels and marks drawn over frames of a clip."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.kind import in_words

COLOURS = {"sector": (255, 220, 0), "box": (0, 160, 255), "flow": (255, 0, 255), "outline": (0, 255, 0)}
"""RGB of what is drawn."""


def explained(frame: np.ndarray, strata: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] with flow and outline tinted, sector and box as lines; strata uint8 [H, W]."""
    drawn = frame.copy()
    for flag, name in ((FLOW, "flow"), (OUTLINE, "outline")):
        where = (strata & flag) > 0
        drawn[where] = (0.35 * drawn[where] + 0.65 * np.array(COLOURS[name])).astype(np.uint8)
    for mask, name in ((sector, "sector"), ((strata & BOX) > 0, "box")):
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines, -1, COLOURS[name], 1)
    return drawn


def explain_picture(frames: np.ndarray, analysis: FlowAnalysis, *, moments: int = 3) -> np.ndarray:
    """uint8 [h, w, 3]: some frames above, the same explained below, and the verdict in words.

    Args:
      frames: uint8 [T, H, W, 3] RGB, those that were analysed.
    """
    at = np.unique(np.linspace(0, len(frames) - 1, moments).round().astype(int))
    columns = [
        np.concatenate([frames[k], explained(frames[k], analysis.strata[k], analysis.sector)]) for k in at
    ]  # fmt: skip
    picture = np.concatenate(columns, axis=1)
    foot = np.zeros((40, picture.shape[1], 3), np.uint8)
    words = f"{in_words(analysis.kind, analysis.score)}: {analysis.reason}"
    cv2.putText(foot, words, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    x = 6
    for name, colour in COLOURS.items():
        cv2.putText(foot, name, (x, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
        x += 12 * len(name) + 16
    return np.concatenate([picture, foot])
