"""Traces that a translation leaves behind: a seam, the ghost of the box outline, the pattern of the colour."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.metrics.frames import as_frames, check_pair, masked_mean
from cfd2gray.metrics.strata import dilate


def seam_score(a: jax.Array, b: jax.Array, *, replaced: jax.Array) -> jax.Array:
    """Mean grey step across the border of ``replaced`` in ``a`` over that in ``b`` -> ``[N]``; 1 is seamless.

    ``replaced`` is bool ``[N, T, H, W]``: the pixels that were synthesised. Steps are taken between horizontal and
    vertical neighbours of which one was replaced. Below 1 the border is smeared, above 1 it shows.
    """
    a, b = check_pair(a, b)
    totals = []
    for clip in (a, b):
        down = jnp.where(jnp.diff(replaced.astype(jnp.int8), axis=2) != 0, jnp.abs(jnp.diff(clip, axis=2)), 0)
        along = jnp.where(jnp.diff(replaced.astype(jnp.int8), axis=3) != 0, jnp.abs(jnp.diff(clip, axis=3)), 0)
        totals.append(down.sum(axis=(1, 2, 3)) + along.sum(axis=(1, 2, 3)))
    return totals[0] / jnp.where(totals[1] > 0, totals[1], jnp.nan)


def outline_residue(a: jax.Array, b: jax.Array, *, outline: jax.Array) -> jax.Array:
    """How much brighter than its surroundings the box outline still is, in the images' units -> ``[N]``; 0 is right.

    The mean of ``a - b`` on the outline (bool ``[N, T, H, W]``) less its mean within 3 px beside it.
    """
    a, b = check_pair(a, b)
    beside = dilate(outline, 3) & ~outline
    return masked_mean(a - b, outline) - masked_mean(a - b, beside)


def colour_residue(a: jax.Array, b: jax.Array, *, luma: jax.Array, mask: jax.Array) -> jax.Array:
    """Correlation, within ``mask``, between the error ``a - b`` and the input's luma -> ``[..., N]``; 0 is right.

    Colour hides the tissue, so whatever of its pattern is found in the error has been carried over from the input.
    ``luma`` is float ``[N, T, H, W]``, ``mask`` bool ``[..., N, T, H, W]``.
    """
    a, b = check_pair(a, b)
    error, luma = a - b, as_frames(luma, name="luma")
    mean_error, mean_luma = masked_mean(error, mask), masked_mean(luma, mask)
    covariance = masked_mean(error * luma, mask) - mean_error * mean_luma
    spread = (masked_mean(error * error, mask) - mean_error**2) * (masked_mean(luma * luma, mask) - mean_luma**2)
    return jnp.clip(covariance / jnp.sqrt(jnp.where(spread > 1e-12, spread, jnp.nan)), -1, 1)
