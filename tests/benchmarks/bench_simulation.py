"""Clips per second of the simulator and the painter, on one core.

    python tests/benchmarks/bench_simulation.py [--clips 12] [--json FILE]

Goals: simulator 4 clips/s at 128 x 128, painter 10 clips/s at 112 x 112, both with 32 frames.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from data_pipeline.simulation.painter import TRAIN, paint_pair  # noqa: E402
from data_pipeline.simulation.plan import ClipPlan, ClipRequest  # noqa: E402
from data_pipeline.simulation.simulator import simulate_grey, simulate_pair  # noqa: E402


def clips_per_second(make, clips: int) -> float:
    """Process time, after one call to warm caches up."""
    make(0)
    start = time.process_time()
    for seed in range(clips):
        make(seed)
    return clips / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    out = {}
    for view in ("A4C", "CAROTID_LONG", "KIDNEY"):
        for side in (128, 256):
            rate = clips_per_second(lambda s, v=view, n=side: simulate_pair(v, s, height=n, width=n), options.clips)
            out[f"simulate {view} {side} px"] = rate

    def scene_only(seed: int) -> None:
        plan = ClipPlan.draw(ClipRequest("A4C", seed))
        for _ in plan.scene.frames():
            pass

    out["scene alone A4C 128 px"] = clips_per_second(scene_only, options.clips)
    for side in (112, 256):
        base = simulate_grey("A4C", 1, height=side, width=side)

        def paint(seed: int, base=base) -> None:
            paint_pair(
                base.grey, seed, fps=base.fps, fan=base.fan, options=TRAIN, clip_id="c", patient_id="p", view="A4C"
            )

        out[f"paint {side} px"] = clips_per_second(paint, options.clips)
    for name, rate in out.items():
        print(f"{name:28} {rate:6.1f} clips/s  {1000 / rate:7.1f} ms per clip of 32 frames")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(out, file, indent=1)


if __name__ == "__main__":
    main()
