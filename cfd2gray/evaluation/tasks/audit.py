"""The shortcut audit: can a classifier tell translated clips from real ones, and would a label leak through?

If valve patients get colour flow and others do not, translation may carry the confound over: a model trained on the
mixture then reads "was translated" instead of the disease. The audit trains a classifier to tell origins apart, patients
kept together in cross-validation, says how well it does, where it looks, and warns in plain words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
from scipy.stats.contingency import association

from cfd2gray.evaluation.report.sprites import sheet
from cfd2gray.evaluation.tasks.downstream import ClipSet
from cfd2gray.evaluation.tasks.head_training import HeadTraining, classify, fit_classifier, reduce_clips, saliency
from cfd2gray.metrics.accumulate import Bootstrap, draw_patients, percentile_interval
from cfd2gray.metrics.strata import strata_masks
from cfd2gray.metrics.task import auc

TELLS_APART = 0.6
"""AUC whose interval must lie above this before the audit calls origins readable."""
ASSOCIATED = 0.1
"""Cramer's V from which a label counts as going with the origin."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How the audit's classifier is trained and judged."""

    training: HeadTraining = dataclasses.field(default_factory=lambda: HeadTraining(steps=150, size=64))
    folds: int = 4
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"cross-validation needs at least 2 folds, got {self.folds}")


def audit_translation(clips: ClipSet, *, options: AuditOptions | None = None) -> dict[str, Any]:
    """Real against translated version of the same clips (those with flow).

    Returns:
      ``{"auc", "ci95", "readable", "saliency": {stratum: {"share", "area"}}, "warning": str | None, "n_clips",
      "n_patients", "pictures"}``. ``share`` is the part of the classifier's attention in a stratum, ``area`` the part of the
      picture; ``pictures`` are data URIs of a few translated clips with the attention painted over.
    """
    options = options or AuditOptions()
    seen = clips.select(clips.flow)
    if not len(seen):
        raise ValueError("no clip has flow, so there is nothing translated to tell apart")
    both = np.concatenate([seen.real, seen.synthetic])
    origin = np.repeat([0, 1], len(seen))
    patients = (*seen.patients, *seen.patients)
    scores, heads = cross_validate(both, origin, patients, options=options)
    result = _verdict(scores, origin == 1, patients, options.bootstrap)
    result |= {"n_clips": len(seen), "n_patients": len(set(seen.patients))}
    if seen.strata is not None:
        result["saliency"] = where_it_looks(heads[0], seen, options=options)
    result["pictures"] = [
        sheet(frames, columns=len(frames), quality=90) for frames in saliency_pictures(heads[0], seen, options=options)
    ]
    result["warning"] = _translation_warning(result)
    return result


def audit_origin(
    grey: np.ndarray, translated: np.ndarray, patients: tuple[Sequence[str], Sequence[str]], *, options: AuditOptions
) -> dict[str, Any]:
    """Greyscale-origin against CFD-origin clips of an archive, after translation (other clips, perhaps other patients).

    Args:
      grey: uint8 ``[N, T, H, W]``, clips acquired in greyscale.
      translated: uint8 ``[M, T, H, W]``, clips translated from colour flow.
      patients: patient ids of the two.
    """
    if not len(grey) or not len(translated):
        raise ValueError(f"both origins need clips, got {len(grey)} greyscale and {len(translated)} translated")
    clips = np.concatenate([reduce_clips(part, options=options.training) for part in (grey, translated)])
    origin = np.repeat([0, 1], [len(grey), len(translated)])
    everyone = (*patients[0], *patients[1])
    scores, _ = cross_validate(clips, origin, everyone, options=options)
    result = _verdict(scores, origin == 1, everyone, options.bootstrap)
    return result | {"n_clips": len(clips), "n_patients": len(set(everyone))}


def audit_origin_within(clips: ClipSet, *, options: AuditOptions) -> dict[str, Any]:
    """`audit_origin` on one test set, put together as an archive would be after translation.

    Clips without flow are the greyscale ones where enough patients have them. Otherwise half of the patients are taken as
    acquired in greyscale and the other half as in colour flow, so that no clip is there twice. ``parts`` says which.
    """
    acquired, translated = ~clips.flow, clips.flow
    parts = "clips acquired without colour flow against translated clips"
    if min(_patients_in(clips, acquired), _patients_in(clips, translated)) < 2 * options.folds:
        names = sorted(set(clips.patients))
        half = np.random.default_rng(options.seed).permutation(names)[: len(names) // 2]
        acquired = np.isin(clips.patients, half)
        translated = ~acquired & clips.flow
        parts = "acquired clips of one half of the patients against translated clips of the other half"
    grey, cfd = clips.select(acquired), clips.select(translated)
    return {"parts": parts} | audit_origin(grey.real, cfd.synthetic, (grey.patients, cfd.patients), options=options)


def _patients_in(clips: ClipSet, chosen: np.ndarray) -> int:
    return len({patient for patient, is_in in zip(clips.patients, chosen) if is_in})


def audit_label(label: Sequence[Any], origin: Sequence[int], origin_result: Mapping[str, Any]) -> dict[str, Any]:
    """Does a label go with the origin, and can the origin be read? Both together are a leak.

    Args:
      label: a label per clip, of any hashable kind.
      origin: 0 for greyscale, 1 for CFD, per clip.
      origin_result: from `audit_origin`.
    """
    if len(label) != len(origin):
        raise ValueError(f"one label per clip is needed, got {len(label)} labels for {len(origin)} clips")
    names = sorted({str(value) for value in label})
    if len(names) < 2 or len(set(origin)) < 2:
        raise ValueError("a leak can be looked for only with at least two labels and both origins")
    table = np.zeros((len(names), 2), int)
    for value, which in zip(label, origin):
        table[names.index(str(value)), int(which)] += 1
    strength = float(association(table, method="cramer"))
    leaks = bool(origin_result["readable"] and strength > ASSOCIATED)
    share = {name: float(row[1] / row.sum()) for name, row in zip(names, table)}
    result = {"cramers_v": strength, "cfd_share": share, "leaks": leaks, "warning": None}
    if leaks:
        most, least = max(share, key=share.get), min(share, key=share.get)
        result["warning"] = (
            f"Shortcut: the label goes with how the clip was acquired ({100 * share[most]:.0f} % of '{most}' but "
            f"{100 * share[least]:.0f} % of '{least}' come from colour flow), and the origin can be read from the picture "
            f"(AUC {origin_result['auc']:.2f}). A model trained on the mixture can score well by reading the origin. "
            "Balance origins within each label, or test on clips of one origin."
        )
    return result


def cross_validate(
    clips: np.ndarray, target: np.ndarray, patients: Sequence[str], *, options: AuditOptions
) -> tuple[np.ndarray, list[Any]]:
    """Out-of-fold scores ``[N]`` of a binary classifier, a patient in one fold only, and the heads of the folds."""
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < options.folds:
        raise ValueError(
            f"{options.folds}-fold cross-validation by patient needs at least {options.folds} patients, got {len(names)}"
        )
    fold = np.random.default_rng(options.seed).permutation(len(names)) % options.folds
    reduced = reduce_clips(clips, options=options.training)
    scores, heads = np.zeros(len(clips)), []
    for k in range(options.folds):
        held_out = fold[owner] == k
        head = fit_classifier(reduced[~held_out], target[~held_out], n_classes=2, options=options.training)
        probability = classify(head, reduced[held_out], options=options.training)[:, 1]
        scores[held_out] = np.log(probability + 1e-9) - np.log(1 - probability + 1e-9)
        heads.append(head)
    return scores, heads


def _verdict(scores: np.ndarray, positive: np.ndarray, patients: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    value, interval = auc(scores, positive), auc_interval(scores, positive, patients, bootstrap=bootstrap)
    return {
        "auc": value,
        "ci95": interval,
        "readable": bool(interval is not None and interval[0] > TELLS_APART),
    }


def auc_interval(
    scores: np.ndarray, positive: np.ndarray, patients: Sequence[str], *, bootstrap: Bootstrap
) -> list[float] | None:
    """95 % interval of the AUC, resampling patients; ``None`` for fewer than two of them."""
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2 or not bootstrap.resamples:
        return None
    wins = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    wins = np.where(positive[:, None] & ~positive[None, :], wins, 0)
    pairs = np.zeros((len(names), len(names)))
    count = np.zeros_like(pairs)
    np.add.at(pairs, (owner[:, None], owner[None, :]), wins)
    np.add.at(count, (owner[:, None], owner[None, :]), (positive[:, None] & ~positive[None, :]).astype(float))
    draws = draw_patients(len(names), bootstrap=bootstrap)
    top = np.einsum("bi,ij,bj->b", draws, pairs, draws, optimize=True)
    bottom = np.einsum("bi,ij,bj->b", draws, count, draws, optimize=True)
    values = top[bottom > 0] / bottom[bottom > 0]
    return percentile_interval(values)


_LOOKED_AT, _SHOWN = 24, 3
"""Translated clips whose saliency is measured, and those whose saliency is shown."""


def where_it_looks(head: Any, clips: ClipSet, *, options: AuditOptions) -> dict[str, dict[str, float]]:
    """Share of the classifier's saliency on translated clips per stratum, beside the stratum's share of the area."""
    training = options.training
    maps = saliency(head, clips.synthetic[:_LOOKED_AT], target=1, options=training)
    flags = reduce_clips(clips.strata[:_LOOKED_AT], options=training, labels=True)
    masks = np.asarray(strata_masks(jnp.asarray(flags), erode_px=2, ring_px=2))
    names = ("sector", "box", "flow", "ring", "untouched")
    index = (1, 2, 3, 5, 6)
    total = maps.sum()
    return {
        name: {"share": float((maps * masks[i]).sum() / max(total, 1e-12)), "area": float(masks[i].mean())}
        for name, i in zip(names, index)
    }


def saliency_pictures(head: Any, clips: ClipSet, *, options: AuditOptions) -> list[np.ndarray]:
    """Saliency of a few translated clips, blurred and painted over their frames: RGB uint8 ``[frames, S, S, 3]`` each."""
    maps = saliency(head, clips.synthetic[:_SHOWN], target=1, options=options.training)
    greys = reduce_clips(clips.synthetic[:_SHOWN], options=options.training)
    pictures = []
    for saliency_map, grey in zip(maps, greys):
        smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in saliency_map])
        heat = (255 * smooth / max(smooth.max(), 1e-12)).astype(np.uint8)
        colours = np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_INFERNO)[..., ::-1] for frame in heat])
        pictures.append((0.5 * grey[..., None] + 0.5 * colours).astype(np.uint8))
    return pictures


def _translation_warning(result: Mapping[str, Any]) -> str | None:
    if not result["readable"]:
        return None
    looks = result.get("saliency", {})
    where = ""
    if looks:
        stratum = max(looks, key=lambda s: looks[s]["share"] / max(looks[s]["area"], 1e-6))
        where = f" It looks most, for its size, at the {stratum} region."
    return (
        f"A classifier tells translated clips from real ones with an AUC of {result['auc']:.2f} "
        f"({result['ci95'][0]:.2f}-{result['ci95'][1]:.2f}; 0.5 is chance).{where} "
        "Do not mix translated and acquired clips where a label goes with the way of acquisition."
    )
