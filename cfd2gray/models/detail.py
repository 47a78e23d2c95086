"""DetailNet: DenoiseNet's part at the size of the screen, where the other networks' result was enlarged.

From the enlarged result, the visible pixels around it, and what the same tissue showed in other frames, at full resolution, it
says how far that is to be believed, and what else is to be added. Described once for JAX (training) and ONNX (translation).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.models.ops import Jax, Onnx, Params, Shapes

PLANES, OUTPUTS = 6, 2
WIDTH, BLOCKS = 16, 2
BELIEVED = -1.4
"""Where training begins, as a logit: a fifth of what other frames tell is taken, which is better than nothing of it."""
ADDED = 0.1
"""Unit of what else is added, so that it is learned after the first."""


def forward(ops: Any, planes: Any) -> Any:
    """Logits of belief, and what else is to be added; ``planes``: `translation.detail.planes_of`, even sides. ``ops``: one of
    `models.ops`."""
    x = ops.conv("stem", ops.to_depth(planes), 4 * PLANES, WIDTH)
    for k in range(BLOCKS):
        x = ops.block(f"body{k}", x, WIDTH)
    return ops.to_space(ops.conv("head", ops.relu(x), WIDTH, 4 * OUTPUTS))


def init_params(seed: int) -> Params:
    """Float32 parameters to begin with, which say `BELIEVED` everywhere."""
    shapes = Shapes(seed)
    forward(shapes, None)
    head = shapes.params["head"]
    head["kernel"] = jnp.zeros_like(head["kernel"])
    head["bias"] = jnp.asarray(np.tile([BELIEVED, 0.0], 4), jnp.float32)
    return shapes.params


def apply(params: Params, planes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Belief in 0..1 and what else is to be added (1 is white), both ``[N, H, W]``, from planes ``[N, H, W, PLANES]``."""
    found = forward(Jax(params), planes)
    return jax.nn.sigmoid(found[..., 0]), ADDED * found[..., 1]


def to_onnx(params: Params) -> bytes:
    """The graph of `forward`: ``planes`` float32 [N, PLANES, h, w] -> ``found`` float32 [N, OUTPUTS, h, w]."""
    ops = Onnx(params)
    ops.node("Identity", [forward(ops, "planes")], to="found")
    return ops.graph("detail", {"planes": ("n", PLANES, "h", "w")}, {"found": ("n", OUTPUTS, "h", "w")})
