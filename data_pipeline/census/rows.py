"""What was seen of each file, kept in SQLite as it is found: a census can be cut off, repeated, and done in parts.

Beside each row stands how the file was looked at. Rows hold what the files say themselves; views and patients that are
told from elsewhere are joined to them when a census is put together, so a new table needs no new look.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.parallel import TRANSIENT

ROWS_NAME = "census.sqlite"
_TABLE = "CREATE TABLE IF NOT EXISTS rows (clip TEXT PRIMARY KEY, max_frames INTEGER, salvage INTEGER, row TEXT)"


@dataclasses.dataclass(frozen=True, kw_only=True)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class CensusOptions:
    """How files are looked at."""

    max_frames: int = 40
    """Frames of a clip that are decoded."""
    salvage: bool = False
    """Look at the whole frames of truncated files, too."""

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}")


class SeenRows:
    """Rows seen so far, by clip; kept in ``out`` where one is given, else in memory. A context manager.

    Args:
        out: the census's folder.
        options: how files are looked at now. Rows that would come out otherwise are forgotten: all, for another number of
            frames; truncated files, for another ``salvage``; and always failures that may have passed.
        part: ``(k, n)``, of which only the own rows are read; without, the rows of all parts are.
    """

    def __init__(self, out: Path | None, options: CensusOptions, *, part: tuple[int, int] | None = None) -> None:
        self.rows: dict[str, CensusRow] = {}
        self._options, self._file = options, None
        if out is None:
            return
        out.mkdir(parents=True, exist_ok=True)
        own = out / (f"census-{part[0]}-of-{part[1]}.sqlite" if part else ROWS_NAME)
        self._file = self._opened(own)
        for path in [own] if part else sorted(out.glob("census*.sqlite")):
            with contextlib.closing(self._opened(path)) if path != own else contextlib.nullcontext(self._file) as file:
                self.rows.update((row.clip, row) for row in self._valid(file))

    def add(self, row: CensusRow) -> None:
        self.rows[row.clip] = row
        if self._file is not None:
            text = json.dumps(dataclasses.asdict(row), sort_keys=True)
            place = (row.clip, self._options.max_frames, int(self._options.salvage), text)
            try:
                self._file.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", place)
            except sqlite3.OperationalError as error:  # a full disk
                raise OSError(
                    f"the census's own table cannot be written ({error}); make room and run it again"
                ) from None

    def _valid(self, file: sqlite3.Connection) -> Iterator[CensusRow]:
        for max_frames, text in file.execute("SELECT max_frames, row FROM rows"):
            row = CensusRow(**json.loads(text))
            other = row.code == "truncated" if self._options.salvage else row.salvaged
            if max_frames == self._options.max_frames and not other and row.code not in TRANSIENT:
                yield row

    @staticmethod
    def _opened(path: Path) -> sqlite3.Connection:
        """Every row is its own transaction and reaches the disk; one process at a time."""
        file = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            file.execute("PRAGMA locking_mode = EXCLUSIVE")
            file.execute("PRAGMA synchronous = FULL")
            file.execute("BEGIN EXCLUSIVE")
            file.execute(_TABLE)
            file.execute("COMMIT")
        except sqlite3.OperationalError as error:
            file.close()
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ValueError(f"{path} is in use by another census ({error}); wait for it") from None
            raise OSError(f"{path} cannot be written ({error}); make room there, or name another folder") from None
        except sqlite3.DatabaseError as error:
            file.close()
            raise ValueError(f"{path} is damaged ({error}); remove it to look at the files again") from None
        return file

    def __enter__(self) -> SeenRows:
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()
