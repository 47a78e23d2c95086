"""The game between generator and discriminator: hinge (Lim & Ye 2017) or least squares (Mao et al. 2017)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array
KINDS = ("hinge", "least_squares")


def _mean(values: Array, weights: Array) -> Array:
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-6)


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"loss.adversarial_kind must be one of {KINDS}, got {kind!r}")


def patch_weights(hidden: Array, shape: tuple[int, ...], mask: Array) -> Array:
    """Weight of each patch: 1 where it holds hidden pixels, 0.05 elsewhere (there fake and real are the same image).

    Args:
      hidden: ``[N, T, H, W, 1]``.
      shape: Shape of the logits, ``[N, T, h, w, 1]``.
      mask: ``[N]``, 0 for clips that only pad the batch.
    """
    n, t, h, w, _ = shape
    blocks = hidden.reshape(n, t, h, hidden.shape[2] // h, w, hidden.shape[3] // w, 1)
    touched = jnp.max(blocks, axis=(3, 5))
    return jnp.maximum(touched, 0.05) * mask[:, None, None, None, None]


def discriminator_loss(real: Array, fake: Array, weights: Array, *, kind: str) -> Array:
    """Loss of the discriminator from its logits on truth and on the (fixed) translation."""
    if kind == "hinge":
        return _mean(jax.nn.relu(1.0 - real) + jax.nn.relu(1.0 + fake), weights)
    return 0.5 * _mean((real - 1.0) ** 2 + (fake + 1.0) ** 2, weights)


def generator_loss(fake: Array, weights: Array, *, kind: str) -> Array:
    """Loss of the generator from the discriminator's logits on its translation."""
    if kind == "hinge":
        return -_mean(fake, weights)
    return 0.5 * _mean((fake - 1.0) ** 2, weights)
