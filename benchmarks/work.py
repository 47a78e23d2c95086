"""The work that contenders do: clips, batches and parameters, the same for every framework."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import ml_collections
import numpy as np
from flax import nnx

from cfd2gray.config import load_config
from cfd2gray.models.discriminator import Discriminator, DiscriminatorSpec
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.pure import fresh_params
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.schema import BOX, FLOW, SECTOR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What to measure. ``overrides`` are ``KEY=VALUE`` as on the command line; JSON but for that it is a class.

    Attributes:
      config: Name or file of a config.
      overrides: Changes to it.
      size: px; 0: the config's.
      frames: Frames that the networks work on; 0: the config's.
      batch: Clips; 0: the config's.
    """

    config: str = "tiny"
    overrides: tuple[str, ...] = ()
    size: int = 0
    frames: int = 0
    batch: int = 0

    def load(self) -> ml_collections.ConfigDict:
        """The config with size, frames and batch in it."""
        config = load_config(self.config, list(self.overrides)).unlock()
        if self.size:
            config.data.size = config.translate.size = self.size
        if self.frames:
            config.data.frames = self.frames + 2 * config.train.margin
        if self.batch:
            config.data.batch_size = self.batch
        return config.lock()

    def options(self) -> dict[str, Any]:
        """As JSON, for a contender in another process."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Task:
        return cls(**{**options, "overrides": tuple(options["overrides"])})


def awake_params(spec: GeneratorSpec, *, seed: int = 0) -> Any:
    """Parameters as after training: those that start at zero are not, so that no multiplication is by nothing."""
    return _awake(fresh_params(Generator, spec, seed), seed)


def awake_discriminator(spec: DiscriminatorSpec, *, seed: int = 0) -> Any:
    """The same for the discriminator."""
    fresh = nnx.state(Discriminator(spec, rngs=nnx.Rngs(seed)), nnx.Param)
    return _awake(nnx.to_pure_dict(fresh), seed)


def _awake(params: Any, seed: int) -> Any:
    leaves, tree = jax.tree.flatten(jax.device_get(params))
    rng = np.random.default_rng(seed)
    noise = [0.02 * rng.standard_normal(x.shape).astype(np.float32) for x in leaves]
    return jax.tree.unflatten(tree, [np.asarray(x) + n for x, n in zip(leaves, noise)])


def weights_of(config: ml_collections.ConfigDict, **changes: Any) -> GeneratorWeights:
    """Untrained weights of a config for the `Translator`: speed does not depend on what was learned."""
    spec = dataclasses.replace(GeneratorSpec(**config.model), **changes)
    return GeneratorWeights(
        params=awake_params(spec), spec=spec, settings=dict(config.translate), name="bench", digest="0" * 64
    )


def screen_clip(frames: int, height: int, width: int = 0, *, seed: int = 0) -> np.ndarray:
    """uint8 ``[T, height, width, 3]`` (square by default): a simulated apical view, its loop repeated as long as needed."""
    from data_pipeline.simulation.simulator import simulate_pair

    loop = simulate_pair("A4C", seed, height=height, width=width or height, frames=min(frames, 24), split="test").cfd
    return loop[np.arange(frames) % len(loop)]


def batch_of(clips: int, frames: int, size: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch with the keys of `data_pipeline.schema.BATCH_KEYS`: noise, of which a disc is hidden under colour."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(20, 200, (clips, frames, size, size, 1), np.uint8)
    y, x = np.mgrid[:size, :size] / size - 0.5
    disc = np.broadcast_to(np.hypot(x, y) < 0.25, (clips, frames, size, size))
    flow = disc & (rng.random(disc.shape) < 0.7)
    cfd = np.where(flow[..., None], rng.integers(0, 255, (clips, frames, size, size, 3), np.uint8), grey)
    ones = np.ones(clips, np.int32)
    return {
        "cfd": cfd.astype(np.uint8),
        "grey": grey,
        "strata": (SECTOR + disc * BOX + flow * FLOW).astype(np.uint8),
        "hidden": flow.astype(np.uint8),
        "labels": np.zeros(disc.shape, np.uint8),
        "view": ones,
        "domain": ones,
        "shared": ones.astype(np.uint8),
        "index": np.arange(clips, dtype=np.int32),
        "mask": np.ones(clips, np.float32),
    }
