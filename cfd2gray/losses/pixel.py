"""Pixel-wise terms: how far grey levels and local structure are from truth, hidden pixels counting more."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.losses.magnitude import magnitude
from cfd2gray.metrics.ssim import ssim_map

Array = jax.Array


def pixel_weights(hidden: Array, sector: Array, *, hidden_gain: float) -> Array:
    """Weight of each pixel, mean 1 per clip: ``sector + hidden_gain * hidden``, a little outside the sector.

    Args:
      hidden: ``[N, T, H, W, 1]``, 1 where colour hides the truth from the model.
      sector: ``[N, T, H, W, 1]``, 1 inside the insonified area.
      hidden_gain: How much more a hidden pixel counts.
    """
    weights = 0.05 + sector + hidden_gain * hidden
    return weights / jnp.mean(weights, axis=(1, 2, 3, 4), keepdims=True)


def weights_of_changes(weights: Array) -> Array:
    """``[N, T, ...] -> [N, T - 1, ...]``: a change counts as much as the heavier of its two frames, so that colour that comes
    and colour that goes are learned alike, as the flicker measure counts them."""
    return jnp.maximum(weights[:, 1:], weights[:, :-1])


def _clip_mean(values: Array, mask: Array) -> Array:
    """Mean over each clip's elements, then over the clips that ``mask [N]`` keeps."""
    per_clip = jnp.mean(values, axis=tuple(range(1, values.ndim)))
    return jnp.sum(per_clip * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def charbonnier(predicted: Array, truth: Array, weights: Array, mask: Array, *, epsilon: float) -> Array:
    """Weighted mean `magnitude` of the error. Arrays ``[N, T, H, W, 1]``."""
    return _clip_mean(weights * magnitude(predicted - truth, epsilon), mask)


def structure(predicted: Array, truth: Array, weights: Array, mask: Array) -> Array:
    """``mean(w * (1 - SSIM map))`` of ``[N, T, H, W, 1]`` in [0, 1] (Wang et al. 2004)."""
    similarity = ssim_map(predicted, truth, data_range=1.0)
    return _clip_mean(weights * (1.0 - similarity.reshape(weights.shape)), mask)


def laplace_likelihood(log_scale: Array, predicted: Array, truth: Array, weights: Array, mask: Array) -> Array:
    """Negative log-likelihood of the found error under a Laplace distribution of the predicted scale.

    The prediction is held fixed (no gradient): this term teaches ``log_scale`` alone.
    """
    error = jnp.abs(jax.lax.stop_gradient(predicted) - truth)
    bounded = jnp.clip(log_scale, -7.0, 1.0)
    return _clip_mean(weights * (error * jnp.exp(-bounded) + bounded), mask)
