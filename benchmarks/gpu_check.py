"""Does cfd2gray run right and fast on this GPU? One command, no network, under ten minutes, a page at the end.

    python -m benchmarks.gpu_check --out OUT                          # exit code 1 when a check fails
    python -m benchmarks.gpu_check --out OUT --page docs/gpu.md       # the page as well
    python -m benchmarks.gpu_check --out OUT --platform cpu --small   # tries the script itself, on a laptop

Every stage is a process of its own, so that XLA flags, platforms and memory cannot leak from one to the next. Started again
with the same OUT, what is done is kept and what is missing is run: a machine may be lent for five minutes twice.

  numbers  one update of both players against float32 on the CPU: losses, gradient norms, parameters, moments, for float32 with
           whole products, float32 as the device does it (TF32 since Ampere) and bfloat16
  again    five updates twice: equal bit for bit, with XLA's flags as they are and with deterministic ones
  speed    compile time, time of an update and of the generator, share of the *measured* peak, memory, slowest kernels
  shown    the shipped weights on a clip: grey levels against the CPU's, frames/s; stream: median and 95th percentile of a frame
  whole    `cfd2gray train` with readers: share of time waiting for data, SIGTERM to all -> 75, resumed; who holds memory
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cfd2gray.benchmarks.gpu.page import page
from cfd2gray.benchmarks.gpu.stages import WORK, Stage

from data_pipeline.files import write_atomically, write_json

STAGES = (
    Stage(name="numbers_cpu", work="numbers", on_cpu=True),
    Stage(name="numbers_highest", work="numbers", precision="highest"),
    Stage(name="numbers_float32", work="numbers"),
    Stage(name="numbers_bfloat16", work="numbers", dtype="bfloat16"),
    Stage(name="again_deterministic", work="again", dtype="bfloat16", deterministic=True),
    Stage(name="again", work="again", dtype="bfloat16"),
    Stage(name="speed_bfloat16_128", work="speed", dtype="bfloat16", batch=16, seconds=150),
    Stage(name="speed_bfloat16_256", work="speed", dtype="bfloat16", config="echo_256", batch=4, seconds=150),
    Stage(name="shown_cpu", work="shown", on_cpu=True),
    Stage(name="shown", work="shown"),
    Stage(name="whole", work="whole", seconds=180),
    Stage(name="speed_float32_128", work="speed", batch=4, seconds=150),
)
"""In the order of what would be missed most."""
MINUTES = 10.0
PATIENCE = 10
"""Times a stage's seconds that it may take where only the script is tried, on whatever machine."""

NUMBERS = {"numbers_highest": 1e-4, "numbers_float32": 2e-2, "numbers_bfloat16": 0.2}
"""Largest relative distance of a loss or gradient norm from the CPU's: rounding of 23, 10 and 7 bits through some 30 layers."""
LEVELS = 2
"""Grey levels of 255 by which a translation may differ from the CPU's."""
TRAINING_SHARE, GENERATOR_SHARE = 0.35, 0.5
"""Share of the measured peak at 256 px that is aimed at."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder of results; kept from one start to the next"
    )
    parser.add_argument("--page", type=pathlib.Path, help="write the results as Markdown")
    parser.add_argument("--platform", default="cuda", help="of JAX: cuda, rocm; cpu tries the script")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for the whole list; what is missing then waits")
    parser.add_argument("--only", default="", help="stages that begin so, separated by commas")
    parser.add_argument("--small", action="store_true", help="a tiny network")
    parser.add_argument("--stage", help=argparse.SUPPRESS)  # one stage, in a process of its own
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    stages = [dataclasses.replace(stage, small=options.small) for stage in STAGES]
    if options.stage:
        (stage,) = (stage for stage in stages if stage.name == options.stage)
        print(json.dumps(WORK[stage.work](stage, options.out.absolute())))
        return 0
    wanted = tuple(options.only.split(","))
    found = run([stage for stage in stages if stage.name.startswith(wanted)], options)
    checks = check(found, options.out, small=options.small)
    write_json(options.out / "gpu_check.json", {"found": found, "checks": checks})
    if options.page:
        write_atomically(options.page, page(found, checks))
    for what, good in checks.items():
        print(f"{'ok   ' if good else 'WRONG' if good is False else 'later'}  {what}")
    return 0 if all(checks.values()) else 1


def run(stages: Sequence[Stage], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Results by stage, old and new; each is written when it is there."""
    ends = time.monotonic() + 60 * options.minutes
    found = {}
    for stage in stages:
        kept = options.out / f"{stage.name}.json"
        left = ends - time.monotonic()
        if kept.is_file():
            found[stage.name] = json.loads(kept.read_text())
        elif left > 0:
            found[stage.name] = _run_one(
                stage, options, limit=min(stage.seconds * (PATIENCE if options.small else 1), left)
            )
            if "error" not in found[stage.name]:
                write_json(kept, found[stage.name])
            print(f"{stage.name}: {json.dumps(found[stage.name])[:160]}", flush=True)
    return found


def _run_one(stage: Stage, options: argparse.Namespace, *, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "cfd2gray.benchmarks.gpu_check", "--out", str(options.out), "--stage", stage.name]
    environment = os.environ | {"CFD2GRAY_CACHE": str((options.out / "cache").absolute())}
    environment |= stage.environment(options.platform)
    began = time.monotonic()
    child = subprocess.Popen(
        [*command, *(["--small"] if options.small else [])], env=environment, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        told, errors = child.communicate(timeout=limit)
        found = json.loads(told.splitlines()[-1]) if child.returncode == 0 else {"error": errors[-600:]}
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)  # its own session: the stage and what it has started
        child.communicate()
        found = {"error": f"not done after {limit:.0f} s"}
    return found | {"seconds": round(time.monotonic() - began, 1)}


def check(found: Mapping[str, Mapping[str, Any]], out: pathlib.Path, *, small: bool) -> dict[str, bool | None]:
    """What must hold -> whether it does; None where a stage is missing or failed."""

    def ask(names: Sequence[str], question: Any) -> bool | None:
        if any("error" in found.get(name, {"error": ""}) for name in names):
            return None
        return bool(question())

    checks = {}
    for name, limit in NUMBERS.items():
        what = f"{name}: losses and gradient norms within {limit:g} of float32 on the CPU"
        checks[what] = ask(["numbers_cpu", name], lambda name=name, limit=limit: farthest(out, name) < limit)
    checks["five updates twice are equal with deterministic operations"] = ask(
        ["again_deterministic"], lambda: found["again_deterministic"]["equal"]
    )
    checks[f"a translation is within {LEVELS} grey levels of the CPU's"] = ask(
        ["shown_cpu", "shown"], lambda: levels_apart(out) <= LEVELS
    )
    checks["asked to stop it leaves with 75, and the same command goes on to the end"] = ask(
        ["whole"], lambda: (found["whole"]["stopped_with"], found["whole"]["resumed_with"]) == (75, 0)
    )
    if not small:
        aims = {"update": TRAINING_SHARE, "generator": GENERATOR_SHARE}
        for part, share in aims.items():
            what = f"{part} at 256 px: at least {share:.0%} of the measured peak"
            name = "speed_bfloat16_256"
            checks[what] = ask([name], lambda part=part, share=share, name=name: found[name][part]["of_peak"] >= share)
    return checks


def farthest(out: pathlib.Path, name: str) -> float:
    """Largest relative distance of a metric from the CPU's."""
    here, there = np.load(out / "numbers_cpu.npz"), np.load(out / f"{name}.npz")
    metrics = [key for key in here if key.startswith("metric/")]
    return max(float(abs(here[k] - there[k]) / max(abs(here[k]), 1e-3)) for k in metrics)


def levels_apart(out: pathlib.Path) -> int:
    """Largest difference of the two translations, in grey levels."""
    here, there = (np.load(out / f"{name}.npy").astype(np.int16) for name in ("shown_cpu", "shown"))
    return int(abs(here - there).max())


if __name__ == "__main__":
    sys.exit(main())
