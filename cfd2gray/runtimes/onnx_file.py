"""Weights -> one ONNX file that needs no JAX: evidence, both networks and matched grain in a single graph."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import struct
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import export as jax_export
from onnx import TensorProto, helper, numpy_helper

import cfd2gray
from cfd2gray.models.fill import Seen
from cfd2gray.models.generator import GeneratorSpec, Memory
from cfd2gray.runtimes import rules_elementwise, rules_products, rules_shapes  # noqa: F401 - they register themselves
from cfd2gray.runtimes.graph import ONNX_TYPE, OPSET, Graph, Value, straight
from cfd2gray.runtimes.jax_network import compiled_advance, compiled_window, fresh_memory, left_out
from cfd2gray.runtimes.kinds import CLIP, MEMORY, STREAM
from cfd2gray.runtimes.writer import Writer
from cfd2gray.weights.pretrained import GeneratorWeights, flat_params
from data_pipeline.files import atomic_path

FORMAT = "cfd2gray-onnx-1"
TOLERANCE = 1e-4
"""Of full scale: how far a graph may be from JAX, anywhere."""
TESTED = f"ONNX opset {OPSET}, tested with ONNX Runtime and OpenVINO"
ABOUT = {
    CLIP: "Colour-flow clip to greyscale. frames: uint8 RGB, the clip with its first and last frame repeated `radius` times "
    "(see the metadata). hidden: uint8, 1 under colour and its outline. grey and confidence: float32 in [0, 1], without the "
    "repeated frames.",
    STREAM: "Colour-flow frame to greyscale frame. frames and hidden as they come; height and width multiples of `multiple` "
    "(see the metadata). memory_*: zeros of size 1 at first, then next_memory_* of the frame before.",
}


def write_onnx(path: pathlib.Path, weights: GeneratorWeights, *, kind: str = CLIP) -> dict[str, float]:
    """Write ``path`` (must not exist), after ONNX Runtime has shown that it computes what JAX does.

    Args:
      path: ``.onnx`` file.
      weights: Of a network.
      kind: ``clip`` for whole clips; ``stream`` for frame after frame, which needs a causal network.

    Returns:
      The largest difference from JAX per output, of full scale.

    Raises:
      ValueError: When the file exists, the network cannot stream, or the graph differs from JAX by more than `TOLERANCE`.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten; remove it or name another file")
    model = onnx_model(weights, kind=kind)
    found = compare(model.SerializeToString(), weights, kind=kind)
    _refuse_different(weights, found)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)
    return found


def write_graphs(weights: GeneratorWeights) -> list[pathlib.Path]:
    """Every graph of a weights file, beside it and without weights of its own: ``w.safetensors`` -> ``w.clip.onnx`` (and
    ``w.stream.onnx`` for a causal network), some 100 kB each. With them the file is used without JAX.

    Raises:
      ValueError: For weights that do not come from a file, or a graph that differs from JAX by more than `TOLERANCE`.
    """
    if weights.file is None:
        raise ValueError(f"{weights.name}: graphs lie beside a weights file; save the weights first")
    written = []
    for kind in (CLIP, STREAM) if weights.spec.causal else (CLIP,):
        path = weights.file.with_suffix(f".{kind}.onnx")
        with atomic_path(path) as temporary:
            onnx.save(onnx_model(weights, kind=kind, beside=True), temporary)
            found = compare(temporary, weights, kind=kind)
            _refuse_different(weights, found)
        written.append(path)
    return written


def _refuse_different(weights: GeneratorWeights, found: dict[str, float]) -> None:
    if not max(found.values()) <= TOLERANCE:
        raise ValueError(f"{weights.name}: the ONNX graph differs from JAX ({found}, allowed {TOLERANCE}); not written")


def onnx_model(weights: GeneratorWeights, *, kind: str = CLIP, beside: bool = False) -> onnx.ModelProto:
    """The graph of ``kind``, checked by ONNX's own rules; with its weights, or ``beside`` the file that they are in."""
    spec = _float32(weights.spec)
    if kind == STREAM and not spec.causal:
        raise ValueError(
            f"{weights.name}: this network looks at later frames, so it cannot stream; export a clip graph"
        )
    graph = Graph()
    params = _stored(graph, weights) if beside else _parameters(graph, weights.params)
    inputs, outputs = (_clip if kind == CLIP else _stream)(graph, spec, weights.params, params)
    model = graph.model(inputs, outputs, name=f"cfd2gray_{kind}", about=ABOUT[kind])
    facts = {
        "format": FORMAT,
        "kind": kind,
        "name": weights.name,
        "weights_sha256": weights.digest,
        "spec": json.dumps(dataclasses.asdict(weights.spec)),
        "settings": json.dumps(dict(weights.settings)),
        "radius": str(spec.radius),
        "multiple": str(spec.multiple),
        "cfd2gray": cfd2gray.__version__,
        "intended_use": "research, not diagnosis; the output is synthetic",
    }
    helper.set_model_props(model, facts)
    if not beside:  # the checker would look for the weights in the working folder
        onnx.checker.check_model(model)
    return model


def _float32(spec: GeneratorSpec) -> GeneratorSpec:
    return dataclasses.replace(spec, dtype="float32", remat=False)


def _parameters(graph: Graph, params: Any) -> list[Value]:
    """A named initializer for each leaf."""
    values = []
    for name, array in flat_params(params).items():
        graph.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        values.append(Value(name, array.shape, straight(array.ndim), "float32"))
    return values


def _stored(graph: Graph, weights: GeneratorWeights) -> list[Value]:
    """Initializers that point into the weights' own file: safetensors keeps every tensor in one piece."""
    with weights.file.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    values = []
    for name, array in flat_params(weights.params).items():
        kind, (start, stop) = header[name]["dtype"], header[name]["data_offsets"]
        narrow = kind == "BF16"
        tensor = TensorProto(name=f"{name}.bfloat16" if narrow else name, dims=array.shape)
        tensor.data_type = TensorProto.BFLOAT16 if narrow else TensorProto.FLOAT
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": weights.file.name, "offset": 8 + length + start, "length": stop - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        graph.initializers.append(tensor)
        held = graph.emit("Cast", [tensor.name], to=TensorProto.FLOAT) if narrow else name
        values.append(Value(held, array.shape, straight(array.ndim), "float32"))
    return values


def _abstract(params: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), params)


def _info(name: str, dtype: str, shape: tuple[Any, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX_TYPE[dtype], shape)


def _written(graph: Graph, function: Any, inputs: list[Value], *abstract: Any) -> list[Value]:
    closed = jax.make_jaxpr(function)(*abstract)
    return Writer(graph).write(closed.jaxpr, closed.consts, inputs)


def _clip(graph: Graph, spec: GeneratorSpec, tree: Any, params: list[Value]) -> tuple[list, list]:
    """The graph for clips of any size: padded to what the network asks for and cut again, as `translation.view` does."""
    multiple, out = spec.multiple, left_out(spec)
    cut = spec.radius - out
    number = lambda value: graph.tensor(np.array([value], np.int64))  # noqa: E731
    shape = graph.emit("Shape", ["frames"])
    frames, height, width = (graph.emit("Gather", [shape, number(axis)], axis=0) for axis in range(3))
    tiles = [
        graph.emit("Div", [graph.emit("Add", [size, number(multiple - 1)]), number(multiple)])
        for size in (height, width)
    ]
    graph.know({"t": graph.emit("Sub", [frames, number(2 * out)]), "h": tiles[0], "w": tiles[1]})
    t, h, w = jax_export.symbolic_shape("t, h, w")
    more = [graph.emit("Sub", [graph.vector([multiple * tile]), size]) for tile, size in ((h, height), (w, width))]
    zero = number(0)
    padded = []
    for name, rank in (("frames", 4), ("hidden", 3)):
        ends = [zero] * (rank + 1) + [*more, *[zero] * (rank - 3)]
        name = graph.emit("Pad", [name, graph.emit("Concat", ends, axis=0), graph.tensor(np.array(0, np.uint8))])
        size = (t + 2 * out, multiple * h, multiple * w, 3)[:rank]
        # Colours apart from here on: what is done to each of them is done to one piece of memory.
        order = (0, 3, 1, 2) if rank == 4 else straight(rank)
        name = graph.emit("Transpose", [name], perm=order) if rank == 4 else name
        value = Value(name, size, order, "uint8")
        padded.append(graph.reshaped(value, (1, *size)))
    abstract = [jax.ShapeDtypeStruct(value.shape, jnp.uint8) for value in padded]
    results = _written(graph, compiled_window(spec), [*params, *padded], _abstract(tree), *abstract)
    start = graph.tensor(np.array([0, cut, 0, 0], np.int64))
    last = graph.emit("Sub", [graph.vector([t]), number(cut)])
    end = graph.emit("Concat", [number(1), last, height, width], axis=0)
    outputs = []
    for name, value in zip(("grey", "confidence"), results):
        whole = graph.emit("Slice", [graph.name(value, straight(4), whole=True), start, end])
        graph.nodes.append(helper.make_node("Squeeze", [whole, zero], [name], name=name))
        outputs.append(_info(name, "float32", ("T", "H", "W")))
    inputs = [_info("frames", "uint8", ("T_around", "H", "W", 3)), _info("hidden", "uint8", ("T_around", "H", "W"))]
    return inputs, outputs


def _stream(graph: Graph, spec: GeneratorSpec, tree: Any, params: list[Value]) -> tuple[list, list]:
    """The graph for the next frames of a stream."""
    multiple = spec.multiple
    number = lambda value: graph.tensor(np.array([value], np.int64))  # noqa: E731
    shape = graph.emit("Shape", ["frames"])
    frames, height, width = (graph.emit("Gather", [shape, number(axis)], axis=0) for axis in range(3))
    graph.know(
        {
            "t": frames,
            "h": graph.emit("Div", [height, number(multiple)]),
            "w": graph.emit("Div", [width, number(multiple)]),
        }
    )
    t, h, w = jax_export.symbolic_shape("t, h, w")
    abstract = _abstract(tree)
    memory = jax.eval_shape(lambda p: fresh_memory(p, spec, height=multiple * h, width=multiple * w), abstract)
    leaves, structure = jax.tree.flatten(memory)
    names = [f"{MEMORY}{i}" for i in range(len(leaves))]
    values = [
        Value(
            graph.emit("Expand", [name, graph.vector(x.shape)]) if x.ndim else name,
            x.shape,
            straight(x.ndim),
            x.dtype.name,
        )
        for name, x in zip(names, leaves)
    ]
    run = compiled_advance(spec)

    def advance(params: Any, cfd: jax.Array, hidden: jax.Array, *state: jax.Array) -> tuple[jax.Array, ...]:
        before = jax.tree.unflatten(structure, state)
        value, age = before.seen.last
        age = jnp.where(before.started, age, jnp.inf)  # so that a stream may begin with zeros alone
        before = Memory(before.started, Seen((value, age), before.seen.values, before.seen.visible), before.features)
        grey, after = run(params, cfd, hidden, before)
        return grey, *jax.tree.leaves(after)

    cfd = Value("frames", (t, multiple * h, multiple * w, 3), straight(4), "uint8")
    hidden = Value("hidden", cfd.shape[:3], straight(3), "uint8")
    shapes = [jax.ShapeDtypeStruct(value.shape, jnp.uint8) for value in (cfd, hidden)]
    results = _written(graph, advance, [*params, cfd, hidden, *values], abstract, *shapes, *leaves)
    outputs = []
    for name, value in zip(("grey", *(f"next_{name}" for name in names)), results):
        whole = graph.name(value, straight(len(value.shape)), whole=True)
        graph.nodes.append(helper.make_node("Identity", [whole], [name], name=name))
        outputs.append(_info(name, value.dtype, tuple(_label(size) for size in value.shape)))
    inputs = [_info("frames", "uint8", ("T", "H", "W", 3)), _info("hidden", "uint8", ("T", "H", "W"))]
    inputs += [_info(n, v.dtype, tuple(f"{n}_{i}" for i in range(len(v.shape)))) for n, v in zip(names, values)]
    return inputs, outputs


def _label(size: Any) -> int | str:
    return int(size) if isinstance(size, int | np.integer) else str(size)


def compare(
    model: bytes | pathlib.Path, weights: GeneratorWeights, *, kind: str = CLIP, threads: int = 0
) -> dict[str, float]:
    """The largest difference of ONNX Runtime's result from JAX's, per output, on clips of odd sizes and lengths."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return (_compare_clip if kind == CLIP else _compare_stream)(session, weights)


def _example(frames: int, height: int, width: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A clip of smooth noise with a coloured patch that moves: uint8 ``[T, H, W, 3]`` and its mask."""
    rng = np.random.default_rng(seed)
    clip = rng.integers(0, 256, (frames, height, width, 1), dtype=np.uint8).repeat(3, axis=3) // 2
    hidden = np.zeros((frames, height, width), np.uint8)
    for i in range(frames):
        y, x = (i + height // 4) % height, (2 * i + width // 4) % width
        hidden[i, y : y + height // 3, x : x + width // 3] = 1
    hidden[:, height // 2 : height // 2 + 4, width // 2 : width // 2 + 4] = 1  # never seen
    clip[hidden > 0] = rng.integers(0, 256, (int(hidden.sum()), 3), dtype=np.uint8)
    return clip, hidden


def _compare_clip(session: Any, weights: GeneratorWeights) -> dict[str, float]:
    spec = _float32(weights.spec)
    worst = {"grey": 0.0, "confidence": 0.0}
    for seed, (frames, height, width) in enumerate(((3, 50, 77), (1, 64, 32))):
        clip, hidden = _example(frames, height, width, seed=seed)
        around = [np.pad(x, [(spec.radius,) * 2] + [(0, 0)] * (x.ndim - 1), mode="edge") for x in (clip, hidden)]
        found = session.run(list(worst), dict(zip(("frames", "hidden"), around)))
        more = [(0, -size % spec.multiple) for size in (height, width)]
        ends = [(0, 0), *more]
        expected = compiled_window(spec)(
            weights.params, np.pad(around[0], [*ends, (0, 0)])[None], np.pad(around[1], ends)[None]
        )
        cut = spec.radius - left_out(spec)
        for name, ours, theirs in zip(worst, found, expected):
            theirs = np.asarray(theirs)[0, cut : cut + frames, :height, :width]
            worst[name] = max(worst[name], float(np.abs(ours - theirs).max()))
    return worst


def _compare_stream(session: Any, weights: GeneratorWeights) -> dict[str, float]:
    spec = _float32(weights.spec)
    height, width = 3 * spec.multiple, 4 * spec.multiple
    clip, hidden = _example(5, height, width, seed=0)
    memory = fresh_memory(weights.params, spec, height=height, width=width)
    kinds = {"tensor(bool)": np.bool_, "tensor(float)": np.float32}
    state = {i.name: np.zeros([1] * len(i.shape), kinds[i.type]) for i in session.get_inputs()[2:]}
    worst = 0.0
    for start, stop in ((0, 1), (1, 2), (2, 5)):
        feed = {"frames": clip[start:stop], "hidden": hidden[start:stop]}
        grey, *after = session.run(None, feed | state)
        state = dict(zip(state, after))
        expected, memory = compiled_advance(spec)(weights.params, *feed.values(), memory)
        worst = max(worst, float(np.abs(grey - np.asarray(expected)).max()))
    return {"grey": worst}
