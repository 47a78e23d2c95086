"""How a sweep file says which runs it wants: combinations, draws and tuples of config keys.

A run is a dict ``{config key: value}``; a sweep is a list of them. Lists add up with ``+``.
"""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Run = dict[str, Any]


def grid(values: Mapping[str, Sequence[Any]]) -> list[Run]:
    """Every combination; the last key varies fastest."""
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def zipped(values: Mapping[str, Sequence[Any]]) -> list[Run]:
    """The first values together, then the second ones, ... Raises ``ValueError`` when the lengths differ."""
    lengths = {key: len(listed) for key, listed in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"zipped values must be equally many, got {lengths}")
    return [dict(zip(values, chosen)) for chosen in zip(*values.values())]


def sample(count: int, draws: Mapping[str, Callable[[random.Random], Any]], *, seed: int = 0) -> list[Run]:
    """``count`` random runs: each key's function is given a generator, see `log_uniform`, `uniform`, `choice`."""
    rng = random.Random(seed)
    return [{key: draw(rng) for key, draw in draws.items()} for _ in range(count)]


def uniform(low: float, high: float) -> Callable[[random.Random], float]:
    """Three significant digits: what stands in a table is what was run."""
    return lambda rng: float(f"{rng.uniform(low, high):.3g}")


def log_uniform(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def choice(values: Sequence[Any]) -> Callable[[random.Random], Any]:
    return lambda rng: rng.choice(values)


def product(left: Sequence[Run], right: Sequence[Run]) -> list[Run]:
    """Every run of ``left`` with every one of ``right``; the same key in both is a ``ValueError``."""
    twice = {key for run in left for key in run} & {key for run in right for key in run}
    if twice:
        raise ValueError(f"both sides set {sorted(twice)}")
    return [a | b for a in left for b in right]
