"""AnatomyNet: recovers the tissue and the blood that colour hides, from the surroundings and from neighbouring frames."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.layers import (
    Conv3x3,
    Down,
    Stage,
    Up,
    activation,
    depth_to_space,
    fold_time,
    middle,
    space_to_depth,
    unfold_time,
)
from cfd2gray.models.recall import Recall

Array = jax.Array


class AnatomyNet(nnx.Module):
    """A U-Net over space with temporal mixing on its way down; works at half the resolution of the frames.

    Args:
      c_in: Channels of the evidence (see `cfd2gray.models.generator.evidence`).
      width: Channels at half resolution; each level below doubles them.
      levels: Halvings below half resolution. Height and width must be multiples of ``2 ** (levels + 1)``.
      blocks: Residual blocks per stage.
      temporal: Whether frames see their neighbours (an ablation switches it off).
      dtype: Compute dtype; parameters are float32.
      remat: See `Stage`.
    """

    def __init__(
        self,
        c_in: int,
        *,
        width: int,
        levels: int,
        blocks: int,
        temporal: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        remat: bool = False,
    ):
        self.levels = levels
        self.stem = Conv3x3(4 * c_in, width, dtype=dtype, rngs=rngs)
        channels = [width * 2**i for i in range(levels + 1)]
        stage = {"blocks": blocks, "dtype": dtype, "rngs": rngs, "remat": remat}
        for i, c in enumerate(channels):
            setattr(self, f"encoder{i}", Stage(c, temporal=temporal, **stage))
            if i < levels:
                setattr(self, f"down{i}", Down(c, channels[i + 1], dtype=dtype, rngs=rngs))
        for i in reversed(range(levels)):
            setattr(self, f"up{i}", Up(channels[i + 1], channels[i], dtype=dtype, rngs=rngs))
            setattr(self, f"decoder{i}", Stage(channels[i], temporal=False, **stage))
        self.head = Conv3x3(width, 4, dtype=dtype, rngs=rngs, zero=True)

    def __call__(
        self, evidence: Array, guess: Array, recall: Recall | None = None, *, trim: bool = False
    ) -> tuple[Array, Array]:
        """``evidence [N, T, H, W, c_in]``, ``guess [N, T, H, W, 1]`` -> (anatomy ``[N, T, H, W, 1]`` float32,
        features ``[N, T, H/2, W/2, width]``). With ``recall`` the temporal layers are causal; with
        ``trim`` each leaves out the first and the last frame, and so does the result (see `TemporalMix`)."""
        frames = evidence.shape[1]
        x = unfold_time(self.stem(fold_time(space_to_depth(evidence))), frames)
        skips = []
        for i in range(self.levels + 1):
            x = getattr(self, f"encoder{i}")(x, recall, trim=trim)
            if i < self.levels:
                skips.append(x)
                x = getattr(self, f"down{i}")(x)
        for i in reversed(range(self.levels)):
            x = getattr(self, f"decoder{i}")(getattr(self, f"up{i}")(x) + middle(skips[i], x.shape[1]))
        frames = x.shape[1]
        change = self.head(fold_time(activation(x)))
        return middle(guess, frames) + depth_to_space(unfold_time(change, frames)).astype(jnp.float32), x
