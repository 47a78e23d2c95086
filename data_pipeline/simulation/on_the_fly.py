"""Pairs made on the fly: random-access sources for the loader, and the painter as a Grain transform.

Element ``i`` is a pure function of (versions, split, seed, options, i). Seeds are laid out so that nothing is shared:
``split`` offsets the simulator's generator by ``2**40`` (`simulator.SEEDS_PER_SPLIT`), ``seed`` (below ``2**16``) by
``2**24``, and ``i`` (below ``2**24``) counts up from there.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from data_pipeline.loading.sources import RecordSource
from data_pipeline.records.manifest import ClipRow
from data_pipeline.schema import SPLITS, VIEWS, PairRecord
from data_pipeline.simulation.painter import (
    PAINTER_VERSION,
    TRAIN,
    PainterOptions,
    paint_pair,
    painted_id,
    painted_vendor,
)
from data_pipeline.simulation.simulator import (
    SIMULATOR_VERSION,
    SimulationOptions,
    row_of_seed,
    simulate_grey,
    simulate_pair,
)

MAX_LENGTH = 1 << 24
MAX_SEED = 1 << 16
ALL_VIEWS = tuple(view for view in VIEWS if view != "UNKNOWN")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationSource:
    """Simulated pairs; views take turns.

    Attributes:
      split: ``train``, ``val`` or ``test``: disjoint seeds.
      length: clips in the source, 1..2**24.
      views: a subset of the simulator's views.
      seed: 0..65535; different seeds share no clip.
      height, width, frames: size of a clip.
      options: see `SimulationOptions`.
    """

    split: str = "train"
    length: int = 10_000
    views: tuple[str, ...] = ALL_VIEWS
    seed: int = 0
    height: int = 128
    width: int = 128
    frames: int = 32
    options: SimulationOptions = SimulationOptions()

    def __post_init__(self) -> None:
        _check_plan(self.split, self.length, self.views, self.seed)

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"simulation {SIMULATOR_VERSION} {self!r}".encode()).hexdigest()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> PairRecord:
        view, seed = self._place(index)
        return simulate_pair(view, seed, **self._arguments())

    def ids(self, index: int) -> ClipRow:
        view, seed = self._place(index)
        return row_of_seed(view, seed, **self._arguments())

    def _place(self, index: int) -> tuple[str, int]:
        return _place(index, self.length, self.views, self.seed)

    def _arguments(self) -> dict:
        return {
            "height": self.height, "width": self.width, "frames": self.frames, "options": self.options,
            "split": self.split,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintedSource:
    """Colour painted over greyscale clips: those of ``greys``, or simulated ones when ``greys`` is ``None``.

    Attributes:
      greys: records whose ``grey`` is painted over (their colour, if any, is not used); clip ``i`` takes record
        ``i % len(greys)`` with a paint of its own.
      options: see `PainterOptions`; ``shared_share`` of the clips have a shared target.
      split, length, seed: as in `SimulationSource`; views, height, width, frames: of simulated greys.
    """

    greys: RecordSource | None = None
    split: str = "train"
    length: int = 10_000
    views: tuple[str, ...] = ALL_VIEWS
    seed: int = 0
    height: int = 128
    width: int = 128
    frames: int = 32
    options: PainterOptions = TRAIN
    shared_share: float = 0.8

    def __post_init__(self) -> None:
        _check_plan(self.split, self.length, self.views, self.seed)
        if self.greys is not None and len(self.greys) == 0:
            raise ValueError("PaintedSource.greys must hold at least one record, got an empty source")

    @property
    def digest(self) -> str:
        base = self.greys.digest if self.greys is not None else f"simulation {SIMULATOR_VERSION}"
        plain = dataclasses.replace(self, greys=None)
        return hashlib.sha256(f"painted {PAINTER_VERSION} {base} {plain!r}".encode()).hexdigest()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> PairRecord:
        view, seed = _place(index, self.length, self.views, self.seed)
        paint_seed = self._paint_seed(seed)
        if self.greys is not None:
            record = self.greys[index % len(self.greys)]
            return paint_record(record, paint_seed, options=self.options, shared=self._shared(paint_seed))
        row = self._grey_row(view, seed)
        base = simulate_grey(view, seed, **self._arguments())
        return paint_pair(
            base.grey, paint_seed, fps=base.fps, fan=base.fan, options=self.options, clip_id=row.clip_id,
            patient_id=row.patient_id, view=view, shared=self._shared(paint_seed), phase=base.phase, labels=base.labels,
        )  # fmt: skip

    def ids(self, index: int) -> ClipRow:
        view, seed = _place(index, self.length, self.views, self.seed)
        paint_seed = self._paint_seed(seed)
        base = self._grey_row(view, seed) if self.greys is None else self.greys.ids(index % len(self.greys))
        shared = self._shared(paint_seed)
        return dataclasses.replace(
            base, clip_id=painted_id(base.clip_id, paint_seed, self.options, shared), kind="painted", shared=shared,
            vendor=painted_vendor(paint_seed, self.options), split=self.split, shard=-1, record=-1, source_digest="",
        )  # fmt: skip

    def _paint_seed(self, seed: int) -> int:
        return SPLITS.index(self.split) * (1 << 40) + seed

    def _shared(self, paint_seed: int) -> bool:
        return bool(np.random.default_rng([paint_seed, 5]).random() < self.shared_share)

    def _grey_row(self, view: str, seed: int) -> ClipRow:
        return row_of_seed(view, seed, **self._arguments())

    def _arguments(self) -> dict:
        return {"height": self.height, "width": self.width, "frames": self.frames, "split": self.split}


def paint_record(record: PairRecord, seed: int, *, options: PainterOptions = TRAIN, shared: bool = True) -> PairRecord:
    """`paint_pair` over ``record.grey``; view, patient and labels are kept, an unknown sector is fitted."""
    known = record.geometry.depth[1] > record.geometry.depth[0]
    return paint_pair(
        record.grey, seed, fps=record.fps, fan=record.geometry if known else None, options=options,
        clip_id=record.clip_id, patient_id=record.patient_id, view=record.view, shared=shared, labels=record.labels,
    )  # fmt: skip


def _place(index: int, length: int, views: tuple[str, ...], seed: int) -> tuple[str, int]:
    index = int(index)
    if not 0 <= index < length:
        raise IndexError(f"clip {index} of a source of {length}")
    return views[index % len(views)], seed * MAX_LENGTH + index


def _check_plan(split: str, length: int, views: tuple[str, ...], seed: int) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError(f"length must lie in 1..{MAX_LENGTH}, got {length}")
    if not 0 <= seed < MAX_SEED:
        raise ValueError(f"seed must lie in 0..{MAX_SEED - 1}, got {seed}")
    unknown = [view for view in views if view not in ALL_VIEWS]
    if unknown or not views:
        raise ValueError(f"views must be a non-empty subset of {ALL_VIEWS}, got {views}")
