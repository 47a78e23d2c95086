"""Rules for sums, products, convolutions and loops."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import helper

from cfd2gray.runtimes.graph import ONNX_TYPE, Graph, Value, straight
from cfd2gray.runtimes.registry import RULES, Rule, is_fixed, rule


def _reduced(operator: str) -> Rule:
    def write(writer: Any, equation: Any, inputs: list[Value]) -> Value:
        value, axes, graph = writer.graph.whole(inputs[0]), equation.params["axes"], writer.graph
        where = [value.at(axis) for axis in axes]
        if operator == "ReduceSum":  # since opset 13 its axes are an input, those of the others not until 18
            name = graph.emit(operator, [value.name, graph.tensor(np.array(where, np.int64))], keepdims=0)
        else:
            name = graph.emit(operator, [value.name], axes=where, keepdims=0)
        left = [axis for axis in straight(len(value.shape)) if axis not in axes]
        order = tuple(left.index(axis) for axis in value.order if axis not in axes)
        return Value(name, equation.outvars[0].aval.shape, order, value.dtype)

    return write


RULES |= {"reduce_sum": _reduced("ReduceSum"), "reduce_max": _reduced("ReduceMax"), "reduce_min": _reduced("ReduceMin")}


@rule("conv_general_dilated")
def _convolution(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    params, graph = equation.params, writer.graph
    numbers, aval = params["dimension_numbers"], equation.outvars[0].aval
    if any(step != 1 for step in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise ValueError("transposed convolutions cannot be written into an ONNX graph; see cfd2gray.models.layers.Up")
    image, kernel = (
        graph.name(graph.whole(value), order) for value, order in zip(inputs, (numbers.lhs_spec, numbers.rhs_spec))
    )
    ends = [pair[side] for side in (0, 1) for pair in params["padding"]]
    name = graph.emit(
        "Conv",
        [image, kernel],
        pads=[int(end) for end in ends],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return Value(name, aval.shape, tuple(numbers.out_spec), aval.dtype.name)


@rule("dot_general")
def _product(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    (contracted, batched), aval = equation.params["dimension_numbers"], equation.outvars[0].aval
    left, right = inputs
    if not batched[0] and len(contracted[0]) == 1:
        (i,), (j,) = contracted
        if len(right.shape) == 2 and len(left.shape) >= 4 and i == len(left.shape) - 1 and is_fixed(right.shape):
            left = writer.graph.whole(left, ranked=False)
            return _pointwise(writer.graph, left, writer.graph.whole(right), j, aval)
        left, right = (writer.graph.whole(value) for value in inputs)
        if len(left.shape) == 2 < len(right.shape):
            return _along_axis(writer.graph, left, i, right, j, aval, matrix_first=True)
        if len(right.shape) == 2 < len(left.shape):
            return _along_axis(writer.graph, right, j, left, i, aval, matrix_first=False)
    left, right = (writer.graph.whole(value) for value in inputs)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in left.shape]
    second = [next(letters) for _ in right.shape]
    for (a, b), (c, d) in ((contracted, batched),):
        for i, j in zip((*a, *c), (*b, *d)):
            second[j] = first[i]
    free = [first[i] for i in range(len(first)) if i not in (*contracted[0], *batched[0])]
    free += [second[j] for j in range(len(second)) if j not in (*contracted[1], *batched[1])]
    out = [first[i] for i in batched[0]] + free
    lie = ["".join(names[axis] for axis in value.order) for names, value in ((first, left), (second, right))]
    equation_text = f"{lie[0]},{lie[1]}->{''.join(out)}"
    name = writer.graph.emit("Einsum", [left.name, right.name], equation=equation_text)
    return Value(name, aval.shape, straight(len(out)), aval.dtype.name)


def _pointwise(graph: Graph, image: Value, matrix: Value, rows: int, aval: Any) -> Value:
    """A product over channels as the 1x1 convolution that it is: runtimes keep their own layout for a chain of those."""
    flat = graph.images(image)
    kernel = graph.reshaped(
        Value(
            graph.name(matrix, (1 - rows, rows)), tuple(matrix.shape[a] for a in (1 - rows, rows)), (0, 1), matrix.dtype
        ),
        (matrix.shape[1 - rows], matrix.shape[rows], 1, 1),
    )
    name = graph.emit("Conv", [graph.name(flat, (0, 3, 1, 2)), graph.name(kernel, (0, 1, 2, 3))])
    shape = (flat.shape[0], *aval.shape[-3:])
    return graph.reshaped(Value(name, shape, (0, 3, 1, 2), aval.dtype.name), aval.shape)


def _along_axis(
    graph: Graph, matrix: Value, columns: int, image: Value, axis: int, aval: Any, *, matrix_first: bool
) -> Value:
    """``matrix`` applied along one axis of ``image``: one matrix product for all that lies before the last two axes."""
    last = [a for a in image.order if a != axis and str(image.shape[a]) != "1"][-1]
    lead = [a for a in image.order if a not in (axis, last)]
    behind = image.at(axis) > image.at(last)
    order = (*lead, last, axis) if behind else (*lead, axis, last)
    turned = graph.name(matrix, (columns, 1 - columns) if behind else (1 - columns, columns))
    names = [graph.name(image, order), turned]
    name = graph.emit("MatMul", names if behind else names[::-1])
    left = [a for a in straight(len(image.shape)) if a != axis]  # of the image's axes, beside the matrix's rows
    result = [axis, *left] if matrix_first else [*left, axis]
    return Value(name, aval.shape, tuple(result.index(a) for a in order), aval.dtype.name)


def _rank_alone(name: str, value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX_TYPE[value.dtype], [None] * len(value.shape))


def _captured(body: Graph, outer: Graph) -> list[str]:
    """Tensors that the nodes of ``body`` take from what the graph around it computes; its constants need no passing."""
    made = {name for node in outer.nodes for name in node.output}
    used = (name for node in body.nodes for name in node.input)
    return list(dict.fromkeys(name for name in used if name in made))


@rule("scan")
def _scan(writer: Any, equation: Any, inputs: list[Value]) -> list[Value]:
    params, graph = equation.params, writer.graph
    n_consts, n_carry, closed = params["num_consts"], params["num_carry"], params["jaxpr"]
    whole = [graph.whole(value) for value in inputs]
    consts, carry, rows = whole[:n_consts], whole[n_consts : n_consts + n_carry], whole[n_consts + n_carry :]
    carry = [
        dataclasses.replace(v, name=graph.name(v, straight(len(v.shape))), order=straight(len(v.shape))) for v in carry
    ]
    body, formal, entries = Graph(graph), [], []
    for value in carry:
        entry = dataclasses.replace(value, name=body.fresh("carry"))
        formal.append(entry)
        entries.append(_rank_alone(entry.name, entry))
    for value in rows:
        order = tuple(axis - 1 for axis in value.order if axis)
        entry = Value(body.fresh("row"), value.shape[1:], order, value.dtype)
        formal.append(entry)
        entries.append(_rank_alone(entry.name, entry))
    results = type(writer)(body).write(closed.jaxpr, closed.consts, [*consts, *formal])
    exits, finished = [], []
    for result in results:
        whole_result = body.whole(result)
        name = body.emit("Identity", [body.name(whole_result, straight(len(result.shape)))])
        exits.append(_rank_alone(name, result))
        finished.append(result)
    kept = _captured(body, graph)  # OpenVINO reads no body that looks outside: what it needs goes through unchanged
    for name in kept:
        inside, outside = body.fresh("kept"), body.fresh("kept")
        for node in body.nodes:
            node.input[:] = [inside if used == name else used for used in node.input]
        body.nodes.append(helper.make_node("Identity", [inside], [outside]))
        entries.insert(n_carry, onnx.helper.make_empty_tensor_value_info(inside))
        exits.insert(n_carry, onnx.helper.make_empty_tensor_value_info(outside))
    inner = helper.make_graph(body.nodes, graph.fresh("body"), entries, exits)
    backward = int(params["reverse"])
    names = graph.emit(
        "Scan",
        [*(value.name for value in carry), *reversed(kept), *(value.name for value in rows)],
        outputs=len(results) + len(kept),
        body=inner,
        num_scan_inputs=len(rows),
        scan_input_axes=[value.at(0) for value in rows],
        scan_input_directions=[backward] * len(rows),
        scan_output_directions=[backward] * (len(results) - n_carry),
    )
    names = [names] if isinstance(names, str) else names
    names = [*names[:n_carry], *names[n_carry + len(kept) :]]
    shapes = [var.aval.shape for var in equation.outvars]
    return [Value(n, s, straight(len(s)), r.dtype) for n, s, r in zip(names, shapes, finished)]
