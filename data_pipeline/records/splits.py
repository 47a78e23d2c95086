"""Which split a patient belongs to: decided once by a stable hash, so that a clip added later never moves another.

The unit is the patient, never the clip: two clips of one heart in training and in test make any score worthless.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

DEFAULT_FRACTIONS = (("train", 0.8), ("val", 0.1), ("test", 0.1))


def split_of(patient_id: str, *, fractions: Iterable[tuple[str, float]] = DEFAULT_FRACTIONS, salt: str = "") -> str:
    """The split of a patient.

    Args:
        patient_id: keyed hash of the patient; the same text always gives the same answer, on every machine.
        fractions: ``(name, share)`` in order; the shares are positive and sum to 1.
        salt: another salt draws another, equally valid partition.

    Raises:
        ValueError: for an empty id, or shares that do not sum to 1.
    """
    shares = check_fractions(fractions)
    if not patient_id:
        raise ValueError("split_of needs a patient id, got an empty text; give every clip the id of its patient")
    digest = hashlib.sha256(f"{salt}\x00{patient_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2.0**64
    edge = 0.0
    for name, share in shares:
        edge += share
        if position < edge:
            return name
    return shares[-1][0]  # position lies within rounding of 1


def check_fractions(fractions: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """``fractions`` as a tuple, or ``ValueError`` when they are no partition."""
    shares = tuple((str(name), float(share)) for name, share in fractions)
    names = [name for name, _ in shares]
    if not shares or len(set(names)) != len(names) or any(not share > 0 for _, share in shares):
        raise ValueError(f"fractions must be distinct names with positive shares, got {shares}")
    if not math.isclose(sum(share for _, share in shares), 1.0, abs_tol=1e-6):
        raise ValueError(f"fractions must sum to 1, got {sum(share for _, share in shares)} from {shares}")
    return shares


def check_disjoint(patients: Mapping[str, Iterable[str]]) -> None:
    """Raise ``ValueError`` when a patient appears in two splits.

    Args:
        patients: the patient ids of each split.
    """
    owner: dict[str, str] = {}
    for split, ids in patients.items():
        for patient in set(ids):
            if owner.setdefault(patient, split) != split:
                raise ValueError(
                    f"a patient may be in one split only, but {patient!r} is in {owner[patient]!r} and in {split!r}; "
                    "assign splits by patient, not by clip"
                )
