"""The whole way once: simulate, train, evaluate, translate a real echo, report. Every part can be stopped and continued."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pydicom
from rich.console import Console

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.config import load_config
from cfd2gray.cpu_cores import device_per_core
from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.report.gallery import Gallery
from cfd2gray.evaluation.report.page import write_report
from cfd2gray.evaluation.report.tables import print_result
from cfd2gray.evaluation.results import write_result
from cfd2gray.evaluation.run import evaluate_weights
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.training.loop import train
from cfd2gray.translation.files import Output, translate_file
from cfd2gray.translation.output.video import write_video
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.find import checkpoint_weights
from data_pipeline.pixels import luma
from data_pipeline.readers import read_clip
from data_pipeline.records import pack
from data_pipeline.schema import DOMAINS, VIEWS, PairRecord
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.export import simulation_jobs
from data_pipeline.simulation.painter import HELD_OUT, paint_pair

VIEW_MIX = ("A4C", "PLAX", "CAROTID_LONG", "A2C", "KIDNEY", "LIVER")
"""Views of the demo: hearts, a vessel and two organs, so that the network cannot learn that colour means a chamber."""
CLIPS = {"train": 240, "val": 12, "test": 36}
"""Simulated clips per split, every clip another patient."""


def demo(workdir: pathlib.Path, *, steps: int | None = None) -> dict[str, Any]:
    """Run the demo in ``workdir``; what is already done there is not done again.

    Returns:
      ``{"simulated": evaluation JSON, "echo": evaluation JSON, "seconds": {part: s}}``.

    Raises:
      ValueError: When ``workdir`` holds something else.
    """
    use_compile_cache()
    console, seconds = Console(), {}
    workdir = pathlib.Path(workdir)
    config = load_config("tiny", [f"data.dir={workdir / 'records'}", *([f"train.steps={steps}"] if steps else [])])
    device_per_core(shares=config.data.batch_size)

    @contextlib.contextmanager
    def part(name: str, about: str) -> Iterator[None]:
        console.rule(f"[bold]{name}[/] {about}", align="left")
        began = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - began, 1)

    with part("simulate", f"{sum(CLIPS.values())} paired clips of {', '.join(VIEW_MIX)}"):
        jobs = simulation_jobs(views=VIEW_MIX, clips=CLIPS, size=config.data.size, frames=2 * config.data.frames)
        pack.pack(jobs, workdir / "records", workers=os.cpu_count() or 1, encoding="zstd")
    with part("train", f"{config.train.steps} steps of both networks and their discriminator"):
        train(config, workdir / "run")
    weights = checkpoint_weights(workdir / "run")
    with part("evaluate", f"on {CLIPS['test']} simulated patients never trained on"):
        result = evaluate_weights(config, weights, workdir / "evaluation", workdir=workdir / "run")
        print_result(result, console=console)
    with part("translate", "a real echo with colour painted over it: the truth is known"):
        echo = translate_echo(Translator(weights), workdir / "echo")
        print_result(echo, console=console)
    console.rule(align="left")
    for name, value in seconds.items():
        console.print(f"{name:10s} {value:6.0f} s")
    console.print(f"reports: {workdir / 'evaluation' / 'report.html'} and {workdir / 'echo' / 'report.html'}")
    return {"simulated": result, "echo": echo, "seconds": seconds}


ECHO_SEEDS = (1, 2, 3, 4)
"""Of the painter, for the demo's last act: the first four, whatever they look like."""


def translate_echo(translator: Translator, folder: pathlib.Path) -> dict[str, Any]:
    """Paint colour over pydicom's greyscale echocardiogram, translate it as DICOM, and score it against the truth.

    The painter's settings are its held-out ones, colour is found in the pixels as in any foreign clip, and the clip was
    never trained on. Per painting the painted DICOM, the translated one and both as video are written, then
    ``evaluation.json`` and a report over all of them (one patient, several boxes).
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = pathlib.Path(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False))
    clip = read_clip(source)
    grey = luma(clip.frames)
    # With its text, which the truth has, too: what cleaning takes away is no error of the network.
    output = Output(format=".dcm", hasher=KeyedHasher(b"the demo has no secrets"), clean=False)
    pairs, translations = [], []
    for index, seed in enumerate(ECHO_SEEDS):
        pair = paint_pair(grey, seed, fps=clip.info.fps, options=HELD_OUT, clip_id=f"echo-{seed}", patient_id="echo")
        names = [folder / f"{name}-{seed}.dcm" for name in ("colour_flow", "greyscale")]
        for old in (*names, *(name.with_suffix(".mp4") for name in names)):
            old.unlink(missing_ok=True)  # this folder's own files, of an earlier demo
        painted, translated = names
        _write_painted(painted, source, pair)
        translate_file(translator, painted, translated, output)
        translations.append(read_clip(translated).frames[..., 0])
        write_video(painted.with_suffix(".mp4"), pair.cfd, fps=pair.fps)
        write_video(translated.with_suffix(".mp4"), translations[-1], fps=pair.fps)
        pairs.append(pair_batch(pair, index=index))

    gallery = Gallery()
    result = evaluate(
        functools.partial(_as_prediction, translator, translations),
        pairs,
        lambda index: (f"echo-{ECHO_SEEDS[index]}", "echo", {"kind": "painted", "fps": clip.info.fps}),
        options=EvaluateOptions(
            bootstrap=Bootstrap(resamples=0),
            expected_clips=len(ECHO_SEEDS),
            settings={
                "model": translator.weights.name,
                "weights_digest": translator.weights.digest,
                "clip": "a real echocardiogram, colour painted over it",
            },
        ),
        gallery=gallery,
    )
    write_result(folder / "evaluation.json", result)
    title = "A real echocardiogram with colour painted over it"
    write_report(folder / "report.html", result, gallery.clips(), title=title)
    return result


def _write_painted(path: pathlib.Path, source: pathlib.Path, pair: PairRecord) -> None:
    """The echo's own header with the painted frames: what a scanner might have sent."""
    ds = pydicom.dcmread(source)
    frames, height, width = pair.cfd.shape[:3]
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.PlanarConfiguration = frames, height, width, 0
    ds.PhotometricInterpretation, ds.SyntheticData = "RGB", "YES"
    ds.PixelData = np.ascontiguousarray(pair.cfd).tobytes()
    ds["PixelData"].is_undefined_length = False
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)


def pair_batch(pair: PairRecord, *, index: int) -> dict[str, np.ndarray]:
    """A whole pair at its own size as a batch of one (`data_pipeline.schema.BATCH_KEYS`)."""
    return {
        "cfd": pair.cfd[None],
        "grey": pair.grey[None],
        "strata": pair.strata[None],
        "hidden": hidden_mask(pair.strata, pair.cfd)[None],
        "labels": pair.labels[None],
        "view": np.asarray([VIEWS.index(pair.view)], np.int32),
        "domain": np.asarray([DOMAINS.index(pair.domain)], np.int32),
        "shared": np.asarray([pair.shared], np.uint8),
        "index": np.asarray([index], np.int32),
        "mask": np.ones(1, np.float32),
    }


def _as_prediction(
    translator: Translator, translations: Sequence[np.ndarray], batch: Mapping[str, Any]
) -> dict[str, Any]:
    """Finished translations ``[T, H, W]``, by the batch's index, as what evaluation expects of a model; clips with nothing
    hidden (evaluation's identity control) are translated now."""
    done = translations[int(batch["index"][0])]
    if not np.asarray(batch["hidden"]).any():
        done = translator(np.asarray(batch["cfd"][0]))
    image = jnp.asarray(done, jnp.float32)[None, ..., None] / 255.0
    return {"grey": image, "composited": image}
