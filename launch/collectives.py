"""What a compiled program sends between devices, read from its text (optimised HLO)."""

from __future__ import annotations

import collections
import dataclasses
import math
import re

KINDS = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute")
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8}
_CALL = re.compile(rf"= (?P<shape>.*?) (?P<kind>{'|'.join(KINDS)})(?P<start>-start)?\((?P<operands>[^)]*)\)")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_HEAD = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLED = re.compile(r"(?:body|calls|to_apply|condition)=%?([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange. ``arrays`` are the (dtype, shape) each device ends up with; ``times`` how often a step makes it."""

    kind: str
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    group: int
    times: int

    @property
    def size(self) -> int:
        """Bytes that each device ends up with."""
        return sum(_BYTES.get(dtype, 4) * math.prod(shape) for dtype, shape in self.arrays)

    @property
    def sent(self) -> float:
        """Bytes that each device sends, all ``times`` together, when the group is a ring (Patarasuk & Yuan 2009)."""
        n = self.group
        share = {
            "all-reduce": 2 * (n - 1) / n,
            "reduce-scatter": n - 1,
            "all-gather": (n - 1) / n,
            "all-to-all": (n - 1) / n,
            "collective-permute": 1.0,
        }[self.kind]
        return self.times * share * self.size


def find_collectives(text: str, *, devices: int) -> list[Collective]:
    """Every collective of a program in HLO text. ``devices`` is the group where an instruction names none.

    A collective inside a loop counts as often as the loop runs, where the compiler knows how often that is.
    """
    bodies = _computations(text)
    times = _times(bodies)
    found, seen = [], set()
    for name, lines in bodies.items():
        for line in lines:
            match = _CALL.search(line)
            # An asynchronous one may be written down in several pieces, which share their channel.
            channel = re.search(r"channel_id=(\d+)", line)
            if not match or (channel and channel[1] in seen):
                continue
            if channel:
                seen.add(channel[1])
            arrays = tuple(
                (dtype, tuple(int(x) for x in shape.split(",") if x))
                for dtype, shape in _ARRAY.findall(re.sub(r"\{[^}]*\}", "", match["shape"]))
            )
            if match["start"]:
                arrays = _results(match["kind"], arrays)
            group = 2 if match["kind"] == "collective-permute" else _group_size(line, devices)
            if group > 1:
                found.append(Collective(kind=match["kind"], arrays=arrays, group=group, times=times.get(name, 1)))
    return found


def by_kind(collectives: list[Collective]) -> dict[str, dict[str, float]]:
    """kind -> number of calls, bytes that each device ends up with, bytes it sends; all per step."""
    total: dict[str, dict[str, float]] = collections.defaultdict(lambda: {"calls": 0, "bytes": 0, "sent": 0.0})
    for item in collectives:
        total[item.kind]["calls"] += item.times
        total[item.kind]["bytes"] += item.times * item.size
        total[item.kind]["sent"] += item.sent
    return {kind: total[kind] for kind in KINDS if kind in total}


def _results(kind: str, arrays: tuple) -> tuple:
    """A start instruction lists operands, results and sometimes counters; the results are wanted."""
    data = [array for array in arrays if not (array[0] in ("u32", "s32") and not array[1])]
    return tuple(data) if kind == "all-reduce" else tuple(data[len(data) // 2 :])


def _computations(text: str) -> dict[str, list[str]]:
    bodies: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = bodies.setdefault(head[1] if not line.startswith("ENTRY") else "ENTRY", [])
        else:
            current.append(line)
    return bodies


def _times(bodies: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation runs per call of the program."""
    times = {"ENTRY": 1}
    waiting = ["ENTRY"]
    while waiting:
        name = waiting.pop()
        for line in bodies.get(name, ()):
            trips = re.search(r'known_trip_count"?[:=]\s*\{"?n"?[:=]"?(\d+)', line)
            for called in _CALLED.findall(line):
                count = times[name] * (int(trips[1]) if trips else 1)
                if times.get(called, 0) < count:
                    times[called] = count
                    waiting.append(called)
    return times


def _group_size(line: str, devices: int) -> int:
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed:
        return len(listed[1].split(","))
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]<=", line)
    if iota:
        return int(iota[2])
    axes = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line)
    if axes:
        sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", axes[1])}
        return math.prod(sizes[name] for name in re.findall(r"'([^']+)'", axes[2]))
    return devices
