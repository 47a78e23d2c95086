"""The data-recovery experiment: what do translated clips add where greyscale is scarce?

Learning curves of a view classifier tested on real greyscale: trained on few greyscale patients alone; on those plus
translated colour-flow clips of other patients; and, as the best that could be, on those plus the same clips had they
been acquired in greyscale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfd2gray.evaluation.equivalence import confusion_by_patient, macro_f1
from cfd2gray.evaluation.tasks.downstream import ClipSet, check_disjoint
from cfd2gray.evaluation.tasks.head_training import HeadTraining, classify, fit_classifier
from cfd2gray.metrics.accumulate import Bootstrap, draw_patients, percentile_interval

ARMS = ("greyscale_alone", "with_translated", "with_acquired")


def recovery(
    train: ClipSet,
    test: ClipSet,
    *,
    patients: Sequence[int],
    training: HeadTraining,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Learning curves over numbers of greyscale patients.

    Args:
      train: clips of which some patients are taken as greyscale, the rest as available in colour flow only.
      test: real clips of other patients.
      patients: numbers of greyscale patients, each at least 2 and fewer than there are.
      training: how the classifier is trained; every arm gets the same number of steps.
      bootstrap: for the 95 % intervals, over test patients.

    Returns:
      ``{"patients": [...], "arms": {arm: [{"f1", "ci95", "n_clips"}, ...]}, "gain": [{"f1", "ci95"}, ...]}`` where
      ``gain`` is the paired difference between the second arm and the first.
    """
    check_disjoint(train, test)
    names = sorted(set(train.patients))
    wrong = [n for n in patients if not 2 <= n < len(names)]
    if wrong or not patients:
        raise ValueError(f"numbers of greyscale patients must lie in 2..{len(names) - 1}, got {list(patients)}")
    order = np.random.default_rng(0).permutation(names)
    draws = draw_patients(len(set(test.patients)), bootstrap=bootstrap) if bootstrap.resamples else None
    result: dict[str, Any] = {"patients": list(patients), "arms": {arm: [] for arm in ARMS}, "gain": []}
    for number in patients:
        grey = np.isin(train.patients, order[:number])
        pools = {
            "greyscale_alone": (train.real[grey], train.classes[grey]),
            "with_translated": (
                np.concatenate([train.real[grey], train.synthetic[~grey]]),
                np.concatenate([train.classes[grey], train.classes[~grey]]),
            ),
            "with_acquired": (train.real, train.classes),
        }
        drawn = {}
        for arm, (clips, classes) in pools.items():
            if arm == "with_acquired" and result["arms"][arm]:  # the same clips whatever the number
                result["arms"][arm].append(result["arms"][arm][0])
                continue
            point, drawn[arm] = _score(clips, classes, test, training, draws)
            result["arms"][arm].append(point)
        alone, added = result["arms"]["greyscale_alone"][-1]["f1"], result["arms"]["with_translated"][-1]["f1"]
        gain = None if draws is None else drawn["with_translated"] - drawn["greyscale_alone"]
        result["gain"].append({"f1": added - alone, "ci95": _interval(gain)})
    return result


def _score(
    clips: np.ndarray, classes: np.ndarray, test: ClipSet, training: HeadTraining, draws: np.ndarray | None
) -> tuple[dict[str, Any], np.ndarray | None]:
    n_classes = len(test.class_names)
    present = np.unique(classes)
    if len(present) == 1:  # so scarce that there is one class: the best one can do is to name it always
        predicted = np.full(len(test), present[0])
    else:
        head = fit_classifier(clips, classes, n_classes=n_classes, options=training)
        predicted = np.argmax(classify(head, test.real, options=training), axis=-1)
    matrices = confusion_by_patient(test.classes, predicted, test.patients, n_classes=n_classes)
    drawn = None if draws is None else macro_f1(np.einsum("bp,pij->bij", draws, matrices))
    point = {"f1": float(macro_f1(matrices.sum(axis=0))), "ci95": _interval(drawn), "n_clips": len(clips)}
    return point, drawn


def _interval(drawn: np.ndarray | None) -> list[float] | None:
    return None if drawn is None else percentile_interval(drawn)
