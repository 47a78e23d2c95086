"""The jitted evaluation step: predictions in, per-example scores per stratum out.

Predictions are rounded to 256 grey levels first, because that is what a user of the output sees. Everything here
returns one value per example; means and intervals are made in `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from cfd2gray import metrics
from cfd2gray.metrics.artefacts import colour_residue, outline_residue, seam_score
from cfd2gray.metrics.strata import colour_fraction
from data_pipeline.schema import OUTLINE

Batch = Mapping[str, jax.Array]
Scores = dict[str, dict[str, jax.Array]]
"""Measure -> stratum -> float32 ``[N]``."""
Predict = Callable[[Batch], Mapping[str, jax.Array]]
"""Takes a batch (`data_pipeline.schema.BATCH_KEYS`) and returns float32 ``[N, T, H, W, 1]`` arrays in [0, 1]: ``grey``
(the network's output), ``composited`` (after pass-through) and, where there are two networks, ``anatomy`` (the first
one's); optionally ``confidence``. It should be jitted by whoever makes it, with the parameters as an argument."""

OUTPUTS = {"composited": "composited", "grey": "raw", "anatomy": "anatomy"}
"""Key in the prediction -> name in the results."""

LUMA_BT601 = (0.299, 0.587, 0.114)


def make_eval_step(predict: Predict) -> Callable[[Batch], dict]:
    """An evaluation step for ``predict``.

    Returns:
      ``step(batch) -> {"scores": {"composited": Scores, "raw": Scores, ["anatomy": Scores]}, "prediction": {...},
      "colour_fraction": [N], "synthesised_fraction": [N], "identity_error": [N]}``; all device arrays.
    """

    def step(batch: Batch) -> dict:
        prediction = predict(batch)
        check_prediction(prediction, batch)
        scores = {name: score(prediction[key], batch) for key, name in OUTPUTS.items() if key in prediction}
        return {"scores": scores, "prediction": prediction, **_facts(prediction["composited"], batch)}

    return step


@jax.jit
def score(prediction: jax.Array, batch: Batch) -> Scores:
    """Every measure of ``prediction`` (float ``[N, T, H, W, 1]`` in [0, 1]) against the batch's ``grey``."""
    a, b = quantise(prediction), to_float(batch["grey"])
    masks = metrics.strata_masks(batch["strata"])
    per_stratum = {
        "ssim": metrics.ssim(a, b, data_range=1.0, mask=masks),
        "psnr": metrics.psnr(a, b, data_range=1.0, mask=masks),
        "mae": metrics.mae(a, b, mask=masks),
        "texture_std_ratio": metrics.texture_std_ratio(a, b, mask=masks),
        "spectrum_distance": metrics.spectrum_distance(a, b, mask=masks),
        "histogram_distance": metrics.histogram_distance(a, b, mask=masks),
        "flicker_ratio": metrics.flicker_ratio(a, b, mask=masks),
        "temporal_difference_error": metrics.temporal_difference_error(a, b, mask=masks),
    }
    result = {name: dict(zip(metrics.STRATA, values)) for name, values in per_stratum.items()}
    outline, hidden = (batch["strata"] & OUTLINE) > 0, batch["hidden"] > 0
    flow = masks[metrics.STRATA.index("flow")]
    result["seam_score"] = {"frame": seam_score(a, b, replaced=hidden)}
    result["outline_residue"] = {"frame": outline_residue(a, b, outline=outline)}
    result["colour_residue"] = {"flow": colour_residue(a, b, luma=luma(batch["cfd"]), mask=flow)}
    return result


@jax.jit
def _facts(composited: jax.Array, batch: Batch) -> dict[str, jax.Array]:
    """What the tables are stratified by, and how far pixels that need no translation were changed."""
    difference = jnp.abs(quantise(composited) - quantise(luma(batch["cfd"])))
    untouched = batch["hidden"][..., None] == 0
    return {
        "colour_fraction": colour_fraction(batch["strata"]),
        "synthesised_fraction": jnp.mean(batch["hidden"] > 0, axis=(1, 2, 3)),
        "identity_error": jnp.max(jnp.where(untouched, difference, 0), axis=(1, 2, 3, 4)),
    }


def quantise(image: jax.Array) -> jax.Array:
    """Float in [0, 1] rounded to 256 levels, still float."""
    return jnp.round(jnp.clip(image.astype(jnp.float32), 0, 1) * 255) / 255


@jax.jit
def as_uint8(image: jax.Array) -> jax.Array:
    """Float ``[N, T, H, W, 1]`` in [0, 1] -> uint8 ``[N, T, H, W]``."""
    return jnp.round(jnp.clip(image[..., 0].astype(jnp.float32), 0, 1) * 255).astype(jnp.uint8)


def to_float(image: jax.Array) -> jax.Array:
    """uint8 -> float32 in [0, 1]."""
    return image.astype(jnp.float32) / 255


def luma(cfd: jax.Array) -> jax.Array:
    """BT.601 luma of uint8 ``[N, T, H, W, 3]`` -> float32 ``[N, T, H, W, 1]`` in [0, 1]."""
    red, green, blue = (cfd[..., i : i + 1].astype(jnp.float32) for i in range(3))
    return (LUMA_BT601[0] * red + LUMA_BT601[1] * green + LUMA_BT601[2] * blue) / 255


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
