"""What to write for each of JAX's primitives: the place where the rules meet the writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cfd2gray.runtimes.graph import Size, Value

Rule = Callable[[Any, Any, list[Value]], Any]
RULES: dict[str, Rule] = {}
"""What to write for each primitive: ``rule(writer, equation, inputs)`` -> a value, or a list of them."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def is_zero(size: Size) -> bool:
    return isinstance(size, int | np.integer) and size == 0


def is_fixed(shape: Sequence[Size]) -> bool:
    return all(isinstance(size, int | np.integer) for size in shape)
