"""An ONNX graph under construction: nodes, constants, sizes, and values that remember how they lie in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cfd2gray.runtimes.sizes import Size, Sizes

OPSET = 17
"""Of ONNX (2022): understood by every runtime in use, browsers included."""
IR_VERSION = 8
"""Of the file format; the one that belongs to the opset."""
ONNX_TYPE = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "bfloat16": 16}


@dataclasses.dataclass(frozen=True)
class Value:
    """A JAX array in the graph.

    Attributes:
      name: Of the tensor; empty for constants that nothing has asked for yet.
      shape: As JAX sees it.
      order: Which of JAX's axes lies at each axis of the tensor. Transposing costs nothing until an operator asks for
        another order, so that networks written for channels last run channels first without copies in between. Axes of
        size 1 may be missing: a batch of one clip is no axis of its tensors, and frames fold into a batch for nothing.
      spread: Axes along which the tensor has size 1 and is to be repeated; most ONNX operators do that themselves.
      dtype: NumPy's name.
      constant: What is known already, in JAX's order.
      size: For an integer made of sizes alone: the expression.
    """

    name: str
    shape: tuple[Size, ...]
    order: tuple[int, ...]
    dtype: str
    spread: frozenset[int] = frozenset()
    constant: np.ndarray | None = None
    size: Size | None = None

    @property
    def held(self) -> tuple[Size, ...]:
        """The shape without repetition, in JAX's order."""
        return tuple(1 if axis in self.spread else size for axis, size in enumerate(self.shape))

    def at(self, axis: int) -> int:
        """Where JAX's ``axis`` lies."""
        return self.order.index(axis)


def straight(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


class Graph:
    """Collects nodes. ``outer``: the graph around it, for the body of a loop, whose tensors it may use."""

    def __init__(self, outer: Graph | None = None):
        self.nodes: list[onnx.NodeProto] = []
        self._emitted: dict[tuple[Any, ...], Any] = {}
        self._root: Graph = outer._root if outer else self
        if outer is None:
            self.initializers: list[onnx.TensorProto] = []
            self._constants: dict[tuple[Any, ...], str] = {}
            self._count = 0
            self.sizes: Sizes | None = None

    def fresh(self, stem: str) -> str:
        self._root._count += 1
        return f"{stem}_{self._root._count}"

    def emit(self, operator: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """The output of a node (outputs, if there are several); one that does the same is not added again."""
        key = (operator, tuple(inputs), repr(attributes))
        if key in self._emitted:
            return self._emitted[key]
        names = [self.fresh(operator) for _ in range(outputs)]
        self._emitted[key] = names[0] if outputs == 1 else names
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        return self._emitted[key]

    def tensor(self, array: np.ndarray) -> str:
        """The name of a constant; equal ones are stored once."""
        root, array = self._root, np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in root._constants:
            root._constants[key] = self.fresh("constant")
            root.initializers.append(numpy_helper.from_array(array, root._constants[key]))
        return root._constants[key]

    def know(self, sizes: Mapping[str, str]) -> None:
        """Say which tensors ``[1]`` hold the variables of symbolic sizes."""
        self.sizes = Sizes(self.emit, lambda number: self.tensor(np.array([number], np.int64)), sizes)

    def vector(self, sizes: Sequence[Size]) -> str:
        """An int64 tensor of sizes. They are computed outside of loops."""
        if all(isinstance(size, int | np.integer) for size in sizes):
            return self.tensor(np.array(sizes, np.int64))
        if self._root.sizes is None:
            raise ValueError(f"sizes {tuple(sizes)} are not fixed, and nothing says what they depend on")
        names = [self._root.sizes(size) for size in sizes]
        return names[0] if len(names) == 1 else self._root.emit("Concat", names, axis=0)

    # -- values ---------------------------------------------------------------------------------------------------------

    def constant(self, array: Any) -> Value:
        array = np.asarray(array)
        return Value("", array.shape, straight(array.ndim), array.dtype.name, constant=array)

    def name(self, value: Value, order: Sequence[int] | None = None, *, whole: bool = False) -> str:
        """The tensor that holds ``value`` with its axes in ``order``; ``whole``: repeated where it is to be."""
        order = tuple(value.order if order is None else order)
        missing = [axis for axis in straight(len(value.shape)) if axis not in order]
        if value.constant is not None:
            array = value.constant.transpose((*missing, *order))
            name = self.tensor(array.reshape(array.shape[len(missing) :]))
            if whole and any(str(a) != str(b) for a, b in zip(value.constant.shape, value.shape)):
                name = self.emit("Expand", [name, self.vector([value.shape[axis] for axis in order])])
            return name
        if value.size is not None:
            flat = self.vector([value.size])
            name = self.emit("Cast", [flat], to=ONNX_TYPE[value.dtype])
            return (
                self.emit("Reshape", [name, self.tensor(np.ones(len(value.shape), np.int64))]) if value.shape else name
            )
        name = value.name
        if order != value.order:
            held, new = value.held, [i for i, axis in enumerate(order) if axis not in value.order]
            if tuple(axis for axis in order if axis in value.order) == value.order:
                name = self.emit("Unsqueeze", [name, self.tensor(np.array(new, np.int64))])
            elif [a for a in order if not _is(held[a], 1)] == [a for a in value.order if not _is(held[a], 1)]:
                name = self.emit("Reshape", [name, self.vector([held[a] for a in order])])  # nothing moves in memory
            else:
                if set(order) != set(value.order):
                    value = self.ranked(value, order)
                    name = value.name
                name = self.emit("Transpose", [name], perm=[value.order.index(axis) for axis in order])
        if whole and value.spread:
            name = self.emit("Expand", [name, self.vector([value.shape[axis] for axis in order])])
        return name

    def ranked(self, value: Value, axes: Sequence[int]) -> Value:
        """``value`` in a tensor with these of JAX's axes, in any order: those that are new or gone are of size 1."""
        if set(axes) == set(value.order):
            return value
        order = [axis for axis in value.order if axis in axes]
        for axis in sorted(set(axes) - set(order)):  # behind the axis that it follows
            order.insert(order.index(axis - 1) + 1 if axis - 1 in order else 0, axis)
        return dataclasses.replace(value, name=self.name(value, order), order=tuple(order))

    def whole(self, value: Value, *, ranked: bool = True) -> Value:
        """``value`` in a tensor with every axis as long as JAX takes it to be; ``ranked``: and with all of them."""
        order = value.order if value.constant is None else straight(len(value.shape))
        order = (*value.spread.difference(order), *order)
        if value.constant is not None or value.size is not None or value.spread:
            value = Value(self.name(value, order, whole=True), value.shape, order, value.dtype)
        full = straight(len(value.shape))
        return self.ranked(value, full) if ranked and len(order) < len(full) else value

    def reshaped(self, value: Value, shape: Sequence[Size]) -> Value:
        """`jnp.reshape`, copying as little as the order in memory allows."""
        if value.constant is not None:
            return self.constant(np.reshape(value.constant, shape))
        shape = tuple(shape)
        groups = _groups(value.shape, shape)
        same = {old[0]: new[0] for old, new in groups if len(old) == len(new) == 1}
        if value.size is None and len(same) == len(groups) and same.keys() >= set(value.order):
            # Axes of size 1 alone come and go.
            order = tuple(same[axis] for axis in value.order)
            return dataclasses.replace(
                value, shape=shape, order=order, spread=frozenset(same[axis] for axis in value.spread)
            )
        if any(a in value.spread for old, new in groups for a in old if len(old) > 1 or len(new) != 1):
            value = self.whole(value, ranked=False)
        value = self.ranked(value, (*value.spread, *value.order))
        solid = [(old, new) for old, new in groups if old]
        # Groups keep the place of their largest axis; only groups that are not together in memory are moved there.
        solid.sort(key=lambda group: value.at(max(group[0], key=lambda a: _weight(value.shape[a]))))
        units = [a for a in straight(len(value.shape)) if not any(a in old for old, _ in solid)]
        order = [*units, *(a for old, _ in solid for a in old)]
        if tuple(a for a in value.order if a not in units) == tuple(order[len(units) :]):
            order = list(value.order)  # only axes of size 1 are elsewhere
        name = self.name(value, order)
        found = [a for _, new in solid for a in new]
        spread = {new[0] for old, new in solid if len(new) == 1 and old[0] in value.spread}
        held = [1 if a in spread else shape[a] for a in found]
        name = self.emit("Reshape", [name, self.vector(held)])
        return Value(name, shape, tuple(found), value.dtype, frozenset(spread))

    def images(self, value: Value) -> Value:
        """``[..., H, W, C]`` as ``[N, H, W, C]``."""
        return self.reshaped(value, (_product(value.shape, range(len(value.shape) - 3)), *value.shape[-3:]))

    def elementwise(self, operator: str, *values: Value, dtype: str | None = None, **attributes: Any) -> Value:
        """An operator on arrays of equal shape (axes of size 1 and scalars are repeated), in the order of the first that is
        not a constant."""
        lead = max(values, key=lambda value: (len(value.shape), value.constant is None, _solid(value)))
        arrays = [value for value in values if value.shape]
        more = {a for value in arrays for a, size in enumerate(value.held) if not _is(size, 1)} - set(lead.order)
        order = (*sorted(more), *lead.order)
        names = [self.name(value, order if value.shape else None) for value in values]
        shape = tuple(next((s for s in sizes if not _is(s, 1)), 1) for sizes in zip(*(v.shape for v in arrays)))
        single = ({a for a, size in enumerate(value.held) if _is(size, 1)} for value in arrays)
        spread = frozenset.intersection(*map(frozenset, single)) if arrays else frozenset()
        spread = frozenset(axis for axis in spread if not _is(shape[axis], 1))
        name = self.emit(operator, names, **attributes)
        return Value(name, shape, order, dtype or lead.dtype, spread)

    # -- the finished model ---------------------------------------------------------------------------------------------

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], *, name: str, about: str
    ) -> onnx.ModelProto:
        """A checked model of what the outputs depend on."""
        needed, kept = {output.name for output in outputs}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
                for attribute in node.attribute:
                    if attribute.HasField("g"):
                        needed.update(i for inner in attribute.g.node for i in inner.input)
                        needed.update(output.name for output in attribute.g.output)
        initializers = [tensor for tensor in self.initializers if tensor.name in needed]
        graph = helper.make_graph(kept[::-1], name, inputs, outputs, initializers, doc_string=about)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="cfd2gray")


def _solid(value: Value) -> int:
    return sum(not _is(size, 1) for size in value.held)


def _is(a: Size, b: Size) -> bool:
    return str(a) == str(b)


def _weight(size: Size) -> tuple[bool, int]:
    """For comparing sizes: what is not fixed counts as larger than what is."""
    return (False, int(size)) if isinstance(size, int | np.integer) else (True, 0)


def _groups(old: Sequence[Size], new: Sequence[Size]) -> list[tuple[list[int], list[int]]]:
    """Which axes of ``old`` become which axes of ``new``; axes of size 1 stand alone, with nothing on the other side."""
    before = [axis for axis, size in enumerate(old) if not _is(size, 1)]
    after = [axis for axis, size in enumerate(new) if not _is(size, 1)]
    groups: list[tuple[list[int], list[int]]] = []
    while before or after:
        left, right = before[:1], after[:1]
        i = j = 1
        while not _is(_product(old, left), _product(new, right)):
            # The side that cannot be a multiple of the other yet takes one more axis.
            if j < len(after) and (i >= len(before) or _smaller(_product(new, right), _product(old, left))):
                right, j = after[: j + 1], j + 1
            elif i < len(before):
                left, i = before[: i + 1], i + 1
            else:
                raise ValueError(f"a reshape from {tuple(old)} to {tuple(new)} cannot be followed")
        groups.append((left, right))
        before, after = before[i:], after[j:]
    return groups


def _product(shape: Sequence[Size], axes: Sequence[int]) -> Size:
    total: Size = 1
    for axis in axes:
        total = total * shape[axis]
    return total


def _smaller(a: Size, b: Size) -> bool:
    """Whether ``a`` is less than ``b`` for large sizes."""
    try:
        return bool(a < b)
    except Exception:  # noqa: BLE001 - JAX cannot tell without knowing the sizes; the count of factors decides
        return str(a).count("*") < str(b).count("*")
