"""What a run tells of itself: metrics as numbers, speed, the share of time spent waiting, and that all is finite."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Iterator, Mapping

import jax

from cfd2gray.training.data import Stream
from data_pipeline.mistakes import Mistake


class Diverged(Mistake):
    """A loss term became infinite or not a number."""


def describe(metrics: Mapping[str, float], *, clips_left: int) -> str:
    """One short line for a person; ``clips_left`` are still to be trained on at the speed so far.

    The error that it names can be pictured; the objective can be negative and means nothing by itself (`metrics.jsonl`).
    """
    seconds = round(clips_left / metrics["speed/clips_per_s"])
    error = metrics.get("loss/pixel", metrics.get("loss/pixel_anatomy"))
    shown = f"loss {metrics['loss/total']:.4f}" if error is None else f"error {255 * error:.1f} grey levels"
    return (
        f"{shown}  {metrics['speed/clips_per_s']:.2f} clips/s  "
        f"data-wait {metrics['speed/data_wait_percent']:.0f} %  {datetime.timedelta(seconds=seconds)} left"
    )


class Meter:
    """Turns device scalars into numbers now and then, with speed and the share of time spent waiting for data."""

    def __init__(self, stream: Stream, *, batch_size: int, step: int):
        self._batch, self._stream = batch_size, stream
        self._step, self._time, self._waited = step, time.perf_counter(), stream.waited

    def read(self, step: int, found: Mapping[str, jax.Array]) -> dict[str, float]:
        """Metrics of ``step``; speeds are averages since the last reading.

        Raises:
          Diverged: Naming every metric that is not finite and the steps in which it happened.
        """
        metrics = {name: float(value) for name, value in jax.device_get(dict(found)).items()}
        broken = sorted(name for name, value in metrics.items() if not math.isfinite(value))
        if broken:
            raise Diverged(
                f"training diverged between steps {self._step} and {step}: {', '.join(broken)} not finite; "
                "the last checkpoint is intact. Lower train.learning_rate or the weight of that term"
            )
        now = time.perf_counter()
        span, steps = now - self._time, step - self._step
        if steps:
            metrics["speed/clips_per_s"] = steps * self._batch / span
            metrics["speed/data_wait_percent"] = 100.0 * (self._stream.waited - self._waited) / span
        self._step, self._time, self._waited = step, now, self._stream.waited
        return metrics

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is no training, and counts in no speed."""
        began = time.perf_counter()
        yield
        self._time += time.perf_counter() - began
