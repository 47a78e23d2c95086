"""A causal network frame by frame is the causal network on the whole clip."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cfd2gray.models.generator import Generator
from tests.cfd2gray.tiny import SPEC

CAUSAL = dataclasses.replace(SPEC, causal=True, fill_radius=3)


def awake(spec):
    generator = Generator(spec, rngs=nnx.Rngs(0))
    graph, params = nnx.split(generator, nnx.Param)
    leaves, tree = jax.tree.flatten(nnx.to_pure_dict(params))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return nnx.merge(
        graph, jax.tree.unflatten(tree, [x + 0.1 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])
    )


def clip(frames, seed=0):
    rng = np.random.default_rng(seed)
    cfd = rng.random((1, frames, 16, 24, 3), np.float32)
    return jnp.asarray(cfd), jnp.asarray((rng.random((1, frames, 16, 24, 1)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("parts", [[1] * 9, [4, 1, 3, 1], [9]])
def test_a_stream_gives_what_the_whole_clip_gives(parts):
    generator, (cfd, hidden) = awake(CAUSAL), clip(9)
    whole = jax.jit(lambda a, b: generator(a, b))(cfd, hidden)
    advance = jax.jit(lambda a, b, memory: generator.advance(a, b, memory))
    memory, at = generator.start(16, 24), 0
    for part in parts:
        out, memory = advance(cfd[:, at : at + part], hidden[:, at : at + part], memory)
        for name in ("anatomy", "grey", "log_scale"):
            np.testing.assert_allclose(getattr(out, name), getattr(whole, name)[:, at : at + part], atol=1e-5)
        at += part


def test_no_frame_of_a_causal_network_sees_the_future_and_its_reach_is_the_stated_radius():
    generator, (cfd, hidden) = awake(CAUSAL), clip(CAUSAL.radius + 4)
    run = jax.jit(lambda a, b: generator(a, b).grey)
    base = run(cfd, hidden)
    later = run(cfd.at[:, 5:].set(0.3), hidden.at[:, 5:].set(1.0))
    np.testing.assert_array_equal(later[:, :5], base[:, :5])
    changed = run(cfd.at[:, 1].set(0.9), hidden.at[:, 1].set(0.0)) != base
    assert bool(jnp.any(changed[:, 1 + CAUSAL.radius])) and not bool(jnp.any(changed[:, 2 + CAUSAL.radius :]))


def test_causal_and_window_networks_have_the_same_parameters():
    shapes = [
        jax.tree.map(lambda x: x.shape, nnx.to_pure_dict(nnx.state(Generator(spec, rngs=nnx.Rngs(0)), nnx.Param)))
        for spec in (SPEC, dataclasses.replace(SPEC, causal=True))
    ]
    assert shapes[0] == shapes[1]


def test_a_network_that_sees_the_future_cannot_stream():
    cfd, hidden = clip(1)
    with pytest.raises(ValueError, match="model.causal = True"):
        generator = awake(SPEC)
        generator.advance(cfd, hidden, generator.start(16, 24))
