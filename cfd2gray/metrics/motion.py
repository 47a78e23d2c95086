"""Error along the motion of the truth: does tissue stay the same tissue as it moves?

Motion is found in the truth by block matching (integer displacements, at half resolution first, then refined), and both
clips are followed along it. A real clip does not follow exactly either (speckle decorrelates), so a clip's residual is
judged against the truth's own.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from cfd2gray.metrics.frames import as_frames, check_pair, map_frames, masked_mean
from cfd2gray.metrics.image import ratio
from cfd2gray.metrics.window import gaussian_blur

COARSE_REACH, FINE_REACH = 2, 1
"""Displacements tried at half and at full resolution: together up to 5 px per frame either way."""
_STILL = 1e-4
"""Advantage of standing still, so that flat areas do not take random motion."""


def find_motion(clip: jax.Array) -> jax.Array:
    """Where each pixel of frame t + 1 was in frame t: int32 ``[2, N, T - 1, H, W]`` (dy, dx) for ``[N, T, H, W]``."""
    clip = as_frames(clip, name="the clip").astype(jnp.float32)
    h, w = clip.shape[-2:]
    even = jnp.pad(clip, [(0, 0), (0, 0), (0, h % 2), (0, w % 2)], mode="edge")
    half = (even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]) / 4
    coarse = _match(half, jnp.zeros((2, *half[:, 1:].shape), jnp.int32), reach=COARSE_REACH)
    start = 2 * jnp.repeat(jnp.repeat(coarse, 2, axis=-2), 2, axis=-1)[..., :h, :w]
    return _match(clip, start, reach=FINE_REACH)


def _match(clip: jax.Array, start: jax.Array, *, reach: int) -> jax.Array:
    """Best displacement within ``reach`` of ``start``, by windowed squared difference."""
    now, before = clip[:, 1:], clip[:, :-1]
    best_cost = jnp.full(now.shape, jnp.inf)
    best = start
    steps = range(-reach, reach + 1)
    for dy, dx in sorted(itertools.product(steps, steps), key=lambda d: d[0] ** 2 + d[1] ** 2):
        candidate = start + jnp.array([dy, dx], jnp.int32).reshape(2, 1, 1, 1, 1)
        difference = jnp.square(now - follow(before, candidate))
        cost = map_frames(lambda f: gaussian_blur(f, sigma=2.0, radius=5), difference)
        cost = cost + (_STILL if (dy, dx) != (0, 0) else 0.0)
        better = cost < best_cost
        best_cost = jnp.where(better, cost, best_cost)
        best = jnp.where(better[None], candidate, best)
    return best


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


def motion_residual_ratio(a: jax.Array, b: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """`motion_residual` of ``a`` over that of the truth ``b``, both along the motion of ``b``; 1 is right."""
    a, b = check_pair(a, b)
    motion = find_motion(b)
    return ratio(motion_residual(a, motion, mask=mask), motion_residual(b, motion, mask=mask))
