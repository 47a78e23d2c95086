"""The check of a GPU, tried on a CPU with a tiny network: its stages run, are kept, and make a page."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from cfd2gray.benchmarks import gpu_check
from cfd2gray.benchmarks.gpu.page import page
from cfd2gray.benchmarks.gpu.stages import WORK

from tests.compiler import COMPILE_LESS

ROOT = pathlib.Path(__file__).parents[2]


def start(out, *arguments):
    command = [
        sys.executable,
        "-m",
        "cfd2gray.benchmarks.gpu_check",
        "--out",
        out,
        "--platform",
        "cpu",
        "--small",
        *arguments,
    ]
    return subprocess.run(
        [*command, "--minutes", "60", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": COMPILE_LESS},
    )


def test_stages_run_are_kept_and_make_a_page(tmp_path):
    """All stages with ``CFD2GRAY_GPU_CHECK=all`` (minutes)."""
    some = "" if os.environ.get("CFD2GRAY_GPU_CHECK") == "all" else "numbers_cpu,numbers_highest,speed_bfloat16_128"
    first = start(tmp_path, "--only", some, "--page", tmp_path / "gpu.md")
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert not [name for name, result in found["found"].items() if "error" in result], first.stdout + first.stderr
    assert found["found"]["speed_bfloat16_128"]["update"]["ms"] > 0
    held = [good for what, good in found["checks"].items() if what.startswith("numbers_highest")]
    assert held == [True] and first.returncode == (0 if some == "" else 1), "what was not run is not passed"
    text = (tmp_path / "gpu.md").read_text()
    assert "| numbers_highest" in text and "| bfloat16, 128 | update |" in text
    seconds = (tmp_path / "numbers_cpu.json").stat().st_mtime_ns
    again = start(tmp_path, "--only", some)
    assert again.returncode == first.returncode and "numbers_cpu:" not in again.stdout, "nothing is run twice"
    assert (tmp_path / "numbers_cpu.json").stat().st_mtime_ns == seconds


def test_a_stage_that_takes_too_long_is_ended_and_waits_for_the_next_start(tmp_path):
    done = start(tmp_path, "--only", "shown_cpu", "--minutes", "0.02")
    assert done.returncode == 1
    assert "not done after 1 s" in json.loads((tmp_path / "gpu_check.json").read_text())["found"]["shown_cpu"]["error"]
    assert not (tmp_path / "shown_cpu.json").exists()


def test_what_is_wrong_is_seen(tmp_path):
    for name, loss in (("cpu", 1.0), ("highest", 1.001), ("float32", 1.001), ("bfloat16", float("nan"))):
        np.savez(tmp_path / f"numbers_{name}.npz", **{"metric/loss": loss, "array/x": np.ones(3)})
    for name, level in (("shown_cpu", 100), ("shown", 103)):
        np.save(tmp_path / f"{name}.npy", np.full((2, 4, 4), level, np.uint8))
    found = {f"numbers_{name}": {} for name in ("cpu", "highest", "float32", "bfloat16")}
    found |= {"shown_cpu": {}, "shown": {"frames_per_s": 9.0, "push_ms_p50": 1.0, "push_ms_p95": 2.0}}
    found |= {"again_deterministic": {"equal": True}, "whole": {"error": "out of memory"}}
    checks = gpu_check.check(found, tmp_path, small=True)
    words = {what.split(":")[0]: good for what, good in checks.items()}
    assert (words["numbers_highest"], words["numbers_float32"], words["numbers_bfloat16"]) == (False, True, False)
    assert words["a translation is within 2 grey levels of the CPU's"] is False
    assert words["five updates twice are equal with deterministic operations"] is True
    assert words["asked to stop it leaves with 75, and the same command goes on to the end"] is None
    text = page(found, checks)
    assert "| **no** |" in text and "`whole`: out of memory" in text


def test_the_list_fits_its_time_and_the_page_says_that_it_was_not_run():
    assert {stage.work for stage in gpu_check.STAGES} == set(WORK)
    assert len({stage.name for stage in gpu_check.STAGES}) == len(gpu_check.STAGES)
    text = (ROOT / "docs" / "gpu.md").read_text()
    assert "Not run yet" in text or "Made by `python -m benchmarks.gpu_check`" in text


@pytest.mark.parametrize(("platform", "wanted"), [("cuda", "cuda,cpu"), ("cpu", "cpu")])
def test_stages_say_where_they_run(platform, wanted):
    stages = {stage.name: stage.environment(platform) for stage in gpu_check.STAGES}
    assert stages["numbers_cpu"]["JAX_PLATFORMS"] == "cpu"
    assert stages["numbers_highest"]["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert {stage["JAX_PLATFORMS"] for name, stage in stages.items() if not name.endswith("_cpu")} == {wanted}
    assert not any(
        "autotune" in stage.get("XLA_FLAGS", "") for name, stage in stages.items() if name.startswith("speed")
    )
    assert ("deterministic" in stages["again_deterministic"].get("XLA_FLAGS", "")) == (platform == "cuda")
