import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.models.vgg import features
from cfd2gray.weights.vgg_convert import load_embedded

REFERENCE = pathlib.Path(__file__).parents[2] / "data" / "vgg16_reference_activations.npz"


def test_the_embedded_network_equals_the_reference_activations():
    reference = np.load(REFERENCE)
    image = jnp.asarray(reference["rgb"], jnp.float32) / 255.0
    found = features(load_embedded(), image, ("relu1_2", "relu2_2", "relu3_3"))
    for layer, value in found.items():
        expected = reference[layer]
        np.testing.assert_allclose(value[:, :6, :8], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_grey_images_are_three_equal_channels():
    grey = jax.random.uniform(jax.random.key(0), (1, 16, 16, 1))
    vgg = load_embedded()
    a = features(vgg, grey, ("relu2_2",))["relu2_2"]
    b = features(vgg, jnp.repeat(grey, 3, -1), ("relu2_2",))["relu2_2"]
    np.testing.assert_array_equal(a, b)


def test_a_layer_the_weights_do_not_hold_is_named():
    with pytest.raises(ValueError, match="relu4_3"):
        features(load_embedded(), jnp.zeros((1, 16, 16, 1)), ("relu4_3",))
