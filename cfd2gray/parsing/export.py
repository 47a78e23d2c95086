"""The trained parser as an ONNX graph in float16, which worker processes run without JAX.

python -m cfd2gray.parsing.export DIR/parser_average.npz -o data_pipeline/screen/parser/screen_parser.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
from collections.abc import Callable

import numpy as np

from cfd2gray.parsing.network import WIDTHS, Params
from data_pipeline.files import atomic_path
from data_pipeline.screen.parser.features import CHANNELS
from data_pipeline.screen.parser.network import WEIGHTS

OPSET = 13
TOLERANCE = 1e-4
"""Of full scale (planes) and of logits: how far the graph may be from JAX."""


def read_params(path: str | pathlib.Path) -> Params:
    """Parameters that training saved: name -> kernel, bias."""
    with np.load(path) as arrays:
        params: dict[str, dict[str, np.ndarray]] = {}
        for key in arrays.files:
            name, part = key.rsplit("/", 1)
            params.setdefault(name, {})[part] = arrays[key]
    return params


def to_onnx(params: Params) -> bytes:
    """The graph of `network.apply`, channels first, any even multiple of 8 rows and columns.

    Inputs: ``features`` float32 [N, CHANNELS, h, w] in 0..1; ``seen`` float32 [N, 1, h, w]. Outputs: ``planes`` float32
    [N, 4, h, w], shares in 0..1; ``whole`` float32 [N, 8], logits. Weights are stored as float16 and widened on loading.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored = [], []

    def node(op: str, inputs: list[str], **attributes) -> str:
        name = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(name: str, value: np.ndarray) -> str:
        stored.append(numpy_helper.from_array(value, name))
        return name

    def conv(name: str, x: str, stride: int = 1) -> str:
        kernel = np.asarray(params[name]["kernel"]).transpose(3, 2, 0, 1)
        size = kernel.shape[2]
        half = constant(f"{name}.half", np.ascontiguousarray(kernel).astype(np.float16))
        bias = constant(f"{name}.bias", np.asarray(params[name]["bias"], np.float32))
        wide = node("Cast", [half], to=TensorProto.FLOAT)
        pads = [size // 2] * 4
        return node("Conv", [x, wide, bias], kernel_shape=[size, size], pads=pads, strides=[stride, stride])

    def block(name: str, x: str) -> str:
        return node("Add", [x, conv(f"{name}.b", node("Relu", [conv(f"{name}.a", node("Relu", [x]))]))])

    twice = constant("twice", np.array([1, 1, 2, 2], np.float32))
    x = conv("stem", node("SpaceToDepth", ["features"], blocksize=2))
    skips = []
    for level in range(len(WIDTHS) - 1):
        x = block(f"down{level}", x)
        skips.append(x)
        x = conv(f"reduce{level}", x, stride=2)
    x = block("deep0", x)
    whole = node("Concat", [node("GlobalAveragePool", [x]), node("GlobalMaxPool", [x])], axis=1)
    x = block("deep1", node("Add", [x, conv("context", whole)]))
    for level in reversed(range(len(WIDTHS) - 1)):
        narrow = conv(f"widen{level}", x)
        larger = node(
            "Resize",
            [narrow, "", twice],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        x = block(f"up{level}", node("Add", [larger, skips[level]]))
    spread = node("DepthToSpace", [conv("spread", node("Relu", [x]))], blocksize=2, mode="DCR")
    fine = conv("fine", node("Concat", [spread, "features"], axis=1))
    shares = node("Sigmoid", [conv("planes", node("Relu", [fine]))])
    shown = node("Mul", [shares, "seen"])
    areas = [node("GlobalAveragePool", [shown]), node("GlobalMaxPool", [shown])]
    kinds = conv("kind1", node("Relu", [conv("kind0", node("Concat", [whole, *areas], axis=1))]))
    nodes.append(helper.make_node("Identity", [shown], ["planes"]))
    nodes.append(helper.make_node("Flatten", [kinds], ["whole"], axis=1))
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        nodes, "screen_parser",
        [value("features", "n", CHANNELS, "h", "w"), value("seen", "n", 1, "h", "w")],
        [value("planes", "n", 4, "h", "w"), value("whole", "n", 8)], stored,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="cfd2gray")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def stored_params(graph: bytes) -> Params:
    """The parameters of a graph that `to_onnx` made."""
    import onnx
    from onnx import numpy_helper

    params: dict[str, dict[str, np.ndarray]] = {}
    for tensor in onnx.load_from_string(graph).graph.initializer:
        name, _, part = tensor.name.rpartition(".")
        array = numpy_helper.to_array(tensor).astype(np.float32)
        if part == "half":
            params.setdefault(name, {})["kernel"] = array.transpose(2, 3, 1, 0)
        elif part == "bias":
            params.setdefault(name, {})["bias"] = array
    return params


def compare(graph: bytes) -> dict[str, float]:
    """The largest difference of ONNX Runtime's result from that of `network.apply`, per output, on noise of two sizes."""
    import jax
    import onnxruntime

    from cfd2gray.parsing import network

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    params, worst = stored_params(graph), {"planes": 0.0, "whole": 0.0}
    for seed, (height, width) in enumerate(((48, 64), (80, 32))):
        rng = np.random.default_rng(seed)
        features = rng.random((2, height, width, CHANNELS), np.float32)
        seen = np.ones((2, height, width, 1), np.float32)
        seen[:, height - 8 :] = 0
        planes, whole = network.apply(params, features, seen)
        expected = (np.asarray(jax.nn.sigmoid(planes) * seen).transpose(0, 3, 1, 2), np.asarray(whole))
        feed = {"features": features.transpose(0, 3, 1, 2), "seen": seen.transpose(0, 3, 1, 2)}
        for name, ours, theirs in zip(worst, session.run(list(worst), feed), expected):
            worst[name] = max(worst[name], float(np.abs(ours - theirs).max()))
    return worst


def write_shipped(path: pathlib.Path) -> dict[str, float]:
    """Write the parser that ships to ``path``, after ONNX Runtime has shown that it computes what JAX does.

    Returns:
      The largest difference from JAX per output.

    Raises:
      ValueError: When the file exists or the graph differs from JAX by more than `TOLERANCE`.
    """
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten; remove it or name another file")
    graph = WEIGHTS.read_bytes()
    found = compare(graph)
    if not max(found.values()) <= TOLERANCE:
        raise ValueError(f"the screen parser's graph differs from JAX ({found}, allowed {TOLERANCE}); not written")
    with atomic_path(path) as part:
        part.write_bytes(graph)
    return found


def command(about: str | None, to_onnx: Callable[[Params], bytes]) -> None:
    """The command line of a network's export: parameters in, graph out, whole or not at all."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", type=pathlib.Path)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    graph = to_onnx(read_params(options.params))
    with atomic_path(options.out) as part:
        part.write_bytes(graph)
    print(f"{options.out}: {len(graph) / 1e3:.0f} kB, sha256 {hashlib.sha256(graph).hexdigest()[:16]}")


if __name__ == "__main__":
    command(__doc__, to_onnx)
