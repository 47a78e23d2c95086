"""The network as an ONNX graph, run by OpenVINO or ONNX Runtime: what CPUs do fast, without JAX and its compiler."""

from __future__ import annotations

import collections
import os
import pathlib
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from cfd2gray.cache_folder import cache_folder, keep_newest
from cfd2gray.runtimes.kinds import CLIP, MEMORY, STREAM
from cfd2gray.runtimes.network import Advance, Windows
from cfd2gray.runtimes.windows import run_windows
from cfd2gray.weights.pretrained import GeneratorWeights

WINDOW = {"openvino": 64, "onnxruntime": 32}
"""Frames of a clip that are computed at once at most: the more, the less the halo around them costs, and the more memory is
taken (at 256 px 1.2 GB and 1.9 GB)."""
STEP = 16
"""Windows are made smaller for short clips, to multiples of this: every length is prepared for once per size."""

SIZES = 4
"""Sizes of input that OpenVINO stays ready for: each holds its features."""
CACHE_BYTES = 256 << 20
"""What prepared graphs may take in the cache folder; each is as large as the weights."""
AT_ONCE = 8
"""Clips that are worked on at the same time at most; each is held in memory."""

Graph = pathlib.Path | bytes
"""A file beside its weights, or a graph with its weights."""
Arrays = dict[str, np.ndarray]


class Engine(Protocol):
    """A runtime with one graph loaded."""

    def __call__(self, inputs: Arrays, needed: Sequence[str] = ()) -> Arrays:
        """The graph's outputs by name, those that are ``needed`` or all, in memory of their own; safe to call from several
        threads."""

    def blank(self, frames: tuple[int, ...]) -> Arrays:
        """The memory of a stream of ``frames [1, H, W, 3]`` before its first."""


def graph_of(weights: GeneratorWeights, kind: str) -> Graph:
    """The graph of ``kind``: the file beside the weights' own (``w.safetensors``, ``w.clip.onnx``) or, with JAX, a new one.

    Raises:
      ValueError: When there is neither.
    """
    if weights.file is not None and (beside := weights.file.with_suffix(f".{kind}.onnx")).is_file():
        return beside
    try:
        from cfd2gray.runtimes.onnx_file import onnx_model
    except ImportError as error:
        raise ValueError(
            f"{weights.name}: no {kind} graph lies beside the weights, and making one needs {error.name!r}; export the "
            "weights with `cfd2gray export --graphs` on a full installation"
        ) from error
    return onnx_model(weights, kind=kind).SerializeToString()


def _silent_openvino() -> types.ModuleType:
    """OpenVINO without its telemetry, which otherwise reports every import of it to an analytics service on the web."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # looks as if it were not installed
    import openvino

    return openvino


class OpenVino:
    """OpenVINO on the CPU, in bfloat16 where the processor computes in it.

    It is made ready for every size of input apart, which takes half a second once (a quarter from the cache) and makes it
    twice as fast as a graph of open sizes.

    Args:
      graph: See `graph_of`.
      precision: ``bf16`` or ``f32``; by default what the processor computes fastest.
    """

    def __init__(self, graph: Graph, *, precision: str | None = None):
        self._core = _silent_openvino().Core()
        if (folder := cache_folder("openvino")) is not None:
            keep_newest(folder, most_bytes=CACHE_BYTES)
            self._core.set_property({"CACHE_DIR": str(folder)})
        self._graph = graph if isinstance(graph, bytes) else str(graph)
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = precision or ("bf16" if "BF16" in able else "f32")
        self._options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._ready: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        self._lock, self._local = threading.Lock(), threading.local()

    def __call__(self, inputs: Arrays, needed: Sequence[str] = ()) -> Arrays:
        request = self._request({name: array.shape for name, array in inputs.items()}, tuple(needed))
        results = request.infer(inputs, share_inputs=True)
        return {name: array for output, array in results.items() for name in output.names}

    def blank(self, frames: tuple[int, ...]) -> Arrays:
        model = self._core.read_model(self._graph)
        kinds = {i.any_name: i.element_type.to_dtype() for i in model.inputs}
        ranks = {i.any_name: len(i.partial_shape) for i in model.inputs}
        names = [name for name in kinds if name.startswith(MEMORY)]
        single = {name: [1] * ranks[name] for name in names}
        model.reshape({"frames": list(frames), "hidden": list(frames[:-1])} | single)
        return {name: np.zeros(list(model.output(f"next_{name}").shape), kinds[name]) for name in names}

    def _request(self, shapes: dict[str, tuple[int, ...]], needed: tuple[str, ...]) -> Any:
        """A request of this thread, which keeps its last one: two threads may not share one."""
        last, key = self._local.__dict__, (*shapes.items(), needed)
        if last.get("key") != key:
            last.clear()  # the features of the other size go first
            last |= {"request": self._compiled(shapes, needed).create_infer_request(), "key": key}
        return last["request"]

    def _compiled(self, shapes: dict[str, tuple[int, ...]], needed: tuple[str, ...]) -> Any:
        key = (*shapes.items(), needed)
        with self._lock:
            if key not in self._ready:
                model = self._core.read_model(self._graph)
                for result in model.get_results() if needed else ():
                    if not result.input_value(0).names & set(needed):
                        model.remove_result(result)  # and all that only it needs
                model.reshape({name: list(shape) for name, shape in shapes.items()})
                self._ready[key] = self._core.compile_model(model, "CPU", self._options)
                while len(self._ready) > SIZES:
                    self._ready.popitem(last=False)
            self._ready.move_to_end(key)
            return self._ready[key]


class OpenVinoAnySize:
    """OpenVINO on the CPU for a small graph and inputs of many sizes: each call is one core's work, as many run at once."""

    def __init__(self, graph: pathlib.Path):
        core, cores = _silent_openvino().Core(), len(os.sched_getaffinity(0))
        options = {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores}
        self._model, self._local = core.compile_model(str(graph), "CPU", options), threading.local()

    def __call__(self, inputs: Arrays) -> Arrays:
        own = self._local.__dict__
        if "request" not in own:
            own["request"] = self._model.create_infer_request()
        results = own["request"].infer(inputs, share_inputs=True)
        return {name: array for output, array in results.items() for name in output.names}


class OnnxRuntime:
    """ONNX Runtime on the CPU, float32, any size of input."""

    def __init__(self, graph: Graph):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # it would keep twice the memory
        graph = graph if isinstance(graph, bytes) else str(graph)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._only = onnxruntime.RunOptions()
        self._only.only_execute_path_to_fetches = True
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Arrays, needed: Sequence[str] = ()) -> Arrays:
        names = list(needed) or self._names
        return dict(zip(names, self._session.run(names, inputs, self._only)))

    def blank(self, frames: tuple[int, ...]) -> Arrays:
        kinds = {"tensor(bool)": np.bool_, "tensor(float)": np.float32}
        found = [i for i in self._session.get_inputs() if i.name.startswith(MEMORY)]
        return {i.name: np.zeros([1] * len(i.shape), kinds[i.type]) for i in found}  # the graph repeats it


ENGINES = {"openvino": OpenVino, "onnxruntime": OnnxRuntime}


class GraphNetwork:
    """See `runtimes.network.Network`."""

    def __init__(self, weights: GeneratorWeights, *, runtime: str):
        self.weights, self.runtime = weights, runtime
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._at_once = max(1, min(AT_ONCE, len(os.sched_getaffinity(0)) // 2))
        self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix=runtime)
        """Windows are computed here while others are cut out, pasted and encoded."""

    def workers(self) -> list[GraphNetwork]:
        # Threads share it; several keep it busy, since reading, analysis and writing of a clip take one core each.
        return [self] * self._at_once

    def windows(
        self, frames: np.ndarray, hidden: np.ndarray, wanted: np.ndarray | None = None, *, confidence: bool = True
    ) -> Iterator[Windows]:
        engine, radius = self._engine(CLIP), self.weights.spec.radius
        needed = ("grey", "confidence") if confidence else ("grey",)
        count = len(frames) if wanted is None else int(wanted.sum())
        pieces = -(-count // WINDOW[self.runtime])
        window = -(-count // (max(pieces, 1) * STEP)) * STEP

        def start(frames: np.ndarray, hidden: np.ndarray) -> Callable[[], tuple[np.ndarray, ...]]:
            begun = self._pool.submit(engine, {"frames": frames[0], "hidden": hidden[0]}, needed)
            return lambda: tuple(begun.result()[name][None] for name in needed)

        return run_windows(start, (frames, hidden), window=window, radius=radius, margin=radius, wanted=wanted)

    def live(self, height: int, width: int) -> Advance:
        engine = self._engine(STREAM)
        memory = engine.blank((1, height, width, 3))
        still = np.zeros((1, height, width, 3), np.uint8)
        engine({"frames": still, "hidden": still[..., 0], **memory})  # now, or the first frame would wait

        def advance(frames: np.ndarray, hidden: np.ndarray) -> np.ndarray:
            nonlocal memory
            found = engine({"frames": frames, "hidden": hidden, **memory})
            memory = {name: found[f"next_{name}"] for name in memory}
            return found["grey"]

        return advance

    def _engine(self, kind: str) -> Engine:
        with self._lock:
            if kind not in self._engines:
                self._engines[kind] = ENGINES[self.runtime](graph_of(self.weights, kind))
            return self._engines[kind]
