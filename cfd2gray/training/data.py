"""The clips of a run: sources from the config, batches on the mesh, and the place in the stream for checkpoints."""

from __future__ import annotations

import collections
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cfd2gray.mesh import batch_sharding
from data_pipeline.loading import loader
from data_pipeline.loading.sources import Mixture, RecordSource, Selection, check_targets
from data_pipeline.loading.transforms import AugmentOptions
from data_pipeline.records.tfrecord import ShardSource
from data_pipeline.schema import VIEWS
from data_pipeline.storage import is_remote, local_or_remote

Batch = Mapping[str, jax.Array]
STEP_KEYS = ("cfd", "grey", "strata", "hidden", "mask")
"""What steps and validation look at, of `data_pipeline.schema.BATCH_KEYS`; the rest stays on the host."""


def _records(config: ml_collections.ConfigDict, split: str) -> RecordSource:
    if not config.data.dir:
        raise ValueError(
            "data.dir is empty; set --config.data.dir to a folder written by `cfd2gray pack` or `simulate`"
        )
    folder = local_or_remote(config.data.dir)
    if not is_remote(folder) and not pathlib.Path(folder).is_dir():
        raise ValueError(f"data.dir: no such folder: {folder}; give one written by `cfd2gray pack` or `simulate`")
    source = ShardSource(folder, split, verify_crc=config.data.verify_crc)
    if len(source) == 0 or (not config.data.views and config.data.targets == "any"):
        return source
    return Selection(source, views=config.data.views, targets=config.data.targets)


def _generated(kind: str) -> Callable[[ml_collections.ConfigDict, str], RecordSource]:
    def make(config: ml_collections.ConfigDict, split: str) -> RecordSource:
        from data_pipeline.simulation import on_the_fly

        unknown = [view for view in config.data.views if view not in VIEWS]
        if unknown:
            raise ValueError(f"data.views must be among {VIEWS[1:]}, got {unknown}")
        check_targets(config.data.targets)
        shared = {"any": {}, "shared": {"shared_share": 1.0}, "restored": {"shared_share": 0.0}}[config.data.targets]
        source, own = {
            "simulation": (on_the_fly.SimulationSource, {"options": on_the_fly.SimulationOptions(**shared)}),
            "painted": (on_the_fly.PaintedSource, shared),
        }[kind]
        return source(
            **own,
            split=split,
            length=config.data.simulated_clips,
            views=tuple(config.data.views) or VIEWS[1:],
            height=config.data.simulated_size or config.data.size,
            width=config.data.simulated_size or config.data.size,
            frames=config.data.frames * config.augment.max_stride,
        )

    return make


SOURCES = {"records": _records, "simulation": _generated("simulation"), "painted": _generated("painted")}


def build_source(config: ml_collections.ConfigDict, split: str) -> RecordSource:
    """The clips of ``split`` that ``config.data.mixture`` asks for.

    Raises:
      ValueError: For an unknown source, a missing folder, or a split without clips.
    """
    parts = []
    for name, weight in config.data.mixture:
        if name not in SOURCES:
            raise ValueError(f"data.mixture knows {sorted(SOURCES)}, got {name!r}")
        parts.append((SOURCES[name](config, split), weight))
    source = parts[0][0] if len(parts) == 1 else Mixture(parts)
    if len(source) == 0:
        raise ValueError(f"the {split!r} split of {config.data.dir} holds no clips")
    return source


def describe_run(config: ml_collections.ConfigDict, source: RecordSource) -> str:
    """One line before the work starts: devices, clips, patients, steps."""
    devices, processes = jax.devices(), jax.process_count()
    patients = _patients(source)
    return (
        f"{len(devices)} x {devices[0].device_kind} in {processes} process{'es' if processes > 1 else ''}; {len(source)} clips"
        f"{f' of {patients} patients' if patients else ''} of {config.data.frames} frames of {config.data.size} px; "
        f"{config.train.steps} steps of {config.data.batch_size} clips"
    )


def _patients(source: RecordSource) -> int:
    """Patients among records; 0 where clips are made while training, which have none."""
    if isinstance(source, ShardSource):
        return source.manifest.counts[source.split]["patients"]
    if isinstance(source, Selection):
        return len({source.ids(index).patient_id for index in range(len(source))})
    return 0


def stream_options(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """What decides the stream of global batches, as `loader.fingerprint` takes it. The machine has no part in it.

    Raises:
      ValueError: When the batch does not split evenly over the devices.
    """
    devices = jax.device_count()
    each = devices * config.train.accumulate
    if config.data.batch_size % each:
        raise ValueError(
            f"data.batch_size must be a multiple of devices x train.accumulate = {devices} x "
            f"{config.train.accumulate}, got {config.data.batch_size}"
        )
    return {
        "batch_size": config.data.batch_size,
        "frames": config.data.frames,
        "size": config.data.size,
        "seed": config.seed,
    }


def training_stream(config: ml_collections.ConfigDict, source: RecordSource, mesh: Mesh) -> Stream:
    """Endless shuffled, augmented batches on the mesh."""
    options, processes = stream_options(config), jax.process_count()
    options["batch_size"] //= processes

    def start(first_batch: int) -> Iterator[Mapping[str, np.ndarray]]:
        dataset = loader.make_loader(
            source,
            **options,
            training=True,
            num_workers=config.data.num_workers,
            num_threads=config.data.num_threads,
            process_index=jax.process_index(),
            process_count=processes,
            augment=AugmentOptions(**config.augment),
            first_batch=first_batch,
        )
        return iter(dataset)

    return Stream(start, mesh, depth=config.data.prefetch)


def evaluation_batches(
    config: ml_collections.ConfigDict, source: RecordSource, mesh: Mesh, keys: Iterable[str] | None = None
) -> Iterator[Batch]:
    """Every clip once, in order, its middle frames; padded batches carry ``mask`` 0. ``keys`` as in `to_mesh`."""
    processes = jax.process_count()
    per_step = -(-config.eval.batch_size // mesh.size) * mesh.size
    dataset = loader.make_loader(
        source,
        batch_size=per_step // processes,
        frames=config.eval.frames,
        size=config.data.size,
        seed=0,
        training=False,
        num_threads=config.data.num_threads,
        process_index=jax.process_index(),
        process_count=processes,
    )
    return (to_mesh(batch, mesh, keys) for batch in dataset)


def to_mesh(batch: Mapping[str, np.ndarray], mesh: Mesh, keys: Iterable[str] | None = None) -> Batch:
    """This process's part of a batch becomes one global array per key (of ``keys``, or all), split over all devices."""
    sharding = batch_sharding(mesh)
    return {key: jax.make_array_from_process_local_data(sharding, batch[key]) for key in keys or batch}


class Stream:
    """Batches kept ready on the devices; knows how many were handed out, not how many were read.

    ``get_state`` and ``set_state`` are what a checkpoint saves and restores: a number of global batches, which means
    the same on any number of processes. ``waited`` is the time in seconds that the training loop has spent waiting here.

    Args:
      start: ``start(k)`` gives this process's part of the global batches from the ``k``-th on.
      mesh: Devices.
      depth: Batches kept ready.
    """

    def __init__(self, start: Callable[[int], Iterator[Mapping[str, np.ndarray]]], mesh: Mesh, *, depth: int):
        self._start, self._mesh, self._depth = start, mesh, max(depth, 1)
        self._iterator: Iterator[Mapping[str, np.ndarray]] | None = None  # workers start with the first batch asked for
        self._ready: collections.deque[Batch] = collections.deque()
        self._given = 0
        self.waited = 0.0

    def __iter__(self) -> Stream:
        return self

    def peek(self) -> Batch:
        """The batch that comes next, without handing it out."""
        if not self._ready:
            self._fill(1)
        return self._ready[0]

    def _fill(self, depth: int) -> None:
        if self._iterator is None:
            self._iterator = self._start(self._given)
        while len(self._ready) < depth:
            self._ready.append(to_mesh(next(self._iterator), self._mesh, STEP_KEYS))

    def __next__(self) -> Batch:
        began = time.perf_counter()
        self._fill(self._depth)
        batch = self._ready.popleft()
        self._given += 1
        self.waited += time.perf_counter() - began
        return batch

    def get_state(self) -> dict[str, int]:
        return {"batches": self._given}

    def set_state(self, state: Mapping[str, int]) -> None:
        self._given = int(state["batches"])
        self._iterator = None
        self._ready.clear()
