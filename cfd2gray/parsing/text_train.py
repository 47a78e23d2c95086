"""Teach the text finder on names drawn over simulated clips: `python -m cfd2gray.parsing.text_train --minutes 20 --out DIR`.

Nothing real is learned from. The clock ends it; started again on the same folder it goes on from the weights there.
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import time

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cfd2gray.parsing.export import read_params, save_params
from cfd2gray.parsing.names import burn, draw_name, random_ink
from cfd2gray.parsing.text_network import init_params, logits_of
from data_pipeline.schema import SECTOR
from data_pipeline.screen.burned_text import text_features
from data_pipeline.simulation.plan import SimulationOptions
from data_pipeline.simulation.simulator import simulate_pair

SIDE = 128
"""px of a training example."""
VIEWS = ("A4C", "A2C", "A3C", "PLAX", "PSAX", "SUBCOSTAL", "FETAL_4CH", "CAROTID_LONG", "KIDNEY", "LIVER")


def backgrounds(rng: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """``(frames uint8 [T, H, W, 3], sector bool [H, W])`` of simulated clips of many sizes, coloured and grey."""
    found = []
    for _ in range(count):
        side = int(np.exp(rng.uniform(np.log(SIDE), np.log(520))))
        pair = simulate_pair(
            str(rng.choice(VIEWS)), int(rng.integers(1 << 16)), height=side, width=round(side * rng.uniform(1, 1.3)),
            frames=int(rng.integers(3, 9)), options=SimulationOptions(ui_share=0.0),
        )  # fmt: skip
        sector = (pair.strata[0] & SECTOR) > 0
        found.append((pair.cfd if rng.random() < 0.5 else np.repeat(pair.grey, 3, axis=3), sector))
    return found


def example(rng: np.random.Generator, frames: np.ndarray, sector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(features uint8 [SIDE, SIDE, C], truth uint8 [SIDE/2, SIDE/2])``; truth: 0 none, 1 text, 2 not looked at."""
    zoom = float(np.exp(rng.uniform(np.log(0.55), np.log(1.6))))
    cut = min(round(SIDE / zoom), *sector.shape)
    inside = np.argwhere(sector)
    middle = inside[rng.integers(len(inside))]
    y, x = (int(np.clip(m - cut // 2, 0, n - cut)) for m, n in zip(middle, sector.shape))
    count = 1 if rng.random() < 0.4 else int(rng.integers(2, len(frames) + 1))
    start = int(rng.integers(len(frames) - count + 1))
    part, looked = frames[start : start + count, y : y + cut, x : x + cut], sector[y : y + cut, x : x + cut]
    if rng.random() < 0.1:
        part = part[:1].repeat(count, axis=0)  # a frozen screen
    if rng.random() < 0.5:
        part, looked = part[:, :, ::-1], looked[:, ::-1]
    how = cv2.INTER_AREA if cut > SIDE else cv2.INTER_LINEAR
    part = np.stack([cv2.resize(np.ascontiguousarray(frame), (SIDE, SIDE), interpolation=how) for frame in part])
    looked = cv2.resize(looked.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
    power, gain = (
        np.exp(rng.uniform(-0.5, 0.5)),
        np.exp(rng.uniform(-0.5, 0.9)),
    )  # bright tissue saturates, as screens have it
    part = cv2.LUT(part, np.clip(255 * gain * (np.arange(256) / 255) ** power, 0, 255).astype(np.uint8))
    truth = np.zeros((SIDE, SIDE), np.uint8)
    if rng.random() < 0.3:
        _strokes(rng, part)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))):
        name = draw_name(rng)
        height, width = name.cover.shape
        row, column = int(rng.integers(-height // 3, SIDE - height // 2)), int(rng.integers(-width, SIDE))
        column = int(rng.integers(0, max(SIDE - width, 1))) if rng.random() < 0.5 else column
        box = (slice(max(row, 0), row + height), slice(max(column, 0), column + width))
        under = part[(0, *box)].max(axis=-1)
        if not under.size or truth[box].any():
            continue
        burn(part, name, row, column, random_ink(rng, float(np.percentile(under, 98)) + 12))
        truth[box] = 1
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 98))]
        part = np.stack([cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR) for frame in part])
    truth = truth.reshape(SIDE // 2, 2, SIDE // 2, 2).max(axis=(1, 3))
    looked = looked.reshape(SIDE // 2, 2, SIDE // 2, 2).any(axis=(1, 3))
    return text_features(part), np.where(looked, truth, 2).astype(np.uint8)


def _strokes(rng: np.random.Generator, frames: np.ndarray) -> None:
    """Lines, arcs and marks that are no text: outlines of boxes, callipers, traces."""
    ink = tuple(float(v) for v in random_ink(rng, 120))
    thick, kind = int(rng.integers(1, 3)), rng.random()
    points = rng.integers(-20, SIDE + 20, (int(rng.integers(2, 5)), 2))
    if kind < 0.2:
        xs = np.arange(-4, SIDE + 4)
        wave = np.cumsum(rng.normal(0, 1, len(xs))) + rng.integers(20, SIDE - 20)
        points = np.stack([xs, wave], axis=1).astype(np.int64)
    for frame in frames:
        if kind < 0.7:
            cv2.polylines(frame, [points.astype(np.int32)], bool(kind > 0.45), ink, thick, cv2.LINE_AA)
        elif kind < 0.9:
            centre = tuple(int(v) for v in points[0])
            cv2.ellipse(
                frame, centre, tuple(int(v) for v in np.abs(points[1]) + 5), 0, 20, 160, ink, thick, cv2.LINE_AA
            )
        else:
            centre = tuple(int(v) for v in points[0])
            cv2.drawMarker(frame, centre, ink, cv2.MARKER_CROSS, int(points[1, 0] % 9) + 5, thick)


@functools.partial(jax.jit, static_argnames="optimiser", donate_argnums=(0, 1, 2))
def update(params, average, moments, features, truth, *, optimiser):
    """One step of Adam and of the running average; the loss, float32."""

    def loss_of(params):
        logits = logits_of(params, features.astype(jnp.float32) / 255)
        text, looked = (truth == 1).astype(jnp.float32), (truth != 2).astype(jnp.float32)
        entropy = optax.sigmoid_binary_cross_entropy(logits, text) * looked * (1 + text)
        p = jax.nn.sigmoid(logits) * looked
        overlap = 1 - (2 * (p * text).sum() + 1) / ((p + text * looked).sum() + 1)
        return entropy.sum() / looked.sum() + 0.3 * overlap

    loss, gradient = jax.value_and_grad(loss_of)(params)
    change, moments = optimiser.update(gradient, moments, params)
    params = optax.apply_updates(params, change)
    return params, jax.tree.map(lambda a, p: 0.995 * a + 0.005 * p, average, params), moments, loss


def train(out: pathlib.Path, *, minutes: float, clips: int, batch: int, rate: float, seed: int) -> None:
    """Train until the minutes have passed; weights (a running average) are saved as ``text.npz`` every minute."""
    out.mkdir(parents=True, exist_ok=True)
    rng, saved = np.random.default_rng(seed), out / "text.npz"
    params = jax.tree.map(jnp.asarray, read_params(saved)) if saved.exists() else init_params(seed)
    optimiser = optax.inject_hyperparams(optax.adam)(learning_rate=rate)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optimiser)
    average, moments = jax.tree.map(jnp.copy, params), optimiser.init(params)
    pool = backgrounds(rng, min(clips, 12))
    began, said, mean, step = time.monotonic(), 0.0, 0.0, 0
    while (share := (time.monotonic() - began) / 60 / minutes) < 1:
        if step % 25 == 0 and len(pool) < clips:
            pool += backgrounds(rng, 1)
        made = [example(rng, *pool[int(rng.integers(len(pool)))]) for _ in range(batch)]
        features, truth = (np.stack(arrays) for arrays in zip(*made))
        moments[1].hyperparams["learning_rate"] = jnp.float32(
            rate * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * share))
        )
        params, average, moments, loss = update(params, average, moments, features, truth, optimiser=optimiser)
        step, mean = step + 1, 0.98 * mean + 0.02 * float(loss) if step else float(loss)
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(
                json.dumps({"step": step, "share": round(share, 3), "clips": len(pool), "loss": round(mean, 4)}),
                flush=True,
            )
            save_params(saved, average)
    save_params(saved, average)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clips", type=int, default=300, help="simulated clips to draw on")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(
        options.out, minutes=options.minutes, clips=options.clips, batch=options.batch, rate=options.rate,
        seed=options.seed,
    )  # fmt: skip


if __name__ == "__main__":
    main()
