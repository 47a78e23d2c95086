"""Can a small classifier tell the simulator's colour from colour painted over a real clip? Prints cross-validated AUCs.

    python tests/benchmarks/bench_texture_auc.py [--clip FILE] [--clips 24]

0.5 means it cannot. Folds hold whole clips. Patches of the colour box are described by their spectra, by the spread of
their values and by how they change to the next frame. Three views of a patch: everything in it; its colours only
(where it is mostly painted), once from the stored picture and once from the velocity. Without ``--clip``, a greyscale
echocardiogram of pydicom's test files is painted (the ``test`` extra); one clip of one patient, so the number that
includes grey says more about that patient than about ultrasound.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.model_selection import GroupKFold, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from data_pipeline.schema import BOX, FLOW  # noqa: E402
from data_pipeline.screen.analysis import analyse  # noqa: E402
from data_pipeline.screen.crop import SectorCrop  # noqa: E402
from data_pipeline.simulation.console.codec import Codec  # noqa: E402
from data_pipeline.simulation.painter import TRAIN, paint_pair  # noqa: E402
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip  # noqa: E402

SIDE, PATCH, STRIDE = 256, 24, 12
SHARED = {
    "mode": "velocity", "families": ("red_blue",), "artefacts": 0.0, "ui_share": 0.0, "packet": (8, 12),
    "codec": Codec(name="ybr"),
    "moving_box": 0.0, "angle_deg": (30.0, 40.0), "depth_share": (0.35, 0.5), "line_keep": (0.6, 1.0),
    "nyquist_cm_s": (55.0, 65.0),
}  # fmt: skip


def real_grey(path: str | None) -> tuple[np.ndarray, object]:
    """A real greyscale clip cut to its sector: uint8 [T, SIDE, SIDE] and its geometry."""
    from data_pipeline.readers import read_clip

    if path is None:
        from pydicom.data import get_testdata_file

        path = get_testdata_file("color3d_jpeg_baseline.dcm", download=False)
        if path is None:
            raise SystemExit("pydicom's test files are not installed: pip install pydicom-data, or give --clip FILE")
    frames = read_clip(path).frames
    found = analyse(frames[:48])
    crop = SectorCrop.from_geometry(found.geometry, found.sector, size=SIDE)
    return crop.apply(frames[:48]).mean(-1).astype(np.uint8), crop.geometry


def spectrum(patch: np.ndarray) -> np.ndarray:
    """Log power in five bands of each direction."""
    power = np.abs(np.fft.fft2(patch - patch.mean())) ** 2 + 1e-3
    half = power[: PATCH // 2, : PATCH // 2]
    bands = np.array_split(np.arange(PATCH // 2), 5)
    return np.log([half[b].mean() for b in bands] + [half[:, b].mean() for b in bands])


def patches(cfd: np.ndarray, velocity: np.ndarray, strata: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Features of every patch of the box: ``whole``, ``colour`` and ``velocity``."""
    out = {"whole": [], "colour": [], "velocity": []}
    for k in range(0, len(cfd) - 1, 4):
        flow, box = (strata[k] & FLOW) > 0, (strata[k] & BOX) > 0
        luma = cfd[k].astype(np.float32) @ np.array([0.3, 0.6, 0.1], np.float32)
        after = cfd[k + 1].astype(np.float32) @ np.array([0.3, 0.6, 0.1], np.float32)
        chroma = cfd[k, ..., 0].astype(np.float32) - cfd[k, ..., 2]
        v, then = (np.nan_to_num(velocity[i].astype(np.float32)) for i in (k, k + 1))
        for y in range(0, SIDE - PATCH, STRIDE):
            for x in range(0, SIDE - PATCH, STRIDE):
                at = np.s_[y : y + PATCH, x : x + PATCH]
                if box[at].mean() < 0.99:
                    continue
                share = flow[at].mean()
                stats = [luma[at].mean(), luma[at].std(), chroma[at].std(), np.abs(after[at] - luma[at]).mean(), share]
                if share > 0.05:
                    out["whole"].append(np.concatenate([spectrum(luma[at]), spectrum(chroma[at]), stats]))
                if share > 0.6:
                    painted = luma[at][flow[at]]  # the grey between says how dark the patient is
                    out["colour"].append(np.concatenate([spectrum(chroma[at]), [chroma[at].std(), painted.std()]]))
                    speed = np.abs(v[at])
                    more = [speed.mean(), speed.std(), np.abs(then[at] - v[at]).mean()]
                    out["velocity"].append(np.concatenate([spectrum(v[at]), more]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="a greyscale ultrasound clip in any format that can be read")
    parser.add_argument("--clips", type=int, default=24, help="clips of each kind")
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    grey, geometry = real_grey(options.clip)
    rows, kinds, groups = ({name: [] for name in ("whole", "colour", "velocity")} for _ in range(3))
    for seed in range(options.clips):
        made = simulate_clip(
            "A4C", seed, height=SIDE, width=SIDE, frames=12, options=SimulationOptions(fps=20.0, shared=True, **SHARED)
        )
        painter = dataclasses.replace(TRAIN, bright_share=0.0, no_blood_share=0.0, **SHARED)
        ids = {"clip_id": "clip", "patient_id": "patient", "view": "A4C"}
        start = (seed % 6) * 6
        part = grey[start : start + 12]
        velocity = np.empty(part.shape, np.float16)
        painted = paint_pair(part, seed, fps=20.0, fan=geometry, options=painter, velocity_out=velocity, **ids)
        for kind, parts in ((0, (made.cfd, made.velocity, made.strata)),
                            (1, (painted.cfd, velocity, painted.strata))):  # fmt: skip
            for name, found in patches(*parts).items():
                rows[name] += found
                kinds[name] += [kind] * len(found)
                groups[name] += [seed] * len(found)
    out = {}
    for name in rows:
        x, y = np.array(rows[name]), np.array(kinds[name])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
        score = cross_val_predict(model, x, y, groups=groups[name], cv=GroupKFold(6), method="decision_function")
        out[name] = float(roc_auc_score(y, score))
        simulated, painted = int((y == 0).sum()), int((y == 1).sum())
        print(f"{name:10} AUC {out[name]:.3f}   ({simulated} simulated, {painted} painted patches)")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(out, file, indent=1)


if __name__ == "__main__":
    main()
