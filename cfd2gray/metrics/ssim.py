"""The structural similarity index as a map (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004).

Gaussian window 11x11 with sigma 1.5, population covariance, K1 = 0.01, K2 = 0.03, mirrored borders, so that the map has
the image's size and a stratum's score is a plain average of it. Equal to scikit-image's ``structural_similarity`` with
``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True``. Other libraries differ by convention, not
by error: some crop five pixels at the border, some use a uniform 7x7 window, some guess the data range.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cfd2gray.metrics.frames import check_pair, map_frames, masked_mean
from cfd2gray.metrics.window import gaussian_blur

SIGMA, RADIUS, K1, K2 = 1.5, 5, 0.01, 0.03
_PEDESTAL = 0.25
"""A usual grey level of a sector image, as a share of the range; a power of two, so that taking it away is exact."""


def ssim_map(a: jax.Array, b: jax.Array, *, data_range: float) -> jax.Array:
    """SSIM at every pixel.

    Args:
      a, b: float ``[N, T, H, W]`` or ``[N, T, H, W, 1]``, H and W at least 11.
      data_range: distance between black and white (1 for images in [0, 1]); there is no default, because a guess
        that is off moves the score by as much as a model does.

    Returns:
      float32 ``[N, T, H, W]`` in [-1, 1].
    """
    a, b = check_pair(a, b)
    if not data_range > 0:
        raise ValueError(f"data_range must be positive (1 for images in [0, 1]), got {data_range}")
    if min(a.shape[-2:]) < 2 * RADIUS + 1:
        raise ValueError(f"SSIM's 11x11 window needs frames of at least 11x11 pixels, got {list(a.shape[-2:])}")
    pedestal = _PEDESTAL * data_range
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2

    def blur(x: jax.Array) -> jax.Array:
        return gaussian_blur(x, sigma=SIGMA, radius=RADIUS)

    def per_frame(x: jax.Array, y: jax.Array) -> jax.Array:
        # Variances do not change when a constant is taken away, and E[x^2] - E[x]^2 cancels less near zero. Only the
        # sum of the two variances enters, so four blurs do.
        mean_x, mean_y = blur(x), blur(y)
        covariance = blur(x * y) - mean_x * mean_y
        variances = blur(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
        mean_x, mean_y = mean_x + pedestal, mean_y + pedestal
        luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
        return luminance * (2 * covariance + c2) / (variances + c2)

    return map_frames(per_frame, a.astype(jnp.float32) - pedestal, b.astype(jnp.float32) - pedestal)


def ssim(a: jax.Array, b: jax.Array, *, data_range: float, mask: jax.Array | None = None) -> jax.Array:
    """Mean of `ssim_map` over each clip, or over ``mask`` (bool ``[..., N, T, H, W]``) -> float32 ``[..., N]``."""
    return masked_mean(ssim_map(a, b, data_range=data_range), mask)
