"""Measures of downstream tasks, in NumPy: classification, segmentation, detection of a difference.

Definitions follow scikit-learn's (F1 with zero division giving 0, the area under the ROC curve as the probability that
a positive outranks a negative, ties counting half).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Counts ``[n_classes (truth), n_classes (predicted)]`` of two int vectors ``[N]``."""
    truth, predicted = _classes(truth, n_classes, "truth"), _classes(predicted, n_classes, "predicted")
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and predicted must have the same length, got {truth.size} and {predicted.size}")
    for name, labels in (("truth", truth), ("predicted", predicted)):
        if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
            raise ValueError(
                f"{name} labels must lie in 0..{n_classes - 1}, got {labels.min()}..{labels.max()}; name all the classes"
            )
    return np.bincount(truth * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def overlap(matrices: np.ndarray) -> np.ndarray:
    """Dice (and F1, which is the same) of each class from counts ``[..., C, C]`` -> ``[..., C]``; NaN where it is absent."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1).astype(float)
    size = matrices.sum(axis=-1) + matrices.sum(axis=-2)
    return np.where(size > 0, 2 * hits / np.maximum(size, 1e-12), np.nan)


def f1_per_class(truth: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """F1 of each class ``[n_classes]``; NaN for classes that neither occur nor are predicted."""
    return overlap(confusion_matrix(truth, predicted, n_classes=n_classes))


def dice_per_class(a: np.ndarray, b: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Dice overlap of two label maps ``[N, ...]`` of ints, per example and class: ``[N, n_classes]``.

    NaN where a class is in neither map of an example.
    """
    return overlap(_counts(a, b, n_classes))


def dice_overall(a: np.ndarray, b: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Dice overlap of two label maps ``[N, ...]`` over all labels but the background (0) together, per example: ``[N]``.

    Labels count by their size, so that a valve of ten pixels does not decide the score. NaN where both are empty.
    """
    counts = _counts(a, b, n_classes)
    hits = np.diagonal(counts, axis1=1, axis2=2)[:, 1:].sum(axis=1)
    size = (counts.sum(axis=1) + counts.sum(axis=2))[:, 1:].sum(axis=1)
    return np.where(size > 0, 2 * hits / np.maximum(size, 1), np.nan)


def _counts(a: np.ndarray, b: np.ndarray, n_classes: int) -> np.ndarray:
    """A confusion matrix for each example ``[N, C, C]``."""
    if a.shape != b.shape:
        raise ValueError(f"label maps must have the same shape, got {list(a.shape)} and {list(b.shape)}")
    return np.stack([confusion_matrix(x.ravel(), y.ravel(), n_classes=n_classes) for x, y in zip(a, b)])


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of ``scores [N]`` for bool ``positive [N]`` (Mann-Whitney, ties count half)."""
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise ValueError(f"scores and positive must be vectors of one length, got {scores.shape} and {positive.shape}")
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        raise ValueError(f"AUC needs both classes, got {n_positive} positive and {n_negative} negative examples")
    rank_sum = rankdata(scores)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _classes(labels: np.ndarray, n_classes: int, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name} must hold integer classes, got {labels.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
        raise ValueError(f"{name} must lie in 0..{n_classes - 1}, got {labels.min()}..{labels.max()}")
    return labels.astype(np.int64)
