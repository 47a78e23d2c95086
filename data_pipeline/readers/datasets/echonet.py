"""EchoNet-Dynamic, EchoNet-Pediatric and EchoNet-LVH (Stanford AIMI; each under its own research use agreement).

Their quirks: FileList.csv names files without ``.avi`` (Dynamic) or with it (Pediatric) while the tracings have it;
splits are upper-case words (Dynamic), fold numbers (Pediatric) or lower-case words (LVH); Pediatric has no frame rate;
tracings of Dynamic begin with the long axis, those of Pediatric hold rows for frames that were never traced.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from data_pipeline.readers.datasets.base import Item, inside, number, split_name, table

DYNAMIC_TREE = "Videos/*.avi, FileList.csv, VolumeTracings.csv"
PEDIATRIC_TREE = "{A4C,PSAX}/{Videos/*.avi, FileList.csv, VolumeTracings.csv}"
LVH_TREE = "Batch{1..4}/*.avi, MeasurementsList.csv"


def dynamic(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Items of EchoNet-Dynamic in the order of FileList.csv; one video is one patient."""
    root = pathlib.Path(root)
    for row in table(root / "FileList.csv", required=("FileName", "Split")):
        stem = row["FileName"].removesuffix(".avi")
        yield Item(
            dataset="echonet-dynamic",
            path=str(inside(root, "Videos", f"{stem}.avi")),
            patient=f"echonet-dynamic/{stem}",
            view="A4C",
            split=split_name(row["Split"]),
            fps=number(row.get("FPS")),
            labels={name.lower(): number(row.get(name)) for name in ("EF", "ESV", "EDV")},
        )


def pediatric(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Items of EchoNet-Pediatric, A4C then PSAX. Folds 0..7 are train, 8 is val, 9 is test, in both views alike."""
    root = pathlib.Path(root)
    for view in ("A4C", "PSAX"):
        if not (root / view / "FileList.csv").exists():
            continue
        for row in table(root / view / "FileList.csv", required=("FileName", "Split")):
            stem = row["FileName"].removesuffix(".avi")
            fold = number(row["Split"])
            yield Item(
                dataset="echonet-pediatric",
                path=str(inside(root, view, "Videos", f"{stem}.avi")),
                patient=f"echonet-pediatric/{_pediatric_patient(stem)}",
                view=view,
                split="" if fold is None else "test" if fold == 9 else "val" if fold == 8 else "train",
                labels={
                    "fold": fold,
                    "sex": row.get("Sex", ""),
                    **{name.lower(): number(row.get(name)) for name in ("EF", "Age", "Weight", "Height")},
                },
            )


def _pediatric_patient(stem: str) -> str:
    """``CRxxx-CRyyy-000039`` numbers the clips of one examination; other names stand for themselves."""
    match = re.fullmatch(r"(CR\w+-CR\w+)-\d+", stem)
    return match[1] if match else stem


def lvh(root: str | os.PathLike[str]) -> Iterator[Item]:
    """Items of EchoNet-LVH: one per video of MeasurementsList.csv, which has a row per measurement."""
    root = pathlib.Path(root)
    videos: dict[str, dict] = {}
    for row in table(root / "MeasurementsList.csv", required=("HashedFileName", "Calc", "CalcValue")):
        stem = row["HashedFileName"].removesuffix(".avi")
        video = videos.setdefault(stem, {"split": "", "fps": None, "calc": []})
        video["split"] = video["split"] or split_name(row.get("split", ""))
        video["fps"] = video["fps"] or number(row.get("FPS"))
        video["calc"].append(
            {
                "name": row["Calc"],
                "value_cm": number(row["CalcValue"]),
                "frame": number(row.get("Frame")),
                "points": [number(row.get(name)) for name in ("X1", "Y1", "X2", "Y2")],
            }
        )
    places = {path.stem: path for path in sorted(root.glob("Batch*/*.avi"))}
    for stem, video in videos.items():
        yield Item(
            dataset="echonet-lvh",
            path=str(places.get(stem, inside(root, "Batch1", f"{stem}.avi"))),
            patient=f"echonet-lvh/{stem}",
            view="PLAX",
            split=video["split"],
            fps=video["fps"],
            labels={"measurements": video["calc"]},
        )
