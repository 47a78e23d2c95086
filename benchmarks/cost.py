"""What a program costs, counted from its trace: FLOPs and bytes of every convolution and matrix product, and the roofline.

Only those operations are counted. What stands between them (activations, sums) is assumed to be fused into them, so the
roofline is a bound that a real program approaches from below.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from cfd2gray.benchmarks.machine import Peaks
from jax.extend import core


@dataclasses.dataclass(frozen=True)
class Operation:
    """One kind of convolution or product: ``flops`` and ``bytes`` (operands and result) of one, and how ``often``."""

    flops: float
    bytes: float
    often: int
    dtype: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """All of a program's operations."""

    operations: tuple[Operation, ...]

    @property
    def flops(self) -> float:
        return sum(one.flops * one.often for one in self.operations)

    @property
    def bytes(self) -> float:
        return sum(one.bytes * one.often for one in self.operations)

    def as_json(self) -> list[list[Any]]:
        """For `from_json` in another process; equal operations together."""
        often: dict[tuple[Any, ...], int] = {}
        for one in self.operations:
            key = (one.flops, one.bytes, one.dtype)
            often[key] = often.get(key, 0) + one.often
        return [[*key, times] for key, times in often.items()]

    @classmethod
    def from_json(cls, value: list[list[Any]]) -> Cost:
        return cls(tuple(Operation(flops, moved, times, dtype) for flops, moved, dtype, times in value))

    def roofline_s(self, peaks: Peaks) -> float:
        """Seconds if every operation ran at the machine's speed for arithmetic or memory, whichever bounds it."""
        return sum(
            one.often * max(one.flops / peaks.flops[one.dtype], one.bytes / peaks.bytes_per_s)
            for one in self.operations
        )


def count(function: Callable[..., Any], *arguments: Any) -> Cost:
    """The cost of ``function(*arguments)``; arguments may be `jax.ShapeDtypeStruct`. Loops count their iterations
    (a ``while`` without a known count is counted once)."""
    return Cost(tuple(_operations(jax.make_jaxpr(function)(*arguments).jaxpr, 1)))


def _operations(jaxpr: core.Jaxpr, often: int) -> Iterator[Operation]:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in ("conv_general_dilated", "dot_general"):
            left, right, out = (v.aval for v in (*equation.invars[:2], equation.outvars[0]))
            moved = sum(x.size * x.dtype.itemsize for x in (left, right, out))
            dtype = "bfloat16" if left.dtype.itemsize == 2 else "float32"
            yield Operation(_flops(equation, left, right, out), moved, often, dtype)
        times = equation.params["length"] if name == "scan" else 1
        for inner in _inner(equation.params.values()):
            yield from _operations(inner, often * times)


def _inner(values: Any) -> Iterator[core.Jaxpr]:
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner(value)


def _flops(equation: Any, left: Any, right: Any, out: Any) -> float:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2.0 * out.size * math.prod(left.shape[axis] for axis in contracted)
    layout = equation.params["dimension_numbers"]
    taps = math.prod(right.shape[axis] for axis in layout.rhs_spec[2:]) * right.shape[layout.rhs_spec[1]]
    # Zeros that a dilated input holds are not work.
    return 2.0 * out.size * taps / math.prod(equation.params["lhs_dilation"])
