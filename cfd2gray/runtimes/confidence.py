"""From the doubt that a network states to a probability."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array
TOLERANCE = 0.1
"""Confidence is the probability that a pixel lies within this fraction of full scale of the truth."""
SHARE, DARK = 0.55, 0.03
"""Of the expected error, and full scale added to the grey level, so that black is not certain: fitted by maximum likelihood on
24 simulated validation patients of 112 to 224 px. See docs/evaluation.md for what it gains on other clips."""


def confidence_of(log_scale: Array, grey: Array) -> Array:
    """How likely a pixel is right, from what the network states and from how bright the result is.

    Speckle is stronger where it is brighter, on real clips more than networks say that were taught on simulated ones. The
    expected absolute error is taken to be ``SHARE`` times the geometric mean of the stated one and the grey level.

    Args:
      log_scale: Logarithm of the expected absolute error, see `models.generator.Translation`.
      grey: The result, of the same shape, in [0, 1].

    Returns:
      ``P(|error| < TOLERANCE)`` of a Laplace distribution: ``1 - exp(-TOLERANCE / scale)``.
    """
    scale = SHARE * jnp.exp(0.5 * log_scale) * jnp.sqrt(grey + DARK)
    return 1.0 - jnp.exp(-TOLERANCE / scale)
