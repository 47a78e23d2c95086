"""A small U-Net that says where text stands in a picture, described once for JAX and for ONNX.

python -m cfd2gray.parsing.text_network DIR/text.npz -o data_pipeline/screen/parser/burned_text.onnx
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.parsing.export import OPSET, command
from data_pipeline.screen.burned_text import CHANNELS

WIDTHS = (16, 24, 32)
Params = dict[str, dict[str, Any]]


def forward(ops: Any, x: Any) -> Any:
    """Logits on half the grid of ``x``, of which sides are multiples of 8. ``ops``: `_Jax`, `_Onnx` or `_Shapes`."""
    a, b, c = WIDTHS

    def block(name: str, x: Any, width: int) -> Any:
        return ops.add(
            x, ops.conv(f"{name}.b", ops.relu(ops.conv(f"{name}.a", ops.relu(x), width, width)), width, width)
        )

    fine = block("down0", ops.conv("stem", ops.to_depth(x), 4 * CHANNELS, a), a)
    middle = block("down1", ops.conv("reduce0", fine, a, b, stride=2), b)
    deep = ops.conv("reduce1", middle, b, c, stride=2)
    for name in ("deep0", "deep1"):
        deep = block(name, deep, c)
    middle = block("up1", ops.add(middle, ops.twice(ops.conv("widen1", deep, c, b, size=1))), b)
    fine = block("up0", ops.add(fine, ops.twice(ops.conv("widen0", middle, b, a, size=1))), a)
    return ops.conv("text", ops.relu(fine), a, 1)


class _Shapes:
    """Makes parameters: He initialisation, residual branches weaker, text rare."""

    def __init__(self, seed: int) -> None:
        self._rng, self.params = np.random.default_rng(seed), {}

    def conv(self, name: str, x: Any, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> None:
        spread = (0.3 if name.endswith(".b") else 1.0) * np.sqrt(2 / (size * size * inputs))
        kernel = self._rng.normal(0, spread, (size, size, inputs, outputs)).astype(np.float32)
        bias = np.full(outputs, -3.0 if name == "text" else 0.0, np.float32)
        self.params[name] = {"kernel": kernel, "bias": bias}

    def add(self, *_: Any) -> None: ...

    relu = twice = to_depth = add


class _Jax:
    """Arrays [N, h, w, C]."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def conv(self, name: str, x: jax.Array, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> jax.Array:
        pad, part = [(size // 2, size // 2)] * 2, self._params[name]
        y = jax.lax.conv_general_dilated(
            x, part["kernel"], (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + part["bias"]

    add, relu = staticmethod(jnp.add), staticmethod(jax.nn.relu)

    def twice(self, x: jax.Array) -> jax.Array:
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def to_depth(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


class _Onnx:
    """Names of values [N, C, h, w]; weights are stored as float16."""

    def __init__(self, params: Params) -> None:
        from onnx import numpy_helper

        self._params, self._tensor = params, numpy_helper.from_array
        self.nodes: list[Any] = []
        self.stored = [self._tensor(np.array([1, 1, 2, 2], np.float32), "doubled")]

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def conv(self, name: str, x: str, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> str:
        from onnx import TensorProto

        kernel = np.ascontiguousarray(np.asarray(self._params[name]["kernel"]).transpose(3, 2, 0, 1)).astype(np.float16)
        bias = np.asarray(self._params[name]["bias"], np.float32)
        self.stored += [self._tensor(kernel, f"{name}.half"), self._tensor(bias, f"{name}.bias")]
        wide = self.node("Cast", [f"{name}.half"], to=TensorProto.FLOAT)
        pads = [size // 2] * 4
        return self.node("Conv", [x, wide, f"{name}.bias"], kernel_shape=[size, size], pads=pads, strides=[stride] * 2)

    def add(self, x: str, y: str) -> str:
        return self.node("Add", [x, y])

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def twice(self, x: str) -> str:
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", "doubled"], mode="nearest", **how)

    def to_depth(self, x: str) -> str:
        return self.node("SpaceToDepth", [x], blocksize=2)


def init_params(seed: int) -> Params:
    """Float32 parameters; kernels are [kh, kw, in, out]."""
    shapes = _Shapes(seed)
    forward(shapes, None)
    return jax.tree.map(jnp.asarray, shapes.params)


def logits_of(params: Params, features: jax.Array) -> jax.Array:
    """float32 [N, h / 2, w / 2] for `burned_text.text_features` of N clips, float32 [N, h, w, CHANNELS] in 0..1."""
    return forward(_Jax(params), features)[..., 0]


def to_onnx(params: Params) -> bytes:
    """The graph: ``features`` float32 [N, CHANNELS, h, w] -> ``text`` float32 [N, 1, h / 2, w / 2] in 0..1."""
    import onnx
    from onnx import TensorProto, helper

    ops = _Onnx(params)
    ops.nodes.append(helper.make_node("Sigmoid", [forward(ops, "features")], ["text"]))
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    inputs, outputs = [value("features", "n", CHANNELS, "h", "w")], [value("text", "n", 1, "h2", "w2")]
    graph = helper.make_graph(ops.nodes, "burned_text", inputs, outputs, ops.stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="cfd2gray")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


if __name__ == "__main__":
    command(__doc__, to_onnx)
