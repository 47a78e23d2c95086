"""What may be seen of a screen: the sector, without text that was burned into it. One rule for every kind of output."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.burned_text import find_burned_text

_FANS = ("phased", "curvilinear", "linear")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cleaning:
    """Blackens frames of one clip.

    Attributes:
      keep: bool [H, W].
      doubtful: no fan was fitted, or text-like marks are left: text may still be legible.
    """

    keep: np.ndarray
    doubtful: bool

    @staticmethod
    def of(samples: np.ndarray, analysis: FlowAnalysis) -> Cleaning:
        """From frames uint8 [T, H, W, 3] spread over the clip and what was found in it."""
        text = find_burned_text(samples, analysis.sector)
        keep = analysis.sector & ~text
        left = find_burned_text(samples * keep[None, ..., None].astype(np.uint8), keep) if text.any() else text
        return Cleaning(keep=keep, doubtful=analysis.geometry.kind not in _FANS or bool(left.any()))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """A frame uint8 [H, W] or [H, W, 3], black where it is not kept."""
        keep = self.keep if frame.ndim == 2 else self.keep[..., None]
        return frame * keep.astype(np.uint8)
