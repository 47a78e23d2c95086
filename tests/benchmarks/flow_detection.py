"""How well sector, colour box and painted pixels are found: precision, recall, IoU over simulated screens of all views.

    python tests/benchmarks/flow_detection.py --clips 20

Truth is the simulator's. Box and outline are judged on clips that draw an outline; where none is drawn nobody can know
where the box ends. `hidden` is `flow.hidden_mask`: its recall is the share of painted or outlined pixels that a model is
kept from seeing, its size is relative to them.
"""

from __future__ import annotations

import argparse
import collections
import json
import time

import cv2
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip
from data_pipeline.simulation.views import VIEWS

SIZES = ((300, 400), (480, 640), (600, 800), (240, 320))
COLUMNS = ("sector", "box", "precision", "recall", "iou", "hidden", "size", "seen", "kind", "ms")


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def measure(view: str, seed: int, *, frames: int) -> dict[str, float]:
    """One clip's figures; ``nan`` where a figure does not apply."""
    height, width = SIZES[seed % len(SIZES)]
    clip = simulate_clip(
        view, seed, height=height, width=width, frames=frames, options=SimulationOptions(screen=True), split="test"
    )
    start = time.process_time()
    found = analyse(clip.cfd)
    spent = time.process_time() - start
    flow, painted = (found.strata & FLOW) > 0, (clip.strata & FLOW) > 0
    # Text over the sector counts as drawn too; here only the box's own outline is asked for.
    near = np.stack([cv2.dilate(plane & BOX, np.ones((9, 9), np.uint8)) > 0 for plane in clip.strata])
    hidden, must = hidden_mask(found.strata) > 0, ((clip.strata & (FLOW | OUTLINE)) > 0) & near
    drawn = clip.acquisition.outline.colour != "none"
    hit = int((flow & painted).sum())
    visible = painted.mean() > 3e-4  # a clip may happen to show no flow at all
    mode = clip.acquisition.settings.mode
    return {
        "sector": overlap(found.sector, (clip.strata[0] & SECTOR) > 0),
        "box": np.mean([overlap((a & 2) > 0, (b & 2) > 0) for a, b in zip(found.strata, clip.strata)])
        if drawn and visible
        else np.nan,
        "precision": hit / max(int(flow.sum()), 1) if visible else np.nan,
        "recall": hit / max(int(painted.sum()), 1) if visible else np.nan,
        "iou": overlap(flow, painted) if visible else np.nan,
        "hidden": float((hidden & must).sum() / must.sum()) if visible else np.nan,
        "size": float(hidden.sum() / must.sum()) if visible else np.nan,
        "seen": float(found.kind in ("cfd", "power")) if visible else np.nan,
        "kind": float(found.kind == ("power" if mode == "power" else "cfd")) if visible else np.nan,
        "ms": 1e3 * spent / frames,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=20, help="clips of each view")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--json", help="also write the figures of every clip to this file")
    args = parser.parse_args()
    rows = collections.defaultdict(list)
    for view in VIEWS:
        for seed in range(args.first_seed, args.first_seed + args.clips):
            rows[view].append(measure(view, seed, frames=args.frames))
    everything = [row for found in rows.values() for row in found]
    print(f"{'view':14s}{'clips':>6s}" + "".join(f"{name:>10s}" for name in COLUMNS))
    for view, found in [*rows.items(), ("mean", everything)]:
        means = [np.nanmean([row[name] for row in found]) for name in COLUMNS]
        print(f"{view:14s}{len(found):6d}" + "".join(f"{mean:10.3f}" for mean in means))
    for name in ("sector", "box", "iou", "hidden"):
        values = [row[name] for row in everything]
        low = np.nanpercentile(values, [5, 25, 50])
        print(f"{name:9s} 5 % {low[0]:.3f}   25 % {low[1]:.3f}   median {low[2]:.3f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
