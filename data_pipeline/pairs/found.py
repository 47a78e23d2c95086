"""What pairing found in each clip, kept in SQLite as it is found: it can be cut off, repeated, and done in parts."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.census.rows import open_table
from data_pipeline.parallel import TRANSIENT

ROWS_NAME = "pairs.sqlite"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS found (job TEXT PRIMARY KEY, asked TEXT, kinds TEXT, code TEXT)",
    "CREATE TABLE IF NOT EXISTS shown (job TEXT, number INTEGER, record BLOB, PRIMARY KEY (job, number))",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What one clip gave."""

    kinds: tuple[str, ...] = ()
    """Of its pairs."""
    code: str = ""
    """Why there is none."""


class FoundPairs:
    """What was found so far, by job; kept in ``out`` where one is given, else in memory. A context manager.

    Args:
        out: a folder.
        asked: the options of the jobs, JSON-serialisable. What was found with others is forgotten, and so are failures that
            may have passed.
        part: ``(k, n)``, of which only the own rows are read; without, those of all parts are.
    """

    def __init__(self, out: Path | None, asked: Mapping[str, Any], *, part: tuple[int, int] | None = None) -> None:
        self.rows: dict[str, Found] = {}
        self._shown: dict[str, list[bytes]] = {}
        self._asked, self._file = json.dumps(asked, sort_keys=True), None
        if out is None:
            return
        out.mkdir(parents=True, exist_ok=True)
        own = out / (f"pairs-{part[0]}-of-{part[1]}.sqlite" if part else ROWS_NAME)
        self._file = open_table(own, _TABLES)
        own.chmod(0o600)  # it holds pictures
        for path in [own] if part else sorted(out.glob("pairs*.sqlite")):
            other = contextlib.closing(open_table(path, _TABLES)) if path != own else contextlib.nullcontext(self._file)
            with other as file:
                self._read(file)

    def _read(self, file: sqlite3.Connection) -> None:
        for job, kinds, code in file.execute("SELECT job, kinds, code FROM found WHERE asked = ?", (self._asked,)):
            if code not in TRANSIENT:
                self.rows[job] = Found(tuple(kinds.split()), code)
        for job, record in file.execute("SELECT job, record FROM shown ORDER BY job, number"):
            if job in self.rows:
                self._shown.setdefault(job, []).append(record)

    def add(self, job: str, found: Found, shown: Sequence[bytes] = ()) -> None:
        """Keep what a job gave, and records for the sheet."""
        self.rows[job] = found
        if shown:
            self._shown[job] = list(shown)
        if self._file is not None:
            with self._file.written():
                row = (job, self._asked, " ".join(found.kinds), found.code)
                self._file.execute("INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?)", row)
                self._file.execute("DELETE FROM shown WHERE job = ?", (job,))
                rows = ((job, number, record) for number, record in enumerate(shown))
                self._file.executemany("INSERT INTO shown VALUES (?, ?, ?)", rows)

    def shown(self, jobs: Iterable[str]) -> Iterator[bytes]:
        """The records of jobs that were kept, in their order."""
        return itertools.chain.from_iterable(self._shown.get(job, ()) for job in jobs)

    def __enter__(self) -> FoundPairs:
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()
