"""JAX's own description of a function (a jaxpr) -> nodes of an ONNX graph, primitive by primitive.

Any network of this package can be written down that way, with everything around it, since nothing here knows of layers:
only of the few dozen primitives that they come down to. A primitive that is missing is named in the error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from cfd2gray.export.graph import ONNX_TYPE, Graph, Size, Value, straight

Rule = Callable[["Writer", Any, list[Value]], Any]
RULES: dict[str, Rule] = {}
"""What to write for each primitive: ``rule(writer, equation, inputs)`` -> a value, or a list of them."""

SMALL = 1 << 16
"""Elements up to which an array that depends on nothing is computed now instead of in the graph."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Writer:
    """Follows a jaxpr and writes it into ``graph``."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.made_by: dict[str, tuple[str, list[Value]]] = {}
        """Which primitive made a tensor, of what: for what is one operator in ONNX and several primitives in JAX."""

    def write(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """The values of the jaxpr's outputs.

        Raises:
          ValueError: For a primitive that has no rule.
        """
        known: dict[Any, Value] = dict(zip(jaxpr.invars, inputs))
        known |= {var: self.graph.constant(value) for var, value in zip(jaxpr.constvars, consts)}

        def read(atom: Any) -> Value:
            return self.graph.constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            values = self._equation(equation, [read(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, values))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Value]) -> list[Value]:
        name, avals = equation.primitive.name, [var.aval for var in equation.outvars]
        if all(any(_is_zero(size) for size in aval.shape) for aval in avals):
            return [Value("nothing", aval.shape, straight(aval.ndim), aval.dtype.name) for aval in avals]
        inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if inner is not None and name not in RULES:
            closed = isinstance(inner, core.ClosedJaxpr)
            return self.write(inner.jaxpr if closed else inner, inner.consts if closed else (), inputs)
        if found := _computed_now(equation, inputs):
            return [self.graph.constant(array) for array in found]
        if name not in RULES:
            raise ValueError(
                f"no way is known to write JAX's {name!r} into an ONNX graph; see cfd2gray/export/jaxpr.py"
            )
        values = RULES[name](self, equation, inputs)
        values = values if isinstance(values, list) else [values]
        for value in values:
            if value.name:
                self.made_by.setdefault(value.name, (name, inputs))
        return values

    def origin(self, value: Value, name: str) -> list[Value] | None:
        """The inputs of the primitive ``name`` if it made ``value``."""
        made, inputs = self.made_by.get(value.name, ("", []))
        return inputs if made == name else None


def _is_zero(size: Size) -> bool:
    return isinstance(size, int | np.integer) and size == 0


def _fixed(shape: Sequence[Size]) -> bool:
    return all(isinstance(size, int | np.integer) for size in shape)


def _computed_now(equation: Any, inputs: list[Value]) -> list[np.ndarray] | None:
    """The results of an equation on constants, if they are of fixed and small size."""
    avals = [var.aval for var in equation.outvars]
    small = all(_fixed(aval.shape) and np.prod(aval.shape, dtype=np.int64) <= SMALL for aval in avals)
    if not small or any(value.constant is None for value in inputs) or equation.primitive.name == "dim_as_value":
        return None
    with jax.ensure_compile_time_eval():
        found = equation.primitive.bind(*(np.asarray(value.constant) for value in inputs), **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [np.asarray(array) for array in found]


def _whole(graph: Graph, value: Value) -> Value:
    """``value`` with every axis as long as JAX takes it to be."""
    if value.constant is not None or value.size is not None or value.spread:
        name = graph.name(value, whole=True)
        order = value.order if value.constant is None else straight(len(value.shape))
        return Value(name, value.shape, order, value.dtype)
    return value


# -- element by element -------------------------------------------------------------------------------------------------

for _primitive, _operator in {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "rem": "Mod",
    "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid", "neg": "Neg", "abs": "Abs",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "erf": "Erf", "sin": "Sin", "cos": "Cos",
}.items():  # fmt: skip
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(operator, *inputs)

for _primitive, _operator in {
    "gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual", "eq": "Equal",
}.items():  # fmt: skip
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(
        operator, *inputs, dtype="bool"
    )

for _primitive, _operator in {"and": "And", "or": "Or", "not": "Not", "xor": "Xor"}.items():
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(operator, *inputs)


@rule("ne")
def _ne(writer: Writer, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Not", writer.graph.elementwise("Equal", *inputs, dtype="bool"))


@rule("square")
def _square(writer: Writer, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Mul", inputs[0], inputs[0])


@rule("rsqrt")
def _rsqrt(writer: Writer, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Reciprocal", writer.graph.elementwise("Sqrt", inputs[0]))


@rule("integer_pow")
def _integer_pow(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    if equation.params["y"] == 2:
        return _square(writer, equation, inputs)
    power = writer.graph.constant(np.array(equation.params["y"], inputs[0].dtype))
    return writer.graph.elementwise("Pow", inputs[0], power)


@rule("select_n")
def _select(writer: Writer, _: Any, inputs: list[Value]) -> Value:
    which, no, yes = inputs
    compared, scaled = writer.origin(which, "gt"), writer.origin(no, "mul")
    if compared and scaled and compared[0] is yes and _number(compared[1]) == 0.0:
        slopes = [_number(part) for part in scaled if part is not yes]
        if len(slopes) == 1 and slopes[0] is not None:
            return writer.graph.elementwise("LeakyRelu", yes, alpha=slopes[0])
    return writer.graph.elementwise("Where", which, yes, no, dtype=yes.dtype)


def _number(value: Value) -> float | None:
    """The one number that a constant consists of."""
    return None if value.constant is None or value.constant.size != 1 else float(value.constant.reshape(()))


@rule("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision", "sharding_constraint")
def _same(_: Writer, __: Any, inputs: list[Value]) -> list[Value]:
    return inputs


@rule("convert_element_type")
def _convert(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    (value,), dtype = inputs, np.dtype(equation.params["new_dtype"]).name
    if value.dtype == dtype:
        return value
    if value.size is not None:
        return dataclasses.replace(value, dtype=dtype)
    return writer.graph.elementwise("Cast", value, to=ONNX_TYPE[dtype], dtype=dtype)


@rule("dim_as_value")
def _size(_: Writer, equation: Any, __: list[Value]) -> Value:
    return Value("", (), (), equation.outvars[0].aval.dtype.name, size=equation.params["dim"])


# -- shapes -------------------------------------------------------------------------------------------------------------


@rule("reshape", "squeeze", "expand_dims")
def _reshape(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    return writer.graph.reshaped(inputs[0], equation.outvars[0].aval.shape)


@rule("transpose")
def _transpose(_: Writer, equation: Any, inputs: list[Value]) -> Value:
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
def _broadcast(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
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
def _concatenate(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    axis, graph = equation.params["dimension"], writer.graph
    parts = [_whole(graph, value) for value in inputs if not any(_is_zero(size) for size in value.shape)]
    if len(parts) == 1:
        return parts[0]
    order = max(parts, key=lambda part: sum(str(size) != "1" for size in part.shape)).order
    name = graph.emit("Concat", [graph.name(part, order) for part in parts], axis=order.index(axis))
    return Value(name, equation.outvars[0].aval.shape, order, parts[0].dtype)


@rule("stack")
def _stack(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    axis, graph = equation.params["axis"], writer.graph
    parts = [_whole(graph, value) for value in inputs]
    shape = equation.outvars[0].aval.shape
    single = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [graph.reshaped(part, single) for part in parts]
    name = graph.emit("Concat", [graph.name(part, parts[0].order) for part in parts], axis=parts[0].at(axis))
    return Value(name, shape, parts[0].order, parts[0].dtype)


def _cut(graph: Graph, value: Value, starts: dict[int, Size], ends: dict[int, Size], steps: dict[int, int]) -> str:
    axes = sorted(starts)
    where = graph.tensor(np.array([value.at(axis) for axis in axes], np.int64))
    stride = graph.tensor(np.array([steps[axis] for axis in axes], np.int64))
    bounds = (graph.vector([sizes[axis] for axis in axes]) for sizes in (starts, ends))
    return graph.emit("Slice", [value.name, *bounds, where, stride])


@rule("slice")
def _slice(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    value, params, shape = inputs[0], equation.params, equation.outvars[0].aval.shape
    steps = params["strides"] or (1,) * len(shape)
    changed = [axis for axis in range(len(shape)) if str(shape[axis]) != str(value.shape[axis])]
    return _taken(writer, value, shape, changed, params["start_indices"], params["limit_indices"], steps)


def _taken(
    writer: Writer,
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
        value = _whole(writer.graph, value)
    narrower = value.spread - {axis for axis in value.spread if str(shape[axis]) == "1"}
    if not cut:
        return dataclasses.replace(value, shape=shape, spread=narrower)
    picked = [{axis: sizes[axis] for axis in cut} for sizes in (starts, ends, steps)]
    return Value(_cut(writer.graph, value, *picked), shape, value.order, value.dtype, narrower)


@rule("gather")
def _gather(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    """`jnp.take_along_axis`, and slices that begin at a known place, as which JAX writes ``x[:, -1:]`` when sizes are not
    fixed."""
    value, index = inputs
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes, rank = numbers.start_index_map, len(value.shape)
    beside = [a for a in range(rank) if a not in axes and str(value.shape[a]) != "1"]
    if len(axes) == 1 and beside and set(beside) <= set(numbers.operand_batching_dims):
        shape, value = equation.outvars[0].aval.shape, _whole(writer.graph, value)
        index = writer.graph.reshaped(_whole(writer.graph, index), shape)
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
def _pad(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    (value, fill), config = inputs, equation.params["padding_config"]
    if any(int(between) for _, _, between in config):
        raise ValueError("padding between elements cannot be written into an ONNX graph")
    if all(str(low) == str(high) == "0" for low, high, _ in config):
        return value
    value = _whole(writer.graph, value)
    ends = [config[axis][side] for side in (0, 1) for axis in value.order]
    name = writer.graph.emit("Pad", [value.name, writer.graph.vector(ends), writer.graph.name(fill)])
    return Value(name, equation.outvars[0].aval.shape, value.order, value.dtype)


@rule("rev")
def _rev(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    value, axes, least = _whole(writer.graph, inputs[0]), equation.params["dimensions"], np.iinfo(np.int64).min
    name = _cut(writer.graph, value, dict.fromkeys(axes, -1), dict.fromkeys(axes, int(least)), dict.fromkeys(axes, -1))
    return Value(name, value.shape, value.order, value.dtype)


@rule("iota")
def _iota(writer: Writer, equation: Any, _: list[Value]) -> Value:
    graph, aval, axis = writer.graph, equation.outvars[0].aval, equation.params["dimension"]
    limit = graph.emit("Squeeze", [graph.vector([aval.shape[axis]])])
    name = graph.emit("Range", [graph.tensor(np.array(0)), limit, graph.tensor(np.array(1))])
    name = graph.emit("Cast", [name], to=ONNX_TYPE[aval.dtype.name])
    line = Value(name, (aval.shape[axis],), (0,), aval.dtype.name)
    held = [size if a == axis else 1 for a, size in enumerate(aval.shape)]
    value = graph.reshaped(line, held)
    return dataclasses.replace(value, shape=aval.shape, spread=frozenset(range(aval.ndim)) - {axis})


# -- sums and products --------------------------------------------------------------------------------------------------


def _reduced(operator: str) -> Rule:
    def write(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
        value, axes, graph = _whole(writer.graph, inputs[0]), equation.params["axes"], writer.graph
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
def _convolution(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    params, graph = equation.params, writer.graph
    numbers, aval = params["dimension_numbers"], equation.outvars[0].aval
    if any(step != 1 for step in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise ValueError("transposed convolutions cannot be written into an ONNX graph; see cfd2gray.models.layers.Up")
    image, kernel = (
        graph.name(_whole(graph, value), order) for value, order in zip(inputs, (numbers.lhs_spec, numbers.rhs_spec))
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
def _product(writer: Writer, equation: Any, inputs: list[Value]) -> Value:
    (contracted, batched), aval = equation.params["dimension_numbers"], equation.outvars[0].aval
    left, right = (_whole(writer.graph, value) for value in inputs)
    if not batched[0] and len(contracted[0]) == 1:
        (i,), (j,) = contracted
        if len(right.shape) == 2 and len(left.shape) >= 4 and i == len(left.shape) - 1 and _fixed(right.shape):
            return _pointwise(writer.graph, left, right, j, aval)
        if len(left.shape) == 2 < len(right.shape):
            return _along_axis(writer.graph, left, i, right, j, aval, matrix_first=True)
        if len(right.shape) == 2 < len(left.shape):
            return _along_axis(writer.graph, right, j, left, i, aval, matrix_first=False)
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
    *lead, height, width, channels = straight(len(image.shape))
    flat = graph.reshaped(image, (_together([image.shape[axis] for axis in lead]), *image.shape[-3:]))
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


def _together(sizes: Sequence[Size]) -> Size:
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


# -- loops --------------------------------------------------------------------------------------------------------------


def _rank_alone(name: str, value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX_TYPE[value.dtype], [None] * len(value.shape))


@rule("scan")
def _scan(writer: Writer, equation: Any, inputs: list[Value]) -> list[Value]:
    params, graph = equation.params, writer.graph
    n_consts, n_carry, closed = params["num_consts"], params["num_carry"], params["jaxpr"]
    whole = [_whole(graph, value) for value in inputs]
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
    results = Writer(body).write(closed.jaxpr, closed.consts, [*consts, *formal])
    exits, finished = [], []
    for result in results:
        whole_result = _whole(body, result)
        name = body.emit("Identity", [body.name(whole_result, straight(len(result.shape)))])
        exits.append(_rank_alone(name, result))
        finished.append(result)
    inner = helper.make_graph(body.nodes, graph.fresh("body"), entries, exits)
    backward = int(params["reverse"])
    names = graph.emit(
        "Scan",
        [value.name for value in (*carry, *rows)],
        outputs=len(results),
        body=inner,
        num_scan_inputs=len(rows),
        scan_input_axes=[value.at(0) for value in rows],
        scan_input_directions=[backward] * len(rows),
        scan_output_directions=[backward] * (len(results) - n_carry),
    )
    names = [names] if isinstance(names, str) else names
    shapes = [var.aval.shape for var in equation.outvars]
    return [Value(n, s, straight(len(s)), r.dtype) for n, s, r in zip(names, shapes, finished)]
