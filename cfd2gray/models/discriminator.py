"""The discriminator: does this patch of clip look acquired, given the colour clip it comes from?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.layers import Conv3x3, Down, TemporalMix, activation, fold_time, space_to_depth, unfold_time

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class DiscriminatorSpec:
    """``width`` channels at half resolution, doubling over ``levels`` further halvings; ``dtype`` as the generator's."""

    width: int
    levels: int
    dtype: str


class Discriminator(nnx.Module):
    """A patch discriminator that sees time as well as space, conditioned on the colour clip and the hidden mask.

    Its judgement is one logit per patch of ``2 ** (levels + 1)`` pixels' stride and per frame; each frame sees two
    neighbours for every level, so that flicker and frozen speckle give a fake away as surely as a wrong texture does.
    """

    def __init__(self, spec: DiscriminatorSpec, *, rngs: nnx.Rngs):
        self.spec = spec
        dtype = jnp.dtype(spec.dtype)
        self.stem = Conv3x3(4 * 5, spec.width, dtype=dtype, rngs=rngs)
        for i in range(spec.levels):
            c = spec.width * 2**i
            setattr(self, f"time{i}", TemporalMix(c, dtype=dtype, rngs=rngs))
            setattr(self, f"down{i}", Down(c, 2 * c, dtype=dtype, rngs=rngs))
            setattr(self, f"conv{i}", Conv3x3(2 * c, 2 * c, dtype=dtype, rngs=rngs))
        self.head = nnx.Linear(spec.width * 2**spec.levels, 1, dtype=dtype, rngs=rngs)

    def __call__(self, cfd: Array, hidden: Array, grey: Array) -> Array:
        """``cfd [N, T, H, W, 3]``, ``hidden`` and ``grey [N, T, H, W, 1]`` -> float32 logits ``[N, T, h, w, 1]``."""
        frames = grey.shape[1]
        x = jnp.concatenate([cfd, hidden, grey], axis=-1).astype(self.spec.dtype)
        x = unfold_time(activation(self.stem(fold_time(space_to_depth(2.0 * x - 1.0)))), frames)
        for i in range(self.spec.levels):
            x = getattr(self, f"down{i}")(getattr(self, f"time{i}")(x))
            x = unfold_time(activation(getattr(self, f"conv{i}")(fold_time(activation(x)))), frames)
        return self.head(x).astype(jnp.float32)
