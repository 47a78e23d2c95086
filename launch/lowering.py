"""The true programs of a config, lowered from shapes alone: no array is made and no device is needed.

A mesh of real devices, of fake ones, or of a TPU slice that is only described (`jax.experimental.topologies`) all do.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh, SingleDeviceSharding

from cfd2gray.evaluation.validation import compiled_step
from cfd2gray.mesh import batch_sharding, replicated
from cfd2gray.metrics.frames import compiling_for
from cfd2gray.models.vgg import VGG
from cfd2gray.runtimes.jax_network import compiled_window
from cfd2gray.training.state import TrainSpec, TrainState, abstract_state, load_vgg
from cfd2gray.training.step import make_train_step

Lowered = jax.stages.Lowered

_KEYS = {
    # key of `cfd2gray.training.data.STEP_KEYS` -> trailing axes as a function of (frames, size), dtype
    "cfd": (lambda t, s: (t, s, s, 3), jnp.uint8),
    "grey": (lambda t, s: (t, s, s, 1), jnp.uint8),
    "strata": (lambda t, s: (t, s, s), jnp.uint8),
    "hidden": (lambda t, s: (t, s, s), jnp.uint8),
    "mask": (lambda t, s: (), jnp.float32),
}


def abstract_batch(mesh: Mesh, *, clips: int, frames: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, dtypes and shardings of a global batch of ``clips`` clips of ``frames`` frames of ``size`` x ``size`` px.

    Raises:
      ValueError: When the clips do not split evenly over the mesh.
    """
    if clips % mesh.size:
        raise ValueError(f"a batch must be a multiple of the {mesh.size} devices, got {clips}; change data.batch_size")
    sharding = batch_sharding(mesh)
    return {
        key: jax.ShapeDtypeStruct((clips, *shape(frames, size)), dtype, sharding=sharding)
        for key, (shape, dtype) in _KEYS.items()
    }


def abstract_vgg(config: ml_collections.ConfigDict, spec: TrainSpec, mesh: Mesh) -> VGG | None:
    """Shapes of the perceptual loss's weights, replicated; None when the term is off."""
    vgg = load_vgg(config, spec)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), vgg)


def run_state(config: ml_collections.ConfigDict, mesh: Mesh) -> tuple[TrainSpec, TrainState]:
    """What is fixed in a run of ``config`` and the shapes of its state on ``mesh``.

    Raises:
      ValueError: For settings that contradict each other or this mesh.
    """
    spec = TrainSpec.from_config(config)
    each = mesh.size * spec.accumulate
    if config.data.batch_size % each:
        raise ValueError(
            f"data.batch_size must be a multiple of devices x train.accumulate = {mesh.size} x {spec.accumulate}, "
            f"got {config.data.batch_size}"
        )
    return spec, abstract_state(spec, mesh, seed=config.seed, fsdp_min_size=config.mesh.fsdp_min_size)


def lower_train(config: ml_collections.ConfigDict, mesh: Mesh, *, with_critics: bool = True) -> Lowered:
    """One update of `cfd2gray.training.step.make_train_step`; without critics it is that of the anatomy warm-up."""
    spec, state = run_state(config, mesh)
    step = make_train_step(spec, mesh, jax.tree.map(lambda x: x.sharding, state), with_critics=with_critics)
    batch = abstract_batch(mesh, clips=config.data.batch_size, frames=config.data.frames, size=config.data.size)
    with compiling_for(_backend(mesh), mesh.size):
        return step.lower(state, batch, abstract_vgg(config, spec, mesh))


def lower_eval(config: ml_collections.ConfigDict, mesh: Mesh) -> Lowered:
    """Prediction and scores of one batch of `cfd2gray.evaluation.validation.validate`."""
    spec, state = run_state(config, mesh)
    clips = -(-config.eval.batch_size // mesh.size) * mesh.size
    batch = abstract_batch(mesh, clips=clips, frames=config.eval.frames, size=config.data.size)
    with compiling_for(_backend(mesh), mesh.size):
        return compiled_step(spec.generator, config.translate.feather, mesh).lower(state.ema, batch)


def _backend(mesh: Mesh) -> str:
    return mesh.devices.flat[0].platform


def lower_translate(config: ml_collections.ConfigDict, mesh: Mesh) -> Lowered:
    """One window of the `Translator` at its largest working size, on one device."""
    spec = TrainSpec.from_config(config).generator
    device = SingleDeviceSharding(mesh.devices.flat[0])
    _, state = run_state(config, mesh)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state.ema)
    frames, size = config.translate.window + 2 * spec.radius, config.translate.size
    size = -(-size // spec.multiple) * spec.multiple
    cfd = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.uint8, sharding=device)
    hidden = jax.ShapeDtypeStruct((1, frames, size, size), jnp.uint8, sharding=device)
    return compiled_window(spec).lower(params, cfd, hidden)


PROGRAMS: dict[str, Callable[[ml_collections.ConfigDict, Mesh], Lowered]] = {
    "train": lower_train,
    "warm-up": lambda config, mesh: lower_train(config, mesh, with_critics=False),
    "eval": lower_eval,
    "translate": lower_translate,
}
"""Name -> how to lower it."""
