"""Stated doubt and grey level -> probability."""

import numpy as np
import scipy.stats

from cfd2gray.runtimes.confidence import DARK, SHARE, TOLERANCE, confidence_of


def test_it_is_the_probability_under_a_laplace_distribution_of_the_mean_scale():
    rng = np.random.default_rng(0)
    stated, grey = rng.uniform(0.005, 0.2, 50), rng.uniform(0, 1, 50)
    scale = SHARE * scipy.stats.gmean([stated, grey + DARK])
    inside = scipy.stats.laplace(scale=scale)
    wanted = inside.cdf(TOLERANCE) - inside.cdf(-TOLERANCE)
    np.testing.assert_allclose(confidence_of(np.log(stated), grey), wanted, atol=1e-5)


def test_more_doubt_and_more_light_make_it_less_certain():
    doubt, grey = np.meshgrid(np.linspace(-5, -1, 9), np.linspace(0, 1, 9))
    found = np.asarray(confidence_of(doubt, grey))
    assert (found > 0).all() and (found <= 1).all()
    assert (np.diff(found, axis=0) <= 0).all() and (np.diff(found, axis=1) <= 0).all()
    assert (np.diff(found, axis=0) < 0).any() and (np.diff(found, axis=1) < 0).any()
