import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.models import fill
from cfd2gray.models.fill import luma

first_guess = jax.jit(fill.first_guess, static_argnames=("radius", "levels"))
temporal_average = jax.jit(fill.temporal_average, static_argnames="radius")
spatial_fill = jax.jit(fill.spatial_fill, static_argnames="levels")


def _scene(seed: int = 0):
    rng = np.random.default_rng(seed)
    grey = rng.random((1, 7, 16, 16, 1)).astype(np.float32)
    hidden = (rng.random(grey.shape) < 0.4).astype(np.float32)
    return jnp.asarray(grey), jnp.asarray(hidden)


def test_visible_pixels_keep_their_value():
    grey, hidden = _scene()
    guess, _ = first_guess(grey, hidden, radius=2, levels=3)
    np.testing.assert_allclose(guess[hidden == 0], grey[hidden == 0], rtol=1e-6)


def test_the_guess_never_looks_under_the_colour():
    grey, hidden = _scene()
    other = jnp.where(hidden > 0, 123.0, grey)
    expected, _ = first_guess(grey, hidden, radius=2, levels=3)
    found, _ = first_guess(other, hidden, radius=2, levels=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_temporal_average_equals_a_plain_loop():
    grey, hidden = _scene(1)
    average, support = temporal_average(grey, 1.0 - hidden, radius=2)
    g, v = np.asarray(grey)[0, ..., 0], 1.0 - np.asarray(hidden)[0, ..., 0]
    for t in range(7):
        total, weight = np.zeros((16, 16)), np.zeros((16, 16))
        for offset in range(-2, 3):
            s = min(max(t + offset, 0), 6)
            total += g[s] * v[s] / (1 + abs(offset))
            weight += v[s] / (1 + abs(offset))
        np.testing.assert_allclose(support[0, t, ..., 0], weight, rtol=1e-5)
        np.testing.assert_allclose(average[0, t, ..., 0], total / np.maximum(weight, 1e-6), rtol=1e-4, atol=1e-6)


def test_a_constant_image_is_filled_with_its_constant():
    hidden = np.zeros((1, 1, 16, 16, 1), np.float32)
    hidden[:, :, 4:13, 3:12] = 1
    filled = spatial_fill(jnp.full(hidden.shape, 0.4) * (1 - hidden), 1.0 - hidden, levels=4)
    np.testing.assert_allclose(filled, 0.4, rtol=1e-5)


def test_luma_is_bt601():
    np.testing.assert_allclose(luma(jnp.asarray([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]])), [[0.299], [0.5]], rtol=1e-6)
