"""Perceptual term: distance between VGG16 features of translation and truth (Johnson et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cfd2gray.models.vgg import VGG, features

Array = jax.Array


def choose_frames(key: Array, clips: Sequence[Array], *, count: int) -> tuple[Array, ...]:
    """The same ``count`` random frames of every clip ``[N, T, H, W, C]``, as ``[N * count, H, W, C]``; all when 0."""
    n, t = clips[0].shape[:2]
    count = t if count == 0 else min(count, t)
    order = jax.vmap(lambda k: jax.random.permutation(k, t)[:count])(jax.random.split(key, n))
    pick = jax.vmap(lambda clip, index: clip[index])
    return tuple(pick(clip, order).reshape((-1, *clip.shape[2:])) for clip in clips)


def perceptual_error(
    vgg: VGG, predicted: Array, truth: Array, weights: Array, *, layers: Sequence[str], dtype: jnp.dtype = jnp.float32
) -> Array:
    """Mean absolute feature difference relative to truth's mean activation, averaged over layers.

    Both images go through the network in one pass; truth carries no gradient.

    Args:
      vgg: Frozen weights.
      predicted, truth: ``[B, H, W, 1]`` in [0, 1].
      weights: ``[B]``, 0 for frames that do not count.
      layers: VGG layers.
      dtype: Compute dtype.
    """
    # Each image stands beside its truth: one half after the other would send every image to another device.
    both = jnp.stack([predicted, jax.lax.stop_gradient(truth)], axis=1).reshape((-1, *predicted.shape[1:]))
    found = features(vgg, both, layers, dtype=dtype)
    total = 0.0
    for layer in layers:
        pairs = found[layer].astype(jnp.float32)
        pairs = pairs.reshape((-1, 2, *pairs.shape[1:]))
        fake, real = pairs[:, 0], jax.lax.stop_gradient(pairs[:, 1])
        distance = jnp.mean(jnp.abs(fake - real), axis=(1, 2, 3)) / (jnp.mean(real) + 1e-6)
        total = total + jnp.sum(distance * weights) / jnp.maximum(jnp.sum(weights), 1.0)
    return total / len(layers)
