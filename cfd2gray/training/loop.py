"""The story of a run: mesh, clips, state, then step after step until it is done, stopped or broken.

Every process of a run executes all of this in step with the others; one of them writes what people read.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from cfd2gray.config import flatten, from_json, to_json
from cfd2gray.files import atomic_path
from cfd2gray.losses.adversarial import check_kind
from cfd2gray.mesh import make_mesh, replicated
from cfd2gray.models.vgg import VGG
from cfd2gray.training.checkpoint import Checkpoints
from cfd2gray.training.data import Batch, Stream, build_source, stream_options, training_stream
from cfd2gray.training.plateau import Plateau
from cfd2gray.training.state import TrainSpec, TrainState, abstract_state, create_state
from cfd2gray.training.step import make_train_step
from cfd2gray.training.stop import StopRequest, StopVote
from cfd2gray.training.strips import image_strip
from cfd2gray.training.writer import Writer, read_history
from cfd2gray.translation.predict import make_predict
from cfd2gray.weights import vgg_convert
from cfd2gray.weights.find import find_weights
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.loading.loader import fingerprint
from data_pipeline.parallel import progress_bar

logger = logging.getLogger(__name__)


class Diverged(ValueError):
    """A loss term became infinite or not a number."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: updates made, whether it was asked to stop before its end, and the last metrics."""

    step: int
    stopped: bool
    metrics: dict[str, float]


Validate = Callable[[ml_collections.ConfigDict, TrainSpec, Any, Mesh], dict[str, float]]


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, validate: Validate | None = None) -> Outcome:
    """Train, or go on with the training that ``workdir`` holds. Returns when done or asked to stop.

    Writes ``config.json``, ``metrics.jsonl``, ``images/``, ``tensorboard/`` and ``checkpoints/`` into ``workdir``.

    Args:
      config: See ``configs/default.py``.
      workdir: Folder of this run; made when missing.
      validate: Called every ``config.eval.every`` steps with config, spec, averaged parameters and mesh; what it
        returns is logged. None: no evaluation while training.

    Raises:
      ValueError: For settings, data or checkpoints that do not fit together; `Diverged` when a term is not finite.
    """
    # 1. What is fixed: specs, mesh, frozen weights.
    spec = TrainSpec.from_config(config)
    check_config(config, spec)
    mesh = make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    vgg = jax.device_put(load_vgg(config, spec), replicated(mesh))

    # 2. Clips.
    source = build_source(config, "train")
    claim_workdir(workdir, config)
    stream = training_stream(config, source, mesh)
    run = {
        "model": dataclasses.asdict(spec.generator),
        "discriminator": dataclasses.asdict(spec.discriminator),
        "data": fingerprint(source, **stream_options(config)),
    }

    # 3. State: the newest checkpoint of this run, or a fresh one, with the generator of `config.init` if there is one.
    options = {"seed": config.seed, "fsdp_min_size": config.mesh.fsdp_min_size}
    checkpoints = Checkpoints(workdir, keep=config.checkpoint.keep)
    if checkpoints.latest() is None:
        state = create_state(spec, mesh, **options)
        if config.init:
            state = start_from(state, find_weights(config.init), spec)
    else:
        state = checkpoints.restore(abstract_state(spec, mesh, **options), stream, run)
        logger.info("resuming %s at step %d", workdir, int(state.step))
    shardings = jax.tree.map(lambda x: x.sharding, state)
    update = {flag: make_train_step(spec, mesh, shardings, with_critics=flag) for flag in (False, True)}

    # 4. Steps.
    predict = jax.jit(make_predict(spec.generator, feather=config.translate.feather))
    writer = Writer(workdir, tensorboard=config.log.tensorboard, active=jax.process_index() == 0)
    step, metrics, stopping = int(state.step), {}, False
    plateau = Plateau(config.eval.patience, [line for line in read_history(workdir) if line["step"] <= step])
    meter, vote = Meter(config, stream, step), StopVote(mesh)
    to_every_device = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))

    def due(every: int) -> bool:
        return bool(every) and (step % every == 0 or step == spec.steps)

    with StopRequest() as stop, progress_bar("step", show=None if writer.active else False) as bar:
        task = bar.add_task("train", total=spec.steps, completed=step)
        while step < spec.steps and not stopping and not plateau.reached:
            batch = next(stream)
            state, found = update[step >= config.train.warmup_anatomy](state, batch, vgg)
            step += 1
            stopping = vote(stop.requested)
            bar.update(task, completed=step)
            if due(config.log.every) or due(config.checkpoint.every) or stopping:
                metrics = meter.read(step, found)  # raises when a term is not finite: nothing broken is ever saved
                writer.scalars(step, metrics)
                bar.update(task, description=describe(metrics))
                logger.info("step %d/%d  %s", step, spec.steps, describe(metrics))
            if due(config.log.images_every):
                average = to_every_device(state.ema)  # every process takes part, one of them draws
                if writer.active:
                    writer.image(step, "strip", _strip(predict, average, batch))
            if validate is not None and due(config.eval.every):
                scores = validate(config, spec, state.ema, mesh)
                writer.scalars(step, scores)
                plateau.add(scores)
            if due(config.checkpoint.every) or stopping or plateau.reached:
                checkpoints.save(state, stream, run)
    checkpoints.wait()
    checkpoints.close()
    writer.close()
    if plateau.reached:
        logger.info("validation has not risen for %d evaluations: done early", config.eval.patience)
    return Outcome(step=step, stopped=step < spec.steps and not plateau.reached, metrics=metrics)


def check_config(config: ml_collections.ConfigDict, spec: TrainSpec) -> None:
    """Raise ``ValueError`` for settings that contradict each other, before anything is made."""
    multiple = max(spec.generator.multiple, 2 ** (spec.discriminator.levels + 1))
    if config.data.size % multiple:
        raise ValueError(f"data.size must be a multiple of {multiple} for this model, got {config.data.size}")
    if min(config.log.every, config.checkpoint.every) < 1:
        raise ValueError("log.every and checkpoint.every must be at least 1 step")
    check_kind(config.loss.adversarial_kind)


def load_vgg(config: ml_collections.ConfigDict, spec: TrainSpec) -> VGG | None:
    """The perceptual loss's weights, or None when the term is off."""
    if not spec.loss.perceptual:
        return None
    path = config.loss.perceptual_weights
    return vgg_convert.load(pathlib.Path(path)) if path else vgg_convert.load_embedded()


def start_from(state: TrainState, weights: GeneratorWeights, spec: TrainSpec) -> TrainState:
    """A fresh state whose generator and average are ``weights``; optimizers and discriminator start from nothing.

    Raises:
      ValueError: When the weights belong to a network of another shape.
    """
    wanted = spec.generator  # neither the dtype, nor the direction of time, nor remat changes what the parameters are
    if dataclasses.replace(weights.spec, dtype=wanted.dtype, causal=wanted.causal, remat=wanted.remat) != wanted:
        raise ValueError(f"init: the weights are of {weights.spec}, the config asks for {wanted}")

    def place(old: jax.Array, new: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(old.shape, old.sharding, lambda index: new[index])

    params = jax.tree.map(place, state.generator, weights.params)
    return dataclasses.replace(state, generator=params, ema=jax.tree.map(place, state.ema, weights.params))


RESUMABLE = (
    "train.steps",
    "log.",
    "checkpoint.",
    "eval.",
    "translate.",
    "data.dir",
    "data.num_",
    "data.prefetch",
    "mesh.",
)
"""Keys that may differ when a run is continued."""


def claim_workdir(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Make ``workdir`` this run's, or check that it already is.

    Raises:
      ValueError: When it belongs to a run with other settings, naming them, or holds files of something else.
    """
    workdir = pathlib.Path(workdir)
    path = workdir / "config.json"
    if path.is_file():
        old, new = flatten(from_json(path.read_text())), flatten(config)
        fixed = [key for key in new if not key.startswith(RESUMABLE) and old.get(key) != new[key]]
        if fixed:
            listed = "; ".join(f"{key}: then {old.get(key)!r}, now {new[key]!r}" for key in fixed)
            raise ValueError(f"{workdir} holds a run with other settings ({listed}); use a new --workdir")
    elif workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise ValueError(f"{workdir} exists and is not a training run; nothing there is touched, use a new --workdir")
    multihost_utils.sync_global_devices("workdir checked")  # nobody looks any more when the first process writes
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(to_json(config))
    multihost_utils.sync_global_devices("workdir claimed")


def describe(metrics: Mapping[str, float]) -> str:
    """One short line for a person."""
    return (
        f"loss {metrics['loss/total']:.4f}  {metrics['speed/clips_per_s']:.2f} clips/s  "
        f"data-wait {metrics['speed/data_wait_percent']:.0f} %"
    )


class Meter:
    """Turns device scalars into numbers now and then, with speed and the share of time spent waiting for data."""

    def __init__(self, config: ml_collections.ConfigDict, stream: Stream, step: int):
        self._batch, self._stream = config.data.batch_size, stream
        self._step, self._time, self._waited = step, time.perf_counter(), stream.waited

    def read(self, step: int, found: Mapping[str, jax.Array]) -> dict[str, float]:
        """Metrics of ``step``; speeds are averages since the last reading.

        Raises:
          Diverged: Naming every metric that is not finite and the steps in which it happened.
        """
        metrics = {name: float(value) for name, value in jax.device_get(dict(found)).items()}
        broken = sorted(name for name, value in metrics.items() if not math.isfinite(value))
        if broken:
            raise Diverged(
                f"training diverged between steps {self._step} and {step}: {', '.join(broken)} not finite; "
                "the last checkpoint is intact. Lower train.learning_rate or the weight of that term"
            )
        now = time.perf_counter()
        span, steps = now - self._time, step - self._step
        if steps:
            metrics["speed/clips_per_s"] = steps * self._batch / span
            metrics["speed/data_wait_percent"] = 100.0 * (self._stream.waited - self._waited) / span
        self._step, self._time, self._waited = step, now, self._stream.waited
        return metrics


def _strip(predict: Callable[..., dict[str, jax.Array]], average: Any, batch: Batch) -> np.ndarray:
    local = jax.device_get({key: value.addressable_shards[0].data for key, value in batch.items()})
    params = jax.device_get(jax.tree.map(lambda x: x.addressable_data(0), average))
    return image_strip(local, jax.device_get(predict(params, local)))
