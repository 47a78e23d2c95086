"""Simulated pairs as training records, or as clips to look at and to test other software with."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from data_pipeline.schema import SPLITS, VIEWS, PairRecord
from data_pipeline.simulation.simulator import SimulationOptions, simulate_pair


@dataclasses.dataclass(frozen=True)
class SimulationJob:
    """One simulated clip to be packed: picklable, and the same bytes whenever and wherever it runs."""

    view: str
    seed: int
    height: int
    width: int
    frames: int
    split: str
    screen: bool = False

    def __call__(self) -> PairRecord:
        options = SimulationOptions(screen=self.screen)
        record = simulate_pair(
            self.view,
            self.seed,
            height=self.height,
            width=self.width,
            frames=self.frames,
            options=options,
            split=self.split,
        )
        return dataclasses.replace(record, params=record.params | {"split": self.split})


def simulation_jobs(
    *,
    views: Sequence[str],
    clips: dict[str, int],
    size: int,
    frames: int,
    seed: int = 0,
    screen: bool = False,
) -> list[SimulationJob]:
    """Jobs for ``clips[split]`` clips per split, views in turn, every clip another patient.

    Raises:
      ValueError: For unknown views or splits, or numbers below 1.
    """
    unknown = [view for view in views if view not in VIEWS[1:]]
    if unknown or not views:
        raise ValueError(f"view must be among {', '.join(VIEWS[1:])}; got {', '.join(unknown) or 'none'}")
    if set(clips) - set(SPLITS) or min(clips.values(), default=0) < 0 or sum(clips.values()) < 1:
        raise ValueError(f"clips must be positive numbers for splits among {SPLITS}, got {clips}")
    if size < 32 or frames < 1:
        raise ValueError(f"size must be at least 32 px and frames at least 1, got {size} and {frames}")
    return [
        SimulationJob(view, seed + number, size, size, frames, split, screen)
        for split, count in clips.items()
        for number, view in zip(range(count), itertools.cycle(views))
    ]
