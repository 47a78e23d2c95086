"""A user's own labels: one class per clip from a CSV file, label maps from a folder."""

from __future__ import annotations

import csv
import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np

from cfd2gray.evaluation.tasks.downstream import ClipSet


def with_class_labels(clips: ClipSet, path: str | os.PathLike) -> ClipSet:
    """``clips`` with classes from a CSV file that has a row per clip with the columns clip_id and label.

    Args:
      clips: every one of them must have a row; rows of other clips are ignored.
      path: CSV with a header.

    Returns:
      A `ClipSet` whose ``class_names`` are the labels in alphabetical order.

    Raises:
      ValueError: no such file or column, clips without a label, two labels for one clip, or one class only.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a CSV with the columns clip_id and label")
    labels: dict[str, str] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in ("clip_id", "label") if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}; the header has {reader.fieldnames}")
        for row in reader:
            clip, label = (row["clip_id"] or "").strip(), (row["label"] or "").strip()
            if label and labels.setdefault(clip, label) != label:
                raise ValueError(f"{path}: clip {clip} has two labels, {labels[clip]} and {label}; keep one")
    unlabelled = [clip for clip in clips.clip_ids if clip not in labels]
    if unlabelled:
        raise ValueError(
            f"{path}: {len(unlabelled)} of {len(clips)} clips have no label (first: {unlabelled[0]}); nothing is scored "
            "on a part of a set, so add them or leave the clips out of the set"
        )
    names = tuple(sorted({labels[clip] for clip in clips.clip_ids}))
    if len(names) < 2:
        raise ValueError(f"{path}: all clips have the one label {names[0]!r}; classification needs at least two")
    classes = np.array([names.index(labels[clip]) for clip in clips.clip_ids])
    return dataclasses.replace(clips, classes=classes, class_names=names)


def with_label_maps(clips: ClipSet, folder: str | os.PathLike, *, names: tuple[str, ...]) -> ClipSet:
    """``clips`` with label maps ``CLIP_ID.npy`` (uint8 ``[T, H, W]``) or ``CLIP_ID.png`` (one map for all frames).

    Args:
      clips: every one of them must have a file.
      folder: where the files are.
      names: what the values 0, 1, ... mean; 0 is background.

    Raises:
      ValueError: files missing, of another shape, or with values that ``names`` does not name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give one with a label map CLIP_ID.npy or CLIP_ID.png per clip")
    maps, missing = [], []
    for clip in clips.clip_ids:
        found = next((f for f in (folder / f"{clip}.npy", folder / f"{clip}.png") if f.is_file()), None)
        if found is None:
            missing.append(clip)
        else:
            maps.append(_read_map(found, clips.real.shape[1:], len(names)))
    if missing:
        raise ValueError(f"{folder}: {len(missing)} of {len(clips)} clips have no label map (first: {missing[0]})")
    return dataclasses.replace(clips, maps=np.stack(maps), map_names=tuple(names))


def _read_map(path: Path, shape: tuple[int, ...], n_classes: int) -> np.ndarray:
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
    else:
        array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        array = None if array is None or array.ndim != 2 else np.broadcast_to(array, (shape[0], *array.shape))
    if array is None or array.dtype != np.uint8 or array.ndim != 3:
        raise ValueError(f"{path}: a label map must be uint8, [T, H, W] in .npy or one channel in .png")
    if array.max(initial=0) >= n_classes:
        raise ValueError(f"{path}: holds label {array.max()}, but only {n_classes} labels are named")
    if array.shape == shape:
        return np.array(array)
    if array.shape[0] != shape[0] or array.shape[1] * shape[2] != array.shape[2] * shape[1]:
        raise ValueError(f"{path}: label map of shape {array.shape} does not fit clips of shape {shape}")
    return np.stack([cv2.resize(frame, shape[:0:-1], interpolation=cv2.INTER_NEAREST) for frame in array])
