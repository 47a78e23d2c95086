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
"""Share of its bfloat16 peak that a GPU is assumed to reach over a whole step of both networks, VGG included."""
OVERHEAD = 1.3
"""A step takes this much longer than the roofline: kernels below their peak, starting them, gaps between steps."""
HOST_RATE = 200e6
"""Bytes per second that one CPU core is assumed to decode and augment; zstd alone was measured at 830 MB/s."""
GPU_COUNTS = (("t4", 1), ("a100-40", 1), ("h100", 1), ("h100", 8))


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
    """One row from work and an assumed share of the peak; memory is not known."""
    rate = count * GPU_SHARE * CHIPS[name].flops / flops_per_clip
    return _row(name, str(count), count, batch_size, rate, clip_bytes) | {"memory": None}


def _row(name: str, layout: str, chips: int, batch_size: int, rate: float, clip_bytes: float) -> dict[str, Any]:
    hours = CLIPS / rate / 3600
    return {
        "machine": f"{name}:{layout}",
        "chips": chips,
        "batch": batch_size,
        "rate": rate,
        "minutes": 60 * hours,
        "dollars": hours * chips * CHIPS[name].price,
        "bytes": rate * clip_bytes,
        "cores": rate * clip_bytes / HOST_RATE,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["machine", "chips", "clips a step", "GiB a chip", "clips/s", "minutes an epoch", "US$ an epoch", "data read",
            "CPU cores"]  # fmt: skip
    cells = [
        [
            row["machine"],
            str(row["chips"]),
            str(row["batch"]),
            "?" if row["memory"] is None else f"{row['memory']:.1f}",
            f"{row['rate']:.0f}",
            f"{row['minutes']:.2f}",
            f"{row['dollars']:.2f}",
            f"{row['bytes'] / 1e6:.0f} MB/s",
            f"{row['cores']:.0f}",
        ]
        for row in sorted(rows, key=lambda row: row["rate"])
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

Made on {date} with JAX {versions} by `python -m launch.scaling`. **Predicted, not measured**: nobody has run this yet.

An epoch is {CLIPS:,} clips, as many as the paper trained on, of {frames} frames of {size} x {size} px, with the networks
and losses of `configs/{config}.py` (both players and VGG; the anatomy warm-up costs about half).

{table(rows)}

Assumptions:

- TPU steps: the compiler's FLOPs and bytes for that slice against the published peaks in `launch/chips.py`:
  max(work, memory) + links, times {OVERHEAD} for everything that misses its peak.
- GPU steps: {flops / 1e12:.2f} TFLOP a clip at {GPU_SHARE:.0%} of the bfloat16 peak; batch of 8 a GPU, memory not known.
- Prices: approximate on-demand list prices of 2025 an hour and chip
  ({", ".join(f"{c.name} ${c.price:.2f}" for c in CHIPS.values())}); they change.
- Data: {clip_bytes / 1e6:.1f} MB a clip unpacked (colour, truth, strata, labels), zstd stores it at about 0.6 of that. A
  core is assumed to decode and augment {HOST_RATE / 1e6:.0f} MB/s (zstd alone: 830 measured).
- Reading is for the whole machine: from some hundred chips on, storage and CPU cores decide, not the chips.
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
