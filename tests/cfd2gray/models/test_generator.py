import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cfd2gray.models.discriminator import Discriminator, DiscriminatorSpec
from cfd2gray.models.generator import Generator
from tests.cfd2gray.tiny import SPEC


@functools.cache
def _awake(spec, seed=0, **options):
    """A generator whose zero-initialised layers are random too, as after training."""
    generator = Generator(spec, rngs=nnx.Rngs(seed))
    graph, params = nnx.split(generator, nnx.Param)
    leaves, tree = jax.tree.flatten(nnx.to_pure_dict(params))
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    leaves = [x + 0.1 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
    awake = nnx.merge(graph, jax.tree.unflatten(tree, leaves))
    run = jax.jit(lambda cfd, hidden: awake(cfd, hidden, **options))
    return run


def _clip(frames=16, size=24, seed=0):
    rng = np.random.default_rng(seed)
    cfd = rng.random((1, frames, size, size, 3)).astype(np.float32)
    hidden = (rng.random((1, frames, size, size, 1)) < 0.3).astype(np.float32)
    return jnp.asarray(cfd), jnp.asarray(hidden)


def test_a_fresh_generator_returns_the_first_guess():
    cfd, hidden = _clip()
    out = Generator(SPEC, rngs=nnx.Rngs(0))(cfd, hidden)
    grey = 0.299 * cfd[..., :1] + 0.587 * cfd[..., 1:2] + 0.114 * cfd[..., 2:]
    np.testing.assert_allclose(out.grey[hidden == 0], grey[hidden == 0], atol=1e-6)
    assert out.grey.shape == out.anatomy.shape == out.log_scale.shape == hidden.shape


def test_reach_in_time_is_exactly_the_stated_radius():
    generator = _awake(SPEC)
    cfd, hidden = _clip(frames=4 * SPEC.radius)
    middle = 2 * SPEC.radius
    base = generator(cfd, hidden).grey[0, middle]
    for offset, expected in (
        (SPEC.radius, True),
        (SPEC.radius + 1, False),
        (-SPEC.radius, True),
        (-SPEC.radius - 1, False),
    ):
        changed = cfd.at[0, middle + offset].set(0.9)
        moved = bool(jnp.any(generator(changed, hidden.at[0, middle + offset].set(0.0)).grey[0, middle] != base))
        if expected is False:
            assert not moved, f"frame {offset} away must not matter"
        elif abs(offset) == SPEC.radius:
            assert moved, f"frame {offset} away must matter"


def test_a_margin_of_evidence_changes_nothing_but_the_ends():
    generator, (cfd, hidden) = Generator(SPEC, rngs=nnx.Rngs(0)), _clip()
    whole, middle = generator(cfd, hidden), generator(cfd, hidden, margin=3)
    assert middle.grey.shape[1] == whole.grey.shape[1] - 6
    np.testing.assert_allclose(middle.grey, whole.grey[:, 3:-3], atol=1e-6)
    with pytest.raises(ValueError, match="got 8 of 16 frames"):
        generator(cfd, hidden, margin=8)


def test_batch_does_not_change_a_clips_result():
    generator = _awake(SPEC)
    first, second = _clip(seed=1), _clip(seed=2)
    both = generator(*(jnp.concatenate(pair) for pair in zip(first, second)))
    np.testing.assert_allclose(both.grey[1:], generator(*second).grey, atol=1e-5)


def test_ablations_switch_their_part_off():
    cfd, hidden = _clip()
    still = _awake(dataclasses.replace(SPEC, temporal=False))
    assert dataclasses.replace(SPEC, temporal=False).radius == 0
    np.testing.assert_allclose(still(cfd, hidden).grey[:, 3:4], still(cfd[:, 3:4], hidden[:, 3:4]).grey, atol=1e-5)
    alone = _awake(dataclasses.replace(SPEC, denoise_blocks=0))(cfd, hidden)
    np.testing.assert_array_equal(alone.grey, alone.anatomy)
    texture = dataclasses.replace(SPEC, width=0)
    other = _awake(texture)(cfd, hidden)
    first = Generator(SPEC, rngs=nnx.Rngs(0))(cfd, hidden).anatomy  # a fresh AnatomyNet returns the first guess
    np.testing.assert_allclose(other.anatomy, first, atol=1e-6)
    assert np.abs(other.grey - other.anatomy).max() > 1e-3
    assert texture.radius == SPEC.radius - (SPEC.levels + 1)


def test_bfloat16_computes_close_to_float32_and_returns_float32():
    cfd, hidden = _clip()
    exact = _awake(SPEC)(cfd, hidden).grey
    rough = _awake(dataclasses.replace(SPEC, dtype="bfloat16"))(cfd, hidden).grey
    assert rough.dtype == jnp.float32
    assert float(jnp.mean(jnp.abs(rough - exact))) < 0.03 * float(jnp.std(exact)) + 0.02


@pytest.mark.parametrize("field, value", [("dtype", "float16"), ("width", -1)])
def test_impossible_specs_are_refused(field, value):
    with pytest.raises(ValueError, match=f"model.{field}"):
        dataclasses.replace(SPEC, **{field: value})


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="multiples of 4 px for this model, got 18x24"):
        Generator(SPEC, rngs=nnx.Rngs(0))(jnp.zeros((1, 2, 18, 24, 3)), jnp.zeros((1, 2, 18, 24, 1)))


def test_the_discriminator_sees_time_and_space():
    spec = DiscriminatorSpec(width=8, levels=2, dtype="float32")
    judge = Discriminator(spec, rngs=nnx.Rngs(0))
    for i in range(2):
        layer = getattr(judge, f"time{i}").mix.kernel
        layer[...] = 0.1 * jax.random.normal(jax.random.key(i), layer.shape)
    cfd, hidden = _clip(frames=5)
    logits = judge(cfd, hidden, hidden)
    assert logits.shape == (1, 5, 3, 3, 1) and logits.dtype == jnp.float32
    changed = judge(cfd, hidden, hidden.at[0, 4].set(0.5))
    assert bool(jnp.any(changed[0, 3] != logits[0, 3])), "a frame's judgement must depend on its neighbour"
    assert bool(jnp.all(changed[0, 0] == logits[0, 0]))


def test_remat_recomputes_each_stage_and_changes_no_result():
    """What it saves is up to the backend: XLA's CPU compiler keeps activations all the same."""
    spec = dataclasses.replace(SPEC, blocks=2, denoise_blocks=2)
    cfd, hidden = _clip(frames=4, size=16)
    found, recomputed = {}, {}
    for remat in (False, True):
        graph, params = nnx.split(Generator(dataclasses.replace(spec, remat=remat), rngs=nnx.Rngs(0)))

        def loss(params, graph=graph):
            return jnp.mean(nnx.merge(graph, params)(cfd, hidden).grey ** 2)

        found[remat] = jax.jit(jax.value_and_grad(loss))(params)
        recomputed[remat] = len(re.findall(r"\b(?:remat2?|checkpoint)\[", str(jax.make_jaxpr(jax.grad(loss))(params))))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), found[True], found[False])
    assert recomputed[False] == 0 and recomputed[True] >= 2 * spec.levels + 2


@pytest.mark.parametrize("changes", [{}, {"width": 0}, {"denoise_blocks": 0}, {"temporal": False}, {"levels": 2}])
def test_a_trimmed_window_is_the_middle_of_the_whole(changes):
    spec = dataclasses.replace(SPEC, **changes)
    cfd, hidden = _clip(frames=2 * spec.radius + 3, size=16)
    whole, trimmed = _awake(spec)(cfd, hidden), _awake(spec, margin=spec.margin, trim=True)(cfd, hidden)
    names = ("anatomy", "grey", "log_scale") if spec.denoise_blocks else ("anatomy", "grey")  # without it, no one asks
    for name in names:
        expected = getattr(whole, name)[:, spec.radius : spec.radius + 3]
        np.testing.assert_allclose(getattr(trimmed, name), expected, atol=1e-5)
