"""Evaluate weights on the clips of a config: scores, tables and report in one folder; build a reader study from them."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from cfd2gray.evaluation.domains import KNOWN, leave_one_out, split_by_training_domain, views_of
from cfd2gray.evaluation.evaluate import EvaluateOptions, Ids, evaluate
from cfd2gray.evaluation.extras import Extras, collect_training_clips, run_extras
from cfd2gray.evaluation.reader_study.build import StudyCollector, StudyOptions, build_study
from cfd2gray.evaluation.report.gallery import Gallery
from cfd2gray.evaluation.report.page import write_report
from cfd2gray.evaluation.results import write_result
from cfd2gray.evaluation.step import Predict
from cfd2gray.evaluation.tasks.downstream import translate_to
from cfd2gray.evaluation.yardstick import redraw_from
from cfd2gray.mesh import make_mesh, replicated
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.metrics.perceptual import PerceptualNet, load_lpips
from cfd2gray.training.data import build_source, evaluation_batches
from cfd2gray.training.loop import train
from cfd2gray.training.writer import read_history
from cfd2gray.translation.predict import make_predict
from cfd2gray.weights.find import checkpoint_weights
from cfd2gray.weights.pretrained import GeneratorWeights
from cfd2gray.weights.vgg_convert import load as load_vgg
from cfd2gray.weights.vgg_convert import load_embedded
from data_pipeline.loading.sources import RecordSource
from data_pipeline.parallel import progress_bar


def clip_facts(source: RecordSource, index: int) -> tuple[str, str, dict[str, Any]]:
    """``(clip id, patient id, facts)`` of one clip, as `evaluate` wants them."""
    row = source.ids(index)
    made = row.kind in ("simulated", "painted")  # no machine made these: what stands for the vendor is the colour map
    facts = {"kind": row.kind, "fps": row.fps, "map" if made else "vendor": row.vendor}
    return row.clip_id, row.patient_id, facts


def feature_net(*, vgg: str | os.PathLike | None = None, lpips: str | os.PathLike | None = None) -> PerceptualNet:
    """Weights of the feature distance: the embedded VGG, a file of `cfd2gray convert-vgg`, and LPIPS's linear weights.

    Raises:
      ValueError: LPIPS weights that do not fit the VGG weights.
    """
    weights = load_vgg(pathlib.Path(vgg)) if vgg else load_embedded()
    return load_lpips(lpips, weights) if lpips else PerceptualNet(vgg=weights)


def evaluate_weights(
    config: ml_collections.ConfigDict,
    weights: GeneratorWeights,
    out_dir: pathlib.Path,
    *,
    split: str = "test",
    workdir: pathlib.Path | None = None,
    extras: Extras | None = None,
    net: PerceptualNet | None = None,
) -> dict[str, Any]:
    """Score ``weights`` on every clip of ``split``; write ``evaluation.json`` and ``report.html`` into ``out_dir``.

    Args:
      config: Says which clips, at what size; see ``configs/default.py``.
      weights: From a checkpoint or a file.
      out_dir: Made when missing; the two files are replaced.
      split: ``train``, ``val`` or ``test``.
      workdir: The training run, for its curves in the report.
      extras: Downstream tasks, data recovery, shortcut audit; heads are trained on the ``train`` split, those of
        recovery on a half of the patients scored.
      net: For feature distances, instead of the embedded VGG; see `feature_net`.

    Returns:
      The evaluation JSON (contract C4).
    """
    extras = extras or Extras()
    extras.check()
    if (extras.needs_training_clips or extras.recovery) and split == "train":
        raise ValueError(
            "heads and networks are trained on the train split, so downstream tasks and recovery need another one; "
            "give val or test"
        )
    mesh = make_mesh()
    source = build_source(config, split)
    predict = predictor(weights, mesh)
    gallery = Gallery()
    collector = extras.collector()
    options = _options(config, weights, source, split, net, mesh)
    with progress_bar("clips") as bar:
        task = bar.add_task(f"evaluate {split}", total=len(source))
        options = dataclasses.replace(options, on_batch=lambda done: bar.update(task, completed=done))
        result = evaluate(
            predict,
            evaluation_batches(config, source, mesh),
            functools.partial(clip_facts, source),
            options=options,
            gallery=gallery,
            observers=[collector] if extras.any else [],
        )
    if extras.any:
        training_clips = _training_clips(config, mesh, extras) if extras.needs_training_clips else None
        result |= run_extras(collector.clip_set(), training_clips, extras=extras, bootstrap=options.bootstrap)
    out_dir = pathlib.Path(out_dir)
    write_result(out_dir / "evaluation.json", result)
    history = read_history(workdir) if workdir else None
    write_report(
        out_dir / "report.html", result, gallery.clips(), history=history, title=f"Evaluation of {weights.name}"
    )
    return result


def _options(
    config: ml_collections.ConfigDict,
    weights: GeneratorWeights,
    source: RecordSource,
    split: str,
    net: PerceptualNet | None,
    mesh: Mesh,
) -> EvaluateOptions:
    """What is run beside the model, and every setting that a reader of the scores must know."""
    draws, net_frames = config.eval.speckle_draws, config.eval.perceptual_frames
    return EvaluateOptions(
        bootstrap=Bootstrap(resamples=config.eval.bootstrap),
        expected_clips=len(source),
        redraw=redraw_from(source, count=draws, frames=config.eval.frames, size=config.data.size),
        feather=weights.settings["feather"],
        net=jax.device_put(net or feature_net(), replicated(mesh)) if net_frames else None,
        net_frames=net_frames,
        settings={
            "model": weights.name,
            "weights_digest": weights.digest,
            "split": split,
            "data_digest": source.digest,
            "frames": config.eval.frames,
            "size": config.data.size,
            "speckle_draws": draws,
            "perceptual_frames": net_frames,
        },
    )


def predictor(weights: GeneratorWeights, mesh: Mesh) -> Predict:
    """The jitted prediction of ``weights``, their parameters on every device of ``mesh``."""
    predict = jax.jit(make_predict(weights.spec, feather=weights.settings["feather"]))
    return functools.partial(predict, jax.device_put(weights.params, replicated(mesh)))


def _training_clips(config: ml_collections.ConfigDict, mesh: Mesh, extras: Extras) -> Any:
    source = build_source(config, "train")
    ids: Ids = functools.partial(clip_facts, source)
    return collect_training_clips(lambda: evaluation_batches(config, source, mesh), ids, extras=extras)


def build_reader_study(
    config: ml_collections.ConfigDict,
    weights: GeneratorWeights,
    folder: pathlib.Path,
    *,
    options: StudyOptions,
    split: str = "test",
) -> dict[str, Any]:
    """Translate clips of ``split`` and build a reader study from a random sample of those with flow.

    Returns:
      The key, also written as ``key.json`` beside ``study.html``; see `reader_build.build_study`.
    """
    mesh = make_mesh()
    source = build_source(config, split)
    # More than are shown, so that real and translated can be balanced within views.
    collector = StudyCollector(keep=2 * options.items, seed=options.seed)
    batches = evaluation_batches(config, source, mesh)
    translate_to([collector], predictor(weights, mesh), batches, functools.partial(clip_facts, source))
    return build_study(folder, collector.clips(), options=options)


def leave_one_domain_out(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    *,
    domains: Sequence[str] = KNOWN,
    trained_on: Sequence[str] = (),
) -> dict[str, Any]:
    """How does a model do on clinical domains that it has never seen? Trains, evaluates, and writes ``domains.json``.

    Every training has a folder of its own in ``workdir`` and goes on where it stopped.

    Args:
      config: of the trainings and evaluations; ``data.views`` is set here.
      workdir: made when missing.
      domains: tested.
      trained_on: given, one model is trained on these and tested on all of ``domains`` (heart alone, say); otherwise
        one is trained on all domains, and one without each of them in turn.

    Returns:
      ``{"trained_on": [...] or None, "domains": ...}`` with rows as `domains.split_by_training_domain` or
      `domains.leave_one_out` gives them.

    Raises:
      ValueError: an unknown domain, or one of which the data hold no clip.
    """
    workdir = pathlib.Path(workdir)

    def run(train_views: Sequence[str], test_views: Sequence[str], name: str) -> dict[str, Any]:
        fitted, tested = config.copy_and_resolve_references(), config.copy_and_resolve_references()
        fitted.data.views, tested.data.views = tuple(train_views), tuple(test_views)
        for domain in domains if name in ("all", "only") else ():
            part = config.copy_and_resolve_references()
            part.data.views = views_of([domain])
            build_source(part, "test")  # before hours of training: every domain must have test clips
        train(fitted, workdir / name / "run")
        weights = checkpoint_weights(workdir / name / "run")
        return evaluate_weights(tested, weights, workdir / name / "evaluation", workdir=workdir / name / "run")

    if trained_on:
        result = run(views_of(trained_on), views_of(domains), "only")
        table = split_by_training_domain(result, trained_on=trained_on)
    else:
        table = leave_one_out(run, domains=domains)
    outcome = {"trained_on": list(trained_on) or None, "domains": table}
    write_result(workdir / "domains.json", outcome)
    return outcome
