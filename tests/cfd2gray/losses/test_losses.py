"""Every term against plain NumPy, at its minimum, and with clips masked out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.losses import adversarial, perceptual, pixel, temporal, texture
from cfd2gray.models.vgg import features
from cfd2gray.weights.vgg_convert import load_embedded

SHAPE = (2, 4, 24, 24, 1)
BOTH = jnp.ones(2)
FIRST = jnp.asarray([1.0, 0.0])
EPSILON = 1e-3


def _clips(seed=0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.random(SHAPE), jnp.float32) for _ in range(2))


def test_pixel_weights_have_mean_one_and_favour_what_is_hidden():
    hidden = jnp.zeros(SHAPE).at[:, :, :4].set(1.0)
    weights = pixel.pixel_weights(hidden, jnp.ones(SHAPE), hidden_gain=8.0)
    np.testing.assert_allclose(weights.mean(axis=(1, 2, 3, 4)), 1.0, rtol=1e-5)
    assert float(weights[0, 0, 0, 0, 0] / weights[0, 0, 20, 0, 0]) == pytest.approx(9.05 / 1.05, rel=1e-5)


def test_charbonnier_equals_numpy_and_counts_only_unmasked_clips():
    a, b = _clips()
    weights = jnp.ones(SHAPE)
    found = pixel.charbonnier(a, b, weights, FIRST, epsilon=0.1)
    difference = np.asarray(a - b)[0]
    assert float(found) == pytest.approx(np.mean(np.sqrt(difference**2 + 0.01) - 0.1), rel=1e-5)
    assert float(pixel.charbonnier(a, a, weights, BOTH, epsilon=0.1)) == 0.0


def test_structure_is_zero_for_equal_clips_and_about_one_for_unrelated_ones():
    a, b = _clips()
    assert float(pixel.structure(a, a, jnp.ones(SHAPE), BOTH)) == pytest.approx(0.0, abs=1e-5)
    assert 0.8 < float(pixel.structure(a, b, jnp.ones(SHAPE), BOTH)) < 1.1


def test_the_likelihood_is_best_at_the_found_error_and_leaves_the_image_alone():
    a = jnp.zeros(SHAPE)
    b = a + 0.05

    def loss(log_scale, image=a):
        return pixel.laplace_likelihood(jnp.full(SHAPE, log_scale), image, b, jnp.ones(SHAPE), BOTH)

    best = float(loss(np.log(0.05)))
    assert best < float(loss(np.log(0.04))) and best < float(loss(np.log(0.06)))
    assert not jnp.any(jax.grad(lambda image: loss(-3.0, image))(a))


def test_the_perceptual_term_equals_numpy_and_pulls_at_the_prediction_alone():
    fake, real = (clip[:, 0] for clip in _clips())
    vgg, layers, counts = load_embedded(), ("relu1_2", "relu2_2"), jnp.asarray([1.0, 0.0])
    a, b = (features(vgg, image, layers) for image in (fake, real))
    expected = np.mean([np.abs(a[k][0] - b[k][0]).mean() / np.asarray(b[k]).mean() for k in layers])

    def term(x, y):
        return perceptual.perceptual_error(vgg, x, y, counts, layers=layers)

    assert float(term(fake, real)) == pytest.approx(expected, rel=1e-4) and float(term(real, real)) == 0.0
    pull, none = jax.grad(term, argnums=(0, 1))(fake, real)
    assert jnp.any(pull[0]) and not jnp.any(pull[1]) and not jnp.any(none)


def test_change_error_forgives_an_offset_and_finds_a_frozen_clip():
    a, _ = _clips()
    weights = jnp.ones(SHAPE)
    assert float(temporal.change_error(a + 0.2, a, weights, BOTH, epsilon=EPSILON)) == pytest.approx(0.0, abs=1e-6)
    frozen = jnp.broadcast_to(a[:, :1], SHAPE)
    expected = np.mean(np.sqrt(np.diff(np.asarray(a), axis=1) ** 2 + EPSILON**2) - EPSILON)
    assert float(temporal.change_error(frozen, a, weights, BOTH, epsilon=EPSILON)) == pytest.approx(expected, rel=1e-5)
    assert float(temporal.change_error(a[:, :1], a[:, :1], weights[:, :1], BOTH, epsilon=EPSILON)) == 0.0


def test_texture_error_forgives_another_draw_and_finds_blur_noise_and_freezing():
    a, b = _clips()
    weights = jnp.ones(SHAPE)

    def error(x):
        return float(texture.texture_error(x, a, weights, BOTH, epsilon=EPSILON))

    assert error(a) == 0.0
    other_draw = error(b)
    assert other_draw < 0.3 * error(0.5 + 0.0 * a), (
        "another draw of the same speckle is nearly right, a flat grey is not"
    )
    assert other_draw < 0.5 * error(0.5 + 2.0 * (a - 0.5))


def test_texture_error_is_not_fooled_by_a_few_strong_dots():
    """As much energy as truth, in every ninth pixel: the root mean square alone would call that right."""
    a, b = _clips()
    fine = np.asarray(a) - 0.5
    dots = np.zeros(SHAPE, np.float32)
    dots[:, :, ::3, ::3] = 3 * fine.std() * np.where(fine[:, :, ::3, ::3] > 0, 1, -1)
    weights = jnp.ones(SHAPE)
    wrong = float(texture.texture_error(jnp.asarray(0.5 + dots), a, weights, BOTH, epsilon=EPSILON))
    assert wrong > 2 * float(texture.texture_error(b, a, weights, BOTH, epsilon=EPSILON))


def test_shimmer_error_forgives_another_draw_and_finds_freezing_and_flicker():
    a, b = _clips()
    weights = jnp.ones(SHAPE)

    def error(x):
        return float(texture.shimmer_error(x, a, weights, BOTH, epsilon=EPSILON))

    assert error(a) == 0.0 and error(a[:, ::-1]) > 0.0
    assert error(b) < 0.3 * error(jnp.broadcast_to(a[:, :1], SHAPE))
    assert error(b) < 0.5 * error(0.5 + 2.0 * (a - 0.5))
    assert float(texture.shimmer_error(a[:, :1], a[:, :1], weights[:, :1], BOTH, epsilon=EPSILON)) == 0.0


@pytest.mark.parametrize("term", [texture.texture_error, texture.shimmer_error])
def test_texture_terms_have_a_gradient_on_flat_patches(term):
    flat = jnp.full(SHAPE, 0.3)
    gradient = jax.grad(lambda x: term(x, _clips()[0], jnp.ones(SHAPE), BOTH, epsilon=EPSILON))(flat)
    assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("term", [temporal.change_error, texture.texture_error, texture.shimmer_error])
def test_a_rounding_error_pulls_at_nothing(term):
    """Visible pixels come out as truth but for rounding: there must be nothing to learn from its sign."""
    a, b = _clips()

    def pull(x):
        gradient = jax.grad(lambda x: term(x, a, jnp.ones(SHAPE), BOTH, epsilon=EPSILON))(x)
        return float(jnp.linalg.norm(gradient))

    assert pull(a * (1.0 + 1e-7)) < 1e-3 * pull(b)


@pytest.mark.parametrize("kind", ["hinge", "least_squares"])
def test_adversarial_games_equal_their_formulas(kind):
    rng = np.random.default_rng(1)
    real, fake = (rng.normal(size=(2, 3, 4, 4, 1)).astype(np.float32) for _ in range(2))
    weights = rng.random(real.shape).astype(np.float32)

    def mean(x):
        return np.sum(weights * x) / np.sum(weights)

    if kind == "hinge":
        judge = mean(np.maximum(1 - real, 0)) + mean(np.maximum(1 + fake, 0))
        generate = -mean(fake)
    else:
        judge, generate = 0.5 * mean((real - 1) ** 2 + (fake + 1) ** 2), 0.5 * mean((fake - 1) ** 2)
    found = adversarial.discriminator_loss(jnp.asarray(real), jnp.asarray(fake), jnp.asarray(weights), kind=kind)
    assert float(found) == pytest.approx(judge, rel=1e-5)
    assert float(adversarial.generator_loss(jnp.asarray(fake), jnp.asarray(weights), kind=kind)) == pytest.approx(
        generate, rel=1e-5
    )


def test_an_unknown_game_is_refused():
    with pytest.raises(ValueError, match="wasserstein"):
        adversarial.check_kind("wasserstein")


@pytest.mark.parametrize("term", [temporal.change_error, texture.shimmer_error])
def test_colour_that_goes_counts_as_much_as_colour_that_comes(term):
    rng = np.random.default_rng(3)
    truth = jnp.asarray(rng.uniform(size=(1, 2, 24, 24, 1)), jnp.float32)
    predicted = truth.at[:, 1, 8:16, 8:16].add(0.3)
    weights = jnp.ones_like(truth).at[:, 0, 8:16, 8:16].set(9.0)
    args = (predicted, truth, weights, jnp.ones(1))
    back = tuple(x[:, ::-1] if x.ndim == 5 else x for x in args)
    forth = float(term(*args, epsilon=EPSILON))
    assert forth == pytest.approx(float(term(*back, epsilon=EPSILON)), rel=1e-5)
    assert forth > 1.5 * float(term(predicted, truth, jnp.ones_like(truth), jnp.ones(1), epsilon=EPSILON))
