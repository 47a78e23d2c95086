"""What the small networks are made of, so that each is written once: its parameters, its JAX and its ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OPSET = 13
Params = dict[str, dict[str, Any]]
"""Layer -> ``kernel`` float32 [kh, kw, in, out] and ``bias`` float32 [out]."""


class Ops:
    """``conv`` and the operations below, over whatever a subclass calls a value."""

    def block(self, name: str, x: Any, width: int) -> Any:
        """A residual block of two convolutions."""
        inner = self.conv(f"{name}.a", self.relu(x), width, width)
        return self.add(x, self.conv(f"{name}.b", self.relu(inner), width, width))

    def conv(
        self, name: str, x: Any, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, bias: float = 0.0
    ) -> Any:
        """A convolution that keeps the borders; ``bias`` is where training begins."""
        raise NotImplementedError

    def _none(self, *_: Any) -> None: ...

    add = multiply = relu = sigmoid = join = pooled = twice = to_depth = to_space = _none


class Shapes(Ops):
    """Makes parameters: He initialisation, residual branches weaker."""

    def __init__(self, seed: int) -> None:
        self._rng, self.params = np.random.default_rng(seed), {}

    def conv(self, name, x, inputs, outputs, *, size=3, stride=1, bias=0.0) -> None:
        spread = (0.3 if name.endswith(".b") else 1.0) * np.sqrt(2 / (size * size * inputs))
        kernel = self._rng.normal(0, spread, (size, size, inputs, outputs)).astype(np.float32)
        self.params[name] = {"kernel": jnp.asarray(kernel), "bias": jnp.full(outputs, bias, jnp.float32)}


class Jax(Ops):
    """Arrays [N, h, w, C]."""

    def __init__(self, params: Params, dtype: Any = jnp.float32) -> None:
        self._params, self._dtype = params, dtype

    def conv(self, name, x, inputs, outputs, *, size=3, stride=1, bias=0.0) -> jax.Array:
        pad, part = [(size // 2, size // 2)] * 2, self._params[name]
        y = jax.lax.conv_general_dilated(
            x, part["kernel"].astype(self._dtype), (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + part["bias"].astype(self._dtype)

    add, multiply = staticmethod(jnp.add), staticmethod(jnp.multiply)
    relu, sigmoid = staticmethod(jax.nn.relu), staticmethod(jax.nn.sigmoid)

    def join(self, *parts: jax.Array) -> jax.Array:
        return jnp.concatenate(parts, axis=-1)

    def pooled(self, x: jax.Array) -> jax.Array:
        return self.join(x.mean((1, 2), keepdims=True), x.max((1, 2), keepdims=True))

    def twice(self, x: jax.Array) -> jax.Array:
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def to_depth(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)

    def to_space(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        return x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)


class Onnx(Ops):
    """Names of values [N, C, h, w]; weights are stored as float16 and widened on loading."""

    def __init__(self, params: Params) -> None:
        from onnx import numpy_helper

        self._params, self._tensor = params, numpy_helper.from_array
        self._nodes: list[Any] = []
        self._stored = [self._tensor(np.array([1, 1, 2, 2], np.float32), "doubled")]

    def node(self, op: str, inputs: Sequence[str], *, to: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = to or f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def conv(self, name, x, inputs, outputs, *, size=3, stride=1, bias=0.0) -> str:
        from onnx import TensorProto, helper

        kernel = np.ascontiguousarray(np.asarray(self._params[name]["kernel"]).transpose(3, 2, 0, 1)).astype(np.float16)
        self._stored.append(self._tensor(kernel, f"{name}.half"))
        self._stored.append(self._tensor(np.asarray(self._params[name]["bias"], np.float32), f"{name}.bias"))
        wide = f"{name}.wide"
        self._nodes.append(helper.make_node("Cast", [f"{name}.half"], [wide], to=TensorProto.FLOAT))
        sizes = {"kernel_shape": [size] * 2, "pads": [size // 2] * 4, "strides": [stride] * 2}
        return self.node("Conv", [x, wide, f"{name}.bias"], **sizes)

    def add(self, x: str, y: str) -> str:
        return self.node("Add", [x, y])

    def multiply(self, x: str, y: str) -> str:
        return self.node("Mul", [x, y])

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def sigmoid(self, x: str) -> str:
        return self.node("Sigmoid", [x])

    def join(self, *parts: str) -> str:
        return self.node("Concat", parts, axis=1)

    def pooled(self, x: str) -> str:
        return self.join(self.node("GlobalAveragePool", [x]), self.node("GlobalMaxPool", [x]))

    def twice(self, x: str) -> str:
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", "doubled"], mode="nearest", **how)

    def to_depth(self, x: str) -> str:
        return self.node("SpaceToDepth", [x], blocksize=2)

    def to_space(self, x: str) -> str:
        return self.node("DepthToSpace", [x], blocksize=2, mode="DCR")

    def graph(self, name: str, inputs: Mapping[str, Sequence], outputs: Mapping[str, Sequence]) -> bytes:
        """What was computed as a checked model; ``inputs`` and ``outputs``: shapes by name."""
        import onnx
        from onnx import TensorProto, helper

        given, found = (
            [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape) for value, shape in values.items()]
            for values in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, name, given, found, self._stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="cfd2gray")
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model.SerializeToString()
