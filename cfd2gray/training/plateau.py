"""Early stopping: has the validation score stopped rising?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from data_pipeline.mistakes import Mistake

SCORE = "val/ssim_flow"
"""SSIM under colour of the averaged generator on validation patients."""


class Plateau:
    """Counts evaluations since the best one.

    Attributes:
      best_step: Step of the best evaluation; None before the first.

    Args:
      patience: Evaluations without a better score after which it is reached; 0: never.
      history: Metrics so far, so that a resumed run counts on.
    """

    def __init__(self, patience: int, history: Iterable[Mapping[str, float]] = ()):
        if patience < 0:
            raise Mistake(f"eval.patience must not be negative, got {patience}")
        self._patience, self._best, self._since = patience, -math.inf, 0
        self.best_step: int | None = None
        for metrics in history:
            self.add(metrics)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Take in an evaluation with its ``step``; metrics without the score are passed over."""
        score = metrics.get(SCORE)
        if score is None or not math.isfinite(score):
            return
        self._since += 1
        if score > self._best:
            self._best, self._since, self.best_step = score, 0, int(metrics["step"])

    @property
    def reached(self) -> bool:
        return 0 < self._patience <= self._since
