"""One part of the results: paired timings as rows, the ratios that matter, and what could not be measured. All JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from cfd2gray.benchmarks.cost import Cost
from cfd2gray.benchmarks.machine import Peaks
from cfd2gray.benchmarks.process import PairedRun
from cfd2gray.benchmarks.timing import Timing, ratio


@dataclasses.dataclass(kw_only=True)
class Section:
    """A table of the results.

    Attributes:
      name: Of the topic.
      about: What was measured and how, one or two sentences.
      unit: What ``rate`` counts: frames, clips.
      settings: Size, frames, batch, precision, repeats.
      rows: See `row`.
      ratios: ``{"fast", "slow", "median", "low", "high"}``: how many times as fast, with the extreme rounds.
      notes: Further figures in words.
      missing: Contender -> why it could not be measured.
      load: Mean number of processes that wanted to run, before and after.
    """

    name: str
    about: str
    unit: str
    settings: dict[str, Any]
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    ratios: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)

    def add(self, run: PairedRun, pairs: Sequence[tuple[str, str]], peaks: Peaks) -> None:
        """Take over the timings of ``run`` and the ratios of those ``(fast, slow)`` pairs that could be measured."""
        self.rows += [row(timing, peaks) for timing in run.timings]
        self.missing |= run.missing
        for fast, slow in pairs:
            if fast in run and slow in run:
                found = ratio(run[fast], run[slow])
                self.ratios.append({"fast": fast, "slow": slow, **dataclasses.asdict(found)})


def row(timing: Timing, peaks: Peaks) -> dict[str, Any]:
    """Milliseconds per call (median, fastest and slowest round), processor time, units per second, first call, and where
    the contender's operations are known: FLOPs per unit, FLOP/s, and the shares of the machine's matmul peak (``mfu``), of
    its memory rate (``bandwidth``) and of the per-operation roofline."""
    units = timing.facts.get("units", 1)
    found: dict[str, Any] = {
        "name": timing.name,
        "ms": 1e3 * timing.median,
        "ms_low": 1e3 * timing.spread[0],
        "ms_high": 1e3 * timing.spread[1],
        "cpu_ms": 1e3 * statistics.median(timing.cpu_seconds),
        "rate": units / timing.median,
        "first_call_s": timing.first_call_s,
    }
    if "operations" in timing.facts:
        cost = Cost.from_json(timing.facts["operations"])
        found |= {
            "gflop_per_unit": cost.flops / units / 1e9,
            "gflops": cost.flops / timing.median / 1e9,
            "mfu": cost.flops / timing.median / peaks.flops[timing.facts["dtype"]],
            "bandwidth": cost.bytes / timing.median / peaks.bytes_per_s,
            "roofline": cost.roofline_s(peaks) / timing.median,
        }
    kept = ("mean", "evaluations", "flops_per_evaluation")
    return found | {name: timing.facts[name] for name in kept if name in timing.facts}
