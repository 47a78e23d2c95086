"""Contenders and training of the diffusion baseline: the same clips and the same time as the generator gets."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cfd2gray.benchmarks import cost
from cfd2gray.benchmarks.diffusion import model as diffusion
from cfd2gray.benchmarks.networks import Built, clip_arrays
from cfd2gray.benchmarks.work import Task
from flax import nnx

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.losses.pixel import pixel_weights
from cfd2gray.mesh import make_mesh
from cfd2gray.metrics.ssim import ssim_map
from cfd2gray.models.generator import Generator, GeneratorSpec, evidence
from cfd2gray.models.inputs import to_inputs, without_margin
from cfd2gray.models.pure import graph_of
from cfd2gray.training.data import to_mesh
from cfd2gray.training.state import TrainSpec, create_state, load_vgg, optimizers
from cfd2gray.training.step import make_train_step
from data_pipeline.schema import FLOW

CRITICS_FROM = 0.6
"""Share of the training time after which discriminator and VGG join, as in the recipes."""


def sampling(task: dict[str, Any], *, steps: int, guidance: float) -> Built:
    """One clip by DDIM, evidence included."""
    use_compile_cache()
    spec = GeneratorSpec(**Task.of(task).load().model)
    params = jax.device_put(diffusion.denoiser_params(spec, 0))
    cfd, hidden = map(jnp.asarray, clip_arrays(Task.of(task)))

    def run(params: Any, cfd: jax.Array, hidden: jax.Array, key: jax.Array) -> jax.Array:
        seen, guess = evidence(cfd, hidden, fill_radius=spec.margin, levels=spec.levels + 1, margin=spec.margin)
        return diffusion.sample(spec, params, seen, guess, key, steps=steps, guidance=guidance)

    jitted, key = jax.jit(run), jax.random.key(0)
    flops = cost.count(run, params, cfd, hidden, key).flops
    count = diffusion.evaluations(steps=steps, guidance=guidance)
    frames = cfd.shape[0] * (cfd.shape[1] - 2 * spec.margin)
    facts = {"units": frames, "flops": flops, "evaluations": count, "flops_per_evaluation": flops / count}
    return lambda: jitted(params, cfd, hidden, key).block_until_ready(), facts


def simulated_batches(task: Task, *, clips: int, split: str) -> list[dict[str, np.ndarray]]:
    """``clips`` simulated hearts as batches of the task's size, split into batches of the config's."""
    from data_pipeline.loading.loader import make_loader
    from data_pipeline.simulation.on_the_fly import SimulationSource

    config = task.load()
    frames, size = config.data.frames, config.data.size
    source = SimulationSource(
        split=split, length=clips, views=("A4C", "PLAX", "CAROTID_LONG"), height=size, width=size, frames=frames
    )
    options = {"batch_size": config.data.batch_size, "frames": frames, "size": size, "seed": 0}
    return list(make_loader(source, **options, training=False))


@dataclasses.dataclass(frozen=True)
class Quality:
    """SSIM where colour hid the truth, mean over clips, and how long the network was trained."""

    flow_ssim: float
    seconds: float
    updates: int


def train_both(task: Task, *, seconds: float) -> dict[str, Quality]:
    """Train the generator and the denoiser for ``seconds`` each, taking turns, and score both on the same clips.

    Returns:
      ``{"generator": ..., "diffusion 1": ..., ...}``; steps as in STEPS, guided ones as ``"diffusion 50 guided"``.
    """
    use_compile_cache()
    config = task.load()
    spec, mesh = TrainSpec.from_config(config), make_mesh(devices=jax.devices()[:1])
    train = [to_mesh(batch, mesh) for batch in simulated_batches(task, clips=48, split="train")]
    test = [to_mesh(batch, mesh) for batch in simulated_batches(task, clips=12, split="test")]
    vgg = load_vgg(config, spec)
    held = [create_state(spec, mesh, seed=0, fsdp_min_size=config.mesh.fsdp_min_size)]
    shardings = jax.tree.map(lambda x: x.sharding, held[0])
    steps = {flag: make_train_step(spec, mesh, shardings, with_critics=flag) for flag in (False, True)}

    def generator_update(number: int, spent: float) -> None:
        held[0], metrics = steps[spent > CRITICS_FROM * seconds](held[0], train[number % len(train)], vgg)
        metrics["loss/total"].block_until_ready()

    other = _DenoiserTraining(spec)

    def denoiser_update(number: int, spent: float) -> None:
        other.update(train[number % len(train)], number)

    for step in steps.values():  # compiled before the clock runs, on a copy: the state is donated
        step(jax.tree.map(jnp.copy, held[0]), train[0], vgg)
    other.warm_up(train[0])
    spent = take_turns([generator_update, denoiser_update], seconds=seconds, turn=min(15.0, seconds / 4))

    graph = graph_of(Generator, spec.generator)

    @jax.jit
    def translated(params: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
        inputs = to_inputs(batch)
        return nnx.merge(graph, params)(inputs["cfd"], inputs["hidden"], margin=spec.margin).grey

    found = {"generator": Quality(_score(functools.partial(translated, held[0].ema), test, spec), *spent[0])}
    for count, guidance in SAMPLED:
        name = f"diffusion {count}" + (" guided" if guidance != 1.0 else "")
        found[name] = Quality(_score(other.sampler(count, guidance), test, spec), *spent[1])
    return found


SAMPLED = ((1, 1.0), (4, 1.0), (10, 1.0), (25, 1.0), (50, 1.0), (50, 1.5))
"""(DDIM steps, guidance) that are scored."""


def take_turns(updates: list[Callable[[int, float], None]], *, seconds: float, turn: float) -> list[tuple[float, int]]:
    """Call each ``update(number, seconds spent)`` in turns of ``turn`` seconds until each has had ``seconds``; returns the
    seconds and the number of calls that each had."""
    spent, counts = [0.0] * len(updates), [0] * len(updates)
    while min(spent) < seconds:
        for index, update in enumerate(updates):
            start, before = time.perf_counter(), spent[index]
            while (now := time.perf_counter() - start) < turn and before + now < seconds:
                update(counts[index], before + now)
                counts[index] += 1
            spent[index] = before + time.perf_counter() - start
    return list(zip(spent, counts))


class _DenoiserTraining:
    """Parameters, their average and Adam with the generator's own settings."""

    def __init__(self, spec: TrainSpec):
        self._spec = spec
        tx, _ = optimizers(spec)
        params = diffusion.denoiser_params(spec.generator, 0)
        self._state = (params, params, tx.init(params))

        @jax.jit
        def update(state: Any, batch: Mapping[str, jax.Array], number: jax.Array) -> Any:
            params, average, optimizer = state
            seen, guess, inputs = self._evidence(batch)
            weights = pixel_weights(inputs["hidden"], inputs["sector"], hidden_gain=spec.loss.hidden_gain)
            key = jax.random.fold_in(jax.random.key(0), number)
            gradient = jax.grad(
                lambda p: diffusion.training_loss(spec.generator, p, seen, guess, inputs["truth"], weights, key)
            )(params)
            change, optimizer = tx.update(gradient, optimizer, params)
            params = optax.apply_updates(params, change)
            decay = jnp.minimum(spec.ema, (1.0 + number) / (10.0 + number))
            average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, average, params)
            return params, average, optimizer

        self._update = update

    def _evidence(self, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        inputs, own = to_inputs(batch), self._spec.generator
        seen, guess = evidence(
            inputs["cfd"], inputs["hidden"], fill_radius=own.margin, levels=own.levels + 1, margin=self._spec.margin
        )
        return seen, guess, without_margin(inputs, self._spec.margin)

    def warm_up(self, batch: Mapping[str, jax.Array]) -> None:
        jax.block_until_ready(self._update(self._state, batch, jnp.int32(0)))

    def update(self, batch: Mapping[str, jax.Array], number: int) -> None:
        self._state = jax.block_until_ready(self._update(self._state, batch, jnp.int32(number)))

    def sampler(self, steps: int, guidance: float) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
        average = self._state[1]

        @jax.jit
        def run(batch: Mapping[str, jax.Array]) -> jax.Array:
            seen, guess, _ = self._evidence(batch)
            options = {"steps": steps, "guidance": guidance}
            return diffusion.sample(self._spec.generator, average, seen, guess, jax.random.key(7), **options)

        return run


def _score(translate: Callable[[Any], jax.Array], batches: list[Any], spec: TrainSpec) -> float:
    """Mean over clips of SSIM where there is flow; every picture keeps the input wherever nothing was hidden."""
    scores: list[float] = []
    for batch in batches:
        inputs = without_margin(to_inputs(batch), spec.margin)
        kept = slice(spec.margin, batch["strata"].shape[1] - spec.margin)
        flow = (np.asarray(batch["strata"])[:, kept] & FLOW) > 0
        grey = jnp.clip(translate(batch), 0.0, 1.0)
        final = jnp.where(inputs["hidden"] > 0, grey, jnp.mean(inputs["cfd"], axis=-1, keepdims=True))
        found = np.asarray(ssim_map(final, inputs["truth"], data_range=1.0))
        each = zip(found, flow, np.asarray(batch["mask"]))
        scores += [float(one[where].mean()) for one, where, counts in each if counts and where.any()]
    return float(np.mean(scores))
