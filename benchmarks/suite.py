"""The topics of `cfd2gray bench`: which contenders run against each other, and what is read from the result."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from cfd2gray.benchmarks import latent_cost, machine, memory, reading
from cfd2gray.benchmarks.process import Contender, run_paired
from cfd2gray.benchmarks.section import Section
from cfd2gray.benchmarks.work import Task

OURS = "cfd2gray.benchmarks.networks:"
LONG_CLIP = 64
"""Frames of the clips that the `Translator` and whole files are timed on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How to measure.

    Attributes:
      task: Network and sizes.
      rounds: Turns that each contender gets.
      block_s: How long a turn lasts, seconds.
      peers: Whether other frameworks take part.
      train_s: Seconds of training that the generator and the diffusion baseline get each; 0: speed only.
      peaks: What the machine can do.
    """

    task: Task
    rounds: int
    block_s: float
    peers: bool
    train_s: float
    peaks: machine.Peaks

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a reader must know of the run."""
        config = self.task.load()
        return {
            "config": self.task.config,
            "size": config.data.size,
            "frames": config.data.frames - 2 * config.train.margin,
            "precision": config.model.dtype,
            "rounds": self.rounds,
        } | more


def _measure(section: Section, plan: Plan, contenders: list[Contender], pairs: list[tuple[str, str]]) -> None:
    before = machine.load()
    run = run_paired(contenders, rounds=plan.rounds, block_s=plan.block_s)
    section.load = (before, machine.load())
    section.add(run, pairs, plan.peaks.best(machine.probe(seconds=1.0)))  # before and after, whichever was calmer


def _torch(work: str, task: dict[str, Any]) -> list[Contender]:
    target = f"cfd2gray.benchmarks.peers.torch_contenders:{work}"
    return [
        Contender(name="PyTorch eager", target=target, options={"task": task, "compiled": False}, process="torch"),
        Contender(
            name="PyTorch compiled", target=target, options={"task": task, "compiled": True}, process="torch compiled"
        ),
    ]


def _naive(name: str, work: str, task: dict[str, Any]) -> Contender:
    options = {"task": task, "work": work}
    return Contender(
        name=name, target="cfd2gray.benchmarks.peers.naive_jax:contender", options=options, process="naive"
    )


def translate(plan: Plan) -> Iterator[Section]:
    """The network, the translator, whole files and streams."""
    section = Section(
        name="translate",
        about="The generator on one clip ('network': arrays on the device), the Translator on a simulated screen with flow "
        "detection and pasting, the same from file to file (FFV1 in, H.264 out), and streaming frame by frame. 'in windows': "
        "through `Translator.windows`, from host to host, a window on every CPU core, as Translator and files are measured "
        "too. The peers run the network with the same parameters and return the same pictures.",
        unit="frames",
        settings=plan.settings(batch=1, clip_frames=LONG_CLIP),
    )
    task = dataclasses.replace(plan.task, batch=1).options()
    contenders = [
        Contender(name="network", target=OURS + "network", options={"task": task}),
        Contender(name="network in windows", target=OURS + "network_in_windows", options={"task": task}, cores=True),
        Contender(name="streaming network", target=OURS + "stream_frame", options={"task": task}),
        Contender(name="Translator.stream", target=OURS + "live", options={"task": task}),
        *(
            Contender(name=name, target=OURS + work, options={"task": task, "frames": LONG_CLIP}, cores=True)
            for name, work in (("Translator", "translator"), ("file to file", "translate_file"))
        ),
    ]
    if plan.peers:
        contenders += [*_torch("network", task), _naive("obvious JAX layers", "network", task)]
    rivals = ("PyTorch eager", "PyTorch compiled", "obvious JAX layers")
    pairs = [(ours, rival) for ours in ("network", "network in windows") for rival in rivals] + [
        ("network in windows", "network"),
        ("Translator", "file to file"),
        ("streaming network", "network"),
    ]
    _measure(section, plan, contenders, pairs)
    yield section


def runtimes(plan: Plan) -> Iterator[Section]:
    """What computes the network on a CPU."""
    section = Section(
        name="runtimes",
        about="The generator on one clip, by what computes it: `Translator(runtime=...)`. OpenVINO and ONNX Runtime compute "
        "the exported graph, from host to host and with matched grain and confidence; JAX and PyTorch the bare network, "
        "arrays on the device. 'live': `Translator.stream`, frame by frame; 'file': FFV1 in, H.264 out, all included.",
        unit="frames",
        settings=plan.settings(batch=1, clip_frames=LONG_CLIP),
    )
    task = dataclasses.replace(plan.task, batch=1).options()
    half = dataclasses.replace(plan.task, batch=1, overrides=(*plan.task.overrides, "model.dtype=bfloat16")).options()
    ours = "cfd2gray.benchmarks.runtimes:"
    graphs = {
        "OpenVINO": ("openvino", None),
        "OpenVINO float32": ("openvino", "f32"),
        "ONNX Runtime": ("onnxruntime", None),
    }
    contenders = [
        Contender(
            name=name, target=ours + "network", options={"task": task, "runtime": runtime, "precision": precision},
            process=name,
        )
        for name, (runtime, precision) in graphs.items()
    ]  # fmt: skip
    contenders.append(Contender(name="JAX", target=OURS + "network", options={"task": task}))
    for runtime in ("openvino", "onnxruntime", "jax"):
        options = {"task": task, "runtime": runtime}
        contenders += [
            Contender(name=f"live, {runtime}", target=ours + "live", options=options, process=runtime),
            Contender(
                name=f"file, {runtime}", target=ours + "file_to_file", options=options | {"frames": LONG_CLIP},
                process=runtime,
            ),
        ]  # fmt: skip
    if plan.peers:
        contenders += _torch("network", task)
        contenders += [dataclasses.replace(one, name=f"{one.name} bfloat16") for one in _torch("network", half)]
    rivals = ("PyTorch eager", "PyTorch compiled", "PyTorch eager bfloat16", "PyTorch compiled bfloat16", "JAX")
    pairs = [(name, rival) for name in graphs for rival in rivals] + [("JAX", "PyTorch compiled")]
    pairs += [(f"{work}, {fast}", f"{work}, jax") for work in ("live", "file") for fast in ("openvino", "onnxruntime")]
    _measure(section, plan, contenders, pairs)
    yield section


def train(plan: Plan) -> Iterator[Section]:
    """Updates, gradients, and the guard on the backward pass."""
    section = Section(
        name="train",
        about="One update of generator and discriminator with every loss term, the batch on the device, or a part of it on "
        "every CPU core. The peers make the same update: terms and gradient norms agree.",
        unit="clips",
        settings=plan.settings(batch=plan.task.load().data.batch_size),
    )
    task = plan.task.options()
    contenders = [
        Contender(name="update", target=OURS + "train_step", options={"task": task}, cores=True),
        Contender(name="update, one device", target=OURS + "train_step", options={"task": task}),
        Contender(
            name="update, anatomy warm-up", target=OURS + "train_step", options={"task": task, "with_critics": False},
            cores=True,
        ),
    ]  # fmt: skip
    if plan.peers:
        contenders += [*_torch("train_step", task), _naive("update, obvious JAX layers", "train_step", task)]
    rivals = ("update, one device", "PyTorch eager", "PyTorch compiled", "update, obvious JAX layers")
    _measure(section, plan, contenders, [("update", rival) for rival in rivals])
    yield section

    guard = Section(
        name="gradient",
        about="The generator's forward pass and its gradient, which should cost at most five forwards together (four for "
        "going back).",
        unit="frames",
        settings=plan.settings(batch=plan.task.load().data.batch_size),
    )
    contenders = [
        Contender(name="forward", target=OURS + "network", options={"task": task}),
        Contender(name="gradient", target=OURS + "gradient", options={"task": task}),
    ]
    if plan.peers:
        contenders.append(_naive("gradient, obvious JAX layers", "gradient", task))
    pairs = [("forward", "gradient"), ("gradient", "gradient, obvious JAX layers")]
    _measure(guard, plan, contenders, pairs)
    for found in guard.ratios:
        if found["slow"] == "gradient":
            back = found["median"] - 1.0
            guard.notes.append(
                f"backward costs {back:.1f} forwards ({'within' if back <= 4 else 'above'} the limit of 4)"
            )
    yield guard


def read(plan: Plan) -> Iterator[Section]:
    """Packed clips in batches."""
    config, clips, threads = plan.task.load(), 64, 2
    frames, size = config.data.frames, config.data.size
    section = Section(
        name="input",
        about="Batches of 8 packed clips (colour, grey, strata, labels) as NumPy arrays from the page cache. Grain reads at "
        "random, tf.data in order; 'loader' also draws the window, augments and resizes.",
        unit="clips",
        settings=plan.settings(clips=clips, stored_frames=frames, threads=threads),
    )
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ("raw", "zstd"):
            reading.pack_clips(
                pathlib.Path(folder) / encoding, clips=clips, frames=frames, size=size, encoding=encoding
            )
        raw, zstd, ours = f"{folder}/raw", f"{folder}/zstd", "cfd2gray.benchmarks.reading:"
        contenders = [
            Contender(name="Grain, raw", target=ours + "by_grain", options={"folder": raw, "threads": threads}),
            Contender(name="Grain, zstd", target=ours + "by_grain", options={"folder": zstd, "threads": threads}),
            Contender(
                name="loader, raw",
                target=ours + "by_loader",
                options={"folder": raw, "frames": frames, "size": size, "threads": threads},
            ),
            Contender(name="read() alone", target=ours + "by_page_cache", options={"folder": raw, "clips": clips}),
        ]
        if plan.peers:
            options = {"folder": raw, "threads": threads}
            target = "cfd2gray.benchmarks.peers.tf_reading:by_tf_data"
            contenders.append(Contender(name="tf.data, raw", target=target, options=options, process="tf"))
        pairs = [("Grain, raw", "tf.data, raw"), ("Grain, raw", "read() alone")]
        _measure(section, plan, contenders, pairs)
        section.notes.append(memory.data_wait(plan.task, pathlib.Path(raw)))
    yield section


def ssim(plan: Plan) -> Iterator[Section]:
    """SSIM of a stack of frames."""
    count, size = 64, plan.task.size or 256
    section = Section(
        name="ssim",
        about="Mean SSIM of frames in [0, 1], Gaussian 11x11, sigma 1.5, population covariance. torchmetrics also averages "
        "the mirrored border, so its mean differs by convention.",
        unit="frames",
        settings={"frames": count, "size": size, "rounds": plan.rounds},
    )
    sizes = {"count": count, "size": size}
    contenders = [Contender(name="cfd2gray", target="cfd2gray.benchmarks.peers.ssim_libraries:ours", options=sizes)]
    libraries = ("scikit-image", "tf.image", "dm_pix", "torchmetrics") if plan.peers else ()
    for name in libraries:
        target = "cfd2gray.benchmarks.peers.ssim_libraries:library"
        contenders.append(Contender(name=name, target=target, options={"name": name, **sizes}, process=name))
    _measure(section, plan, contenders, [("cfd2gray", name) for name in libraries])
    yield section


def baseline_diffusion(plan: Plan) -> Iterator[Section]:
    """The same backbone as a diffusion model."""
    from cfd2gray.benchmarks.diffusion_work import SAMPLED, train_both

    section = Section(
        name="baseline-diffusion",
        about="The generator's own backbone as a conditional denoiser, sampled with DDIM, on the same clip at the same size. "
        "One step is also the cost of a distilled model. Quality: SSIM where colour hid the truth.",
        unit="frames",
        settings=plan.settings(batch=1),
    )
    task = dataclasses.replace(plan.task, batch=1).options()
    contenders = [Contender(name="generator", target=OURS + "network", options={"task": task})]
    for steps, guidance in SAMPLED:
        options = {"task": task, "steps": steps, "guidance": guidance}
        name = f"diffusion {steps}" + (" guided" if guidance != 1.0 else "")
        contenders.append(Contender(name=name, target="cfd2gray.benchmarks.diffusion_work:sampling", options=options))
    names = [one.name for one in contenders[1:]]
    _measure(section, plan, contenders, [("generator", name) for name in names])
    if plan.train_s:
        quality = train_both(dataclasses.replace(plan.task, batch=2), seconds=plan.train_s)
        for row in section.rows:
            found = quality[row["name"]]
            row |= {"flow_ssim": found.flow_ssim, "trained_s": found.seconds, "updates": found.updates}
    section.notes += _latent_arithmetic(section)
    yield section


def _latent_arithmetic(section: Section) -> list[str]:
    """What 164 times as fast means: against which model, at which size."""
    own = next(row for row in section.rows if row["name"] == "generator")["gflop_per_unit"] * 1e9
    unet, size = latent_cost.LatentUnet(), 256
    own_256 = own * (size / section.settings["size"]) ** 2
    plain, guided = (latent_cost.diffusion_flops(size, steps=50, guided=flag) for flag in (False, True))
    return [
        "Arithmetic, not measured: a latent-diffusion U-Net of the released shape costs "
        f"{2e-9 * unet.macs(size):.0f} GFLOP per evaluation at {size} px; 50 steps and the decoder {plain / 1e12:.1f} TFLOP "
        f"per frame, {guided / 1e12:.1f} with guidance. This generator costs {own_256 / 1e9:.1f} GFLOP per frame there, so the "
        f"ratios are {plain / own_256:.0f} and {guided / own_256:.0f}. A factor of 164 is what a generator of "
        f"{plain / 164e9:.0f} GFLOP per frame has over 50 steps, or one of {guided / 164e9:.0f} over 50 guided ones: it says "
        "as much about the baseline as about the translator.",
    ]


def peak_memory(plan: Plan) -> Iterator[Section]:
    """What the compiler asks for, per shipped config."""
    section = Section(
        name="memory", about=memory.ABOUT, unit="", settings={"config": plan.task.config},
    )  # fmt: skip
    section.notes += memory.peaks_of(plan.task)
    yield section


Topic = Callable[[Plan], Iterator[Section]]
TOPICS: dict[str, Topic] = {
    "translate": translate,
    "runtimes": runtimes,
    "train": train,
    "input": read,
    "ssim": ssim,
    "baseline-diffusion": baseline_diffusion,
    "memory": peak_memory,
}


def run(topics: list[str], plan: Plan, *, told: Callable[[Section], None]) -> dict[str, Any]:
    """Measure topics one after another; ``told`` is called with every section as it is done.

    Returns:
      ``{"machine", "peaks", "sections"}``, JSON.
    """
    sections = []
    for topic in topics:
        with contextlib.closing(TOPICS[topic](plan)) as found:
            for section in found:
                told(section)
                sections.append(dataclasses.asdict(section))
    return {"machine": machine.describe(), "peaks": dataclasses.asdict(plan.peaks), "sections": sections}
