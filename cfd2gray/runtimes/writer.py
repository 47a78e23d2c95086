"""JAX's own description of a function (a jaxpr) -> nodes of an ONNX graph, primitive by primitive (the rules are in `rules_*`).

Any network of this package can be written down that way, with everything around it, since nothing here knows of layers:
only of the few dozen primitives that they come down to. A primitive that is missing is named in the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from cfd2gray.runtimes.graph import Graph, Value, straight
from cfd2gray.runtimes.registry import RULES, is_fixed, is_zero

SMALL = 1 << 16
"""Elements up to which an array that depends on nothing is computed now instead of in the graph."""


class Writer:
    """Follows a jaxpr and writes it into ``graph``."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.made_by: dict[str, tuple[str, list[Value]]] = {}
        """Which primitive made a tensor, of what: for what is one operator in ONNX and several primitives in JAX."""
        self.split: dict[str, tuple[Value, Value]] = {}
        """What came of a reshape, and of what, likewise."""

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
        if all(any(is_zero(size) for size in aval.shape) for aval in avals):
            return [Value("nothing", aval.shape, straight(aval.ndim), aval.dtype.name) for aval in avals]
        inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if inner is not None and name not in RULES:
            closed = isinstance(inner, core.ClosedJaxpr)
            return self.write(inner.jaxpr if closed else inner, inner.consts if closed else (), inputs)
        if found := _computed_now(equation, inputs):
            return [self.graph.constant(array) for array in found]
        if name not in RULES:
            raise ValueError(
                f"no way is known to write JAX's {name!r} into an ONNX graph; see cfd2gray/runtimes/registry.py"
            )
        values = RULES[name](self, equation, inputs)
        values = values if isinstance(values, list) else [values]
        for value in values:
            if value.name:
                self.made_by.setdefault(value.name, (name, inputs))
                if name == "reshape":
                    self.split.setdefault(value.name, (value, inputs[0]))
        return values

    def origin(self, value: Value, name: str) -> list[Value] | None:
        """The inputs of the primitive ``name`` if it made ``value``."""
        made, inputs = self.made_by.get(value.name, ("", []))
        return inputs if made == name else None


def _computed_now(equation: Any, inputs: list[Value]) -> list[np.ndarray] | None:
    """The results of an equation on constants, if they are of fixed and small size."""
    avals = [var.aval for var in equation.outvars]
    small = all(is_fixed(aval.shape) and np.prod(aval.shape, dtype=np.int64) <= SMALL for aval in avals)
    if not small or any(value.constant is None for value in inputs) or equation.primitive.name == "dim_as_value":
        return None
    with jax.ensure_compile_time_eval():
        found = equation.primitive.bind(*(np.asarray(value.constant) for value in inputs), **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [np.asarray(array) for array in found]
