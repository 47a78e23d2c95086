"""What scoring costs beside the network in a validation while training: 1,000 tiny clips on eight fake devices.

    python tests/benchmarks/bench_validation.py [--clips 1000] [--config tiny] [--size 32] [--frames 8]

Counts the programs that two validations compile, and compares the second one's processor time with that of the forward
passes alone over the same batches: with reading and transfer, and without them; FLOPs as XLA counts them. Goals: one
program, at most 1.2 times the forward passes.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

DEVICES, BATCH = 8, 40


def measure(records: pathlib.Path, settings: argparse.Namespace) -> dict[str, object]:
    """JAX is imported here: its number of devices is decided then."""
    import jax

    from cfd2gray.config import load_config
    from cfd2gray.evaluation import validation
    from cfd2gray.mesh import make_mesh, replicated
    from cfd2gray.models.generator import Generator
    from cfd2gray.models.pure import fresh_params
    from cfd2gray.training.data import STEP_KEYS, build_source, evaluation_batches
    from cfd2gray.training.state import TrainSpec
    from cfd2gray.translation.predict import make_predict
    from data_pipeline.records.pack import pack
    from tests.cfd2gray.tiny import make_pair

    jobs = [functools.partial(make_pair, i, frames=settings.frames, size=settings.size) for i in range(settings.clips)]
    pack(jobs, records, fractions=(("val", 1.0),), progress=False)
    overrides = (f"data.dir={records}", f"data.size={settings.size}", f"eval.frames={settings.frames}")
    config = load_config(settings.config, [*overrides, "eval.clips=0", f"eval.batch_size={BATCH}"])
    spec, mesh = TrainSpec.from_config(config), make_mesh()
    assert mesh.size == DEVICES
    params = jax.device_put(fresh_params(Generator, spec.generator, 0), replicated(mesh))
    whole = make_predict(spec.generator, feather=config.translate.feather)
    predict = jax.jit(lambda params, batch: whole(params, batch)["composited"])  # what is scored, and no other output
    batches = functools.partial(evaluation_batches, config, build_source(config, "val"), mesh, STEP_KEYS)

    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )

    def validate() -> float:
        return validation.validate(config, spec, params, mesh)["val/clips"]

    def forward() -> None:
        for batch in batches():
            jax.block_until_ready(predict(params, batch))

    def read() -> None:
        for batch in batches():
            jax.block_until_ready(batch)

    programs = []
    for _ in range(2):
        before = len(compiled)
        clips = validate()
        programs.append(len(compiled) - before)
    forward()
    cpu = {work.__name__: [_cpu(work) for _ in range(settings.repeats)] for work in (read, forward, validate)}
    best = {name: min(seconds) for name, seconds in cpu.items()}
    batch = next(iter(batches()))
    step = validation.compiled_step(spec.generator, config.translate.feather, mesh)
    flops = {
        name: f.lower(params, batch).compile().cost_analysis()["flops"]
        for name, f in (("forward", predict), ("validate", step))
    }
    return {
        "clips": clips, "devices": mesh.size, "programs": programs, "cpu_s": best, "flops_of_a_device": flops,
        "flops_ratio": flops["validate"] / flops["forward"],
        "cpu_ratio": best["validate"] / best["forward"],
        "cpu_ratio_without_reading": (best["validate"] - best["read"]) / (best["forward"] - best["read"]),
    }  # fmt: skip


def _cpu(work: Callable[[], object]) -> float:
    """Processor seconds of this process, all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    settings = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(pathlib.Path(folder) / "records", settings), indent=1))


if __name__ == "__main__":
    main()
