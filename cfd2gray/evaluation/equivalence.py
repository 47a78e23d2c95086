"""Paired comparison of classifications by patient: is F1 on translated clips the same as on real ones?

"No significant difference" is not sameness. Equivalence is claimed when the whole 90 % interval of the difference lies
within a margin that was stated beforehand (two one-sided tests at 5 %, Schuirmann 1987), with patients as the unit of
resampling and the same draw for both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfd2gray.metrics.accumulate import Bootstrap, draw_patients, percentile_interval
from cfd2gray.metrics.task import confusion_matrix, overlap


def confusion_by_patient(
    truth: np.ndarray, predicted: np.ndarray, patients: Sequence[str], *, n_classes: int
) -> np.ndarray:
    """One confusion matrix per patient, ``[patients, n_classes, n_classes]``, in the order of sorted patient ids."""
    owner = np.asarray(patients)
    return np.stack(
        [
            confusion_matrix(truth[owner == name], predicted[owner == name], n_classes=n_classes)
            for name in np.unique(owner)
        ]
    )


def macro_f1(matrices: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that occur, of confusion matrices ``[..., C, C]`` -> ``[...]``."""
    return np.nanmean(overlap(matrices), axis=-1)


def compare_f1(
    truth: np.ndarray,
    on_real: np.ndarray,
    on_synthetic: np.ndarray,
    patients: Sequence[str],
    *,
    n_classes: int,
    margin: float,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """F1 on real and on synthetic clips of the same patients, their difference, and whether the two are equivalent.

    Args:
      truth, on_real, on_synthetic: int classes ``[N]``: labels, and predictions from the real and the translated clip.
      patients: patient of each clip.
      n_classes: number of classes.
      margin: largest difference of F1 that counts as the same; state it before looking.
      bootstrap: resamples and seed.
    """
    if not 0 < margin < 1:
        raise ValueError(f"the equivalence margin must lie between 0 and 1, got {margin}")
    if not len(truth) == len(on_real) == len(on_synthetic) == len(patients):
        raise ValueError(
            "every clip needs a label, a prediction on the real and one on the synthetic clip, and a patient; got "
            f"{len(truth)}, {len(on_real)}, {len(on_synthetic)} and {len(patients)}"
        )
    real = confusion_by_patient(truth, on_real, patients, n_classes=n_classes)
    synthetic = confusion_by_patient(truth, on_synthetic, patients, n_classes=n_classes)
    f1_real, f1_synthetic = float(macro_f1(real.sum(axis=0))), float(macro_f1(synthetic.sum(axis=0)))
    result = {
        "f1_real": f1_real,
        "f1_synthetic": f1_synthetic,
        "f1_difference": f1_synthetic - f1_real,
        "f1_ci95": None,
        "equivalence": {"margin": margin, "ci90": None, "equivalent": None},
        "changed_predictions": int(np.sum(np.asarray(on_real) != np.asarray(on_synthetic))),
    }
    if len(real) < 2 or not bootstrap.resamples:
        return result
    draws = draw_patients(len(real), bootstrap=bootstrap)
    drawn_real = macro_f1(np.einsum("bp,pij->bij", draws, real))
    drawn_synthetic = macro_f1(np.einsum("bp,pij->bij", draws, synthetic))
    difference = drawn_synthetic - drawn_real
    ci90 = percentile_interval(difference, level=0.9)
    result["f1_ci95"] = {
        "real": percentile_interval(drawn_real),
        "synthetic": percentile_interval(drawn_synthetic),
        "difference": percentile_interval(difference),
    }
    result["equivalence"] |= {"ci90": ci90, "equivalent": bool(-margin < ci90[0] and ci90[1] < margin)}
    return result
