"""What users get: clips, files and streams through `Translator`, and the graphs that compute the network on a CPU.

Contenders are ``function(**options) -> (call, facts)`` as `benchmarks.worker` wants them; ``facts["units"]`` counts frames.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

from cfd2gray.benchmarks.work import Task, batch_of, screen_clip, weights_of

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.runtimes.graph_network import ENGINES, graph_of
from cfd2gray.runtimes.kinds import CLIP
from cfd2gray.translation.translator import Translator

Built = tuple[Callable[[], Any], dict[str, Any]]


def graph(task: dict[str, Any], *, runtime: str, precision: str | None = None) -> Built:
    """The clip graph on one window, arrays on the host in and out: evidence, both networks, matched grain, confidence.

    The frames around the window are those that its result depends on; `networks.network` looks at fewer and computes the
    ends of its window as those of a clip.
    """
    task = Task.of(task)
    config = task.load()
    weights = weights_of(config)
    frames = task.frames or config.data.frames - 2 * config.train.margin
    batch = batch_of(1, frames + 2 * weights.spec.radius, config.data.size)
    inputs = {"frames": batch["cfd"][0], "hidden": batch["hidden"][0]}
    engine = ENGINES[runtime](graph_of(weights, CLIP), **({"precision": precision} if precision else {}))
    return lambda: engine(inputs), {"units": frames}


def clip(task: dict[str, Any], *, frames: int, runtime: str) -> Built:
    """A simulated clip of ``frames`` frames in memory: flow detection, network, pasting."""
    use_compile_cache()
    config = Task.of(task).load()
    clip, translate = screen_clip(frames, config.data.size), Translator(weights_of(config), runtime=runtime)
    return lambda: translate(clip), {"units": frames}


def write_screen(path: pathlib.Path, *, frames: int, height: int, width: int) -> None:
    """A simulated screen as a lossless video, for `file`."""
    from cfd2gray.translation.output.video import write_video

    write_video(path, screen_clip(frames, height, width), fps=30.0)


def file(task: dict[str, Any], *, source: str, frames: int, runtime: str) -> Built:
    """``source`` of ``frames`` frames to a video file (H.264): decoding, all of `clip`, encoding."""
    from cfd2gray.translation import files
    from data_pipeline.screen.deidentify import KeyedHasher

    use_compile_cache()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cfd2gray-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    translate = Translator(weights_of(Task.of(task).load()), runtime=runtime)
    output = files.Output(format=".mp4", hasher=KeyedHasher(b"bench" * 8))

    def call() -> None:
        for old in folder.iterdir():
            old.unlink()
        files.translate_file(translate, pathlib.Path(source), folder / "grey.mp4", output)

    return call, {"units": frames}


def live(task: dict[str, Any], *, runtime: str) -> Built:
    """`Translator.stream` on a simulated screen: flow detection, network, pasting, frame by frame."""
    use_compile_cache()
    config = Task.of(task).load()
    frames = screen_clip(24, config.data.size)
    stream, at = Translator(weights_of(config, causal=True), runtime=runtime).stream(example=frames), [0]

    def call() -> None:
        at[0] = (at[0] + 1) % len(frames)
        stream.push(frames[at[0]])

    return call, {"units": 1}


def new_sizes(task: dict[str, Any], *, runtime: str, sizes: int, frames: int) -> Built:
    """Clips of ``frames`` frames in ``sizes`` working sizes that this process and its caches have never met.

    Facts: ``first_s`` and ``again_s``, seconds of the first and of the second clip of each size.
    """
    folder = tempfile.mkdtemp(prefix="cfd2gray-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["CFD2GRAY_CACHE"] = folder
    translator = Translator(weights_of(Task.of(task).load()), runtime=runtime)
    taken: list[tuple[float, float]] = []
    for number in range(sizes):
        batch = batch_of(1, frames, 96 + 32 * number)
        turns = []
        for _ in range(2):
            start = time.perf_counter()
            list(translator.windows(batch["cfd"][0], batch["hidden"][0]))
            turns.append(time.perf_counter() - start)
        taken.append((turns[0], turns[1]))
    first, again = zip(*taken)
    return lambda: None, {"units": 1, "first_s": first, "again_s": again}
