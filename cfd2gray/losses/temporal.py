"""Temporal term: the translation must change from frame to frame as truth does; neither freeze nor flicker."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array


def change_error(predicted: Array, truth: Array, weights: Array, mask: Array) -> Array:
    """Weighted mean of ``|d predicted - d truth|`` between neighbouring frames; ``[N, T, H, W, 1]``; 0 when T is 1."""
    if predicted.shape[1] < 2:
        return jnp.zeros(())
    error = jnp.abs(jnp.diff(predicted, axis=1) - jnp.diff(truth, axis=1)) * weights[:, 1:]
    per_clip = jnp.mean(error, axis=(1, 2, 3, 4))
    return jnp.sum(per_clip * mask) / jnp.maximum(jnp.sum(mask), 1.0)
