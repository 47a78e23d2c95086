"""Contenders that read packed clips in batches: this package's reader, its whole loader, and the page cache alone."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np
from cfd2gray.benchmarks.work import batch_of

from data_pipeline.loading import loader
from data_pipeline.loading.batching import ReusingStack
from data_pipeline.records import example as records
from data_pipeline.records import pack
from data_pipeline.records.tfrecord import ShardSource
from data_pipeline.schema import PairRecord

BATCH = 8
"""Clips."""
SKIP = 3
"""Batches at the start of a turn that do not count: they were prefetched while others had theirs."""
Built = tuple[Callable[[], Any], dict[str, Any]]


def pack_clips(folder: pathlib.Path, *, clips: int, frames: int, size: int, encoding: str) -> None:
    """Write ``clips`` clips to read. Half of a clip is noise, so compression neither shines nor fails."""

    def make() -> Iterator[PairRecord]:
        for number in range(clips):
            arrays = {
                name: value[0] for name, value in batch_of(1, frames, size, seed=number).items() if value.ndim > 3
            }
            yield PairRecord(
                **{name: arrays[name] for name in records.ARRAYS}, clip_id=f"c{number}", patient_id=f"p{number}",
                view="A4C", kind="simulated", shared=True, fps=20.0,
            )  # fmt: skip

    pack.pack(make(), folder, encoding=encoding, shard_mb=64, fractions=[("train", 1.0)], progress=False)


def _batches(iterator: Iterator[Any]) -> Built:
    return lambda: next(iterator), {"units": BATCH, "skip": SKIP}


class _Epoch:
    """A source without its metadata: arrays only, as the other readers hand out."""

    def __init__(self, folder: str):
        self._source = ShardSource(pathlib.Path(folder), "train")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        record = self._source[index]
        return {name: getattr(record, name) for name in records.ARRAYS}


def by_grain(*, folder: str, threads: int) -> Built:
    """Grain over the random-access source, shuffled."""
    dataset = grain.MapDataset.source(_Epoch(folder)).seed(0).shuffle().repeat().batch(BATCH, batch_fn=ReusingStack())
    return _batches(
        iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))
    )


def by_loader(*, folder: str, frames: int, size: int, threads: int) -> Built:
    """Everything training does to a clip: random window, augmentation, resizing, hidden mask."""
    source = ShardSource(pathlib.Path(folder), "train")
    options = {"batch_size": BATCH, "frames": frames, "size": size, "seed": 0, "training": True}
    return _batches(iter(loader.make_loader(source, **options, num_threads=threads)))


def by_page_cache(*, folder: str, clips: int) -> Built:
    """The bytes of a batch through read(), and nothing else."""
    paths = sorted(pathlib.Path(folder).glob("*.tfrecord-?????"))
    each = sum(path.stat().st_size for path in paths) * BATCH / clips

    def read() -> Iterator[None]:
        buffer, left = bytearray(4 << 20), 0.0
        while True:
            for path in paths:
                with open(path, "rb", buffering=0) as file:
                    while count := file.readinto(buffer):
                        left += count
                        while left >= each:
                            left -= each
                            yield None

    return _batches(read())
