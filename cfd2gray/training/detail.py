"""Teach DetailNet on simulated clips of 112 to 600 px: `python -m cfd2gray.training.detail --out DIR`.

The clips are translated by weights that are fixed, and what the same tissue showed in other frames is looked up as in a
translation; both are kept in DIR, so that a run that was stopped goes on. At the end ``DIR/detail.onnx`` holds the network.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cfd2gray.losses.magnitude import magnitude
from cfd2gray.metrics.ssim import ssim_map
from cfd2gray.models.detail import apply, init_params, to_onnx
from cfd2gray.translation.detail import planes_of
from cfd2gray.translation.motion import sights
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import load_pretrained
from data_pipeline.files import atomic_path
from data_pipeline.parallel import progress_bar
from data_pipeline.schema import SECTOR, VIEWS
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.plan import SimulationOptions
from data_pipeline.simulation.simulator import simulate_pair

SIZES = (112, 160, 224, 300, 400, 500, 600)
"""px of the training clips."""
FRAMES = 14
AROUND = 32
"""px around what is hidden that are kept."""
SIDE, TILES = 64, 32
"""px of a training example, and so many at once."""
ONE_SIDED = 0.25
"""Of the examples: no future, so that the network serves live frames too."""
STRUCTURE = 0.3
"""Weight of 1 - SSIM beside the pixel-wise term."""
EPSILON = 0.01

Clip = dict[str, np.ndarray]


def example_clip(translator: Translator, number: int) -> Clip | None:
    """Planes uint8 ``[T, h, w]`` of a simulated clip around what is hidden; None where nothing is."""
    rng = np.random.default_rng(number)
    size = int(rng.choice(SIZES))
    pair = simulate_pair(
        VIEWS[1 + number % (len(VIEWS) - 1)], int(rng.integers(1 << 22)), height=size, width=size, frames=FRAMES,
        options=SimulationOptions(ui_share=0.0, shared=True),
    )  # fmt: skip
    sector = ((pair.strata & SECTOR) > 0).any(axis=0)
    made = translator.translate(pair.cfd, analysis=FlowAnalysis(sector=sector, strata=pair.strata), confidence=False)
    hidden = hidden_mask(pair.strata, pair.cfd) * sector
    if rng.random() < 0.5:  # as a parser that is too careful
        hidden = np.stack([cv2.dilate(frame, np.ones((3, 3), np.uint8)) for frame in hidden]) * sector
    if not hidden.any():
        return None
    spans = [np.flatnonzero(hidden.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    part = (slice(None), *(slice(max(0, int(at[0]) - AROUND), int(at[-1]) + AROUND) for at in spans))
    past, future = sights(pair.cfd[part], hidden[part])
    planes = {"truth": pair.grey[..., 0][part], "made": made.grey[part], "hidden": hidden[part]}
    for name, sight in (("past", past), ("future", future)):
        planes |= {name: np.rint(sight.value).astype(np.uint8), f"{name}_age": sight.age}
    return planes


def example_clips(translator: Translator, folder: pathlib.Path, count: int) -> Iterator[Clip]:
    """`example_clip` of numbers below ``count``, kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = folder / f"{number}.npz"
        if not file.is_file():
            made = example_clip(translator, number)
            with atomic_path(file) as part, part.open("wb") as stream:
                np.savez_compressed(stream, **(made or {}))
        with np.load(file) as arrays:
            if arrays.files:
                yield dict(arrays)


def _tile(rng: np.random.Generator, clip: Clip, hidden: np.ndarray) -> Clip:
    """Planes ``[SIDE, SIDE]`` about one of the clip's ``hidden`` pixels (int ``[n, 3]``: frame, row, column)."""
    t, *at = hidden[rng.integers(len(hidden))]
    rows, columns = (
        slice(first := int(np.clip(x - rng.integers(SIDE), 0, max(length - SIDE, 0))), first + SIDE)
        for x, length in zip(at, clip["truth"].shape[1:])
    )
    tile = {name: plane[t, rows, columns] for name, plane in clip.items()}
    lacking = [(0, SIDE - length) for length in tile["truth"].shape]
    tile = {name: np.pad(plane, lacking) for name, plane in tile.items()}
    if rng.random() < 0.5:
        tile = {name: plane[:, ::-1] for name, plane in tile.items()}
    if rng.random() < 0.5:
        swapped = {"past": "future", "future": "past", "past_age": "future_age", "future_age": "past_age"}
        tile = {swapped.get(name, name): plane for name, plane in tile.items()}
    if rng.random() < ONE_SIDED:
        tile["future_age"] = np.zeros_like(tile["future_age"])
    return tile


def batches(clips: Sequence[Clip], *, seed: int) -> Iterator[Clip]:
    """Planes uint8 ``[TILES, SIDE, SIDE]`` for ever, every clip as often."""
    rng = np.random.default_rng(seed)
    hidden = [np.argwhere(clip["hidden"]) for clip in clips]
    while True:
        chosen = rng.integers(len(clips), size=TILES)
        tiles = [_tile(rng, clips[k], hidden[k]) for k in chosen]
        yield {name: np.stack([tile[name] for tile in tiles]) for name in tiles[0]}


def loss_of(params: Any, batch: Clip) -> jax.Array:
    """What is shown against truth: pixel by pixel and in structure, where colour was."""
    floats = {name: plane.astype(jnp.float32) for name, plane in batch.items()}
    sides = ((floats[name], floats[f"{name}_age"]) for name in ("past", "future"))
    truth, covered = floats["truth"] / 255.0, (floats["hidden"] > 0).astype(jnp.float32)
    planes, differs = planes_of(floats["made"], floats["hidden"], *sides, xp=jnp)
    belief, added = apply(params, planes)
    shown = floats["made"] / 255.0 + covered * (belief * differs + added)
    similar = ssim_map(shown[:, None, ..., None], truth[:, None, ..., None], data_range=1.0).reshape(shown.shape)
    error = magnitude(shown - truth, EPSILON) + STRUCTURE * (1.0 - similar)
    return (error * covered).sum() / covered.sum()


def train(
    clips: Sequence[Clip],
    *,
    steps: int,
    rate: float,
    seed: int = 0,
    tell: Callable[[int, float], None] = lambda *_: None,
) -> Any:
    """Parameters after ``steps`` of Adam with a rate that falls to 0. ``tell``: is told step and loss now and then."""
    params = init_params(seed)
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))
    moments = optimiser.init(params)

    @jax.jit
    def update(params: Any, moments: Any, batch: Clip) -> tuple[Any, Any, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(params, batch)
        change, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(params, change), moments, loss

    losses = []
    for step, batch in zip(range(1, steps + 1), batches(clips, seed=seed)):
        params, moments, loss = update(params, moments, batch)
        losses.append(loss)
        if step % 100 == 0 or step == steps:
            tell(step, float(np.mean(jax.device_get(losses))))
            losses.clear()
    return params


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=4e-3)
    options = parser.parse_args(arguments)
    target = options.out / "detail.onnx"
    if target.exists():
        raise SystemExit(f"{target} exists and is not overwritten; remove it or name another folder")
    translator = Translator(load_pretrained(), texture=0.0, detail=False)
    clips = []
    with progress_bar("clip") as bar:
        for clip in bar.track(example_clips(translator, options.out / "clips", options.clips), total=options.clips):
            clips.append(clip)
    params = train(
        clips, steps=options.steps, rate=options.rate,
        tell=lambda step, loss: print(f"step {step}  loss {loss:.4f}", flush=True),
    )  # fmt: skip
    with atomic_path(target) as part:
        part.write_bytes(to_onnx(jax.tree.map(np.asarray, params)))
    print(f"{target}: {os.path.getsize(target) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
