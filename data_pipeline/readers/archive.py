"""Which clips an archive or a public data set holds, and what is known of each before its file is opened.

A plain archive is a folder; its headers, a CSV or its folders say whose a clip is and which view it shows. A public data
set (``dataset``) is read by its own layout: its tables give view, patient, frame rate and split.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.readers import datasets
from data_pipeline.readers.datasets.base import Item
from data_pipeline.schema import VIEWS

PATIENT_FROM = ("tags", "folder")
"""``tags``: the header (or the CSV) names the patient; ``folder``: the first folder below the archive does."""


def archive_items(
    archive_dir: str | os.PathLike,
    *,
    dataset: str = "",
    views: Mapping[str, Mapping[str, str]] | None = None,
    patient_from: str = "tags",
) -> list[Item]:
    """The clips below a folder, in a fixed order. What their headers are to be asked for is left empty.

    Args:
        archive_dir: the archive, or the top folder of a public data set.
        dataset: name of the data set's layout, one of `readers.datasets.DATASETS`; empty for a plain archive. Files that
            its tables list and that are not there are left out.
        views: from `read_view_csv`; overrides what the set says.
        patient_from: one of `PATIENT_FROM`; plain archives only.

    Raises:
        ValueError: when there is no such folder, no clip in it, or an argument is unknown.
        IngestError: when a table of the data set is missing or damaged.
    """
    archive = Path(archive_dir).expanduser()
    if patient_from not in PATIENT_FROM:
        raise ValueError(f"patient_from must be one of {PATIENT_FROM}, got {patient_from!r}")
    if not dataset:
        return [_plain(file, archive, views or {}, patient_from) for file in files_below(archive)]
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the data set")
    name = datasets.checked_name(dataset)
    listed = list(datasets.items(name, archive))
    items = [_told(item, archive, views or {}) for item in listed if item.exists]
    if not items:
        raise ValueError(
            f"no clip of {name} in {archive} ({len(listed)} are listed); the layout it should have is: "
            f"{datasets.DATASETS[name][1]}"
        )
    return items


def read_view_csv(path: str | os.PathLike) -> dict[str, dict[str, str]]:
    """Read a table ``file,view[,patient]``: file -> row. ``ValueError`` names the line that is wrong."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a CSV with the columns file,view[,patient]")
    table: dict[str, dict[str, str]] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"file", "view"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns file,view[,patient], got {reader.fieldnames}")
        for row in reader:
            view = (row["view"] or "").strip().upper() or "UNKNOWN"
            name = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
            if view not in VIEWS or not name:
                raise ValueError(
                    f"{path}, line {reader.line_num}: needs a file and a view of {', '.join(VIEWS)}, "
                    f"got {row['view']!r} for {'a' if name else 'no'} file"
                )
            table[name] = {"view": view, "patient": (row.get("patient") or "").strip()}
    return table


def files_below(archive: Path) -> list[Path]:
    """Regular files below a folder, sorted, without hidden ones, links and DICOMDIR; ``ValueError`` for none."""
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the archive")
    found: list[Path] = []
    for folder, folders, files in os.walk(archive):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and name.upper() != "DICOMDIR" and not path.is_symlink() and path.is_file():
                found.append(path)
    if not found:
        raise ValueError(f"{archive} holds no file; give the top folder of the archive")
    return found


def _plain(file: Path, archive: Path, views: Mapping[str, Mapping[str, str]], patient_from: str) -> Item:
    parts = file.relative_to(archive).parts
    folder = parts[0] if patient_from == "folder" and len(parts) > 1 else ""
    return _told(Item(dataset="", path=str(file), patient=folder), archive, views)


def _told(item: Item, archive: Path, views: Mapping[str, Mapping[str, str]]) -> Item:
    """The item with what the CSV says of it: by its path below the archive, its name, its name without the suffix."""
    if not views:
        return item
    path = Path(item.path)
    forms = (path.relative_to(archive).as_posix(), path.name, Path(path.name.removesuffix(".gz")).stem)
    row = next((views[form] for form in forms if form in views), None)
    if row is None:
        return item
    known = {"view": row["view"]} | ({"patient": row["patient"]} if row["patient"] else {})
    return dataclasses.replace(item, **known)
