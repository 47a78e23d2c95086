"""CAMUS (Université de Lyon; research terms): half cardiac cycles in A2C and A4C with outlines on every frame.

The NIfTI release (``database_nifti``) and the older MetaImage one (``training``, ``testing``). Some half sequences run
from end-systole to end-diastole: ``labels["first"]`` says which phase comes first.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item, number
from data_pipeline.readers.errors import Guard

TREE = (
    "database_nifti/patientNNNN/{patientNNNN_{2CH,4CH}_half_sequence.nii.gz, Info_{2CH,4CH}.cfg}, "
    "database_split/subgroup_{training,validation,testing}.txt; or {training,testing}/patientNNNN/*_sequence.mhd"
)
_VIEWS = {"2CH": "A2C", "4CH": "A4C"}


def items(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Half sequences in the order of patients, 2CH before 4CH."""
    root = pathlib.Path(root)
    splits = _splits(root)
    for group, suffix in (
        ("database_nifti", "half_sequence.nii.gz"),
        ("training", "sequence.mhd"),
        ("testing", "sequence.mhd"),
    ):
        if not (root / group).is_dir():
            continue
        for folder in sorted(path for path in (root / group).iterdir() if path.name.startswith("patient")):
            for chamber, view in _VIEWS.items():
                facts = _info(folder / f"Info_{chamber}.cfg")
                path = folder / f"{folder.name}_{chamber}_{suffix}"
                if not path.exists() and not facts:
                    continue
                truth = path.with_name(path.name.replace("sequence", "sequence_gt"))
                yield Item(
                    dataset="camus",
                    path=str(path),
                    patient=f"camus/{folder.name}",
                    view=view,
                    split=splits.get(folder.name, {"training": "train", "testing": "test"}.get(group, "")),
                    fps=number(facts.get("FrameRate")),
                    labels={
                        "ed": number(facts.get("ED")),
                        "es": number(facts.get("ES")),
                        "first": _first(facts),
                        "ef": number(facts.get("EF") or facts.get("LVef")),
                        "quality": facts.get("ImageQuality", ""),
                        "outlines": str(truth) if truth.exists() else "",
                    },
                )


def _first(facts: dict[str, str]) -> str:
    ed, es = number(facts.get("ED")), number(facts.get("ES"))
    return "" if ed is None or es is None else "ED" if ed <= es else "ES"


def _info(path: pathlib.Path) -> dict[str, str]:
    """``Key: value`` lines; empty when the file is missing."""
    if not path.exists():
        return {}
    with Guard(path, doing="reading the patient's facts"):
        lines = path.read_text("utf-8", errors="replace").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value.strip()}


def _splits(root: pathlib.Path) -> dict[str, str]:
    out = {}
    for name, split in (("training", "train"), ("validation", "val"), ("testing", "test")):
        path = root / "database_split" / f"subgroup_{name}.txt"
        if path.exists():
            with Guard(path, doing="reading the split"):
                out |= dict.fromkeys(path.read_text("utf-8").split(), split)
    return out
