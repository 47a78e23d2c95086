"""Which clips an archive or a public data set holds, and what is known of each before its file is opened.

A plain archive is a folder; its headers, a CSV or its folders say whose a clip is and which view it shows. A public data
set (``dataset``) is read by its own layout: its tables give view, patient, frame rate and split.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.readers import datasets
from data_pipeline.readers.datasets.base import Item
from data_pipeline.readers.walk import Found, walk
from data_pipeline.schema import VIEWS

PATIENT_FROM = ("tags", "folder")
"""``tags``: the header (or the CSV) names the patient; ``folder``: the first folder below the archive does."""


def archive_items(
    archive_dir: str | os.PathLike,
    *,
    dataset: str = "",
    views: Mapping[str, Mapping[str, str]] | None = None,
    patient_from: str = "tags",
    follow_links: bool = False,
) -> list[Item]:
    """The clips below a folder, in a fixed order. What their headers are to be asked for is left empty.

    Args:
        archive_dir: the archive, or the top folder of a public data set.
        dataset: name of the data set's layout, one of `readers.datasets.DATASETS`; empty for a plain archive. Files that
            its tables list and that are not there are left out.
        views: from `read_view_csv`; overrides what the set says.
        patient_from: one of `PATIENT_FROM`; plain archives only.
        follow_links: read symbolic links too; plain archives only.

    Raises:
        ValueError: when there is no such folder, no clip in it, or an argument is unknown.
        IngestError: when a table of the data set is missing or damaged.
    """
    archive = Path(archive_dir).expanduser()
    if patient_from not in PATIENT_FROM:
        raise ValueError(f"patient_from must be one of {PATIENT_FROM}, got {patient_from!r}")
    if not dataset:
        plain = [_plain(file, archive, patient_from) for file in files_below(archive, follow_links=follow_links)]
        rows = _rows_by_path(plain, archive, views or {})
        return [_told(item, rows.get(item.path)) for item in plain]
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the data set")
    name = datasets.checked_name(dataset)
    listed = list(datasets.items(name, archive))
    there = [item for item in listed if item.exists]
    rows = _rows_by_path(there, archive, views or {}) if views else {}
    items = [_told(item, rows.get(item.path)) for item in there]
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
            if name in table:
                raise ValueError(f"{path}, line {reader.line_num}: {name} has a line already; keep one of them")
            table[name] = {"view": view, "patient": (row.get("patient") or "").strip()}
    return table


def files_below(archive: Path, *, follow_links: bool = False) -> list[Path]:
    """Clips below a folder, sorted (see `walk.walk`), hidden files and what only lies beside clips left out.

    Raises:
        ValueError: for no folder, and for one without a file.
    """
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the archive")
    left_out: collections.Counter[str] = collections.Counter()
    found = list(walk(archive, left_out, follow_links=follow_links))
    if told := Found((), left_out).told():
        print(told, file=sys.stderr)
    if not found:
        raise ValueError(f"{archive} holds no file; give the top folder of the archive")
    return found


def _plain(file: Path, archive: Path, patient_from: str) -> Item:
    parts = file.relative_to(archive).parts
    folder = parts[0] if patient_from == "folder" and len(parts) > 1 else ""
    return Item(dataset="", path=str(file), patient=folder)


def _told(item: Item, row: Mapping[str, str] | None) -> Item:
    """The item with what the CSV says of it."""
    if row is None:
        return item
    known = {"view": row["view"]} | ({"patient": row["patient"]} if row["patient"] else {})
    return dataclasses.replace(item, **known)


def _rows_by_path(
    items: list[Item], archive: Path, views: Mapping[str, Mapping[str, str]]
) -> dict[str, Mapping[str, str]]:
    """The CSV's row of each path: by the path below the archive, else by the name, with or without its suffix.

    Raises ``ValueError`` for a name that several files have. Rows of no file are counted on standard error.
    """
    below: dict[str, str] = {}
    named: dict[str, set[str]] = collections.defaultdict(set)
    for item in items:
        path = Path(item.path)
        below[path.relative_to(archive).as_posix()] = item.path
        named[path.name].add(item.path)
        named[Path(path.name.removesuffix(".gz")).stem].add(item.path)
    found: dict[str, Mapping[str, str]] = {}
    unmatched = 0
    for name, row in views.items():
        paths = {below[name]} if name in below else named.get(name, set())
        if len(paths) > 1:
            raise ValueError(
                f"the view table's line for {name} fits {len(paths)} files; name each by its path below {archive}"
            )
        unmatched += not paths
        found |= {path: row for path in paths if name in below or path not in found}
    if unmatched:
        print(f"{unmatched} of {len(views)} lines of the view table name no file here", file=sys.stderr)
    return found
