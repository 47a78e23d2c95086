"""The regions a score is taken over, made from the flag planes of the data schema.

Whole-frame scores are nearly meaningless alone (copying the input's luma scores above 0.9 where colour is rare), so
every table shows these strata. Distances are in pixels of the scored image, measured along rows and columns
(Chebyshev), which is what the square SSIM window sees.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR

STRATA = ("frame", "sector", "box", "flow", "flow_eroded", "ring", "untouched")
"""``frame`` every pixel; ``sector`` the insonified area; ``box`` the colour box; ``flow`` pixels painted with colour;
``flow_eroded`` flow at least 5 px from its edge, where no SSIM window sees a given pixel; ``ring`` the sector within
4 px outside flow; ``untouched`` the sector further than 4 px from flow and outline."""

ERODE_PX, RING_PX = 5, 4


def strata_masks(strata: jax.Array, *, erode_px: int = ERODE_PX, ring_px: int = RING_PX) -> jax.Array:
    """Masks of `STRATA`, in that order.

    Args:
      strata: uint8 bit flags ``[N, T, H, W]`` (`data_pipeline.schema`).
      erode_px: width taken off ``flow`` for ``flow_eroded``.
      ring_px: width of ``ring`` around ``flow``, and the distance ``untouched`` keeps.

    Returns:
      bool ``[7, N, T, H, W]``.
    """
    if strata.ndim != 4 or strata.dtype != jnp.uint8:
        raise ValueError(f"strata must be uint8 flags of shape [N, T, H, W], got {strata.dtype} {list(strata.shape)}")
    sector, box, flow = ((strata & flag) > 0 for flag in (SECTOR, BOX, FLOW))
    drawn = (strata & (FLOW | OUTLINE)) > 0
    return jnp.stack(
        [
            jnp.ones(strata.shape, bool),
            sector,
            box,
            flow,
            ~dilate(~flow, erode_px),
            dilate(flow, ring_px) & ~flow & sector,
            sector & ~dilate(drawn, ring_px),
        ]
    )


def dilate(mask: jax.Array, pixels: int) -> jax.Array:
    """Grow a bool ``[..., H, W]`` mask by a ``(2 * pixels + 1)`` square; what lies outside the frame is not in it."""
    return _spread(_spread(mask, pixels, axis=-1), pixels, axis=-2)


def _spread(mask: jax.Array, pixels: int, *, axis: int) -> jax.Array:
    size = mask.shape[axis]
    margin = [(0, 0)] * mask.ndim
    margin[axis] = (pixels, pixels)
    padded = jnp.pad(mask, margin)
    shifted = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis % mask.ndim) for i in range(2 * pixels + 1)]
    result = shifted[0]
    for other in shifted[1:]:
        result = result | other
    return result


def colour_fraction(strata: jax.Array) -> jax.Array:
    """Share of the sector that is painted with colour, per clip: float32 ``[N]``; of the frame without a sector."""
    flow = jnp.mean((strata & FLOW) > 0, axis=(1, 2, 3))
    sector = jnp.mean((strata & SECTOR) > 0, axis=(1, 2, 3))
    return flow / jnp.where(sector > 0, sector, 1)
