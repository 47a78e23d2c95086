"""Published figures of the accelerators that `launch.aot` and `launch.scaling` predict for.

Peaks are dense bfloat16 without sparsity. TPU figures: docs.cloud.google.com/tpu/docs, pages "TPU v4", "TPU v5e", "TPU v5p"
and "TPU v6e" (their virtual machines for the cores). GPU figures: NVIDIA's data sheets of A100 and H100;
cores of Google's a2-highgpu and a3-highgpu machines. Link bandwidth is what one chip can send to its neighbours all together.
Prices: approximate on-demand list prices of 2025 per chip and hour in a US region, in US dollars; they change, and every
figure made with them says so.
"""

from __future__ import annotations

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator. Rates are per second, memory in bytes, price in US dollars per hour."""

    name: str
    platform: str
    memory: int
    flops: float
    memory_rate: float
    link_rate: float
    price: float
    cores: float
    """Of the host, for each chip: hyperthreads, as clouds count them."""


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", "tpu", 32 * GIB, 275e12, 1228e9, 6 * 50e9, 3.22, 60),
        Chip("v5e", "tpu", 16 * GIB, 197e12, 819e9, 4 * 50e9, 1.20, 28),
        Chip("v5p", "tpu", 95 * GIB, 459e12, 2765e9, 6 * 100e9, 4.20, 52),
        Chip("v6e", "tpu", 32 * GIB, 918e12, 1640e9, 4 * 100e9, 2.70, 45),
        Chip("a100-40", "cuda", 40 * GIB, 312e12, 1555e9, 300e9, 2.93, 12),
        Chip("h100", "cuda", 80 * GIB, 989e12, 3350e9, 450e9, 9.80, 26),
    )
}


def find_chip(name: str) -> Chip:
    """Raises ``ValueError`` listing the known ones."""
    if name not in CHIPS:
        raise ValueError(f"chip must be one of {', '.join(CHIPS)}, got {name!r}")
    return CHIPS[name]


@dataclasses.dataclass(frozen=True)
class Topology:
    """``chips`` chips of one kind; ``layout`` is a TPU slice's (``16x16``), a plain count for GPUs."""

    chip: Chip
    layout: str
    chips: int

    def __str__(self) -> str:
        return f"{self.chip.name}:{self.layout}"


def parse_topology(text: str) -> Topology:
    """``v5e:16x16``, ``v5p:4x4x4`` or ``h100:8``.

    Raises:
      ValueError: For an unknown chip, or a layout that is not whole numbers joined by x.
    """
    name, _, layout = text.partition(":")
    chip = find_chip(name)
    sides = layout.split("x")
    if not all(side.isdigit() and int(side) for side in sides):
        raise ValueError(f"--topology must be like v5e:16x16, v5p:4x4x4 or h100:8, got {text!r}")
    count = 1
    for side in sides:
        count *= int(side)
    axes = {"v4": 3, "v5p": 3, "v5e": 2, "v6e": 2}.get(name, 1)
    if len(sides) != axes:
        raise ValueError(f"a {name} topology has {axes} sides, got {text!r}")
    return Topology(chip=chip, layout=layout, chips=count)
