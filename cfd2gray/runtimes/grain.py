"""The fine detail of what was synthesised is held to that of the visible image beside it, grey level by grey level.

How strong speckle is at a grey level is a matter of the scanner's compression, grey map and filters, of depth and size, and
can be read off the visible pixels. The networks know it only on average, and since they work at half resolution, their
finest octave comes from four sub-pixels of one feature: where a scanner has smoothed its image, or blood is nearly black,
single bright pixels two apart would give the translation away.
"""

from __future__ import annotations

import itertools

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
    shares, visible_shares = _shares(level), _shares(visible_level)
    clear = (1.0 - _grown(hidden)) * (visible_level > BLACK)
    fine, below, _ = _energies(octaves, shares, hidden)
    visible_fine, visible_below, count = _energies(visible_octaves, visible_shares, clear)
    keep_below = _weakening(below, visible_below, count)
    # The finest octave may neither be stronger than the visible one nor more of what is left of the octave below.
    proportionate = visible_fine / jnp.maximum(visible_below, 1e-9) * below * keep_below**2
    keep_fine = _weakening(fine, jnp.minimum(visible_fine, proportionate), count)
    for part, keep in zip(octaves, (keep_fine, keep_below)):
        factor = jnp.einsum("ntk,ntkp->ntp", keep, shares, precision="highest")
        grey = grey - (1.0 - factor.reshape(grey.shape)) * part
    return grey


def _weakening(energy: Array, allowed: Array, count: Array) -> Array:
    """The factor at most 1 that brings ``energy`` down to what is ``allowed``, per level; 1 where too few pixels say so."""
    known = (count > LEAST) & (energy > 0.0)
    return jnp.where(known, jnp.minimum(jnp.sqrt(allowed / jnp.where(known, energy, 1.0)), 1.0), 1.0)


def _octaves(image: Array) -> tuple[Array, tuple[Array, Array]]:
    """``(what is left, (the finest octave, the one below))``, each like ``image``."""
    smooth = _filtered(image, HALF_BAND)
    level = _filtered(smooth, BINOMIAL)
    return level, (image - smooth, smooth - level)


def _shares(level: Array) -> Array:
    """Share of every pixel in each of `LEVELS`, ``[N, T, len(LEVELS), H * W]``, summing to 1: linear between neighbours.

    Levels before pixels: what lies beside each other in memory is long, which is ten times as fast on a CPU.
    """
    flat = level.reshape(*level.shape[:2], 1, -1)
    at = sum(jnp.clip((flat - low) / (high - low), 0.0, 1.0) for low, high in itertools.pairwise(LEVELS))
    return jnp.maximum(1.0 - jnp.abs(at - jnp.arange(len(LEVELS))[:, None]), 0.0)


def _energies(octaves: tuple[Array, Array], shares: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Mean squares of both octaves over the weighted pixels of each level, and how many pixels those are, each
    ``[N, T, len(LEVELS)]``."""
    parts = jnp.stack([octaves[0] ** 2, octaves[1] ** 2, jnp.ones_like(weight)], axis=2) * weight[:, :, None]
    parts = parts.reshape(*shares.shape[:2], 3, -1)
    fine, below, count = jnp.moveaxis(jnp.einsum("ntkp,ntcp->ntck", shares, parts, precision="highest"), 2, 0)
    return fine / jnp.maximum(count, 1.0), below / jnp.maximum(count, 1.0), count


def _filtered(image: Array, taps: tuple[float, ...]) -> Array:
    """Separable filter over height and width, edges repeated.

    As matrix products: shifted sums of shifted sums would be fused into one and computed many times over.
    """
    rows, columns = (_band(size, taps) for size in image.shape[2:4])
    half = jnp.einsum("hk,ntkw->nthw", rows, image[..., 0], precision="highest")
    return jnp.einsum("wk,nthk->nthw", columns, half, precision="highest")[..., None]


def _band(size: int, taps: tuple[float, ...]) -> Array:
    """The matrix ``[size, size]`` of a filter along one axis."""
    at, reach = jnp.arange(size), len(taps) // 2
    seen = (jnp.clip(at + k - reach, 0, size - 1)[:, None] == at for k in range(len(taps)))
    return sum(tap * hit.astype(jnp.float32) for tap, hit in zip(taps, seen))


def _grown(hidden: Array) -> Array:
    """``hidden`` and every pixel at most `APART` px from it."""
    for axis in (2, 3):
        pad = [(0, 0)] * hidden.ndim
        pad[axis] = (APART, APART)
        wide, size = jnp.pad(hidden, pad), hidden.shape[axis]
        shifted = (jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k in range(2 * APART + 1))
        hidden = jax.tree.reduce(jnp.maximum, list(shifted))
    return hidden
