"""Clip sets whose class is where a bright disc lies, so that heads have something to learn in seconds."""

import numpy as np

from cfd2gray.evaluation.tasks.downstream import ClipSet
from cfd2gray.evaluation.tasks.head_training import HeadTraining
from data_pipeline.schema import BOX, FLOW, SECTOR

QUICK = HeadTraining(steps=40, batch_size=8, size=32, frames=2, width=8, shift=1)
CENTRES = ((10, 10), (10, 22), (22, 16))


def clip_set(n=24, *, seed=0, prefix="p", damage=None, flow=True):
    """``damage(rng, clip) -> clip`` makes the translation from the real clip; by default slight noise."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    real = rng.integers(0, 50, (n, 3, 32, 32)).astype(np.uint8)
    maps = np.zeros_like(real)
    strata = np.full(real.shape, SECTOR, np.uint8)
    strata[:, :, 8:24, 8:24] |= BOX
    strata[:, :, 12:20, 12:20] |= FLOW
    for i, c in enumerate(classes):
        y, x = CENTRES[c]
        disc = np.hypot(np.arange(32)[:, None] - y, np.arange(32)[None] - x) < 6 + rng.integers(2)
        real[i][:, disc] += 120
        maps[i][:, disc] = c + 1
    damage = damage or (lambda rng, clip: np.clip(clip + rng.normal(0, 4, clip.shape), 0, 255).astype(np.uint8))
    return ClipSet(
        real=real,
        synthetic=np.stack([damage(rng, clip) for clip in real]),
        classes=classes,
        class_names=("left", "right", "low"),
        maps=maps,
        map_names=("background", "left", "right", "low"),
        flow=np.full(n, flow),
        patients=tuple(f"{prefix}{i // 2}" for i in range(n)),
        clip_ids=tuple(f"{prefix}clip{i}" for i in range(n)),
        strata=strata,
    )


def marked(rng, clip):
    """A translation with a tell-tale: a brighter square where the flow was."""
    out = clip.copy()
    out[:, 12:20, 12:20] = np.minimum(out[:, 12:20, 12:20].astype(int) + 70, 255)
    return out
