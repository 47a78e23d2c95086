"""The topics ``translate``, the network by what computes it, and ``files``, what users get."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import tempfile
from collections.abc import Iterator

from cfd2gray.benchmarks.plan import TORCH, Plan, measure, naive_peer, ours, torch_peers
from cfd2gray.benchmarks.process import Contender, facts_of
from cfd2gray.benchmarks.section import Section
from cfd2gray.benchmarks.translation import write_screen

OURS = "cfd2gray.benchmarks.translation:"
RUNTIMES = ("openvino", "onnxruntime", "jax")
LONG_CLIP = 64
"""Frames of the clips that whole clips and files are timed on."""
LARGE = (600, 800)
"""Rows and columns of a usual screen."""


def translate(plan: Plan) -> Iterator[Section]:
    """The network by what computes it."""
    section = Section(
        name="network",
        about="The generator on one clip, by what computes it. OpenVINO and ONNX Runtime compute the exported graph, from host "
        "to host and with evidence, matched grain and confidence; JAX and PyTorch the bare network on arrays on the device "
        "('per core': through `Translator.windows`, a window on every CPU core). All return the same pictures.",
        unit="frames",
        settings=plan.settings(batch=1),
    )
    task = dataclasses.replace(plan.task, batch=1)
    options = task.options()
    graphs = {
        "OpenVINO": ("openvino", None),
        "OpenVINO float32": ("openvino", "f32"),
        "ONNX Runtime": ("onnxruntime", None),
    }
    contenders = [
        Contender(
            name=name, target=OURS + "graph", process=name,
            options={"task": options, "runtime": runtime, "precision": precision},
        )
        for name, (runtime, precision) in graphs.items()
    ]  # fmt: skip
    contenders += [
        ours("JAX", "network", options),
        ours("JAX per core", "network_in_windows", options, cores=True),
        ours("JAX, streaming", "stream_frame", options),
    ]
    if plan.peers:
        half = dataclasses.replace(task, overrides=(*task.overrides, "model.dtype=bfloat16")).options()
        contenders += torch_peers("network", options)
        contenders += [dataclasses.replace(one, name=f"{one.name} bf16") for one in torch_peers("network", half)]
        contenders.append(naive_peer("obvious JAX layers", "network", options))
    pairs = [(name, rival) for name in ("OpenVINO", "JAX") for rival in (*TORCH, *(f"{name} bf16" for name in TORCH))]
    pairs += [("OpenVINO float32", "PyTorch compiled"), ("ONNX Runtime", "PyTorch compiled"), ("OpenVINO", "JAX")]
    pairs += [("JAX per core", "JAX"), ("JAX", "obvious JAX layers"), ("JAX, streaming", "JAX")]
    measure(section, plan, contenders, pairs)
    yield section


def files(plan: Plan) -> Iterator[Section]:
    """What users get, by runtime."""
    task = dataclasses.replace(plan.task, batch=1)
    whole = dataclasses.replace(task, size=0, frames=0)
    size, (height, width) = task.load().data.size, LARGE
    section = Section(
        name="files",
        about=f"What users get, by runtime. 'clip': a simulated screen in memory, with flow detection and pasting; 'file': the "
        f"same from FFV1 to H.264; 'large file': half as many frames of {width}x{height}; 'live': `Translator.stream`, frame "
        "by frame.",
        unit="frames",
        settings=plan.settings(batch=1, clip_frames=LONG_CLIP),
    )
    with tempfile.TemporaryDirectory() as folder:
        small, large = pathlib.Path(folder) / "small.mkv", pathlib.Path(folder) / "large.mkv"
        write_screen(small, frames=LONG_CLIP, height=size, width=size)
        write_screen(large, frames=LONG_CLIP // 2, height=height, width=width)
        contenders = []
        for runtime in RUNTIMES:
            works = {
                "live": ("live", task, {}),
                "clip": ("clip", task, {"frames": LONG_CLIP}),
                "file": ("file", task, {"frames": LONG_CLIP, "source": str(small)}),
                "large file": ("file", whole, {"frames": LONG_CLIP // 2, "source": str(large)}),
            }
            contenders += [
                Contender(
                    name=f"{name}, {runtime}", target=OURS + target, process=runtime,
                    options={"task": own.options(), "runtime": runtime} | more,
                )
                for name, (target, own, more) in works.items()
            ]  # fmt: skip
        pairs = [(f"{work}, {fast}", f"{work}, jax") for work in works for fast in RUNTIMES[:-1]]
        measure(section, plan, contenders, pairs)
    for runtime in RUNTIMES:
        options = {"task": whole.options(), "runtime": runtime, "sizes": 4, "frames": 16}
        try:
            facts = facts_of(Contender(name="new sizes", target=OURS + "new_sizes", options=options))
        except ValueError as error:
            section.missing[f"new sizes, {runtime}"] = str(error)
            continue
        section.notes.append(_new_sizes(runtime, facts["first_s"], facts["again_s"]))
    yield section


def _new_sizes(runtime: str, first: list[float], again: list[float]) -> str:
    extra, steady = (statistics.mean(x) for x in ([a - b for a, b in zip(first, again)], again))
    share = 20 * extra / (20 * extra + 200 * steady)
    return (
        f"{runtime}: the first clip of a new size takes {statistics.mean(first):.2f} s (at most {max(first):.2f} s), the next "
        f"{steady:.2f} s (16 frames, 96 to 192 px, nothing cached): in an archive of 200 such clips of 20 sizes, preparing "
        f"is {100 * share:.0f} % of the network's time"
    )
