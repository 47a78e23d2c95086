"""Task measures against scikit-learn, and the patient bootstrap against what it promises."""

import numpy as np
import pytest
import sklearn.metrics

from cfd2gray.metrics.accumulate import Bootstrap, draw_patients, summarise
from cfd2gray.metrics.task import auc, confusion_matrix, dice_overall, dice_per_class, f1_per_class


def test_f1_and_confusion_equal_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 60))
    np.testing.assert_array_equal(
        confusion_matrix(truth, predicted, n_classes=4), sklearn.metrics.confusion_matrix(truth, predicted)
    )
    expected = sklearn.metrics.f1_score(truth, predicted, average=None)
    np.testing.assert_allclose(f1_per_class(truth, predicted, n_classes=4), expected, atol=1e-12)


def test_f1_skips_classes_that_are_nowhere_and_counts_missed_ones_as_zero():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    result = f1_per_class(truth, predicted, n_classes=3)
    assert np.isnan(result[2])
    assert result[1] == 0


@pytest.mark.parametrize("wrong", [[0, 3], [-1, 0]])
def test_labels_without_a_class_are_refused(wrong):
    for pair in ((np.array(wrong), np.array([0, 1])), (np.array([0, 1]), np.array(wrong))):
        with pytest.raises(ValueError, match=r"must lie in 0\.\.2"):
            confusion_matrix(*pair, n_classes=3)


def test_dice_equals_f1_of_the_pixels():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 3, (2, 4, 6, 7))
    result = dice_per_class(a, b, n_classes=4)
    for n in range(4):
        expected = sklearn.metrics.f1_score(a[n].ravel(), b[n].ravel(), average=None)
        np.testing.assert_allclose(result[n, :3], expected, atol=1e-12)
    assert np.isnan(result[:, 3]).all()
    overall = dice_overall(a, b, n_classes=4)
    micro = sklearn.metrics.f1_score(a[0].ravel(), b[0].ravel(), labels=[1, 2, 3], average="micro")
    assert overall[0] == pytest.approx(micro)
    assert np.isnan(dice_overall(np.zeros((1, 3), int), np.zeros((1, 3), int), n_classes=2)).all()


@pytest.mark.parametrize("levels", [1000, 4])
def test_auc_equals_scikit_learn_with_and_without_ties(levels):
    rng = np.random.default_rng(2)
    positive = rng.random(80) < 0.4
    scores = np.round((rng.random(80) + 0.3 * positive) * levels) / levels
    assert auc(scores, positive) == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores), abs=1e-12)
    assert auc(np.exp(scores), positive) == pytest.approx(auc(scores, positive))


def test_task_errors():
    with pytest.raises(ValueError, match="both classes"):
        auc(np.arange(3), np.ones(3, bool))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        f1_per_class(np.array([0, 2]), np.array([0, 1]), n_classes=2)
    with pytest.raises(ValueError, match="same length"):
        f1_per_class(np.array([0]), np.array([0, 1]), n_classes=2)
    with pytest.raises(ValueError, match="integer"):
        f1_per_class(np.array([0.5]), np.array([0]), n_classes=2)


def test_summary_is_the_mean_over_clips_with_gaps_left_out():
    rng = np.random.default_rng(0)
    values = rng.random((12, 3))
    values[3:, 2] = np.nan
    values[0, 1] = np.nan
    patients = [f"p{i % 5}" for i in range(12)]
    result = summarise(values, patients, bootstrap=Bootstrap(resamples=500))
    np.testing.assert_allclose(result.mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(result.sd, np.nanstd(values, axis=0, ddof=1))
    np.testing.assert_array_equal(result.n, [12, 11, 3])
    assert (result.low <= result.mean).all()
    assert (result.mean <= result.high).all()


def test_summary_depends_neither_on_order_nor_on_names_order_preserving():
    rng = np.random.default_rng(1)
    values, patients = rng.random((10, 2)), [f"p{i // 3}" for i in range(10)]
    first = summarise(values, patients, bootstrap=Bootstrap())
    order = rng.permutation(10)
    second = summarise(values[order], [patients[i] for i in order], bootstrap=Bootstrap())
    np.testing.assert_allclose(first.low, second.low)
    np.testing.assert_allclose(first.high, second.high)


def test_interval_knows_that_clips_of_a_patient_go_together():
    rng = np.random.default_rng(2)
    level = rng.standard_normal(20)
    values = np.repeat(level, 10)[:, None] + 0.01 * rng.standard_normal((200, 1))
    grouped = summarise(values, [f"p{i // 10}" for i in range(200)], bootstrap=Bootstrap())
    loose = summarise(values, [f"p{i}" for i in range(200)], bootstrap=Bootstrap())
    assert (grouped.high - grouped.low)[0] > 2.5 * (loose.high - loose.low)[0]
    expected = 1.96 * level.std() / np.sqrt(20)
    assert (grouped.high - grouped.low)[0] / 2 == pytest.approx(expected, rel=0.15)


def test_one_patient_gives_no_interval():
    result = summarise(np.random.default_rng(0).random((4, 1)), ["p"] * 4, bootstrap=Bootstrap())
    assert np.isnan(result.low).all()
    assert np.isfinite(result.mean).all()


def test_draws_are_reproducible_and_complete():
    draws = draw_patients(7, bootstrap=Bootstrap(resamples=100, seed=3))
    assert (draws.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(draws, draw_patients(7, bootstrap=Bootstrap(resamples=100, seed=3)))
    with pytest.raises(ValueError, match="at least 100"):
        Bootstrap(resamples=5)
    with pytest.raises(ValueError, match="one patient per clip"):
        summarise(np.zeros((2, 1)), ["a"], bootstrap=Bootstrap())
