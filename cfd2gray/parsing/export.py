"""The trained parser as an ONNX graph in float16, which worker processes run without JAX.

python -m cfd2gray.parsing.export DIR/parser_average.npz -o data_pipeline/screen/parser/screen_parser.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
from collections.abc import Callable

import numpy as np

from cfd2gray.models.ops import Params
from cfd2gray.parsing.network import apply, to_onnx
from data_pipeline.files import atomic_path
from data_pipeline.screen.parser.features import CHANNELS
from data_pipeline.screen.parser.network import WEIGHTS

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


def save_params(path: pathlib.Path, params: Params) -> None:
    """The other way round."""
    arrays = {f"{name}/{part}": np.asarray(value) for name, parts in params.items() for part, value in parts.items()}
    np.savez(path, **arrays)


def stored_params(graph: bytes) -> Params:
    """The parameters of a graph that `network.to_onnx` made."""
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

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    params, worst = stored_params(graph), {"planes": 0.0, "whole": 0.0}
    for seed, (height, width) in enumerate(((48, 64), (80, 32))):
        rng = np.random.default_rng(seed)
        features = rng.random((2, height, width, CHANNELS), np.float32)
        seen = np.ones((2, height, width, 1), np.float32)
        seen[:, height - 8 :] = 0
        planes, whole = apply(params, features, seen)
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
