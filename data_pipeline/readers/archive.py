"""Which clips an archive or a public data set holds, and what is known of each before its file is opened.

A plain archive is a folder; its headers or a CSV say whose a clip is and which view it shows. A public data set
(``dataset``) is read by its own layout: its tables give view, patient, frame rate and split.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from data_pipeline import storage
from data_pipeline.readers import datasets
from data_pipeline.readers.datasets.base import Item, PackedItem
from data_pipeline.readers.numbered import are_frames
from data_pipeline.readers.walk import files_below, is_beside, opened
from data_pipeline.schema import VIEWS

Views = Mapping[str, Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """The clips of an archive in a fixed order, and what was passed over."""

    items: tuple[Item, ...]
    passed_over: tuple[tuple[str, str], ...] = ()
    """``(why, path)``: ``unreadable_folder``, ``link``, ``vanished``. Paths are identifiers: for the person who asks only."""
    unmatched: tuple[str, ...] = ()
    """Files that the view CSV names and that are not there."""

    @property
    def counts(self) -> dict[str, int]:
        """How many were passed over, by reason; without names."""
        found = collections.Counter(why for why, _ in self.passed_over)
        return dict(sorted(found.items())) | ({"unmatched_in_view_csv": len(self.unmatched)} if self.unmatched else {})


def list_archive(
    archive_dir: str | os.PathLike,
    *,
    dataset: str = "",
    views: Views | None = None,
    leave_out: str | os.PathLike | None = None,
    follow_links: bool = False,
) -> Listing:
    """List the clips below a folder. What their headers are to be asked for is left empty.

    Args:
        archive_dir: the archive, here or in a bucket, or the top folder of a public data set.
        dataset: name of the data set's layout, one of `readers.datasets.DATASETS`; empty for a plain archive. Files that
            its tables list and that are not there are left out.
        views: from `read_view_csv`; overrides what the set says.
        leave_out: a folder of ours inside the archive, and what lies beside it under its name and a suffix.
        follow_links: list symbolic links too, where they lead somewhere.

    Raises:
        ValueError: when there is no such folder, no clip in it, an argument is unknown, or a name in ``views`` fits
            several files.
        IngestError: when a table of the data set is missing or damaged.
    """
    if storage.is_remote(archive_dir):
        return _list_bucket(str(archive_dir), dataset=dataset, views=views or {}, leave_out=leave_out)
    archive = Path(archive_dir).expanduser()
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the archive or data set")
    if not dataset:
        files, passed_over = files_below(archive, leave_out=leave_out, follow_links=follow_links)
        found = [
            PackedItem(dataset="", path=file, patient="", member=source.member)
            if source.member
            else Item(dataset="", path=file, patient="")
            for file in files
            for source in opened(Path(file), PurePosixPath(os.path.basename(file)))
        ]
        items, unmatched = _told(found, archive, views or {})
        return Listing(items=items, passed_over=passed_over, unmatched=unmatched)
    name = datasets.checked_name(dataset)
    listed = list(datasets.items(name, archive))
    items, unmatched = _told([item for item in listed if item.exists], archive, views or {})
    if not items:
        raise ValueError(
            f"no clip of {name} in {archive} ({len(listed)} are listed); the layout it should have is: "
            f"{datasets.DATASETS[name][1]}"
        )
    return Listing(items=items, unmatched=unmatched)


def _list_bucket(archive: str, *, dataset: str, views: Views, leave_out: str | os.PathLike | None) -> Listing:
    """The same of a bucket, whose names say what lies beside clips and what is a folder of frames; a zip stays one file."""
    if dataset:
        raise ValueError(f"a public data set is read from this machine only; copy {dataset} here from {archive}")
    own = f"{leave_out}." if leave_out is not None else None
    folders: dict[str, list[storage.Remote]] = {}
    for file in storage.files_below(archive):
        parts = file.place.removeprefix(archive).strip("/").split("/")
        ours = own is not None and f"{file.place}.".replace("/", ".").startswith(own.replace("/", "."))
        if not ours and not any(part.startswith(".") for part in parts) and not is_beside(Path(parts[-1])):
            folders.setdefault(file.place.rpartition("/")[0], []).append(file)
    files = []
    for folder, own_files in sorted(folders.items()):
        names = {file.place.rpartition("/")[2]: file.place for file in own_files}
        if are_frames(list(names), lambda name, names=names: storage.open_binary(names[name])):
            files.append((folder, " ".join(file.version for file in own_files)))
        else:
            files += [(file.place, f"{file.size} {file.version}") for file in own_files]
    if not files:
        raise ValueError(f"{archive} holds no file; give the top folder of the archive")
    items = [Item(dataset="", path=path, patient="", version=version) for path, version in files]
    told, unmatched = _told(items, archive, views)
    return Listing(items=told, unmatched=unmatched)


def read_view_csv(path: str | os.PathLike) -> dict[str, dict[str, str]]:
    """Read a table ``file,view[,patient]``: file -> row. ``ValueError`` names the line that is wrong or a file's second."""
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
            told = {"view": view, "patient": (row.get("patient") or "").strip()}
            if table.setdefault(name, told) != told:
                raise ValueError(f"{path}, line {reader.line_num}: says something else of a file named before")
    return table


def _told(items: list[Item], archive: str | Path, views: Views) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Items with what the CSV says of them, and the names in it that fit none.

    A file is known by its path below the archive; where only one file has it, by its name, with or without the suffix.
    """
    if not views:
        return tuple(items), ()
    root = os.path.join(os.fspath(archive), "")
    known: dict[str, set[str]] = collections.defaultdict(set)  # a form in the CSV -> the paths that it may mean
    for item in items:
        for form in _forms(item, root):
            if form in views:
                known[form].add(item.path)
    unclear = sorted(form for form, paths in known.items() if len(paths) > 1)
    if unclear:
        raise ValueError(
            f"the view CSV names {len(unclear)} files that are there several times, such as {unclear[0]!r} "
            f"({len(known[unclear[0]])} times); write their paths below the archive"
        )
    out = []
    for item in items:
        row = next((views[form] for form in _forms(item, root) if form in views), None)
        told = {} if row is None else {"view": row["view"]} | ({"patient": row["patient"]} if row["patient"] else {})
        out.append(dataclasses.replace(item, **told) if told else item)
    return tuple(out), tuple(sorted(set(views) - set(known)))


def _forms(item: Item, root: str) -> tuple[str, ...]:
    name = os.path.basename(item.path)
    stem = os.path.splitext(name.removesuffix(".gz"))[0]
    return *(place.removeprefix(root).replace(os.sep, "/") for place in (item.place, item.path)), name, stem
