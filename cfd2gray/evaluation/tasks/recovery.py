"""The data-recovery experiment: what do translated clips add where greyscale is scarce?

Learning curves of a view classifier tested on real greyscale: trained on few greyscale patients alone; on those plus
translated colour-flow clips of other patients; and, as the best that could be, on those plus the same clips had they
been acquired in greyscale. Clips that the translator was fitted to would flatter it, so all come from patients that it
never saw: one half of them trains the classifier, the other tests it, and then the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfd2gray.evaluation.equivalence import confusion_by_patient, macro_f1
from cfd2gray.evaluation.tasks.downstream import ClipSet
from cfd2gray.evaluation.tasks.head_training import HeadTraining, classify, fit_classifier
from cfd2gray.metrics.accumulate import Bootstrap, draw_patients, percentile_interval

ARMS = ("greyscale_alone", "with_translated", "with_acquired")


def recovery(
    clips: ClipSet, *, patients: Sequence[int], training: HeadTraining, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Learning curves over numbers of greyscale patients.

    Args:
      clips: of patients that the translator was not trained on, with translations.
      patients: numbers of greyscale patients, each at least 2 and fewer than there are in a half; the rest of the half
        is taken as available in colour flow only.
      training: how the classifier is trained; every arm gets the same number of steps.
      bootstrap: for the 95 % intervals, over all patients.

    Returns:
      ``{"patients": [...], "arms": {arm: [{"f1", "ci95", "n_clips"}, ...]}, "gain": [{"f1", "ci95"}, ...]}`` where
      ``gain`` is the paired difference between the second arm and the first, and ``n_clips`` that of a half's training.

    Raises:
      ValueError: for numbers of patients out of range.
    """
    order = np.random.default_rng(0).permutation(sorted(set(clips.patients)))
    halves = (order[::2], order[1::2])
    most = len(halves[1]) - 1
    wrong = [n for n in patients if not 2 <= n <= most]
    if wrong or not patients:
        raise ValueError(
            f"numbers of greyscale patients must lie in 2..{most}, fewer than half of the {len(order)} patients scored, "
            f"got {list(patients)}; ask for fewer, or score more patients"
        )
    draws = draw_patients(len(order), bootstrap=bootstrap) if bootstrap.resamples else None
    result: dict[str, Any] = {"patients": list(patients), "arms": {arm: [] for arm in ARMS}, "gain": []}
    for number in patients:
        drawn = {}
        for arm in ARMS:
            if arm == "with_acquired" and result["arms"][arm]:  # the same clips whatever the number
                result["arms"][arm].append(result["arms"][arm][0])
                continue
            parts = [_confusions(clips, pool, other, number, arm, training) for pool, other in (halves, halves[::-1])]
            matrices = np.concatenate([matrices for matrices, _ in parts])
            drawn[arm] = None if draws is None else macro_f1(np.einsum("bp,pij->bij", draws, matrices))
            point = {"f1": float(macro_f1(matrices.sum(axis=0))), "ci95": _interval(drawn[arm])}
            result["arms"][arm].append(point | {"n_clips": round(np.mean([n for _, n in parts]))})
        alone, added = result["arms"]["greyscale_alone"][-1]["f1"], result["arms"]["with_translated"][-1]["f1"]
        gain = None if draws is None else drawn["with_translated"] - drawn["greyscale_alone"]
        result["gain"].append({"f1": added - alone, "ci95": _interval(gain)})
    return result


def _confusions(
    clips: ClipSet, pool: np.ndarray, other: np.ndarray, number: int, arm: str, training: HeadTraining
) -> tuple[np.ndarray, int]:
    """Confusion of each patient of ``other`` [P, N, N] by a classifier trained on ``pool``, and how many clips that had."""
    grey, rest = np.isin(clips.patients, pool[:number]), np.isin(clips.patients, pool[number:])
    second = {
        "greyscale_alone": clips.real[:0],
        "with_translated": clips.synthetic[rest],
        "with_acquired": clips.real[rest],
    }
    shown = np.concatenate([clips.real[grey], second[arm]])
    classes = np.concatenate([clips.classes[grey], clips.classes[rest]])[: len(shown)]
    tested, n_classes = np.isin(clips.patients, other), len(clips.class_names)
    present = np.unique(classes)
    if len(present) == 1:  # so scarce that there is one class: the best one can do is to name it always
        predicted = np.full(tested.sum(), present[0])
    else:
        head = fit_classifier(shown, classes, n_classes=n_classes, options=training)
        predicted = np.argmax(classify(head, clips.real[tested], options=training), axis=-1)
    patients = np.asarray(clips.patients)[tested]
    return confusion_by_patient(clips.classes[tested], predicted, patients, n_classes=n_classes), len(shown)


def _interval(drawn: np.ndarray | None) -> list[float] | None:
    return None if drawn is None else percentile_interval(drawn)
