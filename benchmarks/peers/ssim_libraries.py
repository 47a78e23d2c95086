"""SSIM of a stack of frames by every library that has one, each told to compute what Wang et al. 2004 define."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Built = tuple[Callable[[], Any], dict[str, Any]]
LIBRARIES = ("scikit-image", "tf.image", "dm_pix", "torchmetrics")
BORDER = 5
"""Pixels that most libraries leave out at the border; ours are compared on what is left."""


def frames(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks float32 ``[count, size, size]`` in [0, 1]: speckle-like texture, and the same with noise."""
    rng = np.random.default_rng(0)
    a = rng.random((count, size, size), np.float32)
    for axis in (1, 2):
        a = (a + np.roll(a, 1, axis) + np.roll(a, 2, axis) + np.roll(a, 3, axis)) / 4
    a = (a - a.min()) / (a.max() - a.min())
    return a, np.clip(a + 0.08 * rng.standard_normal(a.shape, np.float32), 0, 1).astype(np.float32)


def ours(*, count: int, size: int) -> Built:
    """`cfd2gray.metrics.ssim.ssim_map` and its mean over each frame's inner part."""
    import jax
    import jax.numpy as jnp

    from cfd2gray.metrics.ssim import ssim_map

    a, b = (jnp.asarray(x)[:, None] for x in frames(count, size))
    inner = slice(BORDER, size - BORDER)
    run = jax.jit(lambda a, b: ssim_map(a, b, data_range=1.0)[:, 0, inner, inner].mean((1, 2)))
    return _built(lambda: np.asarray(run(a, b)), count)


def library(*, name: str, count: int, size: int) -> Built:
    """One of LIBRARIES.

    Raises:
      ImportError: When it is not installed. ValueError: for an unknown name.
    """
    a, b = frames(count, size)
    if name == "scikit-image":
        return _built(_scikit_image(a, b), count)
    if name == "tf.image":
        return _built(_tf_image(a, b), count)
    if name == "dm_pix":
        return _built(_dm_pix(a, b), count)
    if name == "torchmetrics":
        return _built(_torchmetrics(a, b), count)
    raise ValueError(f"SSIM libraries are {', '.join(LIBRARIES)}, got {name!r}")


def _built(call: Callable[[], np.ndarray], count: int) -> Built:
    values = call()
    return call, {"units": count, "mean": float(values.mean()), "first": [float(x) for x in values[:8]]}


def _scikit_image(a: np.ndarray, b: np.ndarray) -> Callable[[], np.ndarray]:
    from skimage.metrics import structural_similarity

    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return lambda: np.array([structural_similarity(x, y, **options) for x, y in zip(a, b)])


def _tf_image(a: np.ndarray, b: np.ndarray) -> Callable[[], np.ndarray]:
    import tensorflow as tf

    x, y = tf.constant(a[..., None]), tf.constant(b[..., None])
    run = tf.function(lambda x, y: tf.image.ssim(x, y, 1.0))
    return lambda: run(x, y).numpy()


def _dm_pix(a: np.ndarray, b: np.ndarray) -> Callable[[], np.ndarray]:
    import dm_pix
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(a)[..., None], jnp.asarray(b)[..., None]
    run = jax.jit(lambda x, y: dm_pix.ssim(x, y))
    return lambda: np.asarray(run(x, y))


def _torchmetrics(a: np.ndarray, b: np.ndarray) -> Callable[[], np.ndarray]:
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    x, y = torch.from_numpy(a)[:, None], torch.from_numpy(b)[:, None]
    options = {"data_range": 1.0, "sigma": 1.5, "kernel_size": 11, "reduction": "none"}

    def call() -> np.ndarray:
        with torch.inference_mode():
            return structural_similarity_index_measure(x, y, **options).numpy()

    return call
