"""Detail of what was synthesised against that of the visible image: lattices go, right speckle stays."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cfd2gray.runtimes.grain import match_grain

SHAPE = (2, 3, 96, 96)


def speckle(sigma, *, seed=0, strength=0.08):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (0, 0, sigma, sigma))
    return (0.35 + strength * noise / noise.std()).astype(np.float32)


def matched(grey, luma, hidden):
    found = match_grain(*(jnp.asarray(x, jnp.float32)[..., None] for x in (grey, luma, hidden)))
    return np.asarray(found)[..., 0]


@pytest.fixture
def hidden():
    mask = np.zeros(SHAPE, np.float32)
    mask[:, :, 30:66, 20:60] = 1
    return mask


def test_a_lattice_that_the_scanner_does_not_make_is_taken_away(hidden):
    truth = speckle(1.5)
    lattice = truth.copy()
    lattice[..., ::2, ::2] += 0.12
    inside = hidden > 0
    before = np.abs(lattice - lattice[inside].mean() - (truth - truth[inside].mean()))[inside].mean()
    found = matched(lattice, truth, hidden)
    after = np.abs(found - found[inside].mean() - (truth - truth[inside].mean()))[inside].mean()
    assert after < 0.35 * before


def test_another_draw_of_the_right_speckle_stays_as_it_is(hidden):
    truth, other = speckle(1.0), speckle(1.0, seed=1)
    found = matched(other, truth, hidden)
    assert np.abs(found - other)[hidden > 0].mean() < 0.1 * np.abs(other - 0.35)[hidden > 0].mean()


def test_speckle_that_is_too_strong_is_weakened_and_weak_speckle_is_not_strengthened(hidden):
    truth, inside = speckle(1.0), hidden > 0

    def strength(x):
        return (x - ndimage.gaussian_filter(x, (0, 0, 2, 2)))[inside].std()

    strong = matched(speckle(1.0, seed=1, strength=0.16), truth, hidden)
    # Coarser octaves, which are left alone, are part of this strength.
    assert strength(strong) < 0.85 * strength(speckle(1.0, seed=1, strength=0.16))
    weak = speckle(1.0, seed=1, strength=0.04)
    assert strength(matched(weak, truth, hidden)) <= 1.01 * strength(weak)


def test_colour_beside_says_nothing_about_the_grain(hidden):
    truth, other = speckle(1.0), speckle(1.0, seed=1)
    coloured = np.where(hidden > 0, np.random.default_rng(2).random(SHAPE), truth)
    np.testing.assert_array_equal(matched(other, coloured, hidden), matched(other, truth, hidden))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_with_nothing_or_everything_hidden_nothing_changes(value):
    other = speckle(1.0, seed=1)
    np.testing.assert_allclose(matched(other, speckle(3.0), np.full(SHAPE, value)), other, atol=1e-6)


def test_every_frame_is_by_itself(hidden):
    truth, other = speckle(2.0), speckle(0.7, seed=1)
    whole = matched(other, truth, hidden)
    np.testing.assert_allclose(whole[1:, 2:], matched(other[1:, 2:], truth[1:, 2:], hidden[1:, 2:]), atol=1e-6)
