"""What `cfd2gray evaluate` adds to the scores when asked: downstream tasks, data recovery, shortcut audit."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cfd2gray.evaluation.evaluate import Ids
from cfd2gray.evaluation.tasks.audit import AuditOptions, audit_label, audit_origin_within, audit_translation
from cfd2gray.evaluation.tasks.downstream import (
    ClipCollector,
    ClipSet,
    DownstreamOptions,
    check_disjoint,
    downstream,
    translate_to,
    untranslated,
)
from cfd2gray.evaluation.tasks.external_model import load_model
from cfd2gray.evaluation.tasks.head_training import HeadTraining
from cfd2gray.evaluation.tasks.recovery import recovery
from cfd2gray.evaluation.tasks.user_labels import with_class_labels, with_label_maps
from cfd2gray.metrics.accumulate import Bootstrap


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extras:
    """Which additions to run. Paths and model names are the user's own; everything has a default of ours."""

    downstream: bool = False
    recovery: tuple[int, ...] = ()
    """Numbers of greyscale patients of the learning curves; empty: not run."""
    audit: bool = False
    class_labels: str | os.PathLike | None = None
    """CSV with the columns clip_id and label, instead of views."""
    label_maps: str | os.PathLike | None = None
    """Folder of label maps, instead of the data set's own."""
    map_names: tuple[str, ...] = ()
    """What the values of ``label_maps`` mean, background first."""
    classifier: str | None = None
    """``package.module:function`` or ``file.onnx``; class order as in the sorted labels."""
    segmenter: str | None = None
    training: HeadTraining = dataclasses.field(default_factory=HeadTraining)
    margin: float = 0.05
    """Largest difference of F1 that counts as the same."""

    def __post_init__(self) -> None:
        if self.label_maps and len(self.map_names) < 2:
            raise ValueError("label maps need the names of their values (background first); give map_names")
        own = {"labels": self.class_labels, "label maps": self.label_maps}
        own |= {"a classifier": self.classifier, "a segmenter": self.segmenter}
        unused = [name for name, value in own.items() if value]
        if unused and not self.any:
            raise ValueError(
                f"{' and '.join(unused)} given, but nothing uses it; add --downstream, --recovery or --audit"
            )

    @property
    def any(self) -> bool:
        """Is there anything to do?"""
        return bool(self.downstream or self.recovery or self.audit)

    def check(self) -> None:
        """Raise ``ValueError`` for a label file or a model that is not there, before minutes of scoring."""
        for path, what in ((self.class_labels, "a CSV of labels"), (self.label_maps, "a folder of label maps")):
            if path and not Path(path).exists():
                raise ValueError(f"{path}: no such file or folder; give {what}")
        for name in (self.classifier, self.segmenter):
            if name:
                load_model(name)

    @property
    def needs_training_clips(self) -> bool:
        """Are real clips of other patients needed, to train heads on?"""
        return bool(self.downstream and not (self.classifier and self.segmenter))

    def collector(self) -> ClipCollector:
        """Gathers clips for our heads at their working size, for the user's models and labels as they are."""
        own_size = self.classifier or self.segmenter or self.label_maps
        return ClipCollector(options=None if own_size else self.training)


def run_extras(
    test: ClipSet,
    training_clips: Callable[[], ClipSet] | None,
    *,
    extras: Extras,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """The additional parts of the result: ``downstream``, ``recovery`` and ``audit``.

    Args:
      test: clips scored, with translations.
      training_clips: makes the set to train heads on.
      extras: what to run.
      bootstrap: of all intervals.
    """
    test = _labelled(test, extras)
    result: dict[str, Any] = {}
    train = None
    if extras.needs_training_clips:
        if training_clips is None:
            raise ValueError("training heads needs a training split; pack one, or bring models of your own")
        train = _labelled(training_clips(), extras)
        check_disjoint(train, test)
        if train.class_names != test.class_names:
            raise ValueError(
                f"training and test clips have different labels: {train.class_names} and {test.class_names}; "
                "each label must occur in both"
            )
    if extras.downstream:
        options = DownstreamOptions(training=extras.training, margin=extras.margin, bootstrap=bootstrap)
        result["downstream"] = downstream(
            train,
            test,
            options=options,
            classifier=load_model(extras.classifier) if extras.classifier else None,
            segmenter=load_model(extras.segmenter) if extras.segmenter else None,
        )
    if extras.recovery:
        result["recovery"] = recovery(test, patients=extras.recovery, training=extras.training, bootstrap=bootstrap)
    if extras.audit:
        training = dataclasses.replace(extras.training, steps=max(50, extras.training.steps // 6))
        options = AuditOptions(training=training, bootstrap=bootstrap)
        result["audit"] = {
            "translation": audit_translation(test, options=options),
            "origin": audit_origin_within(test, options=options),
        }
        origin = test.flow.astype(int)
        if len(set(origin)) == 2 and len(set(test.classes)) > 1:
            labels = [test.class_names[c] for c in test.classes]
            result["audit"]["label"] = audit_label(labels, origin, result["audit"]["origin"])
    return result


def _labelled(clips: ClipSet, extras: Extras) -> ClipSet:
    if extras.class_labels:
        clips = with_class_labels(clips, extras.class_labels)
    if extras.label_maps:
        clips = with_label_maps(clips, extras.label_maps, names=extras.map_names)
    return clips


def collect_training_clips(
    batches: Callable[[], Iterable[Mapping[str, Any]]], ids: Ids, *, extras: Extras
) -> Callable[[], ClipSet]:
    """What `run_extras` asks for its training clips with; they are read only when asked for."""

    def make() -> ClipSet:
        collector = extras.collector()
        translate_to([collector], untranslated, batches(), ids)
        return collector.clip_set()

    return make
