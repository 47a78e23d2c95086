"""Sizes that are only known when a graph runs: expressions of JAX's symbolic dimensions as nodes of an ONNX graph."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

Size = Any
"""An int, or a dimension of `jax.export.symbolic_shape` such as ``t + 32`` or ``16*h``."""

_OPERATORS: dict[type, tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("Add", operator.add),
    ast.Sub: ("Sub", operator.sub),
    ast.Mult: ("Mul", operator.mul),
}
_FUNCTIONS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "floordiv": ("Div", operator.floordiv),  # sizes are not negative: ONNX rounds to zero
    "mod": ("Mod", operator.mod),
    "max": ("Max", max),
    "min": ("Min", min),
}


class Sizes:
    """Turns sizes into names of int64 tensors ``[1]``, each expression once.

    Args:
      emit: Adds a node ``(operator, inputs) -> output``.
      constant: Adds an int64 constant ``[1]``.
      known: The tensor of each variable, such as ``{"t": "t_of_frames"}``.
    """

    def __init__(self, emit: Callable[..., str], constant: Callable[[int], str], known: Mapping[str, str]):
        self._emit, self._constant = emit, constant
        self._made: dict[str, str | int] = dict(known)

    def __call__(self, size: Size) -> str:
        """The name of the tensor ``[1]`` that holds ``size``."""
        value = self._value(ast.parse(str(size), mode="eval").body)
        return self._constant(value) if isinstance(value, int) else value

    def _value(self, node: ast.expr) -> str | int:
        if isinstance(node, ast.Constant):
            return int(node.value)
        text = ast.unparse(node)
        if text in self._made:
            return self._made[text]
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                how, parts = _OPERATORS[ast.Sub], (ast.Constant(0), inner)
            case ast.BinOp(op=ast.Pow(), left=base, right=ast.Constant(value=power)):
                how, parts = _OPERATORS[ast.Mult], (base, ast.BinOp(base, ast.Pow(), ast.Constant(power - 1)))
                if power == 1:
                    return self._value(base)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
                how, parts = _OPERATORS[type(op)], (left, right)
            case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in _FUNCTIONS:
                how, parts = _FUNCTIONS[name], (left, right)
            case _:
                raise ValueError(f"the size {text} cannot be written into an ONNX graph; make it a fixed one")
        values = [self._value(part) for part in parts]
        if all(isinstance(value, int) for value in values):
            self._made[text] = how[1](*values)
        else:
            names = [self._constant(value) if isinstance(value, int) else value for value in values]
            self._made[text] = self._emit(how[0], names)
        return self._made[text]
