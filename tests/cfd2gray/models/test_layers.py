import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cfd2gray.models import layers


def test_space_to_depth_and_back_is_the_identity_and_keeps_neighbours_together():
    x = jnp.arange(2 * 3 * 4 * 6 * 5.0).reshape(2, 3, 4, 6, 5)
    y = layers.space_to_depth(x)
    assert y.shape == (2, 3, 2, 3, 20)
    np.testing.assert_array_equal(layers.depth_to_space(y), x)
    block = np.asarray(x)[0, 0, :2, :2].reshape(-1)
    np.testing.assert_array_equal(y[0, 0, 0, 0], block)


def test_space_to_depth_names_the_size_it_cannot_cut():
    with pytest.raises(ValueError, match="multiples of 2, got 5x4"):
        layers.space_to_depth(jnp.zeros((1, 5, 4, 1)))


def test_shift_time_repeats_the_ends():
    x = jnp.arange(4.0).reshape(1, 4, 1)
    np.testing.assert_array_equal(layers.shift_time(x, 1)[0, :, 0], [1, 2, 3, 3])
    np.testing.assert_array_equal(layers.shift_time(x, -2)[0, :, 0], [0, 0, 0, 1])


def test_temporal_mix_is_a_three_frame_convolution():
    mix = layers.TemporalMix(3, dtype=jnp.float32, rngs=nnx.Rngs(0))
    mix.mix.kernel[...] = jax.random.normal(jax.random.key(0), mix.mix.kernel.shape)
    x = jax.random.normal(jax.random.key(1), (2, 6, 4, 4, 3))
    kernel = np.asarray(mix.mix.kernel[...]).reshape(3, 3, 3)
    active = np.asarray(layers.activation(x))
    padded = np.concatenate([active[:, :1], active, active[:, -1:]], axis=1)
    expected = np.asarray(x) + sum(padded[:, k : k + 6] @ kernel[k] for k in range(3))
    np.testing.assert_allclose(mix(x), expected, rtol=1e-4, atol=1e-4)


def test_up_starts_without_a_checkerboard():
    up = layers.Up(8, 4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    y = np.asarray(up(jax.random.normal(jax.random.key(0), (1, 3, 3, 8))))
    for a, b in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_allclose(y[:, a::2, b::2], y[:, ::2, ::2], rtol=1e-6)
