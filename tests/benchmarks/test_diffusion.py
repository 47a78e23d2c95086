"""The diffusion baseline: sampling, its cost in evaluations, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cfd2gray.benchmarks import cost
from cfd2gray.benchmarks.diffusion import latent_cost
from cfd2gray.benchmarks.diffusion import model as diffusion
from flax import nnx

from cfd2gray.models.generator import Generator, evidence
from cfd2gray.models.pure import fresh_params, graph_of
from tests.cfd2gray.tiny import SPEC


def clip(frames=3, size=16):
    rng = np.random.default_rng(0)
    truth = jnp.asarray(rng.random((1, frames, size, size, 1), np.float32))
    hidden = jnp.zeros_like(truth).at[:, :, 4:12, 4:12].set(1.0)
    truth = jnp.where(hidden > 0, 0.7, truth)  # brighter than all around, which nothing there tells
    cfd = jnp.repeat(truth * (1 - hidden), 3, axis=-1)
    seen, guess = evidence(cfd, hidden, fill_radius=1, levels=2)
    return cfd, hidden, truth, seen, guess


def test_one_evaluation_costs_what_one_translation_costs_and_steps_multiply_it():
    cfd, hidden, _, seen, guess = clip(frames=8, size=32)
    spec = dataclasses.replace(SPEC, width=32, denoise_width=32)
    graph, params = graph_of(Generator, spec), fresh_params(Generator, spec, 0)

    ours = cost.count(lambda p: nnx.merge(graph, p)(cfd, hidden).grey, params).flops
    noise, key = diffusion.denoiser_params(spec, 0), jax.random.key(0)

    def flops(**options):
        return cost.count(lambda p: diffusion.sample(spec, p, seen, guess, key, **options), noise).flops

    assert 1.0 < flops(steps=1) / ours < 1.25
    assert flops(steps=50) == 50 * flops(steps=1)
    assert flops(steps=50, guidance=2.0) == 100 * flops(steps=1)
    assert diffusion.evaluations(steps=50, guidance=2.0) == 100
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        flops(steps=0)


def test_a_denoiser_that_knows_the_answer_is_followed_to_it(monkeypatch):
    _, _, truth, seen, guess = clip()

    class Knows:
        def __call__(self, evidence, guess, noisy, time):
            return truth

    monkeypatch.setattr(diffusion.nnx, "merge", lambda graph, params: Knows())
    for steps in (1, 7):
        found = diffusion.sample(SPEC, {}, seen, guess, jax.random.key(1), steps=steps)
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_it_learns_one_clip():
    _, hidden, truth, seen, guess = clip()
    params, tx = diffusion.denoiser_params(SPEC, 0), optax.adam(3e-3)
    weights = jnp.ones_like(truth)

    @jax.jit
    def update(params, state, key):
        loss = lambda p: diffusion.training_loss(SPEC, p, seen, guess, truth, weights, key)  # noqa: E731
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    def error(params):
        found = diffusion.sample(SPEC, params, seen, guess, jax.random.key(5), steps=4)
        return float(jnp.mean(jnp.abs(found - truth)[hidden > 0]))

    before, state = error(params), tx.init(params)
    for i in range(100):
        params, state, _ = update(params, state, jax.random.key(i))
    assert error(params) < 0.5 * before


def test_the_latent_networks_cost_is_the_known_one():
    unet = latent_cost.LatentUnet()
    plain = dataclasses.replace(unet, attention_products=False)
    assert abs(plain.macs(512) / 339e9 - 1.0) < 0.01, "what layer profilers report: they miss attention's own products"
    assert abs(unet.macs(512) / 402e9 - 1.0) < 0.01
    with pytest.raises(ValueError, match="multiple of 64 .* got 100"):
        unet.macs(100)
    plain, guided = (latent_cost.diffusion_flops(256, steps=50, guided=g) for g in (False, True))
    assert 1.8 < guided / plain < 2.0
