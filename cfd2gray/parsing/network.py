"""A small U-Net over a screen's features: four planes per pixel, and what the picture is as a whole."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from cfd2gray.models.ops import Jax, Onnx, Params, Shapes
from data_pipeline.screen.parser.features import CHANNELS

PLANES = ("sector", "flow", "outline", "overlay")
KINDS = ("bmode", "cfd", "power", "tissue", "other")
FLAGS = ("spectrum", "mmode", "several")
"""A spectrum or an M-mode is on the screen; more than one imaged sector is."""
WIDTHS = (24, 48, 64, 64)


def forward(ops: Any, features: Any, seen: Any) -> tuple[Any, Any, Any]:
    """Logits of planes, shares of planes where ``seen``, logits of the whole. ``ops``: one of `models.ops`."""
    a, d = WIDTHS[0], WIDTHS[-1]
    levels = list(enumerate(zip(WIDTHS, WIDTHS[1:])))
    x, skips = ops.conv("stem", ops.to_depth(features), 4 * CHANNELS, a), []
    for level, (width, wider) in levels:
        x = ops.block(f"down{level}", x, width)
        skips.append(x)
        x = ops.conv(f"reduce{level}", x, width, wider, stride=2)
    x = ops.block("deep0", x, d)
    whole = ops.pooled(x)
    x = ops.block("deep1", ops.add(x, ops.conv("context", whole, 2 * d, d, size=1)), d)
    for level, (width, wider) in reversed(levels):
        larger = ops.twice(ops.conv(f"widen{level}", x, wider, width, size=1))
        x = ops.block(f"up{level}", ops.add(larger, skips[level]), width)
    spread = ops.to_space(ops.conv("spread", ops.relu(x), a, 4 * 16, size=1))
    fine = ops.conv("fine", ops.join(spread, features), 16 + CHANNELS, 16)
    planes = ops.conv("planes", ops.relu(fine), 16, len(PLANES), size=1)
    shown = ops.multiply(ops.sigmoid(planes), seen)
    areas = ops.join(whole, ops.pooled(shown))
    kinds = ops.conv("kind0", areas, 2 * d + 2 * len(PLANES), 48, size=1)
    return planes, shown, ops.conv("kind1", ops.relu(kinds), 48, len(KINDS) + len(FLAGS), size=1)


def init_params(seed: int) -> Params:
    """Float32 parameters to begin with."""
    shapes = Shapes(seed)
    forward(shapes, None, None)
    return shapes.params


def apply(params: Params, features: jax.Array, seen: jax.Array, *, dtype=jnp.float32) -> tuple[jax.Array, jax.Array]:
    """Logits of planes and of the whole.

    Args:
      features: float [N, h, w, CHANNELS] in 0..1, sides multiples of 16.
      seen: float [N, h, w, 1]: 1 on the screen, 0 on padding.

    Returns:
      float32 [N, h, w, 4], logits of `PLANES`; float32 [N, 8], logits of `KINDS` (softmax) and `FLAGS` (sigmoid).
    """
    planes, _, kinds = forward(Jax(params, dtype), features.astype(dtype), seen.astype(dtype))
    return planes.astype(jnp.float32), kinds[:, 0, 0].astype(jnp.float32)


def to_onnx(params: Params) -> bytes:
    """The graph of `apply`, channels first, any even multiple of 8 rows and columns.

    Inputs: ``features`` float32 [N, CHANNELS, h, w] in 0..1; ``seen`` float32 [N, 1, h, w]. Outputs: ``planes`` float32
    [N, 4, h, w], shares in 0..1; ``whole`` float32 [N, 8], logits.
    """
    ops = Onnx(params)
    _, shown, kinds = forward(ops, "features", "seen")
    ops.node("Identity", [shown], to="planes")
    ops.node("Flatten", [kinds], to="whole", axis=1)
    inputs = {"features": ("n", CHANNELS, "h", "w"), "seen": ("n", 1, "h", "w")}
    return ops.graph("screen_parser", inputs, {"planes": ("n", 4, "h", "w"), "whole": ("n", 8)})
