"""Temporal term: the translation must change from frame to frame as truth does; neither freeze nor flicker."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.losses.magnitude import magnitude
from cfd2gray.losses.pixel import weights_of_changes

Array = jax.Array


def change_error(predicted: Array, truth: Array, weights: Array, mask: Array, *, epsilon: float) -> Array:
    """Weighted mean `magnitude` of ``d predicted - d truth`` between frames; ``[N, T, H, W, 1]``; 0 when T is 1."""
    if predicted.shape[1] < 2:
        return jnp.zeros(())
    error = magnitude(jnp.diff(predicted, axis=1) - jnp.diff(truth, axis=1), epsilon) * weights_of_changes(weights)
    per_clip = jnp.mean(error, axis=(1, 2, 3, 4))
    return jnp.sum(per_clip * mask) / jnp.maximum(jnp.sum(mask), 1.0)
