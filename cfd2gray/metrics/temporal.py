"""Measures of change between frames.

Speckle moves in real clips, so flicker is judged against the flicker of the truth, not against zero: a clip that is too
calm (a frozen fill) is as wrong as one that flickers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.metrics.frames import as_frames, check_pair, masked_mean
from cfd2gray.metrics.image import ratio


def flicker_ratio(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute frame-to-frame change of ``a`` over that of ``b`` -> ``[..., N]``; 1 is right.

    A change counts where the mask (bool ``[..., N, T, H, W]``) holds in either of the two frames. NaN for clips of one
    frame and where the truth does not change at all.
    """
    a, b = check_pair(a, b)
    return ratio(flicker(a, mask=mask), flicker(b, mask=mask))


def flicker(x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute frame-to-frame change of one clip, in the images' units -> ``[..., N]``."""
    x = as_frames(x, name="the clip")
    return masked_mean(jnp.abs(jnp.diff(x, axis=1)), _either(mask))


def temporal_difference_error(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute difference between the two clips' frame-to-frame changes, in the images' units -> ``[..., N]``."""
    a, b = check_pair(a, b)
    return masked_mean(jnp.abs(jnp.diff(a, axis=1) - jnp.diff(b, axis=1)), _either(mask))


def _either(mask: jax.Array | None) -> jax.Array | None:
    return None if mask is None else jnp.maximum(mask[..., 1:, :, :], mask[..., :-1, :, :])
