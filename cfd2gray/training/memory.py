"""Will a step fit? Asked of the compiled program and of the machine, before the first step and not by the kernel."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from data_pipeline.mistakes import Mistake

GIB = 2.0**30
CGROUP = pathlib.Path("/sys/fs/cgroup")


def step_bytes(compiled: jax.stages.Compiled) -> int:
    """Bytes on each device that a call takes beyond its arguments, which are there already."""
    analysis = compiled.memory_analysis()
    if analysis is None:  # a backend that does not tell
        return 0
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes


def free_bytes(device: Any) -> int | None:
    """Bytes that are free on a device; of a CPU those of the machine or its container. None: it does not say."""
    if device.platform == "cpu":
        return host_free_bytes()
    stats = device.memory_stats() or {}
    return stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None


def host_free_bytes(root: pathlib.Path = CGROUP) -> int | None:
    """What the kernel would still give to this process: of the machine, or less where a container sets a limit (cgroup v2)."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    try:
        limit = (root / "memory.max").read_text().strip()
        if limit != "max":
            facts = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
            cache = int(facts.get("inactive_file", 0))  # given back before anything is killed
            free = min(free, int(limit) - int((root / "memory.current").read_text()) + cache)
    except (OSError, ValueError):
        pass
    return max(free, 0)


def check_memory(need: int, devices: Sequence[Any], *, free: int | None) -> None:
    """Refuse a step that cannot fit.

    Args:
      need: Bytes a call takes on each device; see `step_bytes`.
      devices: Those of this process. CPU devices share one memory.
      free: Bytes that are free; see `free_bytes`.

    Raises:
      Mistake: With the need, what is free, and what makes a step smaller.
    """
    sharers = len(devices) if devices[0].platform == "cpu" else 1
    if free is None or need * sharers <= free:
        return
    where = "this machine" if devices[0].platform == "cpu" else f"each {devices[0].device_kind}"
    raise Mistake(
        f"a training step needs {need * sharers / GIB:.1f} GiB beside what is already loaded, and {where} has "
        f"{free / GIB:.1f} GiB free; lower data.batch_size (or keep it and raise train.accumulate), set "
        "--config.model.remat=True, or take a smaller network as in --config tiny"
    )
