"""What was seen of each file, kept in SQLite as it is found: a census can be cut off, repeated, and done in parts.

Beside each row stands how the file was looked at. Rows hold what the files say themselves; views and patients that are
told from elsewhere are joined to them when a census is put together, so a new table needs no new look.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_pipeline.files import json_line
from data_pipeline.parallel import TRANSIENT
from data_pipeline.screen.kind import SURE

ROWS_NAME = "census.sqlite"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS rows (clip TEXT PRIMARY KEY, max_frames INTEGER, salvage INTEGER, row TEXT)",
    "CREATE TABLE IF NOT EXISTS thumbnails (clip TEXT, kind TEXT, png BLOB, PRIMARY KEY (clip, kind))",
)
UNSURE = "unsure"
"""What the thumbnails of clips whose kind is not certain are filed under, beside their kind."""
TOGETHER = 1.0
"""Seconds whose rows reach the disk at once, so that short looks do not wait for it; what a kill costs is these."""
SHOWN = 24
"""Thumbnails of a kind that are kept: those whose clips have the lowest keyed hashes, which is a fair draw."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CensusRow:
    """One file."""

    clip: str
    """Keyed hash of the file's place, size and time: finds it again when a census is resumed."""
    modality: str
    code: str = ""
    """Why it is unreadable."""
    patient: str = ""
    """Keyed hash; of the clip itself where the patient is not known."""
    patient_known: bool = False
    study: str = ""
    view: str = "UNKNOWN"
    shows: str = ""
    """What a ``still`` shows."""
    score: float = 0.0
    """How certain the sub-modality is, 0..1."""
    n_frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    vendor: str = ""
    salvaged: bool = False
    """Seen in part only: the file is truncated."""
    n_bytes: int = 0
    """Size of the file."""
    seconds: float = dataclasses.field(default=0.0, compare=False)
    """Processor time of the look."""
    looked: int = 0
    """Frames that were decoded for it."""
    pictured: bool = dataclasses.field(default=False, compare=False)
    """A picture was made of it."""

    @property
    def unsure(self) -> bool:
        """A person had better look at it: the kind is not certain."""
        return not self.code and self.score < SURE

    @property
    def kind(self) -> str:
        """The sub-modality; of a still, what it shows."""
        return self.shows or self.modality


def fields_of(row: CensusRow) -> dict[str, Any]:
    """What a row holds, by name."""
    return {name: getattr(row, name) for name in _FIELDS}


_FIELDS = tuple(field.name for field in dataclasses.fields(CensusRow))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CensusOptions:
    """How files are looked at."""

    max_frames: int = 40
    """Frames of a clip that are decoded."""
    salvage: bool = False
    """Look at the whole frames of truncated files, too."""
    follow_links: bool = False
    """Read symbolic links, as DataLad and git-annex archives are made of."""
    thumbnails: bool = False
    """Keep small pictures of the sector for contact sheets."""

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}")


class SeenRows:
    """Rows seen so far, by clip; kept in ``out`` where one is given, else in memory. A context manager.

    Args:
        out: the census's folder.
        options: how files are looked at now. Rows that would come out otherwise are forgotten: all, for another number of
            frames; truncated files, for another ``salvage``; those without a picture, if one is wanted; and always failures
            that may have passed.
        part: ``(k, n)``, of which only the own rows are read; without, the rows of all parts are.
    """

    def __init__(self, out: Path | None, options: CensusOptions, *, part: tuple[int, int] | None = None) -> None:
        self.rows: dict[str, CensusRow] = {}
        self.thumbnails: dict[str, list[tuple[str, bytes]]] = {}
        self._options, self._file = options, None
        if out is None:
            return
        out.mkdir(parents=True, exist_ok=True)
        own = out / (f"census-{part[0]}-of-{part[1]}.sqlite" if part else ROWS_NAME)
        self._file = open_table(own, _TABLES)
        if options.thumbnails:
            own.chmod(0o600)
        for path in [own] if part else sorted(out.glob("census*.sqlite")):
            with (
                contextlib.closing(open_table(path, _TABLES))
                if path != own
                else contextlib.nullcontext(self._file) as file
            ):
                self.rows.update((row.clip, row) for row in self._valid(file))
                for clip, kind, png in file.execute("SELECT clip, kind, png FROM thumbnails"):
                    if clip in self.rows:
                        self.thumbnails[kind] = sorted({*self.thumbnails.get(kind, ()), (clip, png)})[:SHOWN]

    def add(self, row: CensusRow, thumbnail: bytes = b"") -> None:
        """Keep a row, and its thumbnail (PNG) if it is among those that are shown of its kind."""
        self.rows[row.clip] = row
        shown = [kind for kind in (UNSURE if row.unsure else "", row.kind) if kind] if thumbnail else []
        for kind in shown:
            self.thumbnails[kind] = sorted((*self.thumbnails.get(kind, ()), (row.clip, thumbnail)))[:SHOWN]
        if self._file is None:
            return
        place = (
            row.clip,
            self._options.max_frames,
            int(self._options.salvage),
            json.dumps(fields_of(row), sort_keys=True),
        )
        with self._file.written():
            self._file.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", place)
            for kind in shown:
                if (row.clip, thumbnail) in self.thumbnails[kind]:
                    self._file.execute(
                        "INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", (row.clip, kind, thumbnail)
                    )

    def _valid(self, file: sqlite3.Connection) -> Iterator[CensusRow]:
        same: dict[tuple[type, Any], Any] = {}  # equal numbers in a million rows are held once
        for max_frames, text in file.execute("SELECT max_frames, row FROM rows"):
            told = json_line(text)
            for name in ("score", "fps", "n_frames", "height", "width"):
                told[name] = same.setdefault((type(told[name]), told[name]), told[name])
            row = CensusRow(**told)
            other = row.code == "truncated" if self._options.salvage else row.salvaged
            other |= self._options.thumbnails and not row.code and not row.pictured
            if max_frames == self._options.max_frames and not other and row.code not in TRANSIENT:
                yield row

    def __enter__(self) -> SeenRows:
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()


class Table(sqlite3.Connection):
    """A file of rows, from `open_table`, which are written in transactions of `TOGETHER` seconds."""

    begun = 0.0

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """In a transaction, perhaps together with rows before and after; ``OSError`` where the disk is full."""
        with _room():
            if not self.in_transaction:
                self.execute("BEGIN")
                self.begun = time.monotonic()
            yield
            if time.monotonic() > self.begun + TOGETHER:
                self.execute("COMMIT")

    def close(self) -> None:
        """Commit what waits, and let go of the file."""
        try:
            with _room():
                self.commit()
        finally:
            super().close()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"the table of what was seen cannot be written ({error}); make room and run it again") from None


def open_table(path: Path, tables: Iterable[str]) -> Table:
    """A file of rows that reach the disk when they are committed; one process at a time.

    Raises:
        ValueError: when another process has it, or it is damaged.
        OSError: when it cannot be written.
    """
    file = sqlite3.connect(path, isolation_level=None, timeout=1.0, factory=Table)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN EXCLUSIVE")
        for table in tables:
            file.execute(table)
        file.execute("COMMIT")
    except sqlite3.OperationalError as error:
        file.close()
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ValueError(f"{path} is in use by another run ({error}); wait for it") from None
        raise OSError(f"{path} cannot be written ({error}); make room there, or name another folder") from None
    except sqlite3.DatabaseError as error:
        file.close()
        raise ValueError(f"{path} is damaged ({error}); remove it to look at the files again") from None
    return file
