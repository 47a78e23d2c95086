"""Do translated clips work as real ones? Classification and segmentation on both, patient by patient.

A head is trained on real greyscale clips (or a user's own model is taken) and run on the real clip and on its
translation. Only clips with flow count: a clip that was passed through unchanged proves nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cfd2gray.evaluation.equivalence import compare_f1, macro_f1
from cfd2gray.evaluation.evaluate import Ids, Observer, to_host
from cfd2gray.evaluation.step import Predict, as_uint8, check_prediction, to_float
from cfd2gray.evaluation.tasks.head_training import (
    HeadTraining,
    classify,
    fit_classifier,
    fit_segmenter,
    reduce_clips,
    segment,
)
from cfd2gray.metrics.accumulate import Bootstrap, summarise
from cfd2gray.metrics.task import confusion_matrix, dice_overall, dice_per_class, f1_per_class
from data_pipeline.schema import FLOW, LABELS, VIEWS

Model = Callable[[np.ndarray], np.ndarray]
"""uint8 clips ``[N, T, H, W]`` -> class probabilities ``[N, classes]`` or label maps ``[N, T', H', W']``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Real clips, their translations and what is known of them. All arrays have one entry per clip."""

    real: np.ndarray
    """uint8 ``[N, T, H, W]``."""
    synthetic: np.ndarray
    """uint8 ``[N, T, H, W]``, the translation of the same clip's colour-flow frames."""
    classes: np.ndarray
    """int ``[N]``, an index into ``class_names``."""
    class_names: tuple[str, ...]
    maps: np.ndarray | None
    """uint8 ``[N, T, H, W]`` anatomy, an index into ``map_names``; ``None`` where unknown."""
    map_names: tuple[str, ...]
    flow: np.ndarray
    """bool ``[N]``: does the clip have flow?"""
    patients: tuple[str, ...]
    clip_ids: tuple[str, ...]
    strata: np.ndarray | None = None
    """uint8 ``[N, T, H, W]`` bit flags of the schema."""
    controls: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Name of a baseline or yardstick -> its uint8 ``[N, T, H, W]``, beside ``synthetic``."""

    def __post_init__(self) -> None:
        n = len(self.real)
        for field in ("synthetic", "classes", "maps", "flow", "patients", "clip_ids", "strata"):
            value = getattr(self, field)
            if value is not None and len(value) != n:
                raise ValueError(f"a clip set needs one {field} per clip, got {len(value)} for {n} clips")
        for other in (self.synthetic, *self.controls.values()):
            if other.shape != self.real.shape:
                raise ValueError(
                    f"each translation must have its clip's shape, got {other.shape} and {self.real.shape}"
                )
        if any(not patient for patient in self.patients):
            raise ValueError("every clip needs a patient id: without it intervals and folds would be wrong")

    def __len__(self) -> int:
        return len(self.real)

    def select(self, keep: np.ndarray) -> ClipSet:
        """The clips of a bool or index vector."""
        index = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep)
        changes: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[index]
            for name in ("real", "synthetic", "classes", "maps", "flow", "strata")
        }
        changes |= {name: tuple(getattr(self, name)[i] for i in index) for name in ("patients", "clip_ids")}
        changes["controls"] = {name: clips[index] for name, clips in self.controls.items()}
        return dataclasses.replace(self, **changes)


class ClipCollector:
    """Gathers what downstream tasks need of every clip that `evaluate` scores; reduced to ``options``' frames and size."""

    def __init__(self, *, options: HeadTraining | None = None) -> None:
        self._options = options
        self._rows: list[tuple[str, str, str]] = []
        self._arrays: dict[str, list[np.ndarray]] = {name: [] for name in ("real", "synthetic", "maps", "strata")}
        self._controls: dict[str, list[np.ndarray]] = {}
        self._flow: list[bool] = []

    def offer(self, row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """See `evaluate.Observer`."""
        parts = {
            "real": (arrays["grey"][..., 0], False),
            "synthetic": (arrays["output_composited"], False),
            "maps": (arrays["labels"], True),
            "strata": (arrays["strata"], True),
        }
        for name, (clip, nearest) in parts.items():
            self._arrays[name].append(self._reduced(clip, nearest))
        for name in (key for key in arrays if key.startswith("control_")):
            kept = self._reduced(arrays[name], nearest=False)
            self._controls.setdefault(name.removeprefix("control_"), []).append(kept)
        self._rows.append((row["clip_id"], row["patient_id"], row["view"]))
        self._flow.append(bool(((arrays["strata"] & FLOW) > 0).any()))

    def _reduced(self, clip: np.ndarray, nearest: bool) -> np.ndarray:
        if self._options is None:
            return np.array(clip)
        return reduce_clips(clip[None], options=self._options, labels=nearest)[0]

    def clip_set(self) -> ClipSet:
        """All clips so far, with views as classes and anatomy as label maps."""
        if not self._rows:
            raise ValueError("there are no clips to run downstream tasks on; check the split's name and the data")
        joined = {name: np.stack(clips) for name, clips in self._arrays.items()}
        return ClipSet(
            real=joined["real"],
            synthetic=joined["synthetic"],
            classes=np.array([VIEWS.index(view) for _, _, view in self._rows]),
            class_names=VIEWS,
            maps=joined["maps"] if joined["maps"].any() else None,
            map_names=LABELS,
            flow=np.array(self._flow),
            patients=tuple(patient for _, patient, _ in self._rows),
            clip_ids=tuple(clip for clip, _, _ in self._rows),
            strata=joined["strata"],
            # A yardstick that only some clips have would be one of other clips.
            controls={n: np.stack(clips) for n, clips in self._controls.items() if len(clips) == len(self._rows)},
        )


def translate_to(
    observers: Sequence[Observer], predict: Predict, batches: Iterable[Mapping[str, Any]], ids: Ids
) -> None:
    """Translate batches and offer every clip to ``observers``, without scoring anything."""
    for batch in batches:
        batch = jax.device_put(dict(batch))
        prediction = predict(batch)
        check_prediction(prediction, batch)
        host, shown = to_host((batch, {f"output_{key}": as_uint8(x) for key, x in prediction.items()}))
        for position in np.flatnonzero(host["mask"] > 0):
            clip_id, patient_id = ids(int(host["index"][position]))[:2]
            row = {"clip_id": clip_id, "patient_id": patient_id, "view": VIEWS[int(host["view"][position])]}
            for observer in observers:
                observer.offer(row, {key: value[position] for key, value in (host | shown).items()})


@jax.jit
def untranslated(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A `Predict` that returns the truth: for sets of which only the real clips are used."""
    truth = to_float(batch["grey"])
    return {"grey": truth, "composited": truth}


def check_disjoint(train: ClipSet, test: ClipSet) -> None:
    """Raise ``ValueError`` when a patient is in both sets."""
    shared = sorted(set(train.patients) & set(test.patients))
    if shared:
        raise ValueError(
            f"{len(shared)} patients are in the training and in the test set (first: {shared[0]}); split by patient"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownstreamOptions:
    """How the tasks are set up and judged."""

    training: HeadTraining = dataclasses.field(default_factory=HeadTraining)
    margin: float = 0.05
    """Largest difference of F1 that counts as the same."""
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)


def downstream(
    train: ClipSet | None,
    test: ClipSet,
    *,
    options: DownstreamOptions | None = None,
    classifier: Model | None = None,
    segmenter: Model | None = None,
) -> dict[str, Any]:
    """F1 on real and synthetic clips, Dice between the two and against labels: the ``downstream`` part of the result.

    Args:
      train: real clips to train heads on; may be ``None`` when both models are given.
      test: clips of other patients.
      options: see `DownstreamOptions`.
      classifier: a user's model instead of a trained one; class order is that of ``test.class_names``.
      segmenter: likewise, with labels as in ``test.map_names``.

    Raises:
      ValueError: patients in both sets, one class only, no clip with flow, or a model output of the wrong shape.
    """
    options = options or DownstreamOptions()
    if train is not None:
        check_disjoint(train, test)
    if not test.flow.any():
        raise ValueError("no test clip has flow, so real and translated clips are the same; nothing can be compared")
    seen = test.select(test.flow)
    result: dict[str, Any] = {"n_clips": len(seen), "n_patients": len(set(seen.patients))}
    result |= _classification(train, seen, options, classifier)
    if segmenter is not None or (train is not None and train.maps is not None and seen.maps is not None):
        result |= _segmentation(train, seen, options, segmenter)
    return result


def _classification(
    train: ClipSet | None, test: ClipSet, options: DownstreamOptions, model: Model | None
) -> dict[str, Any]:
    n_classes = len(test.class_names)
    if len(np.unique(test.classes)) < 2:
        only = test.class_names[int(test.classes[0])]
        return {"note": f"all test clips are of one class ({only}), so F1 says nothing and was left out"}
    model = model or _own_classifier(train, n_classes, options.training)

    def classes(clips: np.ndarray) -> np.ndarray:
        return np.argmax(_check_classes(model(clips), len(test), n_classes), axis=-1)

    on_real, on_synthetic = classes(test.real), classes(test.synthetic)
    compared = compare_f1(
        test.classes,
        on_real,
        on_synthetic,
        test.patients,
        n_classes=n_classes,
        margin=options.margin,
        bootstrap=options.bootstrap,
    )
    per_class = {
        name: {"real": _float(r), "synthetic": _float(s), "n": int(np.sum(test.classes == i))}
        for i, (name, r, s) in enumerate(
            zip(
                test.class_names,
                f1_per_class(test.classes, on_real, n_classes=n_classes),
                f1_per_class(test.classes, on_synthetic, n_classes=n_classes),
            )
        )
        if np.any(test.classes == i)
    }
    controls = {
        name: float(macro_f1(confusion_matrix(test.classes, classes(clips), n_classes=n_classes)))
        for name, clips in test.controls.items()
    }
    return compared | {"f1_per_class": per_class, "f1_controls": controls}


def _own_classifier(train: ClipSet | None, n_classes: int, training: HeadTraining) -> Model:
    if train is None:
        raise ValueError("give training clips, or a classifier of your own")
    head = fit_classifier(train.real, train.classes, n_classes=n_classes, options=training)
    return lambda clips: classify(head, clips, options=training)


def _check_classes(scores: np.ndarray, n: int, n_classes: int) -> np.ndarray:
    if scores.shape != (n, n_classes):
        raise ValueError(
            f"the classifier must return one score per clip and class, [{n}, {n_classes}], got {list(scores.shape)}"
        )
    return scores


def _segmentation(
    train: ClipSet | None, test: ClipSet, options: DownstreamOptions, model: Model | None
) -> dict[str, Any]:
    n_classes = len(test.map_names)
    if model is None:
        head = fit_segmenter(train.real, train.maps, n_classes=n_classes, options=options.training)
        model = lambda clips: segment(head, clips, options=options.training)  # noqa: E731
    real, synthetic = (model(clips).astype(np.int64) for clips in (test.real, test.synthetic))
    if real.shape != synthetic.shape or real.ndim != 4 or len(real) != len(test):
        raise ValueError(f"the segmenter must return label maps [clips, frames, height, width], got {list(real.shape)}")
    pairs = {"dice": (real, synthetic)}
    truth = None if test.maps is None else _match_shape(test.maps, real.shape)
    if truth is not None:
        pairs |= {"dice_truth_real": (truth, real), "dice_truth_synthetic": (truth, synthetic)}
    result: dict[str, Any] = {"dice_per_label": {}}
    for name, (a, b) in pairs.items():
        overall = dice_overall(a, b, n_classes=n_classes)
        scores = dice_per_class(a, b, n_classes=n_classes)[:, 1:]  # background says little
        summary = summarise(
            np.column_stack([overall, _row_mean(scores), scores]), test.patients, bootstrap=options.bootstrap
        )
        result[name] = _float(summary.mean[0])
        result[f"{name}_ci95"] = None if np.isnan(summary.low[0]) else [summary.low[0], summary.high[0]]
        result[f"{name}_mean_of_labels"] = _float(summary.mean[1])
        for label, value, n in zip(test.map_names[1:], summary.mean[2:], summary.n[2:]):
            if n:
                result["dice_per_label"].setdefault(label, {})[name] = _float(value)
    result["dice_controls"] = {}
    for name, clips in test.controls.items():
        found = model(clips).astype(np.int64)
        row = {"dice": real} if truth is None else {"dice": real, "dice_truth_synthetic": truth}
        result["dice_controls"][name] = {
            key: _float(np.nanmean(dice_overall(other, found, n_classes=n_classes))) for key, other in row.items()
        }
    return result


def _row_mean(scores: np.ndarray) -> np.ndarray:
    some = ~np.isnan(scores).all(axis=1)
    return np.where(some, np.nanmean(np.where(some[:, None], scores, 0), axis=1), np.nan)


def _match_shape(maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Label maps at the segmenter's own frames and size, by nearest neighbour."""
    if maps.shape == tuple(shape):
        return maps.astype(np.int64)
    times, rows, columns = (((np.arange(k) + 0.5) * m / k).astype(int) for k, m in zip(shape[1:], maps.shape[1:]))
    return maps[:, times][:, :, rows][..., columns].astype(np.int64)


def _float(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
