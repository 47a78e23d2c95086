"""The same function with the obvious layers of JAX and Flax, for what the forms in `cfd2gray.models.layers` are worth.

Convolutions in time are 3-D ones, halving is a strided convolution, doubling `lax.conv_transpose`, pooling
`nnx.max_pool`. Used by swapping them into the package's own networks; parameters and results are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from cfd2gray.benchmarks import networks
from flax import nnx

from cfd2gray.models import layers, vgg
from cfd2gray.models.recall import Recall

Array = jax.Array
_SPACE = ("NHWC", "HWIO", "NHWC")
_TIME = ("NDHWC", "DHWIO", "NDHWC")


def _mix(self: layers.TemporalMix, x: Array, recall: Recall | None = None, *, trim: bool = False) -> Array:
    """A (3, 1, 1) convolution on the clip, its ends repeated. The whole clip alone is asked of it."""
    if recall is not None or trim:
        raise ValueError("the obvious layers see whole clips, neither streams nor windows that leave out their ends")
    kernel = self.mix.kernel[...].reshape(3, 1, 1, x.shape[-1], x.shape[-1]).astype(x.dtype)
    padded = jnp.pad(layers.activation(x), [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
    change = jax.lax.conv_general_dilated(padded, kernel, (1, 1, 1), "VALID", dimension_numbers=_TIME)
    return x + change + self.mix.bias[...].astype(x.dtype)


def _down(self: layers.Down, x: Array) -> Array:
    """A (1, 2, 2) convolution with that stride on the clip."""
    kernel = self.project.kernel[...]
    kernel = kernel.reshape(1, 2, 2, x.shape[-1], -1).astype(x.dtype)
    y = jax.lax.conv_general_dilated(x, kernel, (1, 2, 2), "VALID", dimension_numbers=_TIME)
    return y + self.project.bias[...].astype(x.dtype)


def _up(self: layers.Up, x: Array) -> Array:
    """A transposed 2x2 convolution with stride 2 on frames. Its bias differs by sub-pixel, as the package's does."""
    c_in, c_out = x.shape[-1], self.project.kernel.shape[-1] // 4
    kernel = self.project.kernel[...].reshape(c_in, 2, 2, c_out).transpose(1, 2, 0, 3).astype(x.dtype)
    frames = layers.fold_time(x)
    y = jax.lax.conv_transpose(frames, kernel[::-1, ::-1], (2, 2), "VALID", dimension_numbers=_SPACE)
    bias = jnp.tile(self.project.bias[...].reshape(2, 2, c_out).astype(x.dtype), (x.shape[2], x.shape[3], 1))
    return layers.unfold_time(y + bias, x.shape[1])


def _block_conv(self: layers.Conv3x3, x: Array) -> Array:
    """A (1, 3, 3) convolution of a 3-D network: frames are its depth."""
    kernel, bias = self.conv.kernel[...][None].astype(x.dtype), self.conv.bias[...].astype(x.dtype)
    y = jax.lax.conv_general_dilated(x[None], kernel, (1, 1, 1), "SAME", dimension_numbers=_TIME)
    return y[0] + bias


def _pool(x: Array) -> Array:
    return nnx.max_pool(x, (2, 2), strides=(2, 2))


@contextlib.contextmanager
def obvious_layers() -> Iterator[None]:
    """Inside, networks are traced with the obvious layers."""
    swaps: list[tuple[Any, str, Any]] = [
        (layers.TemporalMix, "__call__", _mix), (layers.Down, "__call__", _down), (layers.Up, "__call__", _up),
        (layers.Conv3x3, "__call__", _block_conv), (vgg, "_max_pool", _pool),
    ]  # fmt: skip
    kept = [getattr(owner, name) for owner, name, _ in swaps]
    for owner, name, new in swaps:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for (owner, name, _), old in zip(swaps, kept):
            setattr(owner, name, old)


def contender(task: dict[str, Any], *, work: str) -> networks.Built:
    """``work``: ``network``, ``gradient`` or ``train_step`` of `cfd2gray.benchmarks.networks`, with the obvious layers."""
    with obvious_layers():
        call, facts = getattr(networks, work)(task)

    def guarded() -> Any:
        with obvious_layers():  # the first call traces
            return call()

    return guarded, facts
