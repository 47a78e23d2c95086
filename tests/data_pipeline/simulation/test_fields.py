import numpy as np
import pytest

from data_pipeline.simulation.fields import gaussian_blur, noise_field, ridge_noise, smoothstep


@pytest.mark.parametrize(("axial", "lateral"), [(1.0, 1.0), (6.0, 3.0), (20.0, 14.0)])
def test_noise_has_unit_variance_and_the_asked_width(axial, lateral):
    noise = noise_field(np.random.default_rng(3), (240, 200), axial, lateral)
    assert noise.dtype == np.float32 and noise.shape == (240, 200)
    assert noise.std() == pytest.approx(1, abs=0.25) and abs(noise.mean()) < 0.5
    # a Gaussian-filtered field correlates by exp(-lag^2 / 4 sigma^2)
    for axis, sigma in ((0, axial), (1, lateral)):
        lag = max(1, int(round(sigma)))
        a, b = np.take(noise, range(lag, noise.shape[axis]), axis), np.take(noise, range(noise.shape[axis] - lag), axis)
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] == pytest.approx(np.exp(-(lag**2) / (4 * sigma**2)), abs=0.2)


def test_blur_keeps_the_mean_and_leaves_an_axis_alone():
    image = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    assert gaussian_blur(image, 0, 0) is image
    blurred = gaussian_blur(image, 0, 4)
    assert blurred.mean(1) == pytest.approx(image.mean(1), abs=0.2) and blurred.std() < image.std()
    two = np.dstack([image, -image])
    assert gaussian_blur(two, 2, 1)[..., 0] == pytest.approx(gaussian_blur(image, 2, 1), abs=1e-5)


def test_smoothstep_and_ridges():
    u = smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32), 0.0, 1.0)
    assert u.dtype == np.float32 and u.tolist() == [0, 0, 0.5, 1, 1]
    ridges = ridge_noise(np.random.default_rng(1), (80, 60), 6, 8)
    assert ridges.min() >= 0 and ridges.max() <= 1 and 0.02 < (ridges > 0.5).mean() < 0.3
