"""CardiacUDA (Kaggle): NIfTI clips of two sites with chamber masks on some frames, and text burned into the top rows."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item

TREE = "Site_*/patientN-V_image.nii.gz (V: 1 LVLA, 2 PALA, 3 LVSA, 4 A4C), patientN-V_label.nii.gz"
_VIEWS = {"1": "PLAX", "2": "UNKNOWN", "3": "PSAX", "4": "A4C"}
"""Left ventricular long axis, pulmonary artery long axis (no name of ours), short axis, four chambers."""


def items(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Clips in the order of sites and patients. Patients of different sites are different people."""
    for path in sorted(pathlib.Path(root).glob("Site_*/**/*_image.nii*")):
        match = re.fullmatch(r"(.+)-(\d)_image\.nii(?:\.gz)?", path.name)
        if match is None:
            continue
        site = next(part for part in path.parts[::-1] if part.startswith("Site_"))
        truth = path.with_name(path.name.replace("_image", "_label"))
        yield Item(
            dataset="cardiac-uda",
            path=str(path),
            patient=f"cardiac-uda/{site.split('_')[1]}/{match[1]}",
            view=_VIEWS.get(match[2], "UNKNOWN"),
            labels={"site": site, "masks": str(truth) if truth.exists() else "", "burned_text": True},
        )
