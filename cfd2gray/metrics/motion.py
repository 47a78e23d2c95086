"""Error along the motion of the truth: does tissue stay the same tissue as it moves?

Motion is found in the truth by exhaustive block matching, and both clips are followed along it. A real clip does not
follow exactly either (speckle decorrelates), so a clip's residual is judged against the truth's own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.metrics.frames import as_frames, masked_mean
from cfd2gray.metrics.window import gaussian_blur

REACH = 4
"""px per frame, either way, that motion is looked for."""
BLOCK = 4
"""px; each block of this side has one displacement, found in a window about four blocks wide."""
_STILL = 1e-5
"""Advantage per squared px of a smaller displacement, so that flat areas do not take random motion."""


def find_motion(clip: jax.Array) -> jax.Array:
    """Where each pixel of frame t + 1 was in frame t: int32 ``[2, N, T - 1, H, W]`` (dy, dx) for ``[N, T, H, W]``."""
    clip = as_frames(clip, name="the clip").astype(jnp.float32)
    n, t, h, w = clip.shape
    now = clip[:, 1:].reshape(n * (t - 1), h, w)
    before = jnp.pad(clip[:, :-1].reshape(now.shape), [(0, 0), (REACH, REACH), (REACH, REACH)], mode="edge")
    margin = [(0, 0), (0, -h % BLOCK), (0, -w % BLOCK)]
    steps = range(-REACH, REACH + 1)
    candidates = np.array(sorted(((y, x) for y in steps for x in steps), key=lambda d: d[0] ** 2 + d[1] ** 2), np.int32)

    def attempt(best: tuple[jax.Array, jax.Array], step: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        cost, motion = best
        moved = jax.lax.dynamic_slice(before, (0, REACH + step[0], REACH + step[1]), now.shape)
        square = jnp.pad(jnp.square(now - moved), margin, mode="edge")
        blocks = square.reshape(len(square), square.shape[1] // BLOCK, BLOCK, square.shape[2] // BLOCK, BLOCK)
        found = gaussian_blur(blocks.mean(axis=(2, 4)), sigma=1.0) + _STILL * jnp.sum(step * step)
        better = found < cost
        return (jnp.where(better, found, cost), jnp.where(better[..., None], step, motion)), None

    rows, columns = -(-h // BLOCK), -(-w // BLOCK)
    start = (jnp.full((len(now), rows, columns), jnp.inf), jnp.zeros((len(now), rows, columns, 2), jnp.int32))
    (_, motion), _ = jax.lax.scan(attempt, start, jnp.asarray(candidates))
    whole = jnp.repeat(jnp.repeat(motion, BLOCK, axis=1), BLOCK, axis=2)[:, :h, :w]
    return jnp.moveaxis(whole, -1, 0).reshape(2, n, t - 1, h, w)


def follow(before: jax.Array, motion: jax.Array) -> jax.Array:
    """``before [N, T, H, W]`` looked up at each pixel plus its displacement; beyond the frame the edge pixel."""
    h, w = before.shape[-2:]
    y = jnp.clip(jnp.arange(h)[:, None] + motion[0], 0, h - 1)
    x = jnp.clip(jnp.arange(w)[None, :] + motion[1], 0, w - 1)
    flat = before.reshape(*before.shape[:-2], h * w)
    index = (y * w + x).reshape(flat.shape)
    return jnp.take_along_axis(flat, index, axis=-1).reshape(before.shape)


def motion_residual(clip: jax.Array, motion: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute change of ``clip`` along ``motion``, in the image's units -> ``[..., N]``; NaN for one frame."""
    clip = as_frames(clip, name="the clip")
    change = jnp.abs(clip[:, 1:] - follow(clip[:, :-1], motion))
    return masked_mean(change, None if mask is None else mask[..., 1:, :, :])
