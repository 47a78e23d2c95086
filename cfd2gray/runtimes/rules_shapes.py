"""Rules for primitives that cut, join and rearrange."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from cfd2gray.runtimes.graph import ONNX_TYPE, Graph, Size, Value, straight
from cfd2gray.runtimes.registry import is_zero, rule


@rule("reshape", "squeeze", "expand_dims")
def _reshape(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    shape = equation.outvars[0].aval.shape
    return _blocks(writer, inputs[0], shape) or writer.graph.reshaped(inputs[0], shape)


def _blocks(writer: Any, value: Value, shape: Sequence[Size]) -> Value | None:
    """`layers.space_to_depth` or its inverse, if ``value`` is what either makes on its way to ``shape``: one operator, that
    runtimes have for any layout, instead of two reshapes around a transpose."""
    split, source = writer.split.get(value.name, (None, None))
    rank = len(shape) + 2
    if split is None or not len(source.shape) + 2 == len(value.shape) == rank >= 6:
        return None
    swapped = {rank - 4: rank - 3, rank - 3: rank - 4}
    block, channels = split.shape[-2:]
    ways = {  # where the blocks lie before the swap
        "SpaceToDepth": (split.shape[-4], block * block * channels, shape[-1]),
        "DepthToSpace": (split.shape[-3], channels, shape[-1]),
    }
    for operator, (other, wanted, found) in ways.items():
        if str(other) == str(block) and str(wanted) == str(found):
            if any(split.order[i] != swapped.get(axis, axis) for i, axis in enumerate(value.order)):
                return None
            graph, flat = writer.graph, writer.graph.images(source)
            name = graph.emit(operator, [graph.name(flat, (0, 3, 1, 2))], blocksize=int(block))
            return graph.reshaped(Value(name, (flat.shape[0], *shape[-3:]), (0, 3, 1, 2), value.dtype), shape)
    return None


@rule("transpose")
def _transpose(_: Any, equation: Any, inputs: list[Value]) -> Value:
    (value,), permutation = inputs, equation.params["permutation"]
    moved = {old: new for new, old in enumerate(permutation)}
    return dataclasses.replace(
        value,
        shape=tuple(value.shape[axis] for axis in permutation),
        order=tuple(moved[axis] for axis in value.order),
        spread=frozenset(moved[axis] for axis in value.spread),
        constant=None if value.constant is None else value.constant.transpose(permutation),
    )


@rule("broadcast_in_dim")
def _broadcast(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    (value, *_), shape = inputs, equation.outvars[0].aval.shape
    kept = equation.params["broadcast_dimensions"]
    if value.size is not None:
        return dataclasses.replace(value, shape=shape, order=straight(len(shape)))
    held = [1] * len(shape)
    for old, new in enumerate(kept):
        held[new] = value.held[old]
    if value.constant is not None:
        # A constant keeps its axes of size 1: it is repeated by whoever uses it.
        spread = {axis for axis, size in enumerate(held) if size == 1 and str(shape[axis]) != "1"}
        array = value.constant.reshape(held)
        return Value("", shape, straight(len(shape)), value.dtype, frozenset(spread), array)
    narrow = dataclasses.replace(value, shape=value.held, spread=frozenset())
    value = narrow if tuple(map(str, narrow.shape)) == tuple(map(str, held)) else writer.graph.reshaped(narrow, held)
    spread = {axis for axis in range(len(shape)) if str(held[axis]) != str(shape[axis])}
    return dataclasses.replace(value, shape=shape, spread=frozenset(spread))


@rule("concatenate")
def _concatenate(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    axis, graph = equation.params["dimension"], writer.graph
    parts = [value for value in inputs if not any(is_zero(size) for size in value.shape)]
    parts = [graph.whole(value, ranked=False) for value in parts]
    if len(parts) == 1:
        return parts[0]
    order = max(parts, key=lambda part: sum(str(size) != "1" for size in part.shape)).order
    order = order if axis in order else (axis, *order)
    name = graph.emit("Concat", [graph.name(part, order) for part in parts], axis=order.index(axis))
    return Value(name, equation.outvars[0].aval.shape, order, parts[0].dtype)


@rule("stack")
def _stack(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    axis, graph = equation.params["axis"], writer.graph
    shape, parts = equation.outvars[0].aval.shape, [graph.whole(value, ranked=False) for value in inputs]
    single = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [graph.whole(graph.reshaped(part, single)) for part in parts]
    name = graph.emit("Concat", [graph.name(part, parts[0].order) for part in parts], axis=parts[0].at(axis))
    return Value(name, shape, parts[0].order, parts[0].dtype)


def _cut(graph: Graph, value: Value, starts: dict[int, Size], ends: dict[int, Size], steps: dict[int, int]) -> str:
    axes = sorted(starts)
    where = graph.tensor(np.array([value.at(axis) for axis in axes], np.int64))
    stride = graph.tensor(np.array([steps[axis] for axis in axes], np.int64))
    bounds = (graph.vector([sizes[axis] for axis in axes]) for sizes in (starts, ends))
    return graph.emit("Slice", [value.name, *bounds, where, stride])


@rule("slice")
def _slice(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    value, params, shape = inputs[0], equation.params, equation.outvars[0].aval.shape
    steps = params["strides"] or (1,) * len(shape)
    changed = [axis for axis in range(len(shape)) if str(shape[axis]) != str(value.shape[axis])]
    return _taken(writer, value, shape, changed, params["start_indices"], params["limit_indices"], steps)


def _taken(
    writer: Any,
    value: Value,
    shape: Sequence[Size],
    axes: Sequence[int],
    starts: Sequence[Size],
    ends: Sequence[Size],
    steps: Sequence[int],
) -> Value:
    """A slice along ``axes``; repeated ones stay so."""
    shape, cut = tuple(shape), [axis for axis in axes if axis not in value.spread]
    if value.constant is not None and cut:
        value = writer.graph.whole(value)
    narrower = value.spread - {axis for axis in value.spread if str(shape[axis]) == "1"}
    if not cut:
        return dataclasses.replace(value, shape=shape, spread=narrower)
    picked = [{axis: sizes[axis] for axis in cut} for sizes in (starts, ends, steps)]
    return Value(_cut(writer.graph, value, *picked), shape, value.order, value.dtype, narrower)


@rule("gather")
def _gather(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    """`jnp.take_along_axis`, and slices that begin at a known place, as which JAX writes ``x[:, -1:]`` when sizes are not
    fixed."""
    value, index = inputs
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes, rank = numbers.start_index_map, len(value.shape)
    beside = [a for a in range(rank) if a not in axes and str(value.shape[a]) != "1"]
    if len(axes) == 1 and beside and set(beside) <= set(numbers.operand_batching_dims):
        shape, value = equation.outvars[0].aval.shape, writer.graph.whole(value)
        index = writer.graph.reshaped(writer.graph.whole(index), shape)
        name = writer.graph.emit(
            "GatherElements", [value.name, writer.graph.name(index, value.order)], axis=value.at(axes[0])
        )
        return Value(name, shape, value.order, value.dtype)
    if len(index.shape) != 1 or numbers.operand_batching_dims or (index.constant is None and index.size is None):
        raise ValueError("only gathers of one slice at a fixed place can be written into an ONNX graph")
    found = [index.size] if index.size is not None else index.constant.tolist()
    found = found * len(axes) if len(found) < len(axes) else found
    starts: list[Size] = [0] * len(sizes)
    for axis, start in zip(axes, found):
        starts[axis] = start
    ends = [start + size for start, size in zip(starts, sizes)]
    changed = [axis for axis in range(len(sizes)) if str(sizes[axis]) != str(value.shape[axis])]
    taken = _taken(writer, value, sizes, changed, starts, ends, [1] * len(sizes))
    return writer.graph.reshaped(taken, equation.outvars[0].aval.shape) if numbers.collapsed_slice_dims else taken


@rule("pad")
def _pad(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    (value, fill), config = inputs, equation.params["padding_config"]
    if any(int(between) for _, _, between in config):
        raise ValueError("padding between elements cannot be written into an ONNX graph")
    if all(str(low) == str(high) == "0" for low, high, _ in config):
        return value
    value = writer.graph.whole(value)
    ends = [config[axis][side] for side in (0, 1) for axis in value.order]
    name = writer.graph.emit("Pad", [value.name, writer.graph.vector(ends), writer.graph.name(fill)])
    return Value(name, equation.outvars[0].aval.shape, value.order, value.dtype)


@rule("rev")
def _rev(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    value, axes, least = writer.graph.whole(inputs[0]), equation.params["dimensions"], np.iinfo(np.int64).min
    name = _cut(writer.graph, value, dict.fromkeys(axes, -1), dict.fromkeys(axes, int(least)), dict.fromkeys(axes, -1))
    return Value(name, value.shape, value.order, value.dtype)


@rule("iota")
def _iota(writer: Any, equation: Any, _: list[Value]) -> Value:
    graph, aval, axis = writer.graph, equation.outvars[0].aval, equation.params["dimension"]
    limit = graph.emit("Squeeze", [graph.vector([aval.shape[axis]])])
    name = graph.emit("Range", [graph.tensor(np.array(0)), limit, graph.tensor(np.array(1))])
    name = graph.emit("Cast", [name], to=ONNX_TYPE[aval.dtype.name])
    line = Value(name, (aval.shape[axis],), (0,), aval.dtype.name)
    held = [size if a == axis else 1 for a, size in enumerate(aval.shape)]
    value = graph.reshaped(line, held)
    return dataclasses.replace(value, shape=aval.shape, spread=frozenset(range(aval.ndim)) - {axis})
