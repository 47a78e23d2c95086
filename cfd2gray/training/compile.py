"""The compiled training steps, and whether they fit, before the first of them is paid for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from cfd2gray.training.memory import GIB, check_memory, free_bytes, step_bytes
from cfd2gray.training.state import TrainSpec, TrainState
from cfd2gray.training.step import make_train_step

logger = logging.getLogger(__name__)

SECONDS_PER_LINE = {"cpu": 3e-3}
ELSEWHERE = 5e-3
"""Seconds of compiling per line of the program: measured on one busy CPU core, a guess for accelerators."""


def compile_steps(
    spec: TrainSpec, mesh: Mesh, state: TrainState, batch: Mapping[str, jax.Array], vgg: Any, variants: Iterable[bool]
) -> dict[bool, jax.stages.Compiled]:
    """The training step with critics (True) and without (False), compiled for these arrays.

    Args:
      spec, mesh: Of the run.
      state, batch, vgg: Arrays as the step gets them; only shapes and places are looked at.
      variants: Which to compile, the larger first.

    Raises:
      Mistake: When one does not fit into the free memory; see `check_memory`.
    """
    shardings = jax.tree.map(lambda x: x.sharding, state)
    devices = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    found = {}
    for with_critics in variants:
        lowered = make_train_step(spec, mesh, shardings, with_critics=with_critics).lower(state, batch, vgg)
        seconds = lowered.as_text().count("\n") * SECONDS_PER_LINE.get(devices[0].platform, ELSEWHERE)
        what = "the step" if with_critics else "the step of the anatomy warm-up"
        logger.info("compiling %s (about %.0f s, less when it is in the cache)", what, seconds)
        began = time.perf_counter()
        compiled = lowered.compile()
        need, free = step_bytes(compiled), free_bytes(devices[0])
        check_memory(need, devices, free=free)
        room = "" if free is None else f" of {free / GIB:.1f} free"
        shared = len(devices) if devices[0].platform == "cpu" else 1
        logger.info("compiled in %.0f s; it takes %.1f GiB%s", time.perf_counter() - began, need * shared / GIB, room)
        found[with_critics] = compiled
    return found
