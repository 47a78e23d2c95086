"""Peak memory of a config's programs as the compiler plans it, and how long a training step waits for its clips."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import jax
from cfd2gray.benchmarks.work import Task
from cfd2gray.launch.lowering import lower_train, lower_translate

from cfd2gray.mesh import make_mesh
from cfd2gray.training.data import build_source, training_stream
from cfd2gray.training.state import TrainSpec, create_state, load_vgg
from cfd2gray.training.step import make_train_step

ABOUT = (
    "What the compiler plans for this kind of device: arguments, results and temporaries of one update on a whole batch, and "
    "of one translated window. `python -m cfd2gray.launch.aot` plans the large configs for the devices that they are for."
)
WAIT_STEPS = 12
"""Steps over which the wait for data is averaged, after a few that fill the buffers."""


def peaks_of(task: Task) -> list[str]:
    """One line per program of the task's config."""
    config, mesh = task.load(), make_mesh(devices=jax.devices()[:1])
    lines = []
    for name, lower in (("update", lower_train), ("translated window", lower_translate)):
        found = lower(config, mesh).compile().memory_analysis()
        total = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
        peak = (total - found.alias_size_in_bytes) / 2**30
        lines.append(f"{task.config}, {name}: {peak:.2f} GiB on one {jax.devices()[0].device_kind} device")
    return lines


def data_wait(task: Task, folder: pathlib.Path) -> str:
    """Train on the records in ``folder`` for a few steps and say which share of the time was spent waiting for clips."""
    config = dataclasses.replace(task, overrides=(*task.overrides, f"data.dir={folder}")).load()
    spec, mesh = TrainSpec.from_config(config), make_mesh(devices=jax.devices()[:1])
    vgg = load_vgg(config, spec)
    state = create_state(spec, mesh, seed=0, fsdp_min_size=config.mesh.fsdp_min_size)
    shardings = jax.tree.map(lambda x: x.sharding, state)
    stream = training_stream(config, build_source(config, "train"), mesh)
    step = make_train_step(spec, mesh, shardings, with_critics=True)
    start = waited = 0.0
    for number in range(WAIT_STEPS + 4):
        if number == 4:
            start, waited = time.perf_counter(), stream.waited
        state, metrics = step(state, next(stream), vgg)
        metrics["loss/total"].block_until_ready()
    share = (stream.waited - waited) / (time.perf_counter() - start)
    return f"a training step waits for its clips {100 * share:.1f} % of the time ({WAIT_STEPS} steps of {task.config})"
