"""The story of a run: mesh, clips, state, then step after step until it is done, stopped or broken.

Every process of a run executes all of this in step with the others; one of them writes what people read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cfd2gray.mesh import make_mesh, replicated
from cfd2gray.run_folder import run_folder
from cfd2gray.training.checkpoint import Checkpoints
from cfd2gray.training.compile import compile_steps
from cfd2gray.training.data import Batch, build_source, describe_run, stream_options, training_stream
from cfd2gray.training.meter import Meter, describe
from cfd2gray.training.plateau import Plateau
from cfd2gray.training.state import TrainSpec, abstract_state, create_state, load_vgg, start_from
from cfd2gray.training.stop import StopRequest, Timer, Vote
from cfd2gray.training.strips import image_strip
from cfd2gray.training.workdir import claim_workdir
from cfd2gray.training.writer import Writer, read_history
from cfd2gray.translation.predict import make_predict
from cfd2gray.weights.find import find_weights
from data_pipeline.loading.loader import fingerprint
from data_pipeline.mistakes import named_mistakes
from data_pipeline.parallel import progress_bar

if TYPE_CHECKING:
    from cfd2gray.run_folder import RunFolder

logger = logging.getLogger(__name__)

FIRST_WORD = 3
"""Steps of a start after which speed and time left are told for the first time; `log.every` may be an hour away."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: updates made, whether it was asked to stop before its end, and the last metrics."""

    step: int
    stopped: bool
    metrics: dict[str, float]


Validate = Callable[[ml_collections.ConfigDict, TrainSpec, Any, Mesh], dict[str, float]]


def train(
    config: ml_collections.ConfigDict,
    workdir: RunFolder,
    *,
    validate: Validate | None = None,
    leave: Callable[[], object] | None = None,
) -> Outcome:
    """Train, or go on with the training that ``workdir`` holds. Returns when done or asked to stop.

    Writes ``config.json``, ``metrics.jsonl``, ``images/``, ``tensorboard/`` and ``checkpoints/`` into ``workdir``.

    Args:
      config: See ``configs/default.py``.
      workdir: Folder of this run, here or in a bucket (`run_folder.run_folder`); made when missing.
      validate: Called every ``config.eval.every`` steps or ``config.eval.minutes`` with config, spec, averaged parameters and
        mesh; what it returns is logged. The state is saved before. None: no evaluation while training.
      leave: Ends this process; called when it is asked to stop while it compiles or evaluates, where nothing is lost by it.
        None: a request waits for the next step.

    Raises:
      Mistake: For settings, data or checkpoints that do not fit together or into memory; `training.meter.Diverged` when a
        term is not finite.
    """
    # 1. What is fixed: specs, mesh, frozen weights, clips.
    with named_mistakes():
        workdir = run_folder(workdir)
        spec = TrainSpec.from_config(config)
        to_save, to_evaluate = Timer(config.checkpoint.minutes), Timer(config.eval.minutes)
        mesh = make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
        vgg = jax.device_put(load_vgg(config, spec), replicated(mesh))
        source = build_source(config, "train")
        claim_workdir(workdir, config)
        stream = training_stream(config, source, mesh)
        run = {
            "model": dataclasses.asdict(spec.generator),
            "discriminator": dataclasses.asdict(spec.discriminator),
            "data": fingerprint(source, **stream_options(config)),
        }
    logger.info(describe_run(config, source))

    with contextlib.ExitStack() as stack:
        # Left last: the last save is on disk before signals mean anything else.
        stop = stack.enter_context(StopRequest(leave))
        limit = max(1, round(60 * config.checkpoint.timeout))
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.checkpoint.keep, seconds=limit))
        with stop.may_leave():
            # 2. State: the newest checkpoint of this run, or a fresh one, with the generator of `config.init` if there is one.
            options = {"seed": config.seed, "fsdp_min_size": config.mesh.fsdp_min_size}
            if checkpoints.latest() is None:
                state = create_state(spec, mesh, **options)
                if config.init:
                    with named_mistakes():
                        state = start_from(state, find_weights(config.init), spec)
            else:
                state = checkpoints.restore(abstract_state(spec, mesh, **options), stream, run)
                logger.info("resuming %s at step %d", workdir, int(state.step))

            # 3. Who watches: people, the plateau, and whoever may ask all processes to stop.
            step, metrics, stopping = int(state.step), {}, False
            first, history = jax.process_index() == 0, [line for line in read_history(workdir) if line["step"] <= step]
            writer = stack.enter_context(Writer(workdir, tensorboard=config.log.tensorboard, active=first))
            plateau, vote = Plateau(config.eval.patience, history), Vote(mesh, questions=3)
            checkpoints.best = plateau.best_step

            # 4. The compiled steps: the larger one first, which may not fit.
            update = {}
            if step < spec.steps and not plateau.reached:
                variants = {n >= config.train.warmup_anatomy for n in (step, spec.steps - 1)}
                update = compile_steps(spec, mesh, state, stream.peek(), vgg, sorted(variants, reverse=True))
        meter = Meter(stream, batch_size=config.data.batch_size, step=step)
        draw = _make_strip(config, spec, mesh)
        bar = stack.enter_context(progress_bar("step", show=None if first else False))
        task = bar.add_task("train", total=spec.steps, completed=step)

        def due(every: int) -> bool:
            return bool(every) and (step % every == 0 or step == spec.steps)

        def tell(found: Mapping[str, jax.Array]) -> dict[str, float]:
            read = meter.read(step, found)  # raises when a term is not finite: nothing broken is ever saved
            line = describe(read, clips_left=(spec.steps - step) * config.data.batch_size)
            bar.update(task, description=line)
            logger.info("step %d/%d  %s", step, spec.steps, line)
            return read

        def save() -> None:
            writer.flush()
            checkpoints.save(state, stream, run)
            to_save.start()

        def evaluate() -> None:
            save()
            with stop.may_leave(checkpoints.wait):
                scores = validate(config, spec, state.ema, mesh)
            writer.scalars(step, scores)
            writer.flush()
            plateau.add({"step": step, **scores})
            checkpoints.best = plateau.best_step
            to_evaluate.start()

        # 5. Steps. An evaluation that a stop cut short is made up for first.
        evaluating = validate is not None
        if evaluating and step and due(config.eval.every) and not _evaluated(history, step):
            evaluate()
        began = step
        to_save.start(), to_evaluate.start()
        while step < spec.steps and not stopping and not plateau.reached:
            batch = next(stream)
            state, found = update[step >= config.train.warmup_anatomy](state, batch, vgg)
            step += 1
            stopping, saving, scoring = vote(stop.requested, first and to_save.over(), first and to_evaluate.over())
            bar.update(task, completed=step)
            last = step == spec.steps
            scoring = (
                evaluating and not stopping and (scoring or due(config.eval.every) or last and config.eval.minutes > 0)
            )
            saving = saving or due(config.checkpoint.every) or scoring or stopping or last
            if due(config.log.every) or saving:
                metrics = tell(found)
                writer.scalars(step, metrics)
            elif step == began + FIRST_WORD:
                tell(found)
            with meter.paused():
                if due(config.log.images_every):
                    writer.image(step, "strip", draw(state.ema, batch))
                if saving:
                    save()
                if scoring:
                    evaluate()
                if plateau.reached:
                    save()
    if plateau.reached:
        logger.info("validation has not risen for %d evaluations: done early", config.eval.patience)
    return Outcome(step=step, stopped=step < spec.steps and not plateau.reached, metrics=metrics)


def _evaluated(history: list[dict[str, float]], step: int) -> bool:
    return any(line["step"] == step and any(key.startswith("val/") for key in line) for line in history)


def _make_strip(
    config: ml_collections.ConfigDict, spec: TrainSpec, mesh: Mesh
) -> Callable[[Any, Batch], np.ndarray | None]:
    """``draw(average, batch)``: the picture of this process's first clips; every process takes part, the first one draws."""
    predict = jax.jit(make_predict(spec.generator, feather=config.translate.feather))
    to_every_device = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))

    def draw(average: Any, batch: Batch) -> np.ndarray | None:
        params = to_every_device(average)
        if jax.process_index():
            return None
        params = jax.device_get(jax.tree.map(lambda x: x.addressable_data(0), params))
        local = jax.device_get({key: value.addressable_shards[0].data for key, value in batch.items()})
        return image_strip(local, jax.device_get(predict(params, local)))

    return draw
