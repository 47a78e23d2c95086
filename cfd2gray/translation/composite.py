"""What lies outside the colour comes out as the input's luma, bit for bit; the rest blends in over a few pixels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def _module(x: Any) -> ModuleType:
    if isinstance(x, np.ndarray):
        return np
    import jax.numpy as jnp  # only where JAX is in use already

    return jnp


def _spread(x: Any) -> Any:
    """Maximum over 3x3 neighbourhoods of the last two axes."""
    xp = _module(x)
    pad = [(0, 0)] * (x.ndim - 2)
    y = xp.pad(x, [*pad, (1, 1), (0, 0)])
    y = xp.maximum(xp.maximum(y[..., :-2, :], y[..., 1:-1, :]), y[..., 2:, :])
    z = xp.pad(y, [*pad, (0, 0), (1, 1)])
    return xp.maximum(xp.maximum(z[..., :-2], z[..., 1:-1]), z[..., 2:])


def blend_weights(hidden: Any, box: Any, *, feather: int) -> Any:
    """How much of the result is synthesised at each pixel: 1 where hidden, falling to 0 over ``feather`` px outside.

    Args:
      hidden: ``[..., H, W]`` NumPy or JAX array, non-zero under colour and outline (already dilated over their bleed).
      box: Same shape: non-zero inside the colour box. Nothing outside box and hidden pixels is touched.
      feather: Pixels.

    Returns:
      float32 in [0, 1], same shape and kind of array.
    """
    xp = _module(hidden)
    core = (hidden > 0).astype(xp.float32)
    weights, grown = core, core
    for i in range(1, feather + 1):
        grown = _spread(grown)
        weights = xp.maximum(weights, grown * (1.0 - i / (feather + 1.0)))
    return xp.where((box > 0) | (hidden > 0), weights, 0.0).astype(xp.float32)


def composite(untouched: Any, synthesised: Any, weights: Any) -> Any:
    """``weights * synthesised + (1 - weights) * untouched``, exactly ``untouched`` where the weight is 0.

    All three have the same shape; images in the same unit. Integer images are not accepted: round afterwards.
    """
    xp = _module(untouched)
    return xp.where(weights > 0, untouched + weights * (synthesised - untouched), untouched)
