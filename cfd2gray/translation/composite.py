"""What lies outside the colour comes out as the input's luma, bit for bit; the rest blends in over a few pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def _spread(x: Any) -> Any:
    """Maximum over 3x3 neighbourhoods of the last two axes of a JAX array."""
    import jax.numpy as jnp

    pad = [(0, 0)] * (x.ndim - 2)
    y = jnp.pad(x, [*pad, (1, 1), (0, 0)])
    y = jnp.maximum(jnp.maximum(y[..., :-2, :], y[..., 1:-1, :]), y[..., 2:, :])
    z = jnp.pad(y, [*pad, (0, 0), (1, 1)])
    return jnp.maximum(jnp.maximum(z[..., :-2], z[..., 1:-1]), z[..., 2:])


def blend_weights(hidden: Any, box: Any, *, feather: int) -> Any:
    """How much of the result is synthesised at each pixel: 1 where hidden, falling to 0 over ``feather`` px outside.

    Args:
      hidden: ``[..., H, W]`` NumPy or JAX array, non-zero under colour and outline (already dilated over their bleed).
      box: Same shape: non-zero inside the colour box. Nothing outside box and hidden pixels is touched.
      feather: Pixels.

    Returns:
      float32 in [0, 1], same shape and kind of array.
    """
    if isinstance(hidden, np.ndarray):
        return _weights_on_host(hidden, box, feather)
    import jax.numpy as jnp  # only where JAX is in use already

    core = (hidden > 0).astype(jnp.float32)
    weights, grown = core, core
    for i in range(1, feather + 1):
        grown = _spread(grown)
        weights = jnp.maximum(weights, grown * (1.0 - i / (feather + 1.0)))
    return jnp.where((box > 0) | (hidden > 0), weights, 0.0).astype(jnp.float32)


def _weights_on_host(hidden: np.ndarray, box: np.ndarray, feather: int) -> np.ndarray:
    """The same by counting in bytes how many of the grown masks hold a pixel."""
    by_distance = [np.float32(1.0 - i / (feather + 1.0)) for i in range(feather + 1)]
    table = np.array([0.0, *by_distance[::-1]], np.float32)
    flat = (hidden > 0).astype(np.uint8).reshape(-1, *hidden.shape[-2:])
    count = flat.copy()
    for frame, core in zip(count, flat):
        grown = core
        for _ in range(feather):
            grown = cv2.dilate(grown, _NEIGHBOURS)
            frame += grown
    count = count.reshape(hidden.shape)
    return table[count * ((box > 0) | (hidden > 0))]


def composite(untouched: Any, synthesised: Any, weights: Any) -> Any:
    """``weights * synthesised + (1 - weights) * untouched``, exactly ``untouched`` where the weight is 0.

    All three have the same shape; images in the same unit. Integer images are not accepted: round afterwards.
    """
    if isinstance(untouched, np.ndarray):
        return np.where(weights > 0, untouched + weights * (synthesised - untouched), untouched)
    import jax.numpy as jnp

    return jnp.where(weights > 0, untouched + weights * (synthesised - untouched), untouched)
