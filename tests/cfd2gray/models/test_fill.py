import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.models import fill
from cfd2gray.models.fill import luma

first_guess = jax.jit(fill.first_guess, static_argnames=("radius", "levels"))
last_sight = jax.jit(fill.last_sight, static_argnames=("radius", "reverse"))
spatial_fill = jax.jit(fill.spatial_fill, static_argnames="levels")


def _scene(seed: int = 0):
    rng = np.random.default_rng(seed)
    grey = rng.random((1, 7, 16, 16, 1)).astype(np.float32)
    hidden = (rng.random(grey.shape) < 0.4).astype(np.float32)
    return jnp.asarray(grey), jnp.asarray(hidden)


def test_visible_pixels_keep_their_value():
    grey, hidden = _scene()
    guess = first_guess(grey, hidden, radius=2, levels=3).guess
    np.testing.assert_allclose(guess[hidden == 0], grey[hidden == 0], rtol=1e-6)


def test_the_guess_never_looks_under_the_colour():
    grey, hidden = _scene()
    other = jnp.where(hidden > 0, 123.0, grey)
    expected = first_guess(grey, hidden, radius=2, levels=3)
    found = first_guess(other, hidden, radius=2, levels=3)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), found, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_last_sight_equals_a_plain_loop(reverse):
    grey, hidden = _scene(1)
    hidden = jnp.maximum(
        hidden, (jnp.arange(16) < 8)[None, None, :, None, None] * (jnp.arange(7) % 4 > 0)[:, None, None, None]
    )
    value, trust = last_sight(grey, 1.0 - hidden, radius=2, reverse=reverse)
    g, v = np.asarray(grey)[0, ..., 0], np.asarray(hidden)[0, ..., 0] == 0
    for t, y, x in np.ndindex(g.shape):
        expected = (0.0, 0.0)
        for age in range(3):
            s = t + age if reverse else t - age
            if 0 <= s < 7 and v[s, y, x]:
                expected = (g[s, y, x], 1 / (1 + age))
                break
        np.testing.assert_allclose((value[0, t, y, x, 0], trust[0, t, y, x, 0]), expected, rtol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 0), (0, 0), (5, 9)])
def test_usual_sight_equals_a_plain_loop(before, after):
    grey, hidden = _scene(3)
    mean, share = jax.jit(fill.usual_sight, static_argnames=("before", "after"))(
        grey * (1 - hidden), 1 - hidden, before=before, after=after
    )
    g, v = np.asarray(grey)[0, ..., 0], np.asarray(hidden)[0, ..., 0] == 0
    for t, y, x in np.ndindex(g.shape):
        near = slice(max(0, t - before), t + after + 1)
        seen = g[near, y, x][v[near, y, x]]
        expected = (seen.mean() if len(seen) else 0.0, len(seen) / (before + 1 + after))
        np.testing.assert_allclose((mean[0, t, y, x, 0], share[0, t, y, x, 0]), expected, rtol=1e-5)


def test_usual_sight_is_the_same_to_the_last_bit_wherever_the_clip_starts():
    grey, hidden = _scene(4)
    whole = fill.usual_sight(grey, 1 - hidden, before=1, after=1)
    part = fill.usual_sight(grey[:, 2:], 1 - hidden[:, 2:], before=1, after=1)
    for x, y in zip(whole, part, strict=True):
        np.testing.assert_array_equal(x[:, 3:], y[:, 1:])


@pytest.mark.parametrize("margin", [(0, 0), (1, 3), (2, 2), (3, 1)])
def test_usual_sight_of_the_middle_is_the_middle_of_the_usual_sight(margin):
    grey, hidden = _scene(5)
    whole = fill.usual_sight(grey, 1 - hidden, before=2, after=2)
    part = fill.usual_sight(grey, 1 - hidden, before=2, after=2, margin=margin)
    for x, y in zip(whole, part, strict=True):
        np.testing.assert_array_equal(x[:, margin[0] : 7 - margin[1]], y)


def test_a_hidden_pixel_seen_soon_takes_that_value():
    grey, hidden = _scene(2)
    hidden = hidden.at[:, :, 5, 5].set(1.0).at[:, 4, 5, 5].set(0.0)
    found = first_guess(grey, hidden, radius=2, levels=3)
    np.testing.assert_allclose(found.guess[0, 2:7, 5, 5, 0], grey[0, 4, 5, 5, 0], rtol=1e-5)


def test_a_constant_image_is_filled_with_its_constant():
    hidden = np.zeros((1, 1, 16, 16, 1), np.float32)
    hidden[:, :, 4:13, 3:12] = 1
    filled = spatial_fill(jnp.full(hidden.shape, 0.4) * (1 - hidden), 1.0 - hidden, levels=4)
    np.testing.assert_allclose(filled, 0.4, rtol=1e-5)


def test_luma_is_bt601():
    np.testing.assert_allclose(luma(jnp.asarray([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]])), [[0.299], [0.5]], rtol=1e-6)
