"""DenoiseNet: makes the recovered anatomy look like an ultrasound acquisition, and says how far it trusts itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.layers import (
    Conv3x3,
    Stage,
    activation,
    depth_to_space,
    fold_time,
    middle,
    space_to_depth,
    unfold_time,
)
from cfd2gray.models.recall import Recall

Array = jax.Array


class DenoiseNet(nnx.Module):
    """Residual stages at half resolution over anatomy and evidence.

    It adds speckle-like texture where AnatomyNet is smooth, and where the target is a dedicated B-mode it removes the
    coarse lines and held frames of the duplex one.

    Args:
      c_in: Channels of the evidence.
      width: Channels at half resolution.
      blocks: Residual blocks.
      temporal: Whether frames see their neighbours.
      dtype: Compute dtype; parameters are float32.
      remat: See `Stage`.
    """

    def __init__(
        self,
        c_in: int,
        *,
        width: int,
        blocks: int,
        temporal: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        remat: bool = False,
    ):
        self.stem = Conv3x3(4 * (c_in + 1), width, dtype=dtype, rngs=rngs)
        self.body = Stage(width, blocks=blocks, temporal=temporal, dtype=dtype, rngs=rngs, remat=remat)
        self.head = Conv3x3(width, 4, dtype=dtype, rngs=rngs, zero=True)
        self.weigh = Conv3x3(width, width, dtype=dtype, rngs=rngs)
        self.doubt = Conv3x3(width, 4, dtype=dtype, rngs=rngs, zero=True)

    def __call__(
        self, anatomy: Array, evidence: Array, recall: Recall | None = None, *, trim: bool = False
    ) -> tuple[Array, Array]:
        """``anatomy [N, T, H, W, 1]``, ``evidence [N, T, H, W, c_in]`` -> (grey, log scale), both float32
        ``[N, T, H, W, 1]``. The log scale is that of a Laplace distribution of the error of ``grey``; learning it does
        not steer ``grey`` (its gradient stops at the features). ``trim``: as in AnatomyNet."""
        frames = anatomy.shape[1]
        x = space_to_depth(jnp.concatenate([anatomy.astype(evidence.dtype), evidence], axis=-1))
        x = self.body(unfold_time(self.stem(fold_time(x)), frames), recall, trim=trim)
        frames = x.shape[1]
        x = fold_time(activation(x))
        grey = middle(anatomy, frames) + depth_to_space(unfold_time(self.head(x), frames)).astype(jnp.float32)
        doubt = self.doubt(activation(self.weigh(jax.lax.stop_gradient(x))))
        log_scale = depth_to_space(unfold_time(doubt, frames)).astype(jnp.float32)
        return grey, log_scale - 3.0  # a fresh network expects errors of about 5 % of full scale
