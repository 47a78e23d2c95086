"""The diffusion baseline: a conditional denoiser on the generator's own backbone, sampled with DDIM.

The same two networks see the same evidence, and besides it the noisy picture and how noisy it is; they return their
estimate of the clean picture (Salimans & Ho 2022), which DDIM (Song et al. 2021, eta 0) turns into the next, less noisy
one. One evaluation thus costs what one translation costs, and the ratio of speeds is the number of evaluations: nothing else is
compared. Guidance (Ho & Salimans 2022) evaluates twice, with and without evidence.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.anatomy import AnatomyNet
from cfd2gray.models.denoise import DenoiseNet
from cfd2gray.models.generator import EVIDENCE_CHANNELS, GeneratorSpec

Array = jax.Array
TIME_CHANNELS = 4
"""Constant planes that tell the networks how noisy their input is."""
DROPPED = 0.1
"""Share of training clips without evidence, so that guidance has something to lead away from."""
LARGEST_WEIGHT = 5.0
"""Of the loss, which grows with the signal-to-noise ratio up to here (Hang et al. 2023)."""


class Denoiser(nnx.Module):
    """``denoiser(evidence, guess, noisy, time) -> grey``: ``evidence [N, T, H, W, C]``, ``guess`` in [0, 1], ``noisy``
    around [-1, 1], both ``[N, T, H, W, 1]``, ``time [N]`` in [0, 1] (1: nothing but noise)."""

    def __init__(self, spec: GeneratorSpec, *, rngs: nnx.Rngs):
        common = {"temporal": spec.temporal, "dtype": jnp.dtype(spec.dtype), "rngs": rngs}
        channels = EVIDENCE_CHANNELS + 1 + TIME_CHANNELS
        self.dtype = spec.dtype
        self.anatomy = AnatomyNet(channels, width=spec.width, levels=spec.levels, blocks=spec.blocks, **common)
        self.denoise = DenoiseNet(channels, width=spec.denoise_width, blocks=max(spec.denoise_blocks, 1), **common)
        self.time = nnx.Linear(16, TIME_CHANNELS, rngs=rngs)

    def __call__(self, evidence: Array, guess: Array, noisy: Array, time: Array) -> Array:
        waves = time[:, None] * jnp.pi * 2.0 ** jnp.arange(-1, 7)
        planes = self.time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=-1))[:, None, None, None]
        planes = jnp.broadcast_to(planes, (*noisy.shape[:-1], TIME_CHANNELS))
        seen = jnp.concatenate([evidence, noisy, planes], axis=-1).astype(self.dtype)
        anatomy, _ = self.anatomy(seen, guess)
        return self.denoise(anatomy, seen)[0]


@functools.cache
def denoiser_graph(spec: GeneratorSpec) -> nnx.GraphDef:
    """Structure without arrays."""
    return nnx.split(nnx.eval_shape(lambda: Denoiser(spec, rngs=nnx.Rngs(0))))[0]


def denoiser_params(spec: GeneratorSpec, seed: int) -> Any:
    """Fresh parameters as a nested dict."""
    return nnx.to_pure_dict(nnx.state(Denoiser(spec, rngs=nnx.Rngs(seed)), nnx.Param))


def signal(time: Array) -> tuple[Array, Array]:
    """Amounts of picture and of noise at ``time``: a quarter of a circle (Nichol & Dhariwal 2021)."""
    angle = 0.5 * jnp.pi * time
    return jnp.cos(angle), jnp.sin(angle)


def training_loss(
    spec: GeneratorSpec, params: Any, evidence: Array, guess: Array, truth: Array, weights: Array, key: Array
) -> Array:
    """Weighted squared error of the estimate of ``truth [N, T, H, W, 1]`` in [0, 1] at random times."""
    n = truth.shape[0]
    times, noise, drop = jax.random.split(key, 3)
    time = jax.random.uniform(times, (n,), minval=1e-3)
    picture, amount = (x[:, None, None, None, None] for x in signal(time))
    noisy = picture * (2.0 * truth - 1.0) + amount * jax.random.normal(noise, truth.shape)
    kept = (jax.random.uniform(drop, (n, 1, 1, 1, 1)) >= DROPPED).astype(truth.dtype)
    grey = nnx.merge(denoiser_graph(spec), params)(evidence * kept, guess * kept, noisy, time)
    trust = jnp.minimum((picture / amount) ** 2, LARGEST_WEIGHT) + 0.1  # something at pure noise, where sampling starts
    return jnp.mean(trust * weights * (grey - truth) ** 2)


def sample(
    spec: GeneratorSpec, params: Any, evidence: Array, guess: Array, key: Array, *, steps: int, guidance: float = 1.0
) -> Array:
    """Greyscale ``[N, T, H, W, 1]`` in about [0, 1] by ``steps`` DDIM steps; ``guidance`` 1 is none.

    Raises:
      ValueError: For no step.
    """
    if steps < 1:
        raise ValueError(f"DDIM needs at least 1 step, got {steps}")
    denoiser = nnx.merge(denoiser_graph(spec), params)
    n = guess.shape[0]

    def estimate(noisy: Array, time: Array) -> Array:
        told = denoiser(evidence, guess, noisy, time)
        if guidance == 1.0:
            return told
        untold = denoiser(jnp.zeros_like(evidence), jnp.zeros_like(guess), noisy, time)
        return untold + guidance * (told - untold)

    def step(noisy: Array, index: Array) -> tuple[Array, None]:
        now, later = (1.0 - (index + i) / steps for i in (0, 1))
        (a, s), (a_later, s_later) = signal(now), signal(later)
        clean = jnp.clip(2.0 * estimate(noisy, jnp.full((n,), now)) - 1.0, -1.2, 1.2)
        return a_later * clean + s_later * (noisy - a * clean) / s, None

    start = jax.random.normal(key, guess.shape)
    last, _ = jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.float32))
    return 0.5 * (last + 1.0)


def evaluations(*, steps: int, guidance: float = 1.0) -> int:
    """How often the network runs for one clip."""
    return steps * (1 if guidance == 1.0 else 2)
