"""A small U-Net that says where text stands in a picture, described once for JAX and for ONNX.

python -m cfd2gray.parsing.text_network DIR/text.npz -o data_pipeline/screen/parser/burned_text.onnx
"""

from __future__ import annotations

from typing import Any

import jax

from cfd2gray.models.ops import Jax, Onnx, Params, Shapes
from cfd2gray.parsing.export import command
from data_pipeline.screen.burned_text import CHANNELS

WIDTHS = (16, 24, 32)


def forward(ops: Any, x: Any) -> Any:
    """Logits on half the grid of ``x``, of which sides are multiples of 8. ``ops``: one of `models.ops`."""
    a, b, c = WIDTHS
    fine = ops.block("down0", ops.conv("stem", ops.to_depth(x), 4 * CHANNELS, a), a)
    middle = ops.block("down1", ops.conv("reduce0", fine, a, b, stride=2), b)
    deep = ops.conv("reduce1", middle, b, c, stride=2)
    for name in ("deep0", "deep1"):
        deep = ops.block(name, deep, c)
    middle = ops.block("up1", ops.add(middle, ops.twice(ops.conv("widen1", deep, c, b, size=1))), b)
    fine = ops.block("up0", ops.add(fine, ops.twice(ops.conv("widen0", middle, b, a, size=1))), a)
    return ops.conv("text", ops.relu(fine), a, 1, bias=-3.0)  # text is rare


def init_params(seed: int) -> Params:
    """Float32 parameters to begin with."""
    shapes = Shapes(seed)
    forward(shapes, None)
    return shapes.params


def logits_of(params: Params, features: jax.Array) -> jax.Array:
    """float32 [N, h / 2, w / 2] for `burned_text.text_features` of N clips, float32 [N, h, w, CHANNELS] in 0..1."""
    return forward(Jax(params), features)[..., 0]


def to_onnx(params: Params) -> bytes:
    """The graph: ``features`` float32 [N, CHANNELS, h, w] -> ``text`` float32 [N, 1, h / 2, w / 2] in 0..1."""
    ops = Onnx(params)
    ops.node("Sigmoid", [forward(ops, "features")], to="text")
    return ops.graph("burned_text", {"features": ("n", CHANNELS, "h", "w")}, {"text": ("n", 1, "h2", "w2")})


if __name__ == "__main__":
    command(__doc__, to_onnx)
