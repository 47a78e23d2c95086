"""PyTorch at the work of `cfd2gray.benchmarks.networks`: the same parameters, the same input, the result compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cfd2gray.benchmarks.networks import clip_arrays
from cfd2gray.benchmarks.peers.torch_networks import Discriminator, Generator, Vgg, load
from cfd2gray.benchmarks.peers.torch_step import Step
from cfd2gray.benchmarks.work import Task, awake_discriminator, awake_params, batch_of
from torch import Tensor

from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.state import TrainSpec, load_vgg
from cfd2gray.weights.pretrained import flat_params
from data_pipeline.schema import BOX, SECTOR

Built = tuple[Callable[[], Any], dict[str, Any]]


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(spec: GeneratorSpec) -> torch.dtype:
    return torch.bfloat16 if spec.dtype == "bfloat16" else torch.float32


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def generator_of(spec: GeneratorSpec) -> Generator:
    """With the parameters of `benchmark.work.awake_params`."""
    found = Generator(spec)
    load(found, flat_params(awake_params(spec)))
    return found.to(_device(), memory_format=torch.channels_last)


def network(task: dict[str, Any], *, compiled: bool) -> Built:
    """Forward of the generator."""
    task = Task.of(task)
    spec = GeneratorSpec(**task.load().model)
    cfd, hidden = clip_arrays(task)
    cfd_, hidden_ = torch.from_numpy(cfd).movedim(-1, 2).contiguous(), torch.from_numpy(hidden[..., 0])
    cfd_, hidden_ = cfd_.to(_device()), hidden_.to(_device())
    model = generator_of(spec).eval()
    run = torch.compile(model) if compiled else model

    def call() -> Tensor:
        with torch.inference_mode(), torch.autocast(_device().type, _dtype(spec), enabled=spec.dtype == "bfloat16"):
            grey = run(cfd_, hidden_, spec.margin)[1]
        _finish()
        return grey

    return call, {"units": cfd.shape[0] * (cfd.shape[1] - 2 * spec.margin)}


def step_of(spec: TrainSpec, vgg: Any, *, compiled: bool = False, frames: Tensor | None = None) -> Step:
    """A `Step` whose networks start from the JAX ones."""
    judge = Discriminator(width=spec.discriminator.width, levels=spec.discriminator.levels)
    load(judge, flat_params(awake_discriminator(spec.discriminator)))
    parts = (judge, Vgg(vgg, spec.loss.perceptual_layers))
    parts = (part.to(_device(), memory_format=torch.channels_last) for part in parts)
    return Step(
        spec, generator_of(spec.generator), *parts, compiled=compiled, frames=frames, dtype=_dtype(spec.generator)
    )


def step_inputs(batch: dict[str, np.ndarray]) -> tuple[Tensor, ...]:
    """``cfd [N, T, 3, H, W]``, ``hidden``, ``truth``, ``sector``, ``box [N, T, H, W]``, as the step takes them."""
    cfd = torch.from_numpy(batch["cfd"]).movedim(-1, 2).contiguous().float() / 255.0
    strata = ((batch["strata"] & stratum) > 0 for stratum in (SECTOR, BOX))
    planes = (batch["hidden"], batch["grey"][..., 0] / np.float32(255), *strata)
    return tuple(x.to(_device()) for x in (cfd, *(torch.from_numpy(np.asarray(p, np.float32)) for p in planes)))


def train_step(task: dict[str, Any], *, compiled: bool) -> Built:
    """One update of both networks."""
    config = Task.of(task).load()
    spec = TrainSpec.from_config(config)
    step = step_of(spec, load_vgg(config, spec), compiled=compiled)
    inputs = step_inputs(batch_of(config.data.batch_size, config.data.frames, config.data.size))

    def call() -> None:
        step(*inputs)["pixel"].item()
        _finish()

    return call, {"units": config.data.batch_size}
