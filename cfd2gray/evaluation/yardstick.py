"""The redrawn speckle of simulated clips: the same anatomy, simulated again with speckle that no model can know.

What right anatomy alone scores is less than 1. The simulator can say how much less; of an acquired clip nobody can. It is no
upper bound: where tissue that colour hides is seen in other frames, its speckle can be recovered by following it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from data_pipeline.loading.sources import RecordSource
from data_pipeline.loading.transforms import ToExample
from data_pipeline.schema import PairRecord
from data_pipeline.simulation.plan import SIMULATOR_VERSION
from data_pipeline.simulation.simulator import row_of_seed, simulate_truths

Redraw = Callable[[int], np.ndarray | None]
"""Index of a clip -> uint8 ``[K, T, H, W]``, its truth with K other draws of speckle; ``None`` where that is unknown."""


def redraws(record: PairRecord, *, count: int, frames: int, size: int) -> np.ndarray | None:
    """``count`` draws of a simulated record's truth, cut and resized as `ToExample` does with the record itself.

    Args:
      record: any record; what it was made with is read from its ``params``.
      count: draws of speckle.
      frames, size: of an evaluated clip.

    Returns:
      uint8 ``[count, frames, size, size]``. ``None`` when the record is not simulated, or by another version of the
      simulator or with options of its own, so that it cannot be made again: its identity is compared first.
    """
    made = record.params
    if record.kind != "simulated" or made.get("simulator_version") != SIMULATOR_VERSION:
        return None
    n_frames, height, width, _ = record.cfd.shape
    seed, split = int(made["seed"]), str(made["split"])
    request = {"height": height, "width": width, "frames": n_frames, "split": split}
    if row_of_seed(record.view, seed, **request).clip_id != record.clip_id:
        return None
    example = ToExample(frames, size)
    truths = simulate_truths(record.view, seed, count=count, **request)
    return np.stack([example.map(dataclasses.replace(record, grey=truth))["grey"][..., 0] for truth in truths])


def redraw_from(source: RecordSource, *, count: int, frames: int, size: int) -> Redraw | None:
    """`redraws` by the index of a clip in ``source``; ``None`` when ``count`` is 0."""
    if count < 0:
        raise ValueError(f"the number of speckle draws must not be negative, got {count}")
    if not count:
        return None

    def redraw(index: int) -> np.ndarray | None:
        if source.ids(index).kind != "simulated":
            return None
        return redraws(source[index], count=count, frames=frames, size=size)

    return redraw
