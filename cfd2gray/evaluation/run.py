"""Evaluate weights on the clips of a config: scores, tables and report in one folder."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.gallery import Gallery
from cfd2gray.evaluation.report import write_report
from cfd2gray.evaluation.results import write_json
from cfd2gray.mesh import make_mesh, replicated
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.training.data import build_source, evaluation_batches
from cfd2gray.training.state import TrainSpec
from cfd2gray.training.writer import read_history
from cfd2gray.translation.predict import make_predict
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.parallel import progress_bar
from data_pipeline.sources import RecordSource


def clip_facts(source: RecordSource, index: int) -> tuple[str, str, dict[str, Any]]:
    """``(clip id, patient id, facts)`` of one clip, as `evaluate` wants them."""
    row = source.ids(index)
    return row.clip_id, row.patient_id, {"kind": row.kind, "vendor": row.vendor, "fps": row.fps}


def evaluate_weights(
    config: ml_collections.ConfigDict,
    weights: GeneratorWeights,
    out_dir: pathlib.Path,
    *,
    split: str = "test",
    workdir: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Score ``weights`` on every clip of ``split``; write ``evaluation.json`` and ``report.html`` into ``out_dir``.

    Args:
      config: Says which clips, at what size; see ``configs/default.py``.
      weights: From a checkpoint or a file.
      out_dir: Made when missing; the two files are replaced.
      split: ``train``, ``val`` or ``test``.
      workdir: The training run, for its curves in the report.

    Returns:
      The evaluation JSON (contract C4).
    """
    mesh = make_mesh()
    source = build_source(config, split)
    gallery = Gallery()
    with progress_bar("clips") as bar:
        task = bar.add_task(f"evaluate {split}", total=len(source))
        options = EvaluateOptions(
            bootstrap=Bootstrap(resamples=config.eval.bootstrap),
            expected_clips=len(source),
            settings={
                "model": weights.name,
                "weights_digest": weights.digest,
                "split": split,
                "data_digest": source.digest,
                "frames": config.eval.frames,
                "size": config.data.size,
            },
            on_batch=lambda done: bar.update(task, completed=done),
        )
        predict = jax.jit(make_predict(weights.spec, feather=weights.settings["feather"]))
        params = jax.device_put(weights.params, replicated(mesh))
        result = evaluate(
            functools.partial(predict, params),
            evaluation_batches(config, source, mesh),
            functools.partial(clip_facts, source),
            options=options,
            gallery=gallery,
        )
    out_dir = pathlib.Path(out_dir)
    write_json(out_dir / "evaluation.json", result)
    history = read_history(workdir) if workdir else None
    write_report(out_dir / "report.html", result, gallery.clips(), history=history)
    return result


def validate(config: ml_collections.ConfigDict, spec: TrainSpec, params: Any, mesh: Mesh) -> dict[str, float]:
    """A short evaluation while training: SSIM per stratum on the validation split, beside the luma baseline."""
    source = build_source(config, "val")
    predict = jax.jit(make_predict(spec.generator, feather=config.translate.feather))
    limit = config.eval.clips or len(source)
    batches = (b for i, b in enumerate(evaluation_batches(config, source, mesh)) if i * config.eval.batch_size < limit)
    result = evaluate(
        functools.partial(predict, params),
        batches,
        functools.partial(clip_facts, source),
        options=EvaluateOptions(baselines=("luma",), bootstrap=Bootstrap(resamples=0)),
    )
    strata = ("frame", "sector", "box", "flow")
    scores = {f"val/ssim_{s}": result["ssim"][s] for s in strata}
    scores |= {f"val/luma_{s}": result["baselines"]["luma"][s] for s in strata}
    scores |= {f"val/{m}_flow": result[m]["flow"] for m in ("flicker_ratio", "texture_std_ratio")}
    return {name: value for name, value in scores.items() if value is not None}
