"""What the readers of public data sets share: an item, tolerant tables, and paths that stay inside the set."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_pipeline.readers import read_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.walk import Source
from data_pipeline.schema import Clip, ClipInfo, Identity

_LIMITS = Limits()


def _no_labels(shared: Mapping[str, Any] = {}) -> Mapping[str, Any]:  # noqa: B006 (a million items share it)
    return shared


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One clip or still, and what is known of it before its file is opened.

    In a public data set ``patient`` and ``study`` are the set's own identifiers, prefixed with its name so that sets
    never collide; they are to be hashed like any other. In a plain archive (``dataset`` empty) what is empty here is
    asked from the file's header.
    """

    dataset: str
    path: str
    patient: str
    study: str = ""
    view: str = "UNKNOWN"
    split: str = ""
    """The set's own split: ``train``, ``val``, ``test``, or empty where it has none. To be respected."""
    fps: float | None = None
    """Frame rate by the set's table, where it has one."""
    labels: Mapping[str, Any] = dataclasses.field(default_factory=_no_labels)
    version: str = dataclasses.field(default="", repr=False)
    """Of a file in a bucket: changes when the file does."""

    @property
    def exists(self) -> bool:
        """Whether the file is there; tables list files that were never downloaded."""
        return os.path.exists(self.path)

    @property
    def place(self) -> str:
        """Where the clip lies: the file, and what of it where several clips lie in one."""
        return self.path

    @property
    def shown(self) -> str:
        """Where it lies, for the person whose it is."""
        return self.path

    @contextlib.contextmanager
    def local(self) -> Iterator[str]:
        """What can be opened; out of an archive it is unpacked for as long as it is needed."""
        yield self.path

    def read(self, *, limits: Limits = _LIMITS, salvage: bool = False) -> Clip:
        """Decode the clip and put what the set's table says into its info. Raises `IngestError`."""
        with self.local() as path:
            clip = read_clip(path, limits=limits, salvage=salvage)
        return Clip(frames=clip.frames, info=self.told(clip.info))

    def told(self, info: ClipInfo) -> ClipInfo:
        """The info of the file with what is known of the clip from elsewhere; that wins."""
        identity = info.identity
        if self.dataset:
            identity = Identity(
                patient=self.patient, study=self.study or self.patient, instance=f"{self.patient}/{self.name}"
            )
        elif self.patient:
            identity = dataclasses.replace(identity, patient=self.patient)
        changes: dict[str, Any] = {"identity": identity}
        if self.view != "UNKNOWN":
            changes["view"] = self.view
        if self.fps is not None and 1 <= self.fps <= 400:
            changes |= {"fps": float(self.fps), "fps_source": "table"}
            changes["flags"] = tuple(flag for flag in info.flags if flag != "assumed_fps")
        return dataclasses.replace(info, **changes)

    @property
    def name(self) -> str:
        """File name without its suffixes."""
        return pathlib.Path(self.path).name.split(".")[0]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackedItem(Item):
    """What of a zip archive at ``path`` is one clip. A class of its own: jobs are known by how their items are written."""

    member: str
    """See `walk.Source`."""

    @property
    def place(self) -> str:
        return f"{self.path}:{self.member}"

    shown = place

    @contextlib.contextmanager
    def local(self) -> Iterator[str]:
        path = pathlib.Path(self.path)
        with Source(path=path, name=pathlib.PurePosixPath(path.name), member=self.member).local() as unpacked:
            yield str(unpacked)


def table(path: pathlib.Path, *, required: Iterable[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Rows of a CSV file with stripped names and values. Raises ``not_found`` or ``corrupt`` (missing columns)."""
    with Guard(path, doing="reading the table"), path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        lacking = [name for name in required if name not in names]
        if lacking:
            raise IngestError("corrupt", path, f"needs the columns {lacking}, has {names}; is it the set's own table?")
        for row in reader:
            yield {(k or "").strip(): (v or "").strip() for k, v in row.items() if not isinstance(v, list)}


def inside(root: pathlib.Path, *parts: str) -> pathlib.Path:
    """``root`` joined with names from a table; raises ``unsafe_path`` when they lead out of it."""
    relative = pathlib.PurePosixPath(*(part.replace("\\", "/") for part in parts))
    if relative.is_absolute() or ".." in relative.parts:
        raise IngestError("unsafe_path", root, "a table names a file outside the data set; check the table")
    return root / relative


def number(text: str | None) -> float | None:
    """A finite float, or ``None`` for empty and unreadable cells."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def split_name(text: str) -> str:
    """``TRAIN``, ``Train `` or ``validation`` to the schema's name; empty for anything else."""
    return {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}.get(
        text.strip().lower(), ""
    )
