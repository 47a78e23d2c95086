"""How long and how dear: an epoch of the paper's 54,975 clips from one GPU to 256 TPU chips, with every assumption written.

    python -m launch.scaling --aot aot/*.json -o docs/scaling.md

TPU rows come from files that `launch.aot --json` wrote. A GPU row is work over an assumed share of the peak, because
nothing here compiles for GPUs; its work is counted from the same step, compiled for one TPU chip and one clip.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cfd2gray.launch.chips import CHIPS, GIB

from cfd2gray.pages.markdown import markdown_table
from data_pipeline.files import write_atomically

CLIPS = 54_975
"""Training videos of Tomic et al., arXiv 2511.03255."""
GPU_SHARE = 0.25
"""Share of its data sheet's bfloat16 peak that a GPU reaches over a whole step of both networks, VGG included: .247 on an
H200 at 128 px (docs/gpu.md)."""
OVERHEAD = 1.3
"""A step takes this much longer than the roofline: kernels below their peak, starting them, gaps between steps."""
HOST_RATE = 200e6
"""Bytes per second that one CPU core is assumed to decode and augment; zstd alone was measured at 830 MB/s."""
STORAGE_RATE = 25e9
"""Bytes per second out of one bucket's region into Google's machines before a higher quota is asked for: 200 Gbit/s
(docs.cloud.google.com/storage/quotas, "Bandwidth")."""
STORED = 0.25
"""Of a clip's bytes, as `cfd2gray pack` stores it (zstd) where it shrinks least: simulated noise. Real screens: 0.12."""
GPU_COUNTS = (("h100", 1), ("h100", 8))
CLIP_MEMORY = 3.7 * GIB
"""Of a further clip of 256 px on a chip: the difference between rows of 2 and 8 clips on v5p, as compiled."""


def tpu_row(result: Mapping[str, Any], clip_bytes: float) -> dict[str, Any]:
    """One row from what `launch.aot --json` wrote about a training step."""
    chip, step = CHIPS[result["chip"]["name"]], result["programs"]["train"]
    rate = result["batch_size"] / (OVERHEAD * step["seconds"])
    return _row(
        chip.name, result["topology"].split(":")[1], result["chips"], result["batch_size"], rate, clip_bytes
    ) | {
        "memory": step["memory"]["peak"] / GIB,
    }


def gpu_row(name: str, count: int, flops_per_clip: float, clip_bytes: float, *, batch_size: int) -> dict[str, Any]:
    """One row from work and an assumed share of the peak.

    Raises:
      ValueError: When the batch does not fit into three quarters of the memory, which is what JAX takes.
    """
    need, chip = batch_size // count * CLIP_MEMORY, CHIPS[name]
    if need > 0.75 * chip.memory:
        raise ValueError(f"{batch_size // count} clips need {need / GIB:.0f} GiB, of which {name} gives too little")
    rate = count * GPU_SHARE * chip.flops / flops_per_clip
    return _row(name, str(count), count, batch_size, rate, clip_bytes) | {"memory": need / GIB}


def _row(name: str, layout: str, chips: int, batch_size: int, rate: float, clip_bytes: float) -> dict[str, Any]:
    """What chips could do, and what they get to do: no more than storage gives and the hosts' cores prepare."""
    chip = CHIPS[name]
    limits = {
        "chips": rate,
        "storage": STORAGE_RATE / (STORED * clip_bytes),
        "cores": chips * chip.cores * HOST_RATE / clip_bytes,
    }
    limit = min(limits, key=lambda what: limits[what])
    hours = CLIPS / limits[limit] / 3600
    return {
        "machine": f"{name}:{layout}",
        "chips": chips,
        "batch": batch_size,
        "rate": rate,
        "fed": limits[limit],
        "limit": limit,
        "minutes": 60 * hours,
        "dollars": hours * chips * chip.price,
        "bytes": limits[limit] * STORED * clip_bytes,
        "cores": limits[limit] * clip_bytes / HOST_RATE,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["machine", "chips", "clips a step", "GiB a chip", "clips/s", "of", "limited by", "minutes an epoch",
            "US$ an epoch", "data read", "CPU cores"]  # fmt: skip
    cells = [
        [
            row["machine"],
            str(row["chips"]),
            str(row["batch"]),
            f"{row['memory']:.1f}",
            f"{row['fed']:.0f}",
            f"{row['rate']:.0f}",
            row["limit"],
            f"{row['minutes']:.2f}",
            f"{row['dollars']:.2f}",
            f"{row['bytes'] / 1e6:.0f} MB/s",
            f"{row['cores']:.0f}",
        ]
        for row in sorted(rows, key=lambda row: row["fed"])
    ]
    return "\n".join(markdown_table(head, cells))


def page(results: Sequence[Mapping[str, Any]], *, date: str) -> str:
    """The whole page.

    Raises:
      ValueError: When a result has no training step, or they are of different clip sizes.
    """
    shapes = {(result["frames"], result["size"], result["config"]) for result in results}
    if len(shapes) != 1 or any("train" not in result["programs"] for result in results):
        raise ValueError(f"all results must hold the training step of one config, got {sorted(shapes)}")
    ((frames, size, config),) = shapes
    clip_bytes = frames * size * size * 6  # colour 3, truth 1, strata 1, labels 1
    first = min(results, key=lambda result: result["chips"])
    flops = first["programs"]["train"]["flops"] * first["chips"] / first["batch_size"]
    rows = [tpu_row(result, clip_bytes) for result in results]
    rows += [gpu_row(name, n, flops, clip_bytes, batch_size=8 * n) for name, n in GPU_COUNTS]
    versions = ", ".join(sorted({result["jax"] for result in results}))
    return f"""# What an epoch takes

Made on {date} with JAX {versions} by `python -m launch.scaling`. **Measured rows: none of this size**; CPUs are measured in
[benchmarks.md](benchmarks.md), one GPU at 128 px in [gpu.md](gpu.md). All below is **predicted**.

An epoch is {CLIPS:,} clips, as many as the paper trained on, of {frames} frames of {size} x {size} px, with the networks
and losses of `configs/{config}.py` (both players and VGG; the anatomy warm-up costs about half).

{table(rows)}

*clips/s: what the machine gets to do, of what its chips alone could. Rows of which the batch would not fit are not shown.*

Assumptions:

- TPU steps: the compiler's FLOPs and bytes for that slice against the published peaks in `launch/chips.py`:
  max(work, memory) + links, times {OVERHEAD} for everything that misses its peak.
- GPU steps: {flops / 1e12:.2f} TFLOP a clip at {GPU_SHARE:.0%} of the bfloat16 peak, as measured on an H200 at
  128 px ([gpu.md](gpu.md)); batch of 8 a GPU, memory by the slope of TPU rows.
- Prices: approximate on-demand list prices of 2025 an hour and chip
  ({", ".join(f"{c.name} ${c.price:.2f}" for c in CHIPS.values())}); they change.
- Data: {clip_bytes / 1e6:.1f} MB a clip unpacked (colour, truth, strata, labels), of which `pack`'s zstd keeps {STORED:.0%}
  (measured on simulated clips, whose noise shrinks least; `--encoding raw` needs all of it). Records are fetched whole
  from a bucket: clips of {2 * frames} frames double what is read. A core is assumed to decode and augment
  {HOST_RATE / 1e6:.0f} MB/s unpacked (zstd alone: 830 measured).
- Storage: {STORAGE_RATE / 1e9:.0f} GB/s, the usual quota of a region's buckets, which Google raises when asked; data on
  the hosts' own disks has no such limit.
- Checkpoints, evaluation and compilation are not in it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m launch.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--aot", type=pathlib.Path, nargs="+", required=True, metavar="JSON")
    parser.add_argument("--date", required=True, help="when the files were made, YYYY-MM-DD")
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    args = parser.parse_args(argv)
    try:
        text = page([json.loads(path.read_text()) for path in args.aot], date=args.date)
        write_atomically(args.out, text)
    except (ValueError, OSError) as error:
        print(f"launch.scaling: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
