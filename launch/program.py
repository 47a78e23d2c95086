"""What a compiled program costs on a chip: memory, work, traffic, and the time that a stated roofline predicts.

The roofline: ``time = max(FLOPs / peak, bytes / memory rate) + bytes sent / link rate``. FLOPs and bytes are the
compiler's own counts per device; collectives are rings and nothing of them hides behind the work. Bytes include what
the compiler keeps in on-chip memory, so the memory side is an upper bound; kernels that miss their peak are not
in it, so the work side is a lower one. Neither is a measurement.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from cfd2gray.launch.chips import GIB, Topology
from cfd2gray.launch.collectives import Collective, by_kind, find_collectives

USABLE = 0.98
"""Share of a chip's memory that a program may fill; the runtime keeps the rest (a v5e shows 15.75 of its 16 GiB)."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Per chip and call: bytes, FLOPs and seconds. ``seconds`` is None where no time is predicted (CUDA, see `launch.aot`)."""

    arguments: int
    outputs: int
    temporaries: int
    code: int
    peak: int
    limit: int
    flops: float
    bytes: float
    collectives: tuple[Collective, ...]
    work_seconds: float | None
    memory_seconds: float | None
    link_seconds: float | None

    @property
    def fits(self) -> bool:
        return self.peak <= self.limit

    @property
    def seconds(self) -> float | None:
        if self.work_seconds is None:
            return None
        return max(self.work_seconds, self.memory_seconds) + self.link_seconds

    @property
    def efficiency(self) -> float | None:
        """Share of the chip's peak FLOPs that the predicted time makes use of."""
        return self.work_seconds / self.seconds if self.seconds else None

    def as_json(self) -> dict[str, Any]:
        return {
            "memory": {
                name: getattr(self, name) for name in ("arguments", "outputs", "temporaries", "code", "peak", "limit")
            },
            "fits": self.fits,
            "flops": self.flops,
            "bytes": self.bytes,
            "intensity": self.flops / max(self.bytes, 1.0),
            "collectives": by_kind(list(self.collectives)),
            "largest": {
                kind: max((c.size for c in self.collectives if c.kind == kind), default=0)
                for kind in {c.kind for c in self.collectives}
            },
            "seconds": self.seconds,
            "parts": {"work": self.work_seconds, "memory": self.memory_seconds, "links": self.link_seconds},
            "efficiency": self.efficiency,
        }


def cost_of(compiled: jax.stages.Compiled, topology: Topology, *, devices: int) -> Cost:
    """What ``compiled`` costs on a chip of ``topology``; ``devices`` is how many the program runs on."""
    memory, counts = compiled.memory_analysis(), compiled.cost_analysis() or {}
    chip = topology.chip
    collectives = tuple(find_collectives(compiled.as_text(), devices=devices))
    flops, moved = float(counts.get("flops", 0.0)), float(counts.get("bytes accessed", 0.0))
    sent = sum(item.sent for item in collectives)
    timed = chip.platform == "tpu"
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    code = memory.generated_code_size_in_bytes
    return Cost(
        arguments=memory.argument_size_in_bytes,
        outputs=outputs,
        temporaries=memory.temp_size_in_bytes,
        code=code,
        peak=memory.argument_size_in_bytes + outputs + memory.temp_size_in_bytes + code,
        limit=int(USABLE * chip.memory),
        flops=flops,
        bytes=moved,
        collectives=collectives,
        work_seconds=flops / chip.flops if timed else None,
        memory_seconds=moved / chip.memory_rate if timed else None,
        link_seconds=sent / chip.link_rate if timed else None,
    )


def describe(name: str, cost: Cost) -> list[str]:
    """Lines for a person."""
    lines = [
        f"{name}",
        f"  memory per chip   {cost.peak / GIB:.2f} of {cost.limit / GIB:.2f} GiB: arguments {cost.arguments / GIB:.2f}, "
        f"temporaries {cost.temporaries / GIB:.2f}, outputs {cost.outputs / GIB:.2f}, code {cost.code / GIB:.2f}",
        f"  work per chip     {cost.flops / 1e12:.3f} TFLOP, {cost.bytes / 1e9:.1f} GB, "
        f"{cost.flops / max(cost.bytes, 1.0):.0f} FLOP/B",
    ]
    for kind, total in by_kind(list(cost.collectives)).items():
        lines.append(
            f"  {kind:17} {total['calls']} calls, {total['bytes'] / 2**20:.1f} MiB, {total['sent'] / 2**20:.1f} MiB sent"
        )
    if cost.seconds:
        lines.append(
            f"  predicted         {1e3 * cost.seconds:.1f} ms: max(work {1e3 * cost.work_seconds:.1f}, memory "
            f"{1e3 * cost.memory_seconds:.1f}) + links {1e3 * cost.link_seconds:.2f}; {cost.efficiency:.0%} of peak"
        )
    return lines
