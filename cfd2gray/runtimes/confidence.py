"""From the doubt that a network states to a probability."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array
TOLERANCE = 0.1
"""Confidence is the probability that a pixel lies within this fraction of full scale of the truth."""


def confidence_of(log_scale: Array) -> Array:
    """``P(|error| < TOLERANCE)`` of a Laplace distribution of the given log scale: ``1 - exp(-TOLERANCE / scale)``."""
    return 1.0 - jnp.exp(-TOLERANCE * jnp.exp(-log_scale))
