"""Seconds and memory of a block, its own and those of the processes that it started and that have ended."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator


@contextlib.contextmanager
def measured(what: str, facts: dict) -> Iterator[None]:
    """Put into ``facts[what]``: seconds by the clock and of the processor, peaks of memory in MiB."""
    wall, own, children = time.monotonic(), time.process_time(), _children()
    yield
    facts[what] = {
        "wall_s": round(time.monotonic() - wall, 1),
        "cpu_s": round(time.process_time() - own, 2),
        "workers_cpu_s": round(_children() - children, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "worker_peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }
    print(what, facts[what], flush=True)


def cpu_of(fact: dict) -> float:
    """Processor seconds of a block, workers included."""
    return fact["cpu_s"] + fact["workers_cpu_s"]


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
