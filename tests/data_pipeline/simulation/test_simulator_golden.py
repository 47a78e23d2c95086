"""Golden pairs: says when a seed no longer gives what it gave. Then raise the version and run this file as a script.

Draws must match exactly, and so must every byte where it was tried: OpenCV 5 on x86-64 with AVX2 or better, NumPy 2.1 to
2.4, Python 3.11 to 3.13. Elsewhere blurs may round a few pixels otherwise: there block means are compared.
"""

import hashlib
import json
import pathlib
import re

import cv2
import numpy as np
import pytest

from data_pipeline.simulation.painter import PAINTER_VERSION, paint_pair
from data_pipeline.simulation.simulator import SIMULATOR_VERSION, simulate_grey, simulate_pair

GOLDEN = pathlib.Path(__file__).with_name("golden_pairs.json")
CASES = ("simulated A4C", "simulated CAROTID_LONG", "simulated LIVER", "painted A4C")


def _make(case):
    kind, view = case.split()
    size = {"height": 48, "width": 48, "frames": 4}
    if kind == "simulated":
        return simulate_pair(view, 7, **size)
    base = simulate_grey(view, 7, **size)
    return paint_pair(base.grey, 7, fps=base.fps, fan=base.fan, clip_id="clip", patient_id="patient", view=view)


def _summary(record):
    blocks = np.concatenate([record.cfd, record.grey], -1).reshape(4, 6, 8, 6, 8, 4).mean((2, 4))
    planes = (record.cfd, record.grey, record.strata, record.labels)
    return {
        "version": SIMULATOR_VERSION if record.kind == "simulated" else PAINTER_VERSION,
        "clip_id": record.clip_id,
        "params": hashlib.sha256(json.dumps(record.params, sort_keys=True).encode()).hexdigest(),
        "bytes": hashlib.sha256(b"".join(p.tobytes() for p in planes)).hexdigest(),
        "blocks": np.round(blocks[::3], 1).ravel().tolist(),
    }


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    expected, found = json.loads(GOLDEN.read_text())[case], _summary(_make(case))
    advice = "if this is meant, raise the version and run this file as a script"
    assert found["version"] == expected["version"], advice
    assert found["clip_id"] == expected["clip_id"], advice
    assert found["params"] == expected["params"], f"the draw has changed; {advice}"
    difference = np.abs(np.array(found["blocks"]) - expected["blocks"])
    assert difference.max() < 4 and difference.mean() < 0.3, f"the pixels have changed; {advice}"
    if cv2.__version__.split(".")[0] == "5" and re.search(r"AVX2(?!\?)", cv2.getCPUFeaturesLine()):
        assert found["bytes"] == expected["bytes"], f"a few pixels have changed; {advice}"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({case: _summary(_make(case)) for case in CASES}, indent=0) + "\n")
