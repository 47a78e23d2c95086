"""The smallest network, config, batch and data set that still are the real ones."""

from __future__ import annotations

import functools
import pathlib

import ml_collections
import numpy as np

from cfd2gray.config import load_config
from cfd2gray.models.generator import GeneratorSpec
from data_pipeline.records import pack
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord

SPEC = GeneratorSpec(
    width=8, levels=1, blocks=1, denoise_width=8, denoise_blocks=1, fill_radius=1, temporal=True, dtype="float32"
)  # fmt: skip
SIZE, FRAMES = 32, 5


_TINY = {
    "data.size": SIZE,
    "data.frames": FRAMES,
    "data.batch_size": 8,
    "model.width": 8,
    "model.levels": 1,
    "model.denoise_width": 8,
    "model.denoise_blocks": 1,
    "model.fill_radius": 1,
    "discriminator.width": 8,
    "discriminator.levels": 1,
    "loss.perceptual": 0.0,
    "train.margin": 1,
    "train.steps": 6,
    "train.warmup_anatomy": 2,
    "train.warmup": 2,
    "log.every": 1,
    "log.images_every": 0,
    "log.tensorboard": False,
    "checkpoint.every": 2,
    "eval.frames": 3,
    "eval.batch_size": 8,
}


def tiny_config(*overrides: str) -> ml_collections.ConfigDict:
    """The tiny config shrunk until a step takes milliseconds."""
    return load_config("tiny", [f"{key}={value}" for key, value in _TINY.items()] + list(overrides))


def make_pair(number: int, *, frames: int = 6, size: int = SIZE) -> PairRecord:
    """A random grey clip with a coloured square in a box; a pure function of ``number``."""
    rng = np.random.default_rng(number)
    grey = rng.integers(20, 200, (frames, size, size, 1), np.uint8)
    cfd = np.repeat(grey, 3, axis=-1)
    strata = np.full((frames, size, size), SECTOR, np.uint8)
    strata[:, 6:26, 6:26] |= BOX
    strata[:, 6:26, 6] |= OUTLINE
    cfd[:, 6:26, 6] = 250
    for t in range(frames):
        a = 10 + int(rng.integers(0, 4))
        strata[t, a : a + 10, a : a + 10] |= FLOW
        cfd[t, a : a + 10, a : a + 10] = (200, 40, 0) if t % 2 else (10, 60, 220)
    return PairRecord(
        cfd=cfd, grey=grey, strata=strata, labels=np.zeros_like(strata), clip_id=f"{number:032x}",
        patient_id=f"{number:031x}p", view="A4C", kind="simulated", shared=True, fps=20.0,
    )  # fmt: skip


def make_batch(n: int = 8, *, frames: int = FRAMES, size: int = SIZE, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch of `make_pair` clips with the keys of `data_pipeline.schema.BATCH_KEYS`."""
    pairs = [make_pair(seed * 1000 + i, frames=frames, size=size) for i in range(n)]
    strata = np.stack([pair.strata for pair in pairs])
    return {
        "cfd": np.stack([pair.cfd for pair in pairs]),
        "grey": np.stack([pair.grey for pair in pairs]),
        "strata": strata,
        "hidden": ((strata & (FLOW | OUTLINE)) > 0).astype(np.uint8),
        "labels": np.zeros_like(strata),
        "view": np.ones(n, np.int32),
        "domain": np.ones(n, np.int32),
        "shared": np.ones(n, np.uint8),
        "index": np.arange(n, dtype=np.int32),
        "mask": np.ones(n, np.float32),
    }


def pack_tiny(folder: pathlib.Path, *, clips: int = 40) -> pathlib.Path:
    """A packed data set of `make_pair` clips."""
    pack.pack([functools.partial(make_pair, i) for i in range(clips)], folder, progress=False)
    return folder
