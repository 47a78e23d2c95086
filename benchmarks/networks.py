"""Contenders of this package, each ``function(**options) -> (call, facts)`` as `benchmarks.worker` wants them.

``facts["units"]`` is the work of one call: frames for translation, clips for training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cfd2gray.benchmarks import cost
from cfd2gray.benchmarks.work import Task, awake_params, batch_of, weights_of
from flax import nnx
from jax.sharding import Mesh

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.cpu_cores import devices_for
from cfd2gray.mesh import batch_sharding, make_mesh, replicated
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.pure import graph_of
from cfd2gray.runtimes.jax_network import compiled_advance, fresh_memory
from cfd2gray.training.data import to_mesh
from cfd2gray.training.state import TrainSpec, create_state, load_vgg
from cfd2gray.training.step import make_train_step

Built = tuple[Callable[[], Any], dict[str, Any]]


def clip_arrays(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """``(cfd [N, T, S, S, 3], hidden [N, T, S, S, 1])`` float32, evidence margins not counted in the task's frames."""
    config = task.load()
    margin = GeneratorSpec(**config.model).margin
    frames = task.frames or config.data.frames - 2 * config.train.margin
    batch = batch_of(task.batch or 1, frames + 2 * margin, config.data.size)
    return batch["cfd"].astype(np.float32) / 255.0, batch["hidden"].astype(np.float32)[..., None]


def network(task: dict[str, Any]) -> Built:
    """The generator alone, one window, arrays on the device in and out."""
    use_compile_cache()
    task = Task.of(task)
    spec = GeneratorSpec(**task.load().model)
    graph, params = graph_of(Generator, spec), jax.device_put(awake_params(spec))
    cfd, hidden = map(jnp.asarray, clip_arrays(task))

    def forward(params: Any, cfd: jax.Array, hidden: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(cfd, hidden, margin=spec.margin).grey

    run = jax.jit(forward)
    found = cost.count(forward, params, cfd, hidden)
    frames = cfd.shape[0] * (cfd.shape[1] - 2 * spec.margin)
    facts = {"units": frames, "flops": found.flops, "dtype": spec.dtype, "operations": found.as_json()}
    return lambda: run(params, cfd, hidden).block_until_ready(), facts


def network_in_windows(task: dict[str, Any]) -> Built:
    """The same clip through `Translator.windows`, arrays on the host in and out: a window on every device."""
    from cfd2gray.translation.translator import Translator

    use_compile_cache()
    task = Task.of(task)
    config = task.load()
    frames = task.frames or config.data.frames - 2 * config.train.margin
    batch, translator = batch_of(1, frames, config.data.size), Translator(weights_of(config), runtime="jax")

    def call() -> None:
        for _ in translator.windows(batch["cfd"][0], batch["hidden"][0]):
            pass

    return call, {"units": frames}


def gradient(task: dict[str, Any]) -> Built:
    """The generator forward and backward to its parameters, for a mean absolute error."""
    use_compile_cache()
    task = Task.of(task)
    spec = GeneratorSpec(**task.load().model)
    mesh = _mesh(task.load().data.batch_size)
    graph, params = graph_of(Generator, spec), jax.device_put(awake_params(spec), replicated(mesh))
    cfd, hidden = jax.device_put(clip_arrays(task), batch_sharding(mesh))

    def loss(params: Any) -> jax.Array:
        return jnp.mean(jnp.abs(nnx.merge(graph, params)(cfd, hidden, margin=spec.margin).grey - 0.5))

    run = jax.jit(jax.grad(loss))
    return lambda: jax.block_until_ready(run(params)), {"units": cfd.shape[0] * (cfd.shape[1] - 2 * spec.margin)}


def _mesh(clips: int) -> Mesh:
    """One accelerator, or as many CPU devices as share the clips evenly."""
    devices = jax.devices()
    return make_mesh(
        devices=devices[: devices_for(len(devices), clips)] if devices[0].platform == "cpu" else devices[:1]
    )


def train_step(task: dict[str, Any], *, with_critics: bool = True) -> Built:
    """One update of both networks, the batch already on the devices."""
    use_compile_cache()
    task = Task.of(task)
    config = task.load()
    spec, mesh = TrainSpec.from_config(config), _mesh(config.data.batch_size)
    vgg = jax.device_put(load_vgg(config, spec), replicated(mesh))
    held = [create_state(spec, mesh, seed=0, fsdp_min_size=config.mesh.fsdp_min_size)]
    shardings = jax.tree.map(lambda x: x.sharding, held[0])
    batch = to_mesh(batch_of(config.data.batch_size, config.data.frames, config.data.size), mesh)
    step = make_train_step(spec, mesh, shardings, with_critics=with_critics)
    found = cost.count(step, held[0], batch, vgg)

    def call() -> None:
        held[0], metrics = step(held[0], batch, vgg)
        metrics["loss/total"].block_until_ready()

    facts = {
        "units": config.data.batch_size,
        "flops": found.flops,
        "dtype": spec.generator.dtype,
        "operations": found.as_json(),
    }
    return call, facts


def stream_frame(task: dict[str, Any]) -> Built:
    """The causal network on one frame after another, with its memory; arrays from and to the host."""
    use_compile_cache()
    task = Task.of(task)
    config = task.load()
    weights = weights_of(config, causal=True)
    params, size = jax.device_put(weights.params), config.data.size
    run = compiled_advance(weights.spec)
    batch = batch_of(1, 8, size)
    held = [fresh_memory(params, weights.spec, height=size, width=size), 0]

    def call() -> None:
        t = held[1] = (held[1] + 1) % 8
        grey, held[0] = run(params, batch["cfd"][0, t : t + 1], batch["hidden"][0, t : t + 1], held[0])
        np.asarray(grey)

    found = cost.count(run, params, batch["cfd"][0, :1], batch["hidden"][0, :1], held[0])
    return call, {"units": 1, "flops": found.flops, "dtype": weights.spec.dtype, "operations": found.as_json()}
