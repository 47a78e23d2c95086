"""What the machine is and what it can do: facts without names, and its own matmul and copy speed."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp

PACKAGES = ("cfd2gray", "jax", "jaxlib", "flax", "grain", "numpy", "torch", "tensorflow-cpu", "tensorflow", "scikit-image",
            "torchmetrics", "dm-pix")  # fmt: skip


def describe() -> dict[str, Any]:
    """Date, kind of machine (never its name), devices, versions and load. JSON."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    devices = sorted({f"{device.platform} {device.device_kind}" for device in jax.devices()})
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{len(os.sched_getaffinity(0))} cores {_processor()}, {_memory_gib():.0f} GiB",
        "devices": f"{jax.device_count()} x {', '.join(devices)}",
        "python": platform.python_version(),
        "versions": versions,
        "load": load(),
    }


def load() -> float:
    """Processes that wanted to run, mean of the last minute. Above the number of cores figures suffer."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Best speeds that plain programs reached here. ``flops``: dtype name -> FLOP/s of a square matrix product;
    ``bytes_per_s``: read and written by a copy with one addition."""

    flops: dict[str, float]
    bytes_per_s: float

    def best(self, other: Peaks) -> Peaks:
        """The better of two measurements: other work on the machine can only hide a peak."""
        flops = {dtype: max(value, other.flops[dtype]) for dtype, value in self.flops.items()}
        return Peaks(flops=flops, bytes_per_s=max(self.bytes_per_s, other.bytes_per_s))


def _best(call: Callable[[], Any], *, seconds: float) -> float:
    """Fastest of the calls that fit into ``seconds``, at least three."""
    jax.block_until_ready(call())
    best, end, count = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < end or count < 3:
        start = time.perf_counter()
        jax.block_until_ready(call())
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


def probe(*, seconds: float = 3.0) -> Peaks:
    """Measure the default device: a matrix product large enough to be bound by arithmetic, a copy larger than caches.

    The fastest repeat counts: a peak is a limit, and the other work of a shared machine only hides it.
    """
    on_cpu = jax.devices()[0].platform == "cpu"
    side = 2048 if on_cpu else 8192
    flops = {}
    for dtype in ("float32", "bfloat16"):
        x = jnp.ones((side, side), dtype)
        product = jax.jit(lambda a, b: a @ b)
        flops[dtype] = 2.0 * side**3 / _best(lambda product=product, x=x: product(x, x), seconds=seconds)
    held = [jnp.ones((64 if on_cpu else 512) * 2**20, jnp.float32)]
    moved = 2.0 * held[0].nbytes
    add_one = jax.jit(lambda a: a + 1.0, donate_argnums=0)  # in place: fresh pages would be measured instead

    def move() -> jax.Array:
        held[0] = add_one(held[0])
        return held[0]

    return Peaks(flops=flops, bytes_per_s=moved / _best(move, seconds=seconds))
