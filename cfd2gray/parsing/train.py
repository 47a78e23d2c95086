"""Train the screen parser on simulated screens: `python -m cfd2gray.parsing.train --minutes 60 --out DIR`.

The clock ends it; started again on the same folder it goes on. Weights, an average of them and a log are in the folder.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import pickle
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cfd2gray.parsing import network
from cfd2gray.parsing.examples import ahead, drawing
from cfd2gray.parsing.export import save_params

WEIGHTS = np.array([1.0, 3.0, 5.0, 2.0], np.float32)
"""Of planes in the loss: thin and rare things count more."""


def loss_of(params, features, truth, whole, *, dtype) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross entropy and overlap of planes, and cross entropy of the whole; float32 scalars."""
    seen = truth[..., 4:].astype(jnp.float32) / 255
    target = truth[..., :4].astype(jnp.float32) / 255
    target = jnp.where(jnp.arange(4) == 0, target, jnp.clip(target * 2.5, 0, 1))  # thin things fill little of a pixel
    logits, kinds = network.apply(params, features.astype(dtype) / 255, seen, dtype=dtype)
    entropy = optax.sigmoid_binary_cross_entropy(logits, target) * seen
    entropy = entropy * jnp.where(target > 0.3, 3.0, 1.0)
    pixels = seen.sum() + 1
    planes = (entropy.sum((0, 1, 2)) / pixels * WEIGHTS).sum()
    p = jax.nn.sigmoid(logits) * seen
    both, either = (p * target).sum((0, 1, 2)), (p + target).sum((0, 1, 2))
    overlap = 1 - (2 * both + 1) / (either + 1)
    kind = optax.softmax_cross_entropy_with_integer_labels(kinds[:, :5], whole[:, 0].astype(jnp.int32)).mean()
    flags = optax.sigmoid_binary_cross_entropy(kinds[:, 5:], whole[:, 1:].astype(jnp.float32)).mean()
    total = planes + 0.5 * overlap.sum() + 0.3 * kind + 0.3 * flags
    right = (kinds[:, :5].argmax(-1) == whole[:, 0]).mean()
    return total, {
        "planes": planes,
        "flow": overlap[1],
        "outline": overlap[2],
        "overlay": overlap[3],
        "kind": kind,
        "right": right,
    }


def augment(key, features, truth):
    """Mirrored, brighter or darker, red and blue exchanged: on the device, so that an example is many."""
    flip, swap, gain, gamma = jax.random.split(key, 4)
    n = len(features)
    mirrored = jax.random.bernoulli(flip, 0.5, (n, 1, 1, 1))
    x = features.astype(jnp.float32) / 255
    shift = truth[..., 4].max(axis=1).sum(axis=1) // 255  # columns on the screen
    column = jnp.arange(features.shape[2])
    source = jnp.where(column[None] < shift[:, None], shift[:, None] - 1 - column[None], column[None])
    turn = lambda a: jnp.take_along_axis(a, source[:, None, :, None], axis=2)  # noqa: E731
    x, truth = jnp.where(mirrored, turn(x), x), jnp.where(mirrored, turn(truth), truth)
    exchanged = jnp.concatenate([x[..., 2:3], x[..., 1:2], x[..., 0:1], x[..., 3:]], axis=-1)
    x = jnp.where(jax.random.bernoulli(swap, 0.15, (n, 1, 1, 1)), exchanged, x)
    power = jnp.exp(jax.random.uniform(gamma, (n, 1, 1, 1), minval=-0.25, maxval=0.25))
    scale = jax.random.uniform(gain, (n, 1, 1, 1), minval=0.8, maxval=1.15)
    changed = jnp.clip(scale * jnp.maximum(x, 1e-4) ** power, 0, 1)
    return jnp.concatenate([changed[..., :11], x[..., 11:]], axis=-1), truth


@functools.partial(jax.jit, static_argnames=("optimiser", "dtype"), donate_argnums=(0, 1, 2))
def update(params, average, moments, key, features, truth, whole, *, optimiser, dtype):
    """One step of Adam and of the running average."""
    features, truth = augment(key, features, truth)
    (_, parts), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, features * 255, truth, whole, dtype=dtype)
    change, moments = optimiser.update(gradient, moments, params)
    params = optax.apply_updates(params, change)
    average = jax.tree.map(lambda a, p: 0.998 * a + 0.002 * p, average, params)
    return params, average, moments, parts


def train(
    out: pathlib.Path,
    *,
    minutes: float,
    workers: int,
    batch: int,
    pool_size: int,
    rate: float,
    dtype,
    seed: int = 0,
    steps: int = 0,
) -> None:
    """Train until the minutes have passed, or for so many steps."""
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    saved, spent = out / "parser_state.pkl", 0.0
    params = network.init_params(seed)
    optimiser = optax.inject_hyperparams(optax.adamw)(learning_rate=rate, weight_decay=1e-4)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optimiser)
    average, moments, step = jax.tree.map(jnp.copy, params), optimiser.init(params), 0
    if saved.is_file():
        params, average, moments, step, spent = pickle.loads(saved.read_bytes())
        params, average = jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, average)
        moments = optimiser.init(params) if moments is None else jax.tree.map(jnp.asarray, moments)
    first, key = step, jax.random.key(seed + step)

    def save() -> None:
        state = jax.tree.map(np.asarray, (params, average, moments)) + (step, spent + time.monotonic() - began)
        part = saved.with_suffix(".partial")
        part.write_bytes(pickle.dumps(state))
        os.replace(part, saved)
        save_params(out / "parser_average.npz", average)

    with drawing(pool_size, workers, seed=seed + step + 1) as pool, (out / "parser_log.jsonl").open("a") as log:
        batches = ahead(pool, np.random.default_rng([seed, first]), batch, move=jax.device_put)
        mean, last_save, reported = {}, time.monotonic(), time.monotonic()
        while (passed := (time.monotonic() - began) / 60) < minutes and (not steps or step < first + steps):
            share = passed / minutes
            moments[1].hyperparams["learning_rate"] = jnp.float32(
                rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * share))
            )
            key, this = jax.random.split(key)
            params, average, moments, parts = update(
                params, average, moments, this, *batches.get(), optimiser=optimiser, dtype=dtype
            )
            step += 1
            if step % 20 == 0:
                parts = jax.device_get(parts)
                mean = {k: 0.9 * mean.get(k, float(v)) + 0.1 * float(v) for k, v in parts.items()}
            if time.monotonic() - reported > 15:
                reported = time.monotonic()
                line = {"step": step, "minutes": round(passed, 2), "examples": int(pool.counts.sum())}
                line |= {k: round(v, 4) for k, v in mean.items()}
                print(json.dumps(line), flush=True)
                log.write(json.dumps(line) + "\n")
                log.flush()
            if time.monotonic() - last_save > 60:
                save()
                last_save = time.monotonic()
        save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps, if the clock does not")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pool", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    train(
        options.out, minutes=options.minutes, workers=options.workers, batch=options.batch, pool_size=options.pool,
        rate=options.rate, steps=options.steps, dtype=jnp.dtype(options.dtype).type,
    )  # fmt: skip


if __name__ == "__main__":
    main()
