"""Real runs of the tiny config in real processes, and what they wrote."""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from cfd2gray.launch import local

from cfd2gray.config import flatten
from cfd2gray.training.writer import read_history
from tests.cfd2gray.tiny import tiny_config

SAME_CACHE = pathlib.Path(__file__).parent / "same_cache"

SETTINGS = (
    "train.steps=6", "train.warmup_anatomy=0",
    # Adam's first steps have the length of the rate whatever the gradient: where it is zero but for rounding, a usual
    # rate would make more of that rounding than these tests allow.
    "train.learning_rate=5e-6", "train.discriminator_rate=5e-6",
)  # fmt: skip


def command(data: pathlib.Path, workdir: pathlib.Path, *overrides: str) -> list[str]:
    """``cfd2gray train`` with the tiny config and both players from the first step on, on the packed clips of ``data``."""
    config = flatten(tiny_config(f"data.dir={data}", *SETTINGS, *overrides))
    keys = [f"--config.{key}={value!r}" for key, value in config.items()]
    return [sys.executable, "-m", "cfd2gray.cli", "train", "--config", "default", "--workdir", str(workdir), *keys]


def run(
    data: pathlib.Path,
    workdir: pathlib.Path,
    *overrides: str,
    processes: int = 1,
    devices: int = 1,
    max_restarts: int = 0,
    started: Callable[[list[subprocess.Popen]], None] | None = None,
) -> tuple[int, str]:
    """Exit code and output of a run."""
    out = io.StringIO()
    options = local.Options(processes=processes, devices=devices, max_restarts=max_restarts, grace=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SAME_CACHE), prepend=os.pathsep)
        code = local.launch(command(data, workdir, *overrides), options, out=out, started=started)
    return code, out.getvalue()


def losses(workdir: pathlib.Path) -> dict[int, dict[str, float]]:
    """Losses and gradient norms by step, as far as they were written."""
    return {
        int(line["step"]): {
            k: v for k, v in line.items() if k.startswith(("loss/", "gradient/")) or k.endswith("/loss")
        }
        for line in read_history(workdir)
    }


def assert_same_losses(found: pathlib.Path, expected: pathlib.Path) -> None:
    """Every loss of the generator to 1e-5, the discriminator's and the gradients' norms to 1e-4, at every step."""
    left, right = losses(found), losses(expected)
    assert sorted(left) == sorted(right)
    for step, wanted in right.items():
        assert left[step].keys() == wanted.keys()
        for name, value in wanted.items():
            # The file keeps six digits. Adam's first steps follow the sign of the discriminator's near-zero gradients, so
            # that rounding shows there first (1.5e-5 was seen). Logits of either sign cancel in the adversarial term.
            relative = 1e-4 if name.startswith(("gradient/", "discriminator/")) else 1e-5
            np.testing.assert_allclose(
                left[step][name], value, rtol=relative, atol=1e-6, err_msg=f"{name} at step {step}"
            )
