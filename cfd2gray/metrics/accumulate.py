"""From per-example values to means with intervals.

Clips of one patient are not independent, so intervals come from resampling patients. The mean is over clips (each clip
counts once); a resampled patient brings all of their clips. Missing values (NaN: a stratum that a clip does not have)
drop out of their own column only, and the count of what is left is always reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn: percentile bootstrap over patients."""

    resamples: int = 2000
    """0: no intervals."""
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples and self.resamples < 100:
            raise ValueError(f"a bootstrap needs at least 100 resamples (0 for no intervals), got {self.resamples}")
        if not 0 < self.level < 1:
            raise ValueError(f"the confidence level must lie between 0 and 1, got {self.level}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Column-wise results, each array ``[K]``; intervals are NaN when there are fewer than two patients."""

    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def summarise(values: np.ndarray, patients: Sequence[str], *, bootstrap: Bootstrap) -> Summary:
    """Mean, SD over clips and patient-bootstrap interval of each column.

    Args:
      values: float ``[clips, K]``; NaN marks a value that the clip does not have.
      patients: patient id of each clip.
      bootstrap: resamples, level and seed. The same draw of patients serves every column, so that differences
        between columns stay paired.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(patients) != values.shape[0]:
        raise ValueError(f"values must be [clips, K] with one patient per clip, got {values.shape} and {len(patients)}")
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    n = known.sum(axis=0)
    mean = _ratio(filled.sum(axis=0), n)
    spread = np.where(known, values - np.where(n > 0, mean, 0), 0)
    sd = np.sqrt(np.where(n > 1, (spread**2).sum(axis=0) / np.maximum(n - 1, 1), np.nan))
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2 or not bootstrap.resamples:
        nothing = np.full(values.shape[1], np.nan)
        return Summary(mean=mean, sd=sd, low=nothing, high=nothing, n=n)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, owner, filled)
    np.add.at(counts, owner, known)
    draws = draw_patients(len(names), bootstrap=bootstrap)  # [resamples, patients]
    means = _ratio(draws @ sums, draws @ counts)
    low, high = np.full((2, values.shape[1]), np.nan)
    some = (counts > 0).sum(axis=0) > 1  # an interval over one patient would be a point
    if some.any():
        low[some], high[some] = percentile_interval(means[:, some], level=bootstrap.level)
    return Summary(mean=mean, sd=sd, low=low, high=high, n=n)


def draw_patients(n_patients: int, *, bootstrap: Bootstrap) -> np.ndarray:
    """How often each patient is drawn: float64 ``[resamples, n_patients]``, each row summing to ``n_patients``."""
    rng = np.random.default_rng(bootstrap.seed)
    return rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=bootstrap.resamples).astype(np.float64)


def percentile_interval(drawn: np.ndarray, *, level: float = 0.95) -> list[np.ndarray]:
    """Ends of the interval that holds ``level`` of the draws ``[resamples, ...]``; NaN draws are left out."""
    tail = 50 * (1 - level)
    return np.nanpercentile(drawn, [tail, 100 - tail], axis=0).tolist()


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
