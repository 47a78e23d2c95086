"""The jitted evaluation step: predictions in, per-example scores per stratum out.

Predictions are rounded to 256 grey levels first, because that is what a user of the output sees. Everything here
returns one value per example; means and intervals are made in `results`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from cfd2gray import metrics
from cfd2gray.metrics import image, perceptual, temporal
from cfd2gray.metrics.artefacts import colour_residue, outline_residue, seam_score
from cfd2gray.metrics.confidence import confidence_counts
from cfd2gray.metrics.motion import find_motion, motion_residual
from cfd2gray.metrics.perceptual import PerceptualNet
from cfd2gray.metrics.strata import colour_fraction
from cfd2gray.models.fill import luma
from cfd2gray.runtimes.confidence import TOLERANCE
from data_pipeline.schema import BOX, OUTLINE, SECTOR

Batch = Mapping[str, jax.Array]
Scores = dict[str, dict[str, jax.Array]]
"""Measure -> stratum -> float32 ``[N]``."""
Predict = Callable[[Batch], Mapping[str, jax.Array]]
"""Takes a batch (`data_pipeline.schema.BATCH_KEYS`) and returns float32 ``[N, T, H, W, 1]`` arrays in [0, 1]: ``grey``
(the network's output), ``composited`` (after pass-through) and, where there are two networks, ``anatomy`` (the first
one's); optionally ``confidence``. It should be jitted by whoever makes it, with the parameters as an argument."""

OUTPUTS = {"composited": "composited", "grey": "raw", "anatomy": "anatomy"}
"""Key in the prediction -> name in the results."""


def make_eval_step(
    predict: Predict, *, net: PerceptualNet | None = None, net_frames: int = 1
) -> Callable[[Batch], dict]:
    """An evaluation step for ``predict``; with ``net``, feature distances over ``net_frames`` frames of each clip too.

    Returns:
      ``step(batch)`` -> dict of device arrays: ``scores`` (``composited``, ``raw`` and perhaps ``anatomy`` -> Scores),
      ``prediction``, ``prepared`` (what `score` takes to score something else on the same batch), ``confidence``
      (counts, where the model gives one), ``colour_fraction``, ``synthesised_fraction``, ``identity_error`` (each [N]).
    """

    def step(batch: Batch) -> dict:
        prediction = predict(batch)
        check_prediction(prediction, batch)
        prepared = prepare(batch, net, net_frames=net_frames)
        shown = {name: prediction[key] for key, name in OUTPUTS.items() if key in prediction}
        scores = {name: score(frames, prepared, net, net_frames=net_frames) for name, frames in shown.items()}
        facts = _facts(prediction["composited"], batch)
        if "confidence" in prediction:
            facts["confidence"] = _trust(prediction, prepared)
        return {"scores": scores, "prediction": prediction, "prepared": prepared, **facts}

    return step


@functools.partial(jax.jit, static_argnames="net_frames")
def prepare(batch: Batch, net: PerceptualNet | None = None, *, net_frames: int = 1) -> dict[str, jax.Array]:
    """What every scoring of a batch needs of its truth and strata, computed once."""
    truth = to_float(batch["grey"])
    masks = metrics.strata_masks(batch["strata"]).astype(jnp.float32)
    motion = find_motion(truth)
    return {
        "truth": truth,
        "masks": masks,
        "motion": motion,
        "motion_residual": motion_residual(truth, motion, mask=masks),
        "features": None if net is None else perceptual.deep_features(net, truth, frames=net_frames),
        "luma": luma(to_float(batch["cfd"])),
        "hidden": batch["hidden"] > 0,
        "outline": (batch["strata"] & OUTLINE) > 0,
        "texture_std": image.texture_std(truth, mask=masks),
        "band_levels": image.band_levels(truth, mask=masks),
        "histogram": image.cumulative_histogram(truth, mask=masks),
        "flicker": temporal.flicker(truth, mask=masks),
    }


@functools.partial(jax.jit, static_argnames="net_frames")
def score(
    prediction: jax.Array, prepared: Mapping[str, jax.Array], net: PerceptualNet | None = None, *, net_frames: int = 1
) -> Scores:
    """Every measure of ``prediction`` (float ``[N, T, H, W, 1]`` in [0, 1]) against a prepared batch."""
    a, b, masks = quantise(prediction), prepared["truth"], prepared["masks"]
    per_stratum = {
        "ssim": metrics.ssim(a, b, data_range=1.0, mask=masks),
        "psnr": metrics.psnr(a, b, data_range=1.0, mask=masks),
        "mae": metrics.mae(a, b, mask=masks),
        "texture_std_ratio": image.ratio(image.texture_std(a, mask=masks), prepared["texture_std"]),
        "spectrum_distance": image.level_distance(image.band_levels(a, mask=masks), prepared["band_levels"]),
        "histogram_distance": image.cumulative_distance(
            image.cumulative_histogram(a, mask=masks), prepared["histogram"]
        ),
        "flicker_ratio": image.ratio(temporal.flicker(a, mask=masks), prepared["flicker"]),
        "temporal_difference_error": metrics.temporal_difference_error(a, b, mask=masks),
        "motion_residual_ratio": image.ratio(
            motion_residual(a, prepared["motion"], mask=masks), prepared["motion_residual"]
        ),
    }
    if net is not None:
        found = perceptual.deep_features(net, a, frames=net_frames)
        seen = masks[..., perceptual.evenly(a.shape[1], net_frames), :, :]
        nets = {"vgg_distance": PerceptualNet(vgg=net.vgg)} | ({} if net.linear is None else {"lpips": net})
        for name, kind in nets.items():
            per_stratum[name] = perceptual.feature_distance(kind, found, prepared["features"], mask=seen)
    result = {name: dict(zip(metrics.STRATA, values)) for name, values in per_stratum.items()}
    flow = masks[metrics.STRATA.index("flow")]
    result["seam_score"] = {"frame": seam_score(a, b, replaced=prepared["hidden"])}
    result["outline_residue"] = {"frame": outline_residue(a, b, outline=prepared["outline"])}
    result["colour_residue"] = {"flow": colour_residue(a, b, luma=prepared["luma"], mask=flow)}
    return result


@jax.jit
def _facts(composited: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    """What the tables are stratified by, and by how many grey levels pixels outside the box were changed at most."""
    difference = jnp.abs(
        as_uint8(composited).astype(jnp.int32) - as_uint8(luma(to_float(batch["cfd"]))).astype(jnp.int32)
    )
    untouched = (batch["hidden"] == 0) & ((batch["strata"] & BOX) == 0)
    return {
        "colour_fraction": colour_fraction(batch["strata"]),
        "synthesised_fraction": jnp.mean(batch["hidden"] > 0, axis=(1, 2, 3)),
        "identity_error": jnp.max(jnp.where(untouched, difference, 0), axis=(1, 2, 3)),
    }


def without_colour(batch: Batch) -> dict[str, jax.Array]:
    """The batch as if nothing had been painted: the truth as input, no box, nothing hidden."""
    cfd = jnp.repeat(batch["grey"], 3, axis=-1)
    nothing = jnp.zeros_like(batch["hidden"])
    return dict(batch) | {"cfd": cfd, "strata": batch["strata"] & SECTOR, "hidden": nothing}


@jax.jit
def identity_scores(composited: jax.Array, grey: jax.Array) -> dict[str, jax.Array]:
    """SSIM of an output with uint8 ``grey [N, T, H, W, 1]`` that should have come through, and the largest change: ``[N]``."""
    found, truth = quantise(composited), to_float(grey)
    change = jnp.max(jnp.abs(found - truth), axis=(1, 2, 3, 4))
    return {"ssim": metrics.ssim(found, truth, data_range=1.0), "change": jnp.round(change * 255)}


@jax.jit
def _trust(prediction: Mapping[str, jax.Array], prepared: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Counts behind the calibration of confidence, over the pixels that were synthesised."""
    return confidence_counts(
        prediction["confidence"],
        quantise(prediction["composited"]),
        prepared["truth"],
        mask=prepared["hidden"],
        tolerance=TOLERANCE,
    )


def quantise(frames: jax.Array) -> jax.Array:
    """Float in [0, 1] rounded to 256 levels, still float."""
    return jnp.round(jnp.clip(frames.astype(jnp.float32), 0, 1) * 255) / 255


@jax.jit
def as_uint8(frames: jax.Array) -> jax.Array:
    """Float ``[N, T, H, W, 1]`` in [0, 1] -> uint8 ``[N, T, H, W]``."""
    return jnp.round(jnp.clip(frames[..., 0].astype(jnp.float32), 0, 1) * 255).astype(jnp.uint8)


def to_float(frames: jax.Array) -> jax.Array:
    """uint8 -> float32 in [0, 1]."""
    return frames.astype(jnp.float32) / 255


def check_prediction(prediction: Mapping[str, jax.Array], batch: Batch) -> None:
    """Raise ``ValueError`` unless the prediction has the outputs and shapes that scoring needs."""
    missing = [key for key in ("grey", "composited") if key not in prediction]
    if missing:
        raise ValueError(f"predict() must return 'grey' and 'composited', missing {missing}; got {sorted(prediction)}")
    for key in (*OUTPUTS, "confidence"):
        if key not in prediction:
            continue
        array, wanted = prediction[key], batch["grey"].shape
        if array.shape != wanted or not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"predict()[{key!r}] must be float {list(wanted)} like the batch's grey, "
                f"got {array.dtype} {list(array.shape)}"
            )
