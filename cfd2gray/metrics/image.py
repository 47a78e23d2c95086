"""Measures of single frames: error, texture and grey-level statistics.

SSIM and PSNR reward blur where speckle cannot be known, so texture measures stand beside them: an honest translation
has a `texture_std_ratio` near 1 and a small `spectrum_distance`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from cfd2gray.metrics.frames import as_frames, check_pair, map_frames, masked_mean
from cfd2gray.metrics.window import gaussian_blur

PSNR_CEILING_DB = 10 * math.log10(12 * 255**2)
"""58.9 dB, the PSNR of mere rounding to 256 levels. Identical images get it: infinity could not be averaged."""
TEXTURE_SIGMA = 1.5
HALF_LEVEL = 0.5 / 255
"""Half a grey level. Texture or motion of the truth below it is rounding, and no ratio is taken to it: in one black
lumen a ratio of 500 would outweigh all other clips."""
BAND_SIGMAS = (0.7, 1.4, 2.8)
"""Edges, in pixels, of the three highest octaves: what is finer than the first, between first and second, and so on."""
_BAND_FLOOR = (0.1 / 255) ** 2
"""Energy added to each band, so that flat regions compare as equal instead of as 0 / 0."""


def mae(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute difference in the images' units -> ``[..., N]``."""
    a, b = check_pair(a, b)
    return masked_mean(jnp.abs(a - b), mask)


def psnr(a: jax.Array, b: jax.Array, *, data_range: float, mask: jax.Array | None = None) -> jax.Array:
    """Peak signal-to-noise ratio in dB of a clip's pooled squared error, at most `PSNR_CEILING_DB` -> ``[..., N]``."""
    a, b = check_pair(a, b)
    error = masked_mean(jnp.square(a - b), mask)
    floor = data_range**2 * 10 ** (-PSNR_CEILING_DB / 10)
    return 10 * jnp.log10(data_range**2 / jnp.maximum(error, floor))


def texture_std_ratio(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation of the fine texture of ``a`` over that of ``b`` -> ``[..., N]``; 1 is right, 0 is blur.

    Texture is the image minus its Gaussian blur of sigma 1.5 px (SSIM's window). NaN where ``b`` has none (`HALF_LEVEL`).
    """
    a, b = check_pair(a, b)
    return ratio(texture_std(a, mask=mask), texture_std(b, mask=mask))


def texture_std(x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Standard deviation of the fine texture of one clip -> ``[..., N]``."""
    x = as_frames(x, name="the clip")
    fine = map_frames(lambda f: f - gaussian_blur(f, sigma=TEXTURE_SIGMA, radius=5), x)
    return jnp.sqrt(jnp.maximum(masked_mean(fine * fine, mask) - jnp.square(masked_mean(fine, mask)), 0))


def spectrum_distance(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Root-mean-square difference, in dB, of the energies in the three highest octave bands -> ``[..., N]``.

    Bands are differences of Gaussians (`BAND_SIGMAS`), which unlike a Fourier transform can be averaged over a stratum
    of any shape. 0 means the same amount of fine detail at every scale; 3 dB is a factor of two in energy.
    """
    a, b = check_pair(a, b)
    return level_distance(band_levels(a, mask=mask), band_levels(b, mask=mask))


def level_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Root-mean-square difference of two clips' `band_levels`."""
    return jnp.sqrt(jnp.mean(jnp.square(a - b), axis=0))


def band_levels(x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Energy of one clip in each of the three highest octave bands, in dB -> ``[3, ..., N]``."""
    x = as_frames(x, name="the clip")
    levels, finer = [], x
    for sigma in BAND_SIGMAS:
        coarser = map_frames(lambda f, s=sigma: gaussian_blur(f, sigma=s), x)
        levels.append(10 * jnp.log10(masked_mean(jnp.square(finer - coarser), mask) + _BAND_FLOOR))
        finer = coarser
    return jnp.stack(levels)


def histogram_distance(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Wasserstein-1 distance between the 256-level grey histograms, in the images' units -> ``[..., N]``.

    0.01 means that grey levels would have to move by 1 % of the range on average. Images are rounded to 256 levels.
    ``mask`` is bool ``[N, T, H, W]`` or a stack ``[S, N, T, H, W]`` of at most 8 masks.
    """
    a, b = check_pair(a, b)
    return cumulative_distance(cumulative_histogram(a, mask=mask), cumulative_histogram(b, mask=mask))


def cumulative_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Wasserstein-1 distance, in units of the range, of two `cumulative_histogram`."""
    return jnp.sum(jnp.abs(a - b)[..., :-1], axis=-1) / 255


def cumulative_histogram(x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Cumulative distribution of one clip's 256 grey levels under each mask -> ``[..., N, 256]``.

    One scatter serves all masks: pixels are counted per (set of masks they are in, grey level), and the sets are then
    summed into masks.
    """
    x = as_frames(x, name="the clip")
    masks = jnp.ones((1, *x.shape), bool) if mask is None else mask.reshape(-1, *x.shape)
    n_masks, n = masks.shape[:2]
    if n_masks > 8:
        raise ValueError(f"a histogram takes a stack of at most 8 masks, got {n_masks}")
    level = jnp.clip(jnp.round(x * 255), 0, 255).astype(jnp.int32).reshape(n, -1)
    member = sum(masks[k].astype(jnp.int32) << k for k in range(n_masks)).reshape(n, -1)
    counts = jnp.zeros((n, 2**n_masks * 256), jnp.int32)
    counts = jax.vmap(lambda c, i: c.at[i].add(1))(counts, member * 256 + level).reshape(n, 2**n_masks, 256)
    sets = jnp.arange(2**n_masks)[None, :] >> jnp.arange(n_masks)[:, None] & 1  # [masks, sets]
    per_mask = jnp.einsum("sk,nkl->snl", sets, counts)
    total = per_mask.sum(axis=-1, keepdims=True)
    share = jnp.where(total > 0, jnp.cumsum(per_mask, axis=-1) / jnp.maximum(total, 1), jnp.nan)
    return share[0] if mask is None else share.reshape(*mask.shape[:-3], 256)


def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """``a / b`` for ``b`` in units of the range; NaN where ``b`` is below `HALF_LEVEL`."""
    return a / jnp.where(b >= HALF_LEVEL, b, jnp.nan)
