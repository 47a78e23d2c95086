"""FETAL_PLANES_DB (Zenodo 3904280): fetal stills; the table is separated by semicolons and has trailing blanks."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item, inside, table

TREE = "Images/*.png, FETAL_PLANES_DB_data.csv"


def items(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Stills in the order of the table. The thorax plane is nearest to the heart but is no four-chamber view."""
    root = pathlib.Path(root)
    rows = table(
        root / "FETAL_PLANES_DB_data.csv", required=("Image_name", "Patient_num", "Plane", "Train"), delimiter=";"
    )
    for row in rows:
        name = row["Image_name"].removesuffix(".png")
        yield Item(
            dataset="fetal-planes",
            path=str(inside(root, "Images", f"{name}.png")),
            patient=f"fetal-planes/{row['Patient_num']}",
            split="train" if row["Train"] == "1" else "test",
            labels={
                "plane": row["Plane"],
                "brain_plane": row.get("Brain_plane", ""),
                "machine": row.get("US_Machine", ""),
            },
        )
