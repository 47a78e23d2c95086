"""Building blocks shared by all networks, in the forms that XLA runs fast on CPU, GPU and TPU alike.

Only plain 2-D convolutions and matrix products: no transposed, grouped, depthwise, strided-3-D convolutions (each has a
measured cliff on XLA's CPU backend) and no statistics over space, time or batch, so that the result for a pixel depends
on nothing but its neighbourhood: windows, tiles and batches cannot show.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.recall import Recall

Array = jax.Array


def activation(x: Array) -> Array:
    """Leaky ReLU, slope 0.1: cheap on every backend and never dead, which matters without normalisation."""
    return jnp.where(x > 0, x, 0.1 * x)


def fold_time(x: Array) -> Array:
    """``[N, T, H, W, C] -> [N * T, H, W, C]``: frames become a batch for 2-D layers."""
    return x.reshape((-1, *x.shape[2:]))


def unfold_time(x: Array, frames: int) -> Array:
    """``[N * T, H, W, C] -> [N, T, H, W, C]``."""
    return x.reshape((-1, frames, *x.shape[1:]))


def space_to_depth(x: Array, block: int = 2) -> Array:
    """``[..., H, W, C] -> [..., H / block, W / block, block * block * C]``. H and W must be multiples of ``block``."""
    *lead, h, w, c = x.shape
    if h % block or w % block:
        raise ValueError(f"height and width must be multiples of {block}, got {h}x{w}; pad the frames first")
    x = x.reshape((*lead, h // block, block, w // block, block, c))
    x = jnp.moveaxis(x, -4, -3)  # [..., H/b, W/b, b, b, C]
    return x.reshape((*lead, h // block, w // block, block * block * c))


def depth_to_space(x: Array, block: int = 2) -> Array:
    """Inverse of `space_to_depth`: ``[..., H, W, block * block * C] -> [..., H * block, W * block, C]``."""
    *lead, h, w, c = x.shape
    x = x.reshape((*lead, h, w, block, block, c // (block * block)))
    x = jnp.moveaxis(x, -3, -4)  # [..., H, b, W, b, C]
    return x.reshape((*lead, h * block, w * block, c // (block * block)))


def middle(x: Array, frames: int) -> Array:
    """The ``frames`` frames in the middle of ``x [N, T, ...]``."""
    cut = (x.shape[1] - frames) // 2
    return x[:, cut : cut + frames]


def shift_time(x: Array, offset: int) -> Array:
    """Frame ``t`` becomes frame ``t + offset`` of ``x [N, T, ...]``; the first and last frames are repeated at the ends."""
    if offset == 0:
        return x
    # Slices, not a gather: the gradient of a gather is a scatter, which is slow everywhere.
    lost = min(abs(offset), x.shape[1])
    if offset > 0:
        return jnp.concatenate([x[:, lost:], jnp.repeat(x[:, -1:], lost, axis=1)], axis=1)
    return jnp.concatenate([jnp.repeat(x[:, :1], lost, axis=1), x[:, : x.shape[1] - lost]], axis=1)


class Conv3x3(nnx.Module):
    """3x3 convolution, stride 1, zero padding, on ``[B, H, W, C_in] -> [B, H, W, C_out]``."""

    def __init__(self, c_in: int, c_out: int, *, dtype: jnp.dtype, rngs: nnx.Rngs, zero: bool = False):
        init = nnx.initializers.zeros if zero else nnx.initializers.variance_scaling(2.0 / 1.01, "fan_in", "normal")
        self.conv = nnx.Conv(c_in, c_out, (3, 3), padding="SAME", dtype=dtype, kernel_init=init, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.conv(x)


def pointwise(c_in: int, c_out: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Linear:
    """A 1x1 convolution written as the matrix product it is (2.4 times faster on CPU)."""
    init = nnx.initializers.variance_scaling(1.0, "fan_in", "normal")
    return nnx.Linear(c_in, c_out, dtype=dtype, kernel_init=init, rngs=rngs)


class TemporalMix(nnx.Module):
    """Each pixel looks at itself in the previous and the next frame: ``[N, T, H, W, C] -> [N, T, H, W, C]``.

    A residual (3, 1, 1) convolution written as one matrix product over the three stacked frames; zero at the start of
    training, so that a fresh network begins as a per-frame one. Its reach in time is one frame either way; with a
    `Recall` it is causal, and the taps of the next frame look at the frame before the previous one instead, so that
    parameters keep their shape and, but for that, their meaning. With ``trim`` the first and the last frame are left out
    of the result, since their neighbours are missing: what lies at the ends of a window is not computed in vain.
    """

    def __init__(self, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        init = nnx.initializers.zeros
        self.mix = nnx.Linear(3 * channels, channels, dtype=dtype, kernel_init=init, rngs=rngs)

    def __call__(self, x: Array, recall: Recall | None = None, *, trim: bool = False) -> Array:
        y = activation(x)
        if trim:
            return x[:, 1:-1] + self.mix(jnp.concatenate([y[:, :-2], y[:, 1:-1], y[:, 2:]], axis=-1))
        if recall is None:
            stacked = jnp.concatenate([shift_time(y, -1), y, shift_time(y, 1)], axis=-1)
        else:
            known = recall.extend(y)
            stacked = jnp.concatenate([known[:, 1:-1], y, known[:, :-2]], axis=-1)
        return x + self.mix(stacked)


class ResidualBlock(nnx.Module):
    """conv - act - conv plus the input; the second convolution starts at zero, so depth never hurts at the start."""

    def __init__(self, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.first = Conv3x3(channels, channels, dtype=dtype, rngs=rngs)
        self.second = Conv3x3(channels, channels, dtype=dtype, rngs=rngs, zero=True)

    def __call__(self, x: Array) -> Array:
        return x + self.second(activation(self.first(activation(x))))


class Stage(nnx.Module):
    """``blocks`` residual blocks on frames, then optionally one `TemporalMix`: ``[N, T, H, W, C] -> same``.

    With ``remat`` the gradient recomputes what lies inside instead of keeping it: less memory, one more forward pass.
    """

    def __init__(
        self, channels: int, *, blocks: int, temporal: bool, dtype: jnp.dtype, rngs: nnx.Rngs, remat: bool = False
    ):
        self.n_blocks, self.temporal, self.remat = blocks, temporal, remat
        for i in range(blocks):
            setattr(self, f"block{i}", ResidualBlock(channels, dtype=dtype, rngs=rngs))
        if temporal:
            self.time = TemporalMix(channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, recall: Recall | None = None, *, trim: bool = False) -> Array:
        if self.remat and recall is None and not trim:
            return nnx.remat(Stage._plain)(self, x)
        return self._run(x, recall, trim=trim)

    def _plain(self, x: Array) -> Array:
        return self._run(x, None, trim=False)

    def _run(self, x: Array, recall: Recall | None, *, trim: bool) -> Array:
        frames = x.shape[1]
        y = fold_time(x)
        for i in range(self.n_blocks):
            y = getattr(self, f"block{i}")(y)
        y = unfold_time(y, frames)
        return self.time(y, recall, trim=trim) if self.temporal else y


class Down(nnx.Module):
    """Halves height and width: four neighbouring pixels become channels, then a matrix product."""

    def __init__(self, c_in: int, c_out: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.project = pointwise(4 * c_in, c_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.project(space_to_depth(x))


class Up(nnx.Module):
    """Doubles height and width by a matrix product to four sub-pixels (no transposed convolution, no checkerboard:
    the four sub-pixels start equal)."""

    def __init__(self, c_in: int, c_out: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        base = nnx.initializers.variance_scaling(1.0, "fan_in", "normal")

        def equal_phases(key: Array, shape: Sequence[int], param_dtype: jnp.dtype = jnp.float32) -> Array:
            return jnp.tile(base(key, (shape[0], shape[1] // 4), param_dtype), (1, 4))

        self.project = nnx.Linear(c_in, 4 * c_out, dtype=dtype, kernel_init=equal_phases, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return depth_to_space(self.project(x))
