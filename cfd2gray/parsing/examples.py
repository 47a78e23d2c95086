"""Training examples of the screen parser, made by worker processes into memory that all share."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from typing import Any

import cv2
import numpy as np

from data_pipeline.screen.parser.features import CHANNELS, MOMENTS, clip_features
from data_pipeline.simulation.screens.compose import KINDS, ScreenClip, draw_screen_clip
from data_pipeline.simulation.screens.styles import TRAINED
from data_pipeline.simulation.screens.tissue import make_tissue

CANVAS = 288
"""Side of a training example in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A ring of examples in shared memory.

    Attributes:
      features: uint8 [n, CANVAS, CANVAS, CHANNELS]. truth: uint8 [n, CANVAS, CANVAS, 5]: shares of `network.PLANES`
        (255 is 1) and whether the pixel is on the screen.
      whole: uint8 [n, 4]: index of the kind, then flags. counts: int64 [workers], examples written by each.
    """

    features: np.ndarray
    truth: np.ndarray
    whole: np.ndarray
    counts: np.ndarray
    blocks: tuple[shared_memory.SharedMemory, ...]

    @staticmethod
    def make(size: int, workers: int, names: tuple[str, ...] | None = None) -> Pool:
        shapes = [
            ((size, CANVAS, CANVAS, CHANNELS), np.uint8), ((size, CANVAS, CANVAS, 5), np.uint8), ((size, 4), np.uint8),
            ((workers,), np.int64),
        ]  # fmt: skip
        blocks, arrays = [], []
        for k, (shape, dtype) in enumerate(shapes):
            size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            block = (
                shared_memory.SharedMemory(name=names[k])
                if names
                else shared_memory.SharedMemory(create=True, size=size_bytes)
            )
            blocks.append(block)
            arrays.append(np.ndarray(shape, dtype, buffer=block.buf))
        return Pool(features=arrays[0], truth=arrays[1], whole=arrays[2], counts=arrays[3], blocks=tuple(blocks))

    @property
    def ready(self) -> int:
        """Examples that can be read: each worker fills its own share of the ring, from its start."""
        share = len(self.features) // len(self.counts)
        return int(np.minimum(self.counts, share).sum())

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A batch of examples, drawn evenly from what is ready."""
        share = len(self.features) // len(self.counts)
        have = np.minimum(self.counts, share)
        worker = rng.choice(len(have), count, p=have / have.sum())
        at = worker * share + (rng.random(count) * have[worker]).astype(np.int64)
        return self.features[at], self.truth[at], self.whole[at]

    def close(self) -> None:
        for block in self.blocks:
            block.close()
            block.unlink()


@contextlib.contextmanager
def drawing(size: int, workers: int, *, seed: int) -> Iterator[Pool]:
    """A pool with a quarter of its examples in it, into which processes write more for as long as it is held."""
    pool = Pool.make(size, workers)
    context = multiprocessing.get_context("spawn")
    names = tuple(block.name for block in pool.blocks)
    processes = [
        context.Process(target=_work, args=(names, size, workers, k, seed), daemon=True) for k in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        wait_for(pool, min(2000, size // 4), seconds=45)
        yield pool
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)
        pool.close()


def ahead(pool: Pool, rng: np.random.Generator, count: int, *, move: Callable[[Any], Any]) -> queue.Queue:
    """Batches of the pool, moved to the device while the last one is learned from."""
    batches: queue.Queue = queue.Queue(maxsize=3)

    def feed() -> None:
        while True:
            batches.put(move(pool.draw(rng, count)))

    threading.Thread(target=feed, daemon=True).start()
    return batches


def example_of(rng: np.random.Generator, clip: ScreenClip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One frame of a clip as an example, seen with some of its other frames, or alone."""
    frames = len(clip.frames)
    count = 1 if rng.random() < 0.25 else int(rng.integers(2, min(frames, MOMENTS) + 1))
    some = np.sort(rng.choice(frames, count, replace=False))
    k = int(rng.integers(count))
    longest = int(np.exp(rng.uniform(np.log(72), np.log(CANVAS)))) if rng.random() < 0.5 else CANVAS
    features = clip_features(clip.frames[some], np.array([k]), longest=longest)[0]
    height, width = features.shape[:2]
    planes = [clip.sector, clip.flow, clip.outline, clip.overlay]
    small = [cv2.resize(p[some[k]], (width, height), interpolation=cv2.INTER_AREA) for p in planes]
    canvas = np.zeros((CANVAS, CANVAS, CHANNELS), np.uint8)
    truth = np.zeros((CANVAS, CANVAS, 5), np.uint8)
    canvas[:height, :width] = features
    truth[:height, :width, :4] = np.clip(np.stack(small, axis=-1) * 255, 0, 255)
    truth[:height, :width, 4] = 255
    several = clip.layout in ("dual", "biplane", "inset")
    coloured = clip.flow[some[k]].sum() > 0 or (count > 1 and clip.flow[some].sum() > 0)
    kind = KINDS.index(clip.kind if coloured else "bmode")
    strip = clip.layout in ("triplex", "spectral")
    return canvas, truth, np.array([kind, strip, clip.layout == "mmode", several], np.uint8)


def _work(names: tuple[str, ...], size: int, workers: int, me: int, seed: int) -> None:
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = os.getppid()
    pool = Pool.make(size, workers, names)
    rng = np.random.default_rng([seed, me])
    share = size // workers
    tissues, born, k = [], me * 100_000, 0
    while os.getppid() == parent:
        if len(tissues) < 10 or (len(tissues) < 60 and rng.random() < 0.2) or rng.random() < 0.02:
            tissues.append(make_tissue(seed * 10_000_000 + born, size=int(rng.integers(160, 320))))
            born += 1
            tissues = tissues[-60:]
            if len(tissues) < 4:
                continue
        clip = draw_screen_clip(rng, tissues, styles=TRAINED)
        for _ in range(3):
            slot = me * share + k % share
            pool.features[slot], pool.truth[slot], pool.whole[slot] = example_of(rng, clip)
            k += 1
            pool.counts[me] = k


def wait_for(pool: Pool, count: int, *, seconds: float) -> None:
    """Wait until so many examples are ready, or until the time has passed and there are some."""
    end = time.monotonic() + seconds
    while pool.ready < count and (time.monotonic() < end or pool.ready < 64):
        time.sleep(0.2)
