"""Texture and shimmer terms: speckle as strong as truth's, in space and from frame to frame, wherever its grains may fall.

Pixel-wise terms are smallest for the average of all possible speckle, which is smooth and still. These terms do not care
where a grain is, only how strongly the neighbourhood varies, so that an honest uncertainty need not look like a blur.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.losses.magnitude import magnitude
from cfd2gray.losses.pixel import weights_of_changes

Array = jax.Array


def texture_error(predicted: Array, truth: Array, weights: Array, mask: Array, *, epsilon: float) -> Array:
    """Weighted mean difference of local texture strength.

    Strength is measured in two ways over about 9 px of what a 5 px average leaves over: root mean square and mean
    absolute value. With the first alone a few bright dots on smooth ground would do. Arrays ``[N, T, H, W, 1]`` in
    [0, 1], ``mask [N]``. Textures weaker than ``epsilon`` (of full scale) do not count.
    """
    return _mean_difference(_fine(predicted), _fine(truth), weights, mask, epsilon)


def shimmer_error(predicted: Array, truth: Array, weights: Array, mask: Array, *, epsilon: float) -> Array:
    """`texture_error` of the change from frame to frame instead of fine detail; 0 when there is one frame."""
    if predicted.shape[1] < 2:
        return jnp.zeros(())
    return _mean_difference(
        jnp.diff(predicted, axis=1), jnp.diff(truth, axis=1), weights_of_changes(weights), mask, epsilon
    )


def _mean_difference(predicted: Array, truth: Array, weights: Array, mask: Array, epsilon: float) -> Array:
    strengths = zip(_strengths(predicted, epsilon), _strengths(truth, epsilon))
    error = sum(magnitude(a - b, epsilon) for a, b in strengths)
    per_clip = jnp.mean(weights * error, axis=(1, 2, 3, 4))
    return jnp.sum(per_clip * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def _fine(x: Array) -> Array:
    return x - _smooth(x, 2)


def _strengths(x: Array, epsilon: float) -> tuple[Array, Array]:
    return jnp.sqrt(_smooth(x**2, 4) + epsilon**2), _smooth(magnitude(x, epsilon), 4)


def _smooth(x: Array, times: int) -> Array:
    """3x3 averages, edges repeated, ``times`` over: shifted sums, which every backend fuses."""
    for _ in range(times):
        for axis in (-3, -2):
            size = x.shape[axis]
            # Not jnp.pad: the gradient of its edge mode sends the first clip of a sharded batch between devices.
            first, last = (jax.lax.slice_in_dim(x, k, k + 1, axis=x.ndim + axis) for k in (0, size - 1))
            wide = jnp.concatenate([first, x, last], axis=axis)
            x = sum(jax.lax.slice_in_dim(wide, k, k + size, axis=x.ndim + axis) for k in range(3)) / 3.0
    return x
