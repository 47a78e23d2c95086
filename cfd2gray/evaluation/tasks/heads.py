"""Small networks for downstream tasks: which view is this, and which pixel is which chamber.

They exist to ask whether translated clips work as real ones do, so they are plain and quick to train on a CPU: only 3x3
convolutions, matrix products and max pools written as slices; no statistics over batch, space or time.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.layers import Conv3x3, Down, ResidualBlock, Up, activation, fold_time, space_to_depth, unfold_time

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Shape of a head with features at ``levels`` resolutions, from 1/2 down. Height and width of its input are
    multiples of ``2 ** levels``."""

    classes: int
    width: int = 16
    levels: int = 3

    def __post_init__(self) -> None:
        if self.classes < 2 or self.width < 4 or self.levels < 1:
            raise ValueError(f"a head needs at least 2 classes, width 4 and 1 level, got {self}")


def _widths(spec: HeadSpec) -> list[int]:
    return [spec.width * 2**level for level in range(spec.levels)]


class Trunk(nnx.Module):
    """Features of grey frames at every resolution: ``[B, H, W, 1]`` -> list, from ``[B, H / 2, W / 2, C]`` down.

    Pixels are folded two by two into channels first: full resolution would cost four times as much and add little.
    """

    def __init__(self, spec: HeadSpec, *, rngs: nnx.Rngs):
        widths = _widths(spec)
        self.stem = Conv3x3(4, widths[0], dtype=jnp.float32, rngs=rngs)
        self.blocks = nnx.List([ResidualBlock(width, dtype=jnp.float32, rngs=rngs) for width in widths])
        self.downs = nnx.List([Down(a, b, dtype=jnp.float32, rngs=rngs) for a, b in zip(widths, widths[1:])])

    def __call__(self, frames: Array) -> list[Array]:
        x = self.stem(space_to_depth(frames - 0.25))  # the usual grey of a sector, so that features start centred
        found = [self.blocks[0](x)]
        for down, block in zip(self.downs, list(self.blocks)[1:]):
            found.append(block(activation(down(activation(found[-1])))))
        return found


class ClipClassifier(nnx.Module):
    """A class for a clip: ``[N, T, H, W, 1]`` in [0, 1] -> logits ``[N, classes]``.

    Frames are pooled by mean and maximum over a 2x2 grid of the picture (where things are matters to a view), then by
    mean over time.
    """

    def __init__(self, spec: HeadSpec, *, rngs: nnx.Rngs):
        self.trunk = Trunk(spec, rngs=rngs)
        top = _widths(spec)[-1]
        self.hidden = nnx.Linear(2 * 4 * top, top, rngs=rngs)
        self.out = nnx.Linear(top, spec.classes, rngs=rngs)

    def __call__(self, clips: Array) -> Array:
        frames = clips.shape[1]
        x = activation(self.trunk(fold_time(clips))[-1])
        b, h, w, c = x.shape
        grid = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, 2, h // 2, 2, w // 2, c)
        pooled = jnp.concatenate([grid.mean(axis=(2, 4)), grid.max(axis=(2, 4))], axis=-1).reshape(b, -1)
        return self.out(activation(self.hidden(unfold_time(pooled, frames).mean(axis=1))))


class FrameSegmenter(nnx.Module):
    """A class for every pixel: ``[B, H, W, 1]`` in [0, 1] -> logits ``[B, H, W, classes]``; a small U-Net."""

    def __init__(self, spec: HeadSpec, *, rngs: nnx.Rngs):
        self.trunk = Trunk(spec, rngs=rngs)
        widths = _widths(spec)
        self.ups = nnx.List([Up(b, a, dtype=jnp.float32, rngs=rngs) for a, b in zip(widths, widths[1:])])
        self.merges = nnx.List([Conv3x3(2 * a, a, dtype=jnp.float32, rngs=rngs) for a in widths[:-1]])
        self.finest = Up(widths[0], widths[0], dtype=jnp.float32, rngs=rngs)
        self.out = nnx.Linear(widths[0], spec.classes, rngs=rngs)

    def __call__(self, frames: Array) -> Array:
        found = self.trunk(frames)
        x = found[-1]
        for skip, up, merge in list(zip(found[:-1], self.ups, self.merges))[::-1]:
            x = activation(merge(jnp.concatenate([activation(up(activation(x))), activation(skip)], axis=-1)))
        return self.out(activation(self.finest(x)))
