"""The first guess of what colour hides, without any learning: normalised averages over time, then over space.

Colour that covers a pixel in one frame often spares it in a neighbouring one. The guess takes the visible values of the
same pixel in the frames around, and where there are none, the nearest visible surroundings from a pyramid of averages.
AnatomyNet starts from it and learns the rest.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.models.layers import shift_time

Array = jax.Array

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma weights of R, G, B."""


def luma(rgb: Array) -> Array:
    """BT.601 luma of ``[..., 3]`` as ``[..., 1]``, in the input's units."""
    return jnp.sum(rgb * jnp.asarray(LUMA, rgb.dtype), axis=-1, keepdims=True)


def _halve(x: Array) -> Array:
    *lead, h, w, c = x.shape
    return jnp.mean(x.reshape((*lead, h // 2, 2, w // 2, 2, c)), axis=(-4, -2))


def _double(x: Array) -> Array:
    """Bilinear doubling of height and width with edges repeated, as four weighted shifts."""
    up = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (0, 0), (0, 0)], mode="edge")
    rows = jnp.stack([0.25 * up[..., :-2, :, :] + 0.75 * x, 0.75 * x + 0.25 * up[..., 2:, :, :]], axis=-3)
    rows = rows.reshape((*x.shape[:-3], 2 * x.shape[-3], *x.shape[-2:]))
    side = jnp.pad(rows, [(0, 0)] * (x.ndim - 2) + [(1, 1), (0, 0)], mode="edge")
    columns = jnp.stack([0.25 * side[..., :-2, :] + 0.75 * rows, 0.75 * rows + 0.25 * side[..., 2:, :]], axis=-2)
    return columns.reshape((*rows.shape[:-2], 2 * rows.shape[-2], rows.shape[-1]))


def temporal_average(values: Array, visible: Array, *, radius: int) -> tuple[Array, Array]:
    """Average of the visible values of each pixel over ``2 * radius + 1`` frames, near frames counting more.

    Args:
      values: ``[N, T, H, W, 1]``, any unit.
      visible: ``[N, T, H, W, 1]``, 1 where ``values`` may be trusted, 0 where not.
      radius: Frames either way; the weight falls as ``1 / (1 + |offset|)``.

    Returns:
      ``(average, support)``: the average (0 where no frame sees the pixel) and the sum of the weights that saw it.
    """
    total, support = jnp.zeros_like(values), jnp.zeros_like(values)
    seen = values * visible
    for offset in range(-radius, radius + 1):
        weight = 1.0 / (1.0 + abs(offset))
        total = total + weight * shift_time(seen, offset)
        support = support + weight * shift_time(visible, offset)
    return total / jnp.maximum(support, 1e-6), support


def spatial_fill(values: Array, weight: Array, *, levels: int) -> Array:
    """Fill pixels of low ``weight`` from a pyramid of weighted averages (push-pull; Gortler et al. 1996).

    Height and width must be multiples of ``2 ** levels``. Pixels of weight 1 or more keep their value.
    """
    pyramid = [(values * weight, weight)]
    for _ in range(levels):
        pyramid.append(tuple(_halve(x) for x in pyramid[-1]))
    total, support = pyramid[-1]
    filled = total / jnp.maximum(support, 1e-6)
    for total, support in reversed(pyramid[:-1]):
        trust = jnp.minimum(support, 1.0)
        filled = trust * (total / jnp.maximum(support, 1e-6)) + (1.0 - trust) * _double(filled)
    return filled


def first_guess(grey: Array, hidden: Array, *, radius: int, levels: int) -> tuple[Array, Array]:
    """Luma with hidden pixels replaced by what neighbouring frames, then surroundings, show there.

    Args:
      grey: Luma ``[N, T, H, W, 1]`` in [0, 1].
      hidden: ``[N, T, H, W, 1]``, 1 under colour and outline.
      radius: Frames looked at either way.
      levels: Pyramid levels; height and width must be multiples of ``2 ** levels``.

    Returns:
      ``(guess, support)``: the guess in [0, 1] (equal to ``grey`` where nothing is hidden) and in [0, 1] how much the
      neighbouring frames saw of each pixel.
    """
    visible = 1.0 - hidden
    average, support = temporal_average(grey, visible, radius=radius)
    support = jnp.minimum(support, 1.0)
    guess = spatial_fill(average, support, levels=levels)
    return visible * grey + hidden * guess, support
