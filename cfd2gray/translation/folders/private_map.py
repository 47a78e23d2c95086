"""Which result came from which file: a private table beside the folder of results, and the secret of their names.

Both lie beside the folder, not in it, so that the folder can be given away; both are readable by their owner alone.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import threading
from typing import Any

from data_pipeline.files import atomic_path

COLUMNS = ("source", "output", "state", "kind", "share", "certainty", "reason", "code", "sha256")
STATES = ("translated", "copied", "left out", "refused")
"""``copied``: no colour was found; ``left out``: the same, where only colour was asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One source and what became of it."""

    source: str
    output: str = ""
    state: str = ""
    kind: str = ""
    share: str = ""
    certainty: str = ""
    reason: str = ""
    code: str = ""
    sha256: str = ""

    @staticmethod
    def of(source: str, state: str, facts: dict[str, Any], *, output: str, sha256: str) -> Row:
        return Row(
            source=source,
            output=output,
            state=state,
            kind=str(facts.get("kind", "")),
            share=f"{facts.get('synthesised_share', 0):.5f}",
            certainty=f"{facts.get('certainty', 0):.3f}",
            reason=str(facts.get("reason", "")),
            sha256=sha256,
        )


class PrivateMap:
    """``OUT.map.csv``: rows are appended as results come, and sorted at the end.

    A torn last line, as a power failure leaves it, is dropped; the newest row of a source counts.
    """

    def __init__(self, out: pathlib.Path) -> None:
        self.path = out.with_name(out.name + ".map.csv")
        self._lock = threading.Lock()
        self.rows: dict[str, Row] = {}
        if self.path.is_file():
            text = self.path.read_bytes().decode("utf-8", "surrogateescape")
            complete = text[: text.rfind("\n") + 1].splitlines()
            for cells in csv.DictReader(complete):
                if None not in cells and None not in cells.values() and set(COLUMNS) <= set(cells):
                    row = Row(**{name: cells[name] for name in COLUMNS})
                    self.rows[row.source] = row
        self._write()

    def add(self, row: Row) -> None:
        """Remember a row; it is on disk when this returns."""
        with self._lock:
            self.rows[row.source] = row
            with self.path.open("ab") as file:
                file.write(_line(dataclasses.astuple(row)))
                file.flush()
                os.fsync(file.fileno())

    def finish(self) -> None:
        """Write the table once more, sorted."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        rows = [dataclasses.astuple(self.rows[source]) for source in sorted(self.rows)]
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(b"".join(map(_line, [COLUMNS, *rows])))
        self.path.chmod(0o600)


def _line(cells: tuple[str, ...]) -> bytes:
    """A row of CSV; names that are no text stay the bytes they are. What a spreadsheet would run is defused."""
    quoted = ('"' + " ".join(_inert(cell).split("\n")).replace("\r", " ").replace('"', '""') + '"' for cell in cells)
    return (",".join(quoted) + "\n").encode("utf-8", "surrogateescape")


def _inert(cell: str) -> str:
    return f" {cell}" if cell[:1] in ("=", "+", "@") else cell
