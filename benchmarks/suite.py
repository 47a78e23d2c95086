"""The topics of `cfd2gray bench`: which contenders run against each other, and what is read from the result."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from cfd2gray.benchmarks import machine, memory, reading
from cfd2gray.benchmarks.diffusion import latent_cost
from cfd2gray.benchmarks.plan import Plan, measure, naive_peer, ours, torch_peers
from cfd2gray.benchmarks.process import Contender
from cfd2gray.benchmarks.section import Section
from cfd2gray.benchmarks.translation_topics import files, translate


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
        ours("update", "train_step", task, cores=True),
        ours("update, one device", "train_step", task),
        ours("update, anatomy warm-up", "train_step", task, cores=True, with_critics=False),
    ]
    if plan.peers:
        contenders += [*torch_peers("train_step", task), naive_peer("update, obvious JAX layers", "train_step", task)]
    rivals = ("update, one device", "PyTorch eager", "PyTorch compiled", "update, obvious JAX layers")
    measure(section, plan, contenders, [("update", rival) for rival in rivals])
    yield section

    guard = Section(
        name="gradient",
        about="The generator's forward pass and its gradient, which should cost at most five forwards together (four for "
        "going back).",
        unit="frames",
        settings=plan.settings(batch=plan.task.load().data.batch_size),
    )
    contenders = [ours("forward", "network", task), ours("gradient", "gradient", task)]
    if plan.peers:
        contenders.append(naive_peer("gradient, obvious JAX layers", "gradient", task))
    pairs = [("forward", "gradient"), ("gradient", "gradient, obvious JAX layers")]
    measure(guard, plan, contenders, pairs)
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
        raw, zstd, here = f"{folder}/raw", f"{folder}/zstd", "cfd2gray.benchmarks.reading:"
        contenders = [
            Contender(name="Grain, raw", target=here + "by_grain", options={"folder": raw, "threads": threads}),
            Contender(name="Grain, zstd", target=here + "by_grain", options={"folder": zstd, "threads": threads}),
            Contender(
                name="loader, raw",
                target=here + "by_loader",
                options={"folder": raw, "frames": frames, "size": size, "threads": threads},
            ),
            Contender(name="read() alone", target=here + "by_page_cache", options={"folder": raw, "clips": clips}),
        ]
        if plan.peers:
            options = {"folder": raw, "threads": threads}
            target = "cfd2gray.benchmarks.peers.tf_reading:by_tf_data"
            contenders.append(Contender(name="tf.data, raw", target=target, options=options, process="tf"))
        pairs = [("Grain, raw", "tf.data, raw"), ("Grain, raw", "read() alone")]
        measure(section, plan, contenders, pairs)
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
    measure(section, plan, contenders, [("cfd2gray", name) for name in libraries])
    yield section


def baseline_diffusion(plan: Plan) -> Iterator[Section]:
    """The same backbone as a diffusion model."""
    from cfd2gray.benchmarks.diffusion.work import SAMPLED, train_both

    section = Section(
        name="baseline-diffusion",
        about="The generator's own backbone as a conditional denoiser, sampled with DDIM, on the same clip at the same size. "
        "One step is also the cost of a distilled model. Quality: SSIM where colour hid the truth.",
        unit="frames",
        settings=plan.settings(batch=1),
    )
    task = dataclasses.replace(plan.task, batch=1).options()
    contenders = [ours("generator", "network", task)]
    for steps, guidance in SAMPLED:
        options = {"task": task, "steps": steps, "guidance": guidance}
        name = f"diffusion {steps}" + (" guided" if guidance != 1.0 else "")
        contenders.append(Contender(name=name, target="cfd2gray.benchmarks.diffusion.work:sampling", options=options))
    names = [one.name for one in contenders[1:]]
    measure(section, plan, contenders, [("generator", name) for name in names])
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
    "files": files,
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
