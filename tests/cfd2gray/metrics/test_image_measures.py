"""SSIM and the other frame measures against scikit-image and SciPy, and what they must be indifferent to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import skimage.metrics

from cfd2gray import metrics
from cfd2gray.metrics.frames import masked_mean
from cfd2gray.metrics.window import gaussian_blur


def clips(seed, shape=(2, 3, 37, 53)):
    rng = np.random.default_rng(seed)
    truth = scipy.ndimage.gaussian_filter(rng.random(shape), (0, 0, 1, 1))
    truth = (truth - truth.min()) / np.ptp(truth)
    other = np.clip(truth + 0.1 * rng.standard_normal(shape), 0, 1)
    return np.round(other * 255) / 255, np.round(truth * 255) / 255


def f32(*arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


def skimage_map(a, b):
    return skimage.metrics.structural_similarity(
        a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]


@pytest.mark.parametrize("shape", [(2, 3, 37, 53), (1, 1, 11, 11), (3, 2, 41, 82), (9, 2, 16, 120), (1, 17, 12, 43)])
def test_ssim_map_equals_scikit_image_up_to_the_border(shape):
    a, b = clips(len(shape) + shape[2], shape)
    expected = np.stack([[skimage_map(x, y) for x, y in zip(p, q)] for p, q in zip(a, b)])
    np.testing.assert_allclose(metrics.ssim_map(*f32(a, b), data_range=1), expected, atol=1e-5)


def test_ssim_of_black_surroundings_and_a_flat_patch_keeps_its_digits():
    a, b = np.zeros((2, 1, 1, 24, 24))
    a[..., 12:, :], b[..., 12:, :] = 60 / 255, 63 / 255
    b[..., 18, 8] = 1
    expected = skimage_map(a[0, 0], b[0, 0])
    np.testing.assert_allclose(metrics.ssim_map(*f32(a, b), data_range=1)[0, 0], expected, atol=3e-5)
    assert metrics.ssim_map(*f32(a, b), data_range=1)[0, 0, 0, 0] == 1


def test_ssim_is_symmetric_one_for_identical_and_free_of_scale():
    a, b = f32(*clips(0))
    forward = metrics.ssim(a, b, data_range=1.0)
    np.testing.assert_allclose(forward, metrics.ssim(b, a, data_range=1.0), atol=1e-6)
    np.testing.assert_allclose(forward, metrics.ssim(a * 255, b * 255, data_range=255.0), atol=1e-5)
    np.testing.assert_allclose(metrics.ssim(a, a, data_range=1.0), 1, atol=1e-6)
    mirrored = metrics.ssim_map(a[..., ::-1], b[..., ::-1], data_range=1.0)[..., ::-1]
    np.testing.assert_allclose(mirrored, metrics.ssim_map(a, b, data_range=1.0), atol=1e-5)


def test_one_example_does_not_change_another():
    a, b = f32(*clips(1, (3, 5, 24, 24)))
    together = metrics.ssim_map(a, b, data_range=1.0)
    alone = metrics.ssim_map(a[1:2], b[1:2], data_range=1.0)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize(("sigma", "size"), [(0.7, 9), (1.4, 50), (2.8, 131)])
def test_blur_equals_scipy(sigma, size):
    image = np.random.default_rng(0).random((size, size + 3)).astype(np.float32)
    expected = scipy.ndimage.gaussian_filter(image.astype(float), sigma, mode="reflect", truncate=4)
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(image), sigma=sigma), expected, atol=1e-6)


def test_the_gradient_of_a_blur_is_its_transpose():
    shape, radius = (12, 13), 5
    pixels = np.eye(shape[0] * shape[1], dtype=np.float32).reshape(-1, *shape)
    matrix = np.asarray(gaussian_blur(jnp.asarray(pixels), sigma=1.5, radius=radius)).reshape(len(pixels), -1)
    weights = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    found = jax.grad(lambda x: jnp.sum(weights * gaussian_blur(x, sigma=1.5, radius=radius)))(jnp.zeros(shape))
    np.testing.assert_allclose(found, (matrix @ np.asarray(weights).ravel()).reshape(shape), atol=1e-6)


def test_errors_equal_scikit_image():
    a, b = clips(2)
    expected = [skimage.metrics.peak_signal_noise_ratio(y, x, data_range=1) for x, y in zip(a, b)]
    np.testing.assert_allclose(metrics.psnr(*f32(a, b), data_range=1.0), expected, atol=1e-5)
    np.testing.assert_allclose(metrics.mae(*f32(a, b)), np.abs(a - b).mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(metrics.psnr(*f32(a, a), data_range=1.0), 10 * np.log10(12 * 255**2), atol=1e-3)


def test_masked_values_are_the_plain_means_of_the_selected_pixels():
    a, b = clips(3)
    mask = np.random.default_rng(4).random((2, *a.shape)) < 0.3
    mask[1, 0] = False
    result = np.asarray(metrics.mae(*f32(a, b), mask=jnp.asarray(mask)))
    assert result.shape == (2, 2)
    assert np.isnan(result[1, 0])
    for s, n in [(0, 0), (0, 1), (1, 1)]:
        np.testing.assert_allclose(result[s, n], np.abs(a - b)[n][mask[s, n]].mean(), atol=1e-6)


def test_masked_mean_keeps_its_digits_over_a_million_pixels():
    values = np.random.default_rng(0).random((1, 16, 256, 256)).astype(np.float32)
    mask = np.ones(values.shape, bool)
    result = jax.jit(masked_mean)(jnp.asarray(values), jnp.asarray(mask))
    np.testing.assert_allclose(result, values.astype(float).mean(), rtol=1e-6)


def test_histogram_distance_equals_scipy_wasserstein():
    a, b = clips(5)
    mask = np.random.default_rng(6).random((3, *a.shape)) < 0.5
    result = metrics.histogram_distance(*f32(a, b), mask=jnp.asarray(mask))
    for s in range(3):
        for n in range(2):
            expected = scipy.stats.wasserstein_distance(a[n][mask[s, n]], b[n][mask[s, n]])
            np.testing.assert_allclose(result[s, n], expected, atol=1e-5)
    whole = [scipy.stats.wasserstein_distance(x.ravel(), y.ravel()) for x, y in zip(a, b)]
    np.testing.assert_allclose(metrics.histogram_distance(*f32(a, b)), whole, atol=1e-5)


def test_histogram_distance_ignores_where_pixels_are():
    a, b = clips(7)
    shuffled = np.random.default_rng(0).permutation(a.reshape(2, -1).T).T.reshape(a.shape)
    np.testing.assert_allclose(
        metrics.histogram_distance(*f32(shuffled, b)), metrics.histogram_distance(*f32(a, b)), atol=1e-6
    )


def test_texture_ratio_equals_scipy_and_falls_with_blur():
    a, b = clips(8)

    def fine_std(x):
        return np.std(x - scipy.ndimage.gaussian_filter(x, (0, 0, 1.5, 1.5), truncate=3.5), axis=(1, 2, 3))

    np.testing.assert_allclose(metrics.texture_std_ratio(*f32(a, b)), fine_std(a) / fine_std(b), atol=1e-5)
    blurred = scipy.ndimage.gaussian_filter(b, (0, 0, 2, 2))
    assert np.all(np.asarray(metrics.texture_std_ratio(*f32(blurred, b))) < 0.5)
    assert np.all(np.isnan(metrics.texture_std_ratio(*f32(a, np.zeros_like(b)))))


def test_spectrum_distance_equals_scipy_and_knows_its_units():
    a, b = clips(9)

    def levels(x):
        steps = [x, *(scipy.ndimage.gaussian_filter(x, (0, 0, s, s), truncate=4) for s in (0.7, 1.4, 2.8))]
        energies = [np.square(p - q).mean((1, 2, 3)) for p, q in zip(steps, steps[1:])]
        return 10 * np.log10(np.stack(energies) + (0.1 / 255) ** 2)

    expected = np.sqrt(np.square(levels(a) - levels(b)).mean(0))
    np.testing.assert_allclose(metrics.spectrum_distance(*f32(a, b)), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.spectrum_distance(*f32(b / 2, b)), 6.02, atol=0.02)
    np.testing.assert_allclose(metrics.spectrum_distance(*f32(b + 0.1, b)), 0, atol=1e-3)


def test_bad_input_names_the_rule():
    good = jnp.zeros((1, 2, 16, 16), jnp.float32)
    with pytest.raises(ValueError, match="same shape"):
        metrics.mae(good, good[:, :1])
    with pytest.raises(ValueError, match="divide uint8"):
        metrics.mae(good.astype(jnp.uint8), good)
    with pytest.raises(ValueError, match=r"\[N, T, H, W\]"):
        metrics.mae(good[0], good[0])
    with pytest.raises(ValueError, match="at least 11x11"):
        metrics.ssim(good[..., :5], good[..., :5], data_range=1.0)
    with pytest.raises(ValueError, match="data_range must be positive"):
        metrics.ssim(good, good, data_range=0)
    with pytest.raises(ValueError, match="mask must end"):
        metrics.mae(good, good, mask=jnp.ones((1, 16, 16), bool))


def test_no_ratio_is_taken_to_less_than_half_a_grey_level():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, 2, 24, 24)).astype(np.float32)
    lively = jnp.asarray(0.5 + 0.1 * noise)
    assert np.isnan(metrics.texture_std_ratio(lively, jnp.asarray(0.5 + 1e-3 * noise))).all()
    np.testing.assert_allclose(metrics.texture_std_ratio(lively, jnp.asarray(0.5 + 0.05 * noise)), 2, rtol=1e-3)
