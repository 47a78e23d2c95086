"""A small U-Net over a screen's features: four planes per pixel, and what the picture is as a whole."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.screen.parser.features import CHANNELS

PLANES = ("sector", "flow", "outline", "overlay")
KINDS = ("bmode", "cfd", "power", "tissue", "other")
FLAGS = ("spectrum", "mmode", "several")
"""A spectrum or an M-mode is on the screen; more than one imaged sector is."""
WIDTHS = (24, 48, 64, 64)

Params = dict[str, dict[str, jax.Array]]


def init_params(seed: int) -> Params:
    """Float32 parameters, He initialisation; kernels are [kh, kw, in, out]."""
    rng = np.random.default_rng(seed)
    params: Params = {}

    def conv(name: str, size: int, inputs: int, outputs: int, gain: float = 1.0) -> None:
        scale = gain * np.sqrt(2 / (size * size * inputs))
        kernel = rng.normal(0, scale, (size, size, inputs, outputs)).astype(np.float32)
        params[name] = {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(outputs, jnp.float32)}

    a, b, c, d = WIDTHS
    conv("stem", 3, 4 * CHANNELS, a)
    for level, (width, wider) in enumerate(((a, b), (b, c), (c, d))):
        _block(conv, f"down{level}", width)
        conv(f"reduce{level}", 3, width, wider)
    _block(conv, "deep0", d)
    conv("context", 1, 2 * d, d)
    _block(conv, "deep1", d)
    for level, (width, wider) in reversed(list(enumerate(((a, b), (b, c), (c, d))))):
        conv(f"widen{level}", 1, wider, width)
        _block(conv, f"up{level}", width)
    conv("spread", 1, a, 4 * 16)
    conv("fine", 3, 16 + CHANNELS, 16)
    conv("planes", 1, 16, len(PLANES))
    conv("kind0", 1, 2 * d + 2 * len(PLANES), 48)
    conv("kind1", 1, 48, len(KINDS) + len(FLAGS))
    return params


def _block(conv, name: str, width: int) -> None:
    conv(f"{name}.a", 3, width, width)
    conv(f"{name}.b", 3, width, width, gain=0.3)


def apply(params: Params, features: jax.Array, seen: jax.Array, *, dtype=jnp.float32) -> tuple[jax.Array, jax.Array]:
    """Logits of planes and of the whole.

    Args:
      features: float [N, h, w, CHANNELS] in 0..1, sides multiples of 16.
      seen: float [N, h, w, 1]: 1 on the screen, 0 on padding.

    Returns:
      float32 [N, h, w, 4], logits of `PLANES`; float32 [N, 8], logits of `KINDS` (softmax) and `FLAGS` (sigmoid).
    """

    def conv(name: str, x: jax.Array, stride: int = 1) -> jax.Array:
        p = params[name]
        size = p["kernel"].shape[0]
        pad = [(size // 2, size // 2)] * 2
        y = jax.lax.conv_general_dilated(
            x, p["kernel"].astype(dtype), (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + p["bias"].astype(dtype)

    def block(name: str, x: jax.Array) -> jax.Array:
        return x + conv(f"{name}.b", jax.nn.relu(conv(f"{name}.a", jax.nn.relu(x))))

    features = features.astype(dtype)
    x = conv("stem", _to_depth(features))
    skips = []
    for level in range(3):
        x = block(f"down{level}", x)
        skips.append(x)
        x = conv(f"reduce{level}", x, stride=2)
    x = block("deep0", x)
    whole = jnp.concatenate([x.mean((1, 2), keepdims=True), x.max((1, 2), keepdims=True)], axis=-1)
    x = block("deep1", x + conv("context", whole))
    for level in reversed(range(3)):
        x = block(f"up{level}", _twice(conv(f"widen{level}", x)) + skips[level])
    fine = conv("fine", jnp.concatenate([_to_space(conv("spread", jax.nn.relu(x))), features], axis=-1))
    planes = conv("planes", jax.nn.relu(fine))
    shown = jax.nn.sigmoid(planes) * seen.astype(dtype)
    areas = jnp.concatenate([shown.mean((1, 2), keepdims=True), shown.max((1, 2), keepdims=True)], axis=-1)
    kinds = conv("kind1", jax.nn.relu(conv("kind0", jnp.concatenate([whole, areas], axis=-1))))
    return planes.astype(jnp.float32), kinds[:, 0, 0].astype(jnp.float32)


def _to_depth(x: jax.Array) -> jax.Array:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


def _to_space(x: jax.Array) -> jax.Array:
    n, h, w, c = x.shape
    return x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)


def _twice(x: jax.Array) -> jax.Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)
