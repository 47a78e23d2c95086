"""MIMIC-IV-ECHO (PhysioNet, credentialed access): real DICOM, colour flow among it, no pairs and no views in the table."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item, inside, table

TREE = "echo-record-list.csv, files/pNN/pSUBJECT/sSTUDY/STUDY_NNNN.dcm"


def items(root: str | os.PathLike[str]) -> Iterator[Item]:
    """One item per row of echo-record-list.csv. Acquisition times are shifted dates and are not carried along."""
    root = pathlib.Path(root)
    for row in table(root / "echo-record-list.csv", required=("subject_id", "study_id", "dicom_filepath")):
        yield Item(
            dataset="mimic-iv-echo",
            path=str(inside(root, row["dicom_filepath"])),
            patient=f"mimic-iv-echo/{row['subject_id']}",
            study=f"mimic-iv-echo/{row['study_id']}",
        )
