"""The clips by which weights are judged: simulated patients never trained on, and a real echo with colour painted over it.

The painter's colour maps, box shapes and flow are the held-out ones, and the real echo is never trained on.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.data import get_testdata_file

from data_pipeline.loading.transforms import ToExample
from data_pipeline.pixels import luma
from data_pipeline.readers import read_clip
from data_pipeline.schema import LABELS, VIEWS, PairRecord
from data_pipeline.simulation.painter import HELD_OUT, paint_pair
from data_pipeline.simulation.plan import SimulationOptions
from data_pipeline.simulation.scene import SceneOptions
from data_pipeline.simulation.simulator import simulate_pair

FRAMES = 32
SIZES = (112, 224)
"""px, the two at which the card has whole tables."""
OTHER_SIZES = (96, 160, 320, 512)
"""px, at which the real echo is also tried."""
FIRST_SEED = 3 << 24
"""Of the simulated test clips; in the ``test`` split, so that no training seed can meet it."""
REAL_FILES = ("color3d_jpeg_baseline.dcm", "examples_ybr_color.dcm")
"""The same real echo, 120 frames (package ``pydicom-data``) or 30 (inside ``pydicom``); the first to be had is used."""
MASS_VIEWS = ("A4C", "A2C", "A3C", "PLAX", "PSAX", "SUBCOSTAL")


@dataclasses.dataclass(frozen=True)
class CardSet:
    """Clips of one size. ``pairs`` are at the size they were made in, ``examples`` at ``size``."""

    name: str
    about: str
    size: int
    pairs: tuple[PairRecord, ...]
    examples: tuple[dict[str, np.ndarray], ...]

    def batches(self, each: int = 1) -> Iterator[dict[str, np.ndarray]]:
        """``each`` clips at a time, with the keys of `data_pipeline.schema.BATCH_KEYS`; the last ones are filled up with
        clips whose ``mask`` is 0."""
        for start in range(0, len(self.examples), each):
            some = list(self.examples[start : start + each])
            some += [some[-1] | {"mask": np.float32(0.0)}] * (each - len(some))
            yield {key: np.stack([np.asarray(one[key]) for one in some]) for key in some[0]}

    def ids(self, index: int) -> tuple[str, str, dict[str, Any]]:
        """As `evaluate` wants them."""
        pair = self.pairs[index]
        return pair.clip_id, pair.patient_id, {"kind": pair.kind, "fps": pair.fps}


def card_set(name: str, about: str, size: int, pairs: list[PairRecord]) -> CardSet:
    """``pairs`` cut and resized to ``size``, `FRAMES` frames."""
    make = ToExample(frames=FRAMES, size=size)
    examples = tuple(make.map(pair) | {"index": np.int32(i)} for i, pair in enumerate(pairs))
    return CardSet(name, about, size, tuple(pairs), examples)


def simulated(size: int, *, clips: int) -> CardSet:
    """Test patients of the simulator, views in turn, made at ``size``."""
    views = VIEWS[1:]
    pairs = [
        simulate_pair(views[i % len(views)], FIRST_SEED + i, height=size, width=size, frames=FRAMES, split="test")
        for i in range(clips)
    ]
    return card_set(f"simulated {size}", f"simulated test patients of all views, {size} px", size, pairs)


def real_echo() -> tuple[np.ndarray, float, str]:
    """``(grey uint8 [T, H, W], frames per second, file name)`` of the real greyscale echo.

    Raises:
      ValueError: When neither file is installed.
    """
    for name in REAL_FILES:
        path = get_testdata_file(name, download=False)
        if path is not None:
            clip = read_clip(pathlib.Path(path))
            return luma(clip.frames), float(clip.info.fps), name
    raise ValueError(f"the real echo ({' or '.join(REAL_FILES)}) is not installed; pip install pydicom-data")


def painted_echo(size: int, *, paintings: int, shared: bool) -> CardSet:
    """The real echo with ``paintings`` held-out paints over windows of it, reduced to ``size``. One patient."""
    grey, fps, _ = real_echo()
    starts = range(0, max(1, len(grey) - FRAMES + 1), 40)
    pairs = []
    for seed in range(1, paintings + 1):
        start = starts[seed % len(starts)]
        pairs.append(
            paint_pair(
                grey[start : start + FRAMES], seed, fps=fps, options=HELD_OUT, clip_id=f"real-echo-{seed}",
                patient_id="real-echo", view="A4C", shared=shared,
            )
        )  # fmt: skip
    kind = "shared" if shared else "restored"
    return card_set(f"real {size} {kind}", f"a real echo, held-out paint, {kind} target, {size} px", size, pairs)


def with_masses(size: int, *, clips: int) -> CardSet:
    """Simulated hearts with a mass in a chamber, as simulator and painter of training make them, test patients."""
    options = SimulationOptions(scene=SceneOptions(pathology="mass"), shared=True)
    pairs, seed = [], FIRST_SEED + (1 << 20)
    mass = LABELS.index("other")
    while len(pairs) < clips and seed < FIRST_SEED + (1 << 20) + 20 * clips:
        view = MASS_VIEWS[seed % len(MASS_VIEWS)]
        pair = simulate_pair(view, seed, height=size, width=size, frames=FRAMES, split="test", options=options)
        seed += 1
        if (pair.labels == mass).any():
            pairs.append(pair)
    return card_set(f"masses {size}", f"simulated hearts with a mass, {size} px", size, pairs)
