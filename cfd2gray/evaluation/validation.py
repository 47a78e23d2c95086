"""A short evaluation while training: compiled once, scored where the clips are, and only sums of scores leave the devices."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from cfd2gray.config import from_json, to_json
from cfd2gray.evaluation.step import quantise, to_float
from cfd2gray.mesh import replicated
from cfd2gray.metrics import image, temporal
from cfd2gray.metrics.frames import masked_mean
from cfd2gray.metrics.ssim import ssim
from cfd2gray.metrics.strata import STRATA, strata_masks
from cfd2gray.models.fill import luma
from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.data import STEP_KEYS, build_source, evaluation_batches
from cfd2gray.training.state import TrainSpec
from cfd2gray.translation.predict import make_predict
from data_pipeline.loading.sources import RecordSource

logger = logging.getLogger(__name__)

SCORED = ("frame", "sector", "box", "flow")
"""Strata of `metrics.strata.STRATA` that are told while training."""

Sums = dict[str, tuple[jax.Array, jax.Array]]
"""Name of a score -> its sum over the clips that have one, and their number; float32 scalars on every device."""


def validate(config: ml_collections.ConfigDict, spec: TrainSpec, params: Any, mesh: Mesh) -> dict[str, float]:
    """Means over ``config.eval.clips`` clips of the validation split.

    Args:
      config: Of the run; ``eval`` says how many clips, how long and how many at a time.
      spec: Of the run.
      params: Of the generator, on ``mesh``.
      mesh: Devices; every process of the run calls this.

    Returns:
      ``val/ssim_STRATUM`` of the composited output and ``val/luma_STRATUM`` of the input as if printed in grey, in
      [-1, 1] for `SCORED`; ``val/error_flow``, mean absolute error under colour in grey levels of 255;
      ``val/flicker_ratio_flow`` and ``val/texture_std_ratio_flow``, 1 where they are the truth's; ``val/clips``. A score
      that no clip has is left out.
    """
    source = _source(to_json(config))
    step = compiled_step(spec.generator, config.translate.feather, mesh)
    limit, per_step = config.eval.clips or len(source), -(-config.eval.batch_size // mesh.size) * mesh.size
    total: dict[str, np.ndarray] = {}
    for number, batch in enumerate(evaluation_batches(config, source, mesh, STEP_KEYS)):
        if number * per_step >= limit:
            break
        for name, pair in jax.device_get(step(params, batch)).items():
            total[name] = total.get(name, np.zeros(2)) + np.asarray(pair, np.float64)
    scores = {f"val/{name}": float(value / count) for name, (value, count) in total.items() if count}
    scores["val/clips"] = float(total["ssim_frame"][1])
    logger.info(describe(scores))
    return scores


def describe(scores: Mapping[str, float]) -> str:
    """The scores in one sentence for a person."""
    found = {name: scores.get(f"val/{name}", math.nan) for name in ("ssim_flow", "luma_flow", "error_flow")}
    return (
        f"validation on {scores.get('val/clips', 0):.0f} clips: under colour, SSIM with the truth is {found['ssim_flow']:.3f} "
        f"(input printed in grey: {found['luma_flow']:.3f}), the error {found['error_flow']:.1f} grey levels of 255, "
        f"texture {scores.get('val/texture_std_ratio_flow', math.nan):.2f} and flicker "
        f"{scores.get('val/flicker_ratio_flow', math.nan):.2f} of the truth's"
    )


@functools.lru_cache(maxsize=4)
def compiled_step(spec: GeneratorSpec, feather: int, mesh: Mesh) -> Callable[[Any, Mapping[str, jax.Array]], Sums]:
    """``step(params, batch)``, the same function for equal arguments, so that a run compiles it once."""
    predict = make_predict(spec, feather=feather)

    def step(params: Any, batch: Mapping[str, jax.Array]) -> Sums:
        output = quantise(predict(params, batch)["composited"])
        truth, plain = to_float(batch["grey"]), quantise(luma(to_float(batch["cfd"])))
        masks = strata_masks(batch["strata"])[jnp.array([STRATA.index(name) for name in SCORED])].astype(jnp.float32)
        flow = masks[SCORED.index("flow")]
        scores = {
            "error_flow": 255 * masked_mean(jnp.abs(output - truth)[..., 0], flow),
            "flicker_ratio_flow": image.ratio(temporal.flicker(output, mask=flow), temporal.flicker(truth, mask=flow)),
            "texture_std_ratio_flow": image.texture_std_ratio(output, truth, mask=flow),
        }
        for name, frames in (("ssim", output), ("luma", plain)):
            values = ssim(frames, truth, data_range=1.0, mask=masks)
            scores |= {f"{name}_{stratum}": value for stratum, value in zip(SCORED, values)}
        real = batch["mask"] > 0

        def summed(values: jax.Array) -> tuple[jax.Array, jax.Array]:
            known = real & jnp.isfinite(values)
            return jnp.sum(jnp.where(known, values, 0.0)), jnp.sum(known.astype(jnp.float32))

        return {name: summed(values) for name, values in scores.items()}

    return jax.jit(step, out_shardings=replicated(mesh))


@functools.lru_cache(maxsize=1)
def _source(config: str) -> RecordSource:
    """The validation clips of a config: manifest and index are read once in a run."""
    return build_source(from_json(config), "val")
