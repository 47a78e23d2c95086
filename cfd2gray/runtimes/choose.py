"""Which runtime computes a network on this machine.

JAX is the reference. On a CPU its compiler reaches a third of what the machine can do, so that there the same network,
written down as an ONNX graph (`onnx_file`), is computed by a runtime made for CPUs, if one is installed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

from cfd2gray.runtimes.network import Network
from cfd2gray.weights.pretrained import GeneratorWeights

RUNTIMES = ("auto", "jax", "openvino", "onnxruntime")


def open_network(weights: GeneratorWeights, *, runtime: str = "auto", devices: Sequence[Any] | None = None) -> Network:
    """The network of ``weights`` on ``runtime``.

    Args:
      weights: Of a network.
      runtime: ``auto`` takes JAX where it has an accelerator or where ``devices`` names its devices; on a CPU OpenVINO,
        else JAX, else ONNX Runtime, whichever is installed: the order of their speed there (docs/runtimes.md).
      devices: JAX devices to work on; only for ``jax`` and ``auto``.

    Raises:
      ValueError: For an unknown runtime, or one that is not installed.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
    if runtime == "auto":
        runtime = "jax" if devices else fastest()
    if devices and runtime != "jax":
        raise ValueError(f"devices are JAX's; runtime {runtime!r} takes no devices")
    if not installed(runtime):
        raise ValueError(f"runtime {runtime!r} is not installed; {_REMEDY[runtime]}, or choose another of {RUNTIMES}")
    if runtime == "jax":
        from cfd2gray.runtimes.jax_network import JaxNetwork

        return JaxNetwork(weights, devices=devices)
    from cfd2gray.runtimes.graph_network import GraphNetwork

    return GraphNetwork(weights, runtime=runtime)


_REMEDY = {
    "jax": "pip install cfd2gray",
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
}


def installed(runtime: str) -> bool:
    return importlib.util.find_spec(runtime) is not None


@functools.cache
def fastest() -> str:
    """The runtime that ``auto`` stands for on this machine."""
    if installed("jax"):
        import jax

        if jax.default_backend() != "cpu":
            return "jax"
    for runtime in ("openvino", "jax", "onnxruntime"):
        if installed(runtime):
            return runtime
    raise ValueError("nothing is installed that can run the network; pip install openvino (or onnxruntime, or jax)")
