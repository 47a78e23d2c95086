"""What computes the network on a CPU: the runtimes of `Translator`, each ``function(**options) -> (call, facts)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cfd2gray.benchmarks.work import Task, batch_of, screen_clip, weights_of

from cfd2gray.runtimes.graph_network import ENGINES, graph_of
from cfd2gray.runtimes.kinds import CLIP
from cfd2gray.translation.translator import Translator

Built = tuple[Callable[[], Any], dict[str, Any]]


def network(task: dict[str, Any], *, runtime: str, precision: str | None = None) -> Built:
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


def file_to_file(task: dict[str, Any], *, frames: int, runtime: str) -> Built:
    """See `networks.translate_file`."""
    from cfd2gray.benchmarks.networks import translate_file

    return translate_file(task, frames=frames, runtime=runtime)


def live(task: dict[str, Any], *, runtime: str) -> Built:
    """`Translator.stream` on a simulated screen, frame by frame."""
    config = Task.of(task).load()
    frames = screen_clip(24, config.data.size)
    stream, at = Translator(weights_of(config, causal=True), runtime=runtime).stream(example=frames), [0]

    def call() -> None:
        at[0] = (at[0] + 1) % len(frames)
        stream.push(frames[at[0]])

    return call, {"units": 1}
