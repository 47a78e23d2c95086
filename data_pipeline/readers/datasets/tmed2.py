"""TMED-2 (Tufts; by agreement): 112 x 112 stills with view and aortic-stenosis labels."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item, inside, split_name, table

TREE = (
    "approved_users_only/{view_and_diagnosis_labeled_set,view_labeled_set,unlabeled_set}/**/*.png, labels_per_image.csv"
)
_VIEWS = {"PLAX": "PLAX", "PSAX": "PSAX", "A4C": "A4C", "A2C": "A2C"}


def items(root: str | os.PathLike[str], *, unlabelled: bool = False) -> Iterator[Item]:
    """Stills of labels_per_image.csv, then (``unlabelled``) the rest. ``3725s1_5.png`` is patient 3725, study 1."""
    root = pathlib.Path(root)
    base = root / "approved_users_only" if (root / "approved_users_only").is_dir() else root
    places = {path.name: path for path in sorted(base.rglob("*.png"))}
    listed = set()
    for row in table(base / "labels_per_image.csv", required=("query_key", "view_label")):
        name = row["query_key"] if row["query_key"].endswith(".png") else f"{row['query_key']}.png"
        listed.add(name)
        yield _item(
            places.get(name, inside(base, "view_and_diagnosis_labeled_set", name)),
            view=_VIEWS.get(row["view_label"], "UNKNOWN"),
            split=split_name(row.get("diagnosis_classifier_split", "") or row.get("view_classifier_split", "")),
            labels={"view": row["view_label"], "diagnosis": row.get("diagnosis_label", "")},
        )
    if unlabelled:
        for name, path in places.items():
            if name not in listed:
                yield _item(path, view="UNKNOWN", split="", labels={})


def _item(path: pathlib.Path, *, view: str, split: str, labels: dict) -> Item:
    match = re.match(r"(\d+)s(\d+)_", path.name)
    patient = match[1] if match else path.stem
    return Item(
        dataset="tmed2",
        path=str(path),
        patient=f"tmed2/{patient}",
        study=f"tmed2/{patient}s{match[2]}" if match else "",
        view=view,
        split=split,
        labels=labels,
    )
