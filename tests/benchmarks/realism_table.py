"""Do simulated and painted clips measure like the real one? Prints the table of `realism` for both.

    python -m tests.benchmarks.realism_table [--clips 12] [--json realism.json]

Clips are made at the size of the real one (a sector of some 450 px), since counts depend on it. Painted: colour over
simulated greyscale and, with the ``test`` extra, over the real echocardiogram among pydicom's test files. ``*`` marks
a median outside the tolerance.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import numpy as np

from data_pipeline.simulation.console.codec import Codec
from data_pipeline.simulation.painter import TRAIN, paint_pair
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip, simulate_grey
from tests.data_pipeline.simulation.realism import REAL, measure, summarise, table

HEIGHT, WIDTH, FRAMES, FPS = 480, 600, 8, 18.0
ALIKE = {"mode": "velocity", "artefacts": 0.0, "ui_share": 0.0, "moving_box": 0.0, "codec": Codec(name="ybr")}
PAINTER = dataclasses.replace(TRAIN, no_blood_share=0.0, bright_share=0.0, **ALIKE)


def figures(cfd, grey, strata, velocity, nyquist, geometry) -> dict[str, float]:
    fan = ScanGrid.from_geometry(geometry, height=cfd.shape[1], width=cfd.shape[2])
    return measure(cfd, grey, strata, velocity.astype(np.float32) / nyquist, fan)


def simulated(view: str, seed: int) -> dict[str, float]:
    options = SimulationOptions(fps=FPS, shared=True, **ALIKE)
    clip = simulate_clip(view, seed, height=HEIGHT, width=WIDTH, frames=FRAMES, options=options)
    return figures(
        clip.cfd, clip.grey, clip.strata, clip.velocity, clip.acquisition.settings.nyquist_cm_s, clip.geometry
    )


def painted(grey: np.ndarray, fan: object, seed: int) -> dict[str, float]:
    ids = {"clip_id": "clip", "patient_id": "patient", "view": "A4C"}
    velocity = np.empty(grey.shape, np.float16)
    record = paint_pair(grey, seed, fps=FPS, fan=fan, options=PAINTER, velocity_out=velocity, **ids)
    nyquist = record.params["colour"]["nyquist_cm_s"]
    return figures(record.cfd, record.grey, record.strata, velocity, nyquist, record.geometry)


def real_grey() -> tuple[np.ndarray, object] | None:
    """The greyscale echocardiogram of pydicom's test files and its sector, if it is installed."""
    from pydicom.data import get_testdata_file

    from data_pipeline.readers import read_clip
    from data_pipeline.screen.analysis import analyse

    path = get_testdata_file("color3d_jpeg_baseline.dcm", download=False)
    if path is None:
        return None
    frames = read_clip(path).frames[:48]
    found = analyse(frames)
    return (frames.mean(-1) * found.sector).astype(np.uint8), found.geometry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="clips of each kind")
    parser.add_argument("--json")
    options = parser.parse_args()
    groups = {"simulated": [simulated(("A4C", "PLAX")[seed % 2], seed) for seed in range(options.clips)]}
    groups["painted on simulated"] = []
    for seed in range(options.clips):
        base = simulate_grey("A4C", 100 + seed, height=HEIGHT, width=WIDTH, frames=FRAMES)
        groups["painted on simulated"].append(painted(base.grey, base.fan, seed))
    real = real_grey()
    if real is not None:
        starts = [(7 * seed) % 40 for seed in range(options.clips)]
        groups["painted on real"] = [
            painted(real[0][start : start + FRAMES], real[1], seed) for seed, start in enumerate(starts)
        ]
    print(table(groups))
    if options.json:
        out = {group: {name: summarise(rows)[name][1] for name in REAL} for group, rows in groups.items()}
        with open(options.json, "w") as file:
            json.dump(out, file, indent=1)


if __name__ == "__main__":
    main()
