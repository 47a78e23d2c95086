"""The one Grain chain: shuffle, decode, augment, batch, shard by process, worker processes; checkpointable.

    source -> seed -> shuffle -> repeat -> RandomClip -> ToExample -> Augment -> batch -> batches of this process
           -> reader threads -> worker processes

Batches are dealt to the processes in turn, after everything random: batch ``k`` of every process together is the same
clips in the same order with the same augmentation, whatever the number of processes, threads and workers. (Nothing is
read in vain: the chain is random access, and only what is asked for is made.) So the number of batches handed out is the
whole place in the stream: ``first_batch`` continues there, on other processes and workers too.

Grain's own iterator state continues bit for bit as well, but not when the number of workers changes in between (Grain
then hands out wrong data without an error); who stores it keeps a `fingerprint` and compares it first.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from typing import Any

import cv2
import grain
from absl import flags

from data_pipeline.loading.batching import ReusingStack
from data_pipeline.loading.sources import Indexed, RecordSource
from data_pipeline.loading.transforms import Augment, AugmentOptions, RandomClip, ToExample
from data_pipeline.schema import SCHEMA_VERSION


def make_loader(
    source: RecordSource,
    *,
    batch_size: int,
    frames: int,
    size: int,
    seed: int,
    training: bool,
    num_workers: int = 0,
    num_threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
    augment: AugmentOptions | None = None,
    num_epochs: int | None = None,
    first_batch: int = 0,
) -> grain.IterDataset:
    """Batches of a source: dicts of NumPy arrays with the keys of `schema.BATCH_KEYS`.

    ``iter()`` of the result has ``get_state`` and ``set_state``. In training the order is shuffled anew each epoch, the
    stream is endless unless ``num_epochs`` is given, and incomplete batches are dropped. In evaluation every clip
    comes once, in order, its middle frames; batches are filled up with clips whose ``mask`` is 0, so that every process
    gets `num_batches` batches of equal shape.

    Args:
        source: the clips.
        batch_size: clips per batch of this process.
        frames: frames per clip.
        size: height and width in px.
        seed: of the order and of the augmentation.
        training: see above.
        num_workers: worker processes; 0 reads in this one. Worth it only where decoding is the bottleneck.
        num_threads: reader threads per worker.
        process_index: which of ``process_count`` equal parts of each global batch this process reads.
        augment: training only; `AugmentOptions()` by default.
        num_epochs: training only; what does not fill a batch on every process at the end is left out.
        first_batch: training only: how many batches to pass over, without reading them.

    Raises:
        ValueError: when an argument is out of range or a share would be empty.
    """
    if min(batch_size, process_count) < 1 or not 0 <= process_index < process_count:
        raise ValueError(
            f"batch_size and process_count must be >= 1 and process_index in 0 .. process_count - 1, "
            f"got {batch_size=}, {process_count=}, {process_index=}"
        )
    if min(num_workers, num_threads) < 0:
        raise ValueError(f"num_workers and num_threads must not be negative, got {num_workers=}, {num_threads=}")
    if not training and (num_epochs not in (None, 1) or first_batch):
        raise ValueError(f"evaluation sees every clip once: leave num_epochs out, got {num_epochs}, {first_batch=}")
    if first_batch < 0:
        raise ValueError(f"first_batch must not be negative, got {first_batch}")
    # Worker processes have to copy their batches into shared memory, and Grain's own stacking does it on the way.
    stack = None if num_workers else ReusingStack()
    if training:
        augment = AugmentOptions() if augment is None else augment
        dataset = _shuffled(source, augment, seed=seed, frames=frames, size=size, num_epochs=num_epochs,
                            least=process_count, batch=batch_size * process_count)  # fmt: skip
        dataset = dataset.batch(batch_size, drop_remainder=True, batch_fn=stack)
        even = len(dataset) // process_count * process_count  # no process may run out before the others
        dataset = dataset.slice(slice(first_batch * process_count + process_index, even, process_count))
    else:
        padded = num_batches(len(source), batch_size=batch_size, process_count=process_count) * batch_size
        dataset = grain.MapDataset.source(Indexed(source, padded * process_count)).map(ToExample(frames, size))
        dataset = dataset.batch(batch_size, batch_fn=stack)
        dataset = dataset.slice(slice(process_index, None, process_count))
    batches = dataset.to_iter_dataset(
        grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads if num_threads else 0)
    )
    if num_workers:
        if not flags.FLAGS.is_parsed():  # Grain reads absl flags when it starts workers, also outside of absl.app
            flags.FLAGS.mark_as_parsed()
        batches = batches.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=num_workers), worker_init_fn=_start_worker
        )
    return batches


def _shuffled(
    source: RecordSource,
    augment: AugmentOptions,
    *,
    seed: int,
    frames: int,
    size: int,
    num_epochs: int | None,
    least: int,
    batch: int,
) -> grain.MapDataset:
    """Augmented examples in an order drawn anew each epoch: of at least ``least`` clips, enough for one ``batch``."""
    n_clips = len(source)
    if n_clips < least:
        raise ValueError(f"{n_clips} clips cannot be shared by {least} processes; use more clips")
    if num_epochs is not None and n_clips * num_epochs < batch:
        raise ValueError(
            f"{num_epochs} epoch(s) of {n_clips} clips do not fill one batch of {batch} over all processes; use a smaller "
            "batch, more epochs or more clips"
        )
    dataset = grain.MapDataset.source(Indexed(source, n_clips)).seed(seed).shuffle().repeat(num_epochs)
    dataset = dataset.random_map(RandomClip(frames, augment)).map(ToExample(frames, size))
    return dataset.random_map(Augment(augment))


def num_batches(n_clips: int, *, batch_size: int, process_count: int = 1) -> int:
    """Batches that each process gets in evaluation."""
    return math.ceil(n_clips / (batch_size * process_count))


def fingerprint(
    source: RecordSource,
    *,
    batch_size: int,
    frames: int,
    size: int,
    seed: int,
    num_workers: int = 0,
    process_count: int = 1,
) -> dict[str, Any]:
    """Everything that must be equal for a stored iterator state to mean the same; JSON-serialisable."""
    return {
        "schema_version": SCHEMA_VERSION,
        "data_digest": source.digest,
        "n_clips": len(source),
        "batch_size": batch_size,
        "frames": frames,
        "size": size,
        "seed": seed,
        "num_workers": num_workers,
        "process_count": process_count,
    }


def _start_worker(worker_index: int, worker_count: int) -> None:
    cv2.setNumThreads(1)  # the workers are the parallelism
    # Ctrl-C and schedulers tell the whole group, but the run still needs batches until it has saved. Who started this
    # process ends it; should that one die, so does this.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(0)
