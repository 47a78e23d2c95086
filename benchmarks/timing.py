"""Paired timing: contenders run in short blocks, one after another, again and again in changing order.

A shared machine drifts by a factor of two within minutes. Two figures may be divided only when both saw the same drift,
so ratios are taken within a round and the median over the rounds is reported with its range. There is no way to divide
figures of different runs: `ratio` refuses.
"""

from __future__ import annotations

import dataclasses
import secrets
import statistics
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured of one contender.

    Attributes:
      name: What it is called in tables.
      seconds: Per call, one value per round.
      cpu_seconds: Processor time per call over all threads, one value per round: it says how much of the time was work
        and how much was waiting for a shared machine.
      first_call_s: The first call, with tracing and compilation.
      facts: Whatever the contender says of itself: frames per call, FLOPs, agreement with others.
      run: Which paired run it belongs to.
    """

    name: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    first_call_s: float
    facts: dict[str, Any]
    run: str

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """Fastest and slowest round, seconds per call."""
        return min(self.seconds), max(self.seconds)


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast: the median over the rounds of one paired run, and the extreme rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def ratio(fast: Timing, slow: Timing) -> Ratio:
    """Speed of ``fast`` over speed of ``slow``, per unit of work: ``facts["units"]`` per call, 1 when not given.

    Raises:
      ValueError: When the two were not measured in alternation in the same run.
    """
    if fast.run != slow.run or len(fast.seconds) != len(slow.seconds):
        raise ValueError(
            f"{fast.name!r} and {slow.name!r} were not measured in the same paired run, so their ratio means nothing; "
            "measure them together"
        )
    each = [
        (b / slow.facts.get("units", 1)) / (a / fast.facts.get("units", 1)) for a, b in zip(fast.seconds, slow.seconds)
    ]
    return Ratio(statistics.median(each), min(each), max(each))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A contender that is compiled and warm: ``block(n)`` calls it n times and returns the seconds and the
    processor seconds per call."""

    name: str
    first_call_s: float
    facts: dict[str, Any]
    block: Callable[[int], tuple[float, float]]


def paired(ready: Sequence[Ready], *, rounds: int, block_s: float, most: int = 1000) -> list[Timing]:
    """Run contenders in alternation.

    Args:
      ready: Warm contenders.
      rounds: How often each gets its turn; the order moves on by one each round.
      block_s: How long one turn lasts, seconds; at least one call.
      most: Most calls per turn.

    Raises:
      ValueError: For no contender or no round.
    """
    if not ready or rounds < 1:
        raise ValueError(f"a paired run needs a contender and a round, got {len(ready)} contenders, {rounds} rounds")
    calls = [max(1, min(most, round(block_s / max(one.block(1)[0], 1e-9)))) for one in ready]
    turns: list[list[tuple[float, float]]] = [[] for _ in ready]
    for number in range(rounds):
        for place in range(len(ready)):
            index = (number + place) % len(ready)
            turns[index].append(ready[index].block(calls[index]))
    run = secrets.token_hex(8)
    return [
        Timing(
            name=one.name,
            seconds=tuple(seconds for seconds, _ in done),
            cpu_seconds=tuple(used for _, used in done),
            first_call_s=one.first_call_s,
            facts=one.facts,
            run=run,
        )
        for one, done in zip(ready, turns)
    ]
