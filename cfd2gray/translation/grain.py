"""The fine detail of what was synthesised is held to that of the visible image beside it, grey level by grey level.

How strong speckle is at a grey level is a matter of the scanner's compression, grey map and filters, of depth and size, and
can be read off the visible pixels. The networks know it only on average, and since they work at half resolution, their
finest octave comes from four sub-pixels of one feature: where a scanner has smoothed its image, or blood is nearly black,
single bright pixels two apart would give the translation away.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array
HALF_BAND = (-1 / 16, 4 / 16, 10 / 16, 4 / 16, -1 / 16)
"""Keeps what changes slowly as it is and takes away what alternates from pixel to pixel."""
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
LEVELS = (0.0, 0.03, 0.06, 0.12, 0.24, 0.48, 1.0)
"""Of full scale, between which detail is compared: finer where the eye is."""
APART = 4
"""px from anything hidden at which a pixel counts as visible: the filters see no colour from there."""
LEAST = 30.0
"""Pixels of a level that a frame must show before they are believed."""
BLACK = 1 / 255
"""Mean level up to which a pixel is taken to lie outside the sector."""


def match_grain(grey: Array, luma: Array, hidden: Array) -> Array:
    """``grey`` without the part of its fine detail that the visible image of the same frame does not have.

    Args:
      grey: The network's output ``[N, T, H, W, 1]`` in about [0, 1].
      luma: Of the input, likewise.
      hidden: ``[N, T, H, W, 1]``, 1 under colour and outline.

    Returns:
      Float like ``grey``. Each of the two finest octaves is weakened by a factor per frame and level, never strengthened;
      levels that the visible image does not show are left as they are.
    """
    level, octaves = _octaves(grey)
    visible_level, visible_octaves = _octaves(luma)
    shares, visible_shares = _hats(level), _hats(visible_level)
    fine, below = (_energy(part, shares * hidden)[0] for part in octaves)
    clear = visible_shares * (1.0 - _grown(hidden)) * (visible_level > BLACK)
    (visible_fine, count), (visible_below, _) = (_energy(part, clear) for part in visible_octaves)
    keep_below = _weakening(below, visible_below, count)
    # The finest octave may neither be stronger than the visible one nor more of what is left of the octave below.
    proportionate = visible_fine / jnp.maximum(visible_below, 1e-9) * below * keep_below**2
    keep_fine = _weakening(fine, jnp.minimum(visible_fine, proportionate), count)
    for part, keep in zip(octaves, (keep_fine, keep_below)):
        grey = grey - (1.0 - jnp.sum(shares * keep, axis=-1, keepdims=True)) * part
    return grey


def _weakening(energy: Array, allowed: Array, count: Array) -> Array:
    """The factor at most 1 that brings ``energy`` down to what is ``allowed``; 1 where too few pixels say so."""
    known = (count > LEAST) & (energy > 0.0)
    return jnp.where(known, jnp.minimum(jnp.sqrt(allowed / jnp.where(known, energy, 1.0)), 1.0), 1.0)


def _octaves(image: Array) -> tuple[Array, tuple[Array, Array]]:
    """``(what is left, (the finest octave, the one below))``, each like ``image``."""
    smooth = _filtered(image, HALF_BAND)
    level = _filtered(smooth, BINOMIAL)
    return level, (image - smooth, smooth - level)


def _hats(level: Array) -> Array:
    """Share of every pixel in each of `LEVELS`, ``[N, T, H, W, len(LEVELS)]``, summing to 1: linear between neighbours."""
    nodes = jnp.asarray(LEVELS)
    at = jnp.interp(level, nodes, jnp.arange(len(LEVELS), dtype=level.dtype))
    return jnp.maximum(1.0 - jnp.abs(at - jnp.arange(len(LEVELS))), 0.0)


def _energy(part: Array, shares: Array) -> tuple[Array, Array]:
    """Mean square of ``part`` at each level, and how many pixels that is, ``[N, T, 1, 1, len(LEVELS)]``."""
    count = jnp.sum(shares, axis=(2, 3), keepdims=True)
    return jnp.sum(shares * part**2, axis=(2, 3), keepdims=True) / jnp.maximum(count, 1.0), count


def _filtered(image: Array, taps: tuple[float, ...]) -> Array:
    """Separable filter over height and width, edges repeated: shifted sums, which every backend fuses."""
    reach = len(taps) // 2
    for axis in (2, 3):
        size = image.shape[axis]
        ends = [jax.lax.slice_in_dim(image, k, k + 1, axis=axis) for k in (0, size - 1)]
        wide = jnp.concatenate([ends[0]] * reach + [image] + [ends[1]] * reach, axis=axis)
        image = sum(tap * jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k, tap in enumerate(taps))
    return image


def _grown(hidden: Array) -> Array:
    """``hidden`` and every pixel at most `APART` px from it."""
    for axis in (2, 3):
        pad = [(0, 0)] * hidden.ndim
        pad[axis] = (APART, APART)
        wide, size = jnp.pad(hidden, pad), hidden.shape[axis]
        shifted = (jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k in range(2 * APART + 1))
        hidden = jax.tree.reduce(jnp.maximum, list(shifted))
    return hidden
