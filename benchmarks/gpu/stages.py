"""What `gpu_check` runs, one stage a process: each takes its `Stage` and a folder and returns JSON."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SMALL = (
    "model.width=8", "model.levels=1", "model.blocks=1", "model.denoise_width=8", "model.denoise_blocks=1",
    "model.fill_radius=1", "discriminator.width=8", "discriminator.levels=1", "loss.perceptual_frames=1", "train.margin=1",
)  # fmt: skip
"""A network that a laptop trains in seconds, to try the script itself."""
TRACED = 3
"""Calls in a profile."""
KERNELS = 8
"""Kernels that are listed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage.

    Attributes:
      name: Of the stage, and of the files it leaves.
      work: Key of `WORK`.
      seconds: It may take; then it is ended.
      dtype: The networks compute in.
      precision: Of float32 products, as in ``JAX_DEFAULT_MATMUL_PRECISION``; empty: the device's own.
      on_cpu: It is what the device is compared with.
      deterministic: Whether XLA is told to be.
      config, batch: Of the training step.
      small: Only the script is tried.
    """

    name: str
    work: str
    seconds: int = 120
    dtype: str = "float32"
    precision: str = ""
    on_cpu: bool = False
    deterministic: bool = False
    config: str = "echo_128"
    batch: int = 0
    small: bool = False

    def environment(self, platform: str) -> dict[str, str]:
        """Variables that the stage's process needs beside those that are there."""
        env = {"JAX_PLATFORMS": "cpu" if self.on_cpu or platform == "cpu" else f"{platform},cpu"}
        if self.precision:
            env["JAX_DEFAULT_MATMUL_PRECISION"] = self.precision
        flags = [os.environ.get("XLA_FLAGS", "")]
        if self.deterministic:
            flags.append("--xla_gpu_deterministic_ops=true")
        if self.work in (
            "numbers",
            "again",
        ):  # trying kernels for the fastest took minutes on an H200, for five updates
            flags.append("--xla_gpu_autotune_level=0")
        if env["JAX_PLATFORMS"] != "cpu":
            env["XLA_FLAGS"] = " ".join(flags).strip()
        return env


def numbers(stage: Stage, folder: pathlib.Path) -> dict[str, Any]:
    """One update: every metric, parameter and Adam moment, into ``NAME.npz``."""
    metrics, arrays = _updates(stage, steps=1)
    np.savez(
        folder / f"{stage.name}.npz",
        **{f"metric/{k}": np.float64(v) for k, v in metrics.items()},
        **{f"array/{k}": v for k, v in arrays.items()},
    )
    return {"metrics": metrics}


def again(stage: Stage, folder: pathlib.Path) -> dict[str, Any]:
    """Five updates twice: are they equal bit for bit?"""
    first, second = (_updates(stage, steps=5)[1] for _ in range(2))
    return {"equal": all(np.array_equal(first[k], second[k]) for k in first)}


def _updates(stage: Stage, *, steps: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics and parameters after ``steps`` updates on one batch, from parameters of which none is zero."""
    import jax
    from cfd2gray.benchmarks.work import Task, awake_discriminator, awake_params, batch_of

    from cfd2gray.mesh import make_mesh, replicated
    from cfd2gray.training.data import STEP_KEYS, to_mesh
    from cfd2gray.training.state import TrainSpec, create_state, load_vgg
    from cfd2gray.training.step import make_train_step

    sizes = SMALL if stage.small else ("model.width=32", "model.denoise_width=32")
    task = Task(
        config="default", overrides=(*sizes, f"model.dtype={stage.dtype}"), size=32 if stage.small else 96,
        frames=4 if stage.small else 8, batch=2,
    )  # fmt: skip
    config = task.load()
    spec, mesh = TrainSpec.from_config(config), make_mesh(devices=jax.devices()[:1])
    vgg = jax.device_put(load_vgg(config, spec), replicated(mesh))
    awake = jax.device_put((awake_params(spec.generator), awake_discriminator(spec.discriminator)), replicated(mesh))
    state = create_state(spec, mesh, seed=0, fsdp_min_size=1 << 30)
    state = dataclasses.replace(state, generator=awake[0], discriminator=awake[1])
    batch = to_mesh(batch_of(config.data.batch_size, config.data.frames, config.data.size), mesh, STEP_KEYS)
    step = make_train_step(spec, mesh, jax.tree.map(lambda x: x.sharding, state), with_critics=True)
    for _ in range(steps):
        state, metrics = step(state, batch, vgg)
    kept = {"generator": state.generator, "discriminator": state.discriminator, "moments": state.generator_opt}
    leaves = jax.device_get([(jax.tree_util.keystr(path), x) for path, x in jax.tree_util.tree_leaves_with_path(kept)])
    return {k: float(v) for k, v in jax.device_get(metrics).items()}, {k: x for k, x in leaves if np.size(x) > 1}


def speed(stage: Stage, folder: pathlib.Path) -> dict[str, Any]:
    """Update, update of the anatomy warm-up, and the generator alone: time, work, share of the measured peak, kernels."""
    import jax
    from cfd2gray.benchmarks import machine, networks
    from cfd2gray.benchmarks.work import Task

    changes = (*(SMALL if stage.small else ()), f"model.dtype={stage.dtype}")
    size, frames, batch = (32, 4, 2) if stage.small else (0, 0, stage.batch)
    task = Task(config=stage.config, overrides=changes, size=size, frames=frames, batch=batch).options()
    peaks = machine.probe(seconds=0.1 if stage.small else 0.5)
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind, "peak_flops": peaks.flops[stage.dtype]}
    contenders = {
        "update": lambda: networks.train_step(task),
        "warm-up": lambda: networks.train_step(task, with_critics=False),
        "generator": lambda: networks.network(task),
    }
    for name, build in contenders.items():
        began = time.perf_counter()
        call, facts = build()
        call()
        compiled = time.perf_counter() - began
        times = []
        for _ in range(3 if stage.small else 15):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        median = float(np.median(times))
        found[name] = {
            "compile_s": round(compiled, 1),
            "ms": round(1e3 * median, 2),
            "per_s": round(facts["units"] / median, 2),
            "tflops": round(facts["flops"] / median / 1e12, 3),
            "of_peak": round(facts["flops"] / median / peaks.flops[stage.dtype], 4),
        }
        if name != "warm-up":
            found[name]["kernels"] = _kernels(call, folder / f"trace-{stage.name}-{name}")
    memory = jax.devices()[0].memory_stats() or {}
    return found | {"peak_gib": round(memory.get("peak_bytes_in_use", 0) / 2**30, 2)}


def _kernels(call: Callable[[], Any], folder: pathlib.Path) -> dict[str, float]:
    """Share of device time of the slowest kernels: what is no convolution or product should be small. Empty on a CPU."""
    import jax

    with jax.profiler.trace(str(folder)):
        for _ in range(TRACED):
            call()
    total: collections.Counter[str] = collections.Counter()
    with contextlib.suppress(Exception):  # a profile is a help, not a check
        newest = max(folder.glob("**/*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        for plane in jax.profiler.ProfileData.from_file(str(newest)).planes:
            for line in plane.lines if "gpu" in plane.name.lower() else ():
                for event in line.events if "Stream" in (line.name or "") else ():
                    total[event.name.split("(")[0][:60]] += event.duration_ns
    whole = sum(total.values()) or 1.0
    return {name: round(ns / whole, 3) for name, ns in total.most_common(KERNELS)}


def shown(stage: Stage, folder: pathlib.Path) -> dict[str, Any]:
    """The shipped weights on one clip, into ``NAME.npy``: frames/s from array to array, and of the stream frame by frame."""
    from cfd2gray.benchmarks.work import screen_clip

    from cfd2gray import Translator

    frames, size = (24, 64) if stage.small else (96, 256)
    clip, translator = screen_clip(frames, size), Translator.from_pretrained(runtime="jax")
    np.save(folder / f"{stage.name}.npy", translator(clip))
    began = time.perf_counter()
    translator(clip)
    found = {"frames_per_s": round(frames / (time.perf_counter() - began), 1)}
    if not stage.on_cpu:
        stream, times = Translator.from_pretrained("streaming", runtime="jax").stream(example=clip[:24]), []
        for frame in clip:
            began = time.perf_counter()
            stream.push(frame)
            times.append(1e3 * (time.perf_counter() - began))
        settled = times[len(times) // 3 :]
        found |= {f"push_ms_p{q}": round(float(np.percentile(settled, q)), 2) for q in (50, 95)}
    return found


def whole(stage: Stage, folder: pathlib.Path) -> dict[str, Any]:
    """The command line with reading processes, asked to stop, started again; who holds the GPU's memory meanwhile."""
    cli, place = [sys.executable, "-m", "cfd2gray.cli"], folder / "whole"
    made = ["--clips", "12", "--frames", "12", "--size", "64"] if stage.small else ["--clips", "24", "--frames", "40"]
    if not (place / "records" / "manifest.json").is_file():
        subprocess.run([*cli, "simulate", *made, "-o", str(place / "records")], check=True, stdout=sys.stderr)
    steps = 60 if stage.small else 120
    keys = [
        f"data.dir={place / 'records'}", f"train.steps={steps}", f"train.warmup_anatomy={steps // 6}", "eval.every=0",
        "log.images_every=0", "log.tensorboard=False", f"log.every={1 if stage.small else 10}", "checkpoint.every=50",
    ]  # fmt: skip
    keys += ["data.num_workers=4", "data.batch_size=8"] if not stage.small else []
    keys += [*SMALL, "data.size=32", "data.frames=6", "data.batch_size=2", "data.num_workers=1"] if stage.small else []
    train = [*cli, "train", "--config", "echo_128", "--workdir", str(place / "run"), *(f"--config.{k}" for k in keys)]
    log = place / "run" / "metrics.jsonl"
    child = subprocess.Popen(train, start_new_session=True, stdout=sys.stderr)
    while child.poll() is None and not (log.is_file() and log.read_text().count("\n") >= 3):
        time.sleep(0.2)
    asked = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"]
    holders = ""
    with contextlib.suppress(FileNotFoundError):
        holders = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)  # as a terminal or a container sends it: the readers get it too
    stopped = child.wait()
    resumed = subprocess.run(train, stdout=sys.stderr).returncode
    last = json.loads(log.read_text().splitlines()[-1])
    return {
        "stopped_with": stopped,
        "resumed_with": resumed,
        "steps": last["step"],
        "gpu_processes": holders,
        "data_wait_percent": last.get("speed/data_wait_percent"),
        "clips_per_s": last.get("speed/clips_per_s"),
    }


WORK: dict[str, Callable[[Stage, pathlib.Path], dict[str, Any]]] = {
    "numbers": numbers,
    "again": again,
    "speed": speed,
    "shown": shown,
    "whole": whole,
}
"""Name -> what is done."""
