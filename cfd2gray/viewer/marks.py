"""Keep and reject marks of a folder's clips: a CSV beside the folder, whole on disk after every mark."""

from __future__ import annotations

import csv
import io
import pathlib
import threading

from data_pipeline.files import private_path

COLUMNS = ("clip", "mark", "kind", "certainty", "reason")
MARKS = ("keep", "reject")


class Marks:
    """``FOLDER.marks.csv``: names can identify a patient, so its owner alone may read it.

    Rows of clips that are not in the folder (any more) stay.

    Raises:
      ValueError: When the file that is there holds something else.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        folder = folder.resolve()
        self.path = folder.with_name(folder.name + ".marks.csv")
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[str, ...]] = {}
        if self.path.is_file():
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                head, *rows = list(csv.reader(file)) or [[]]
            if tuple(head) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
                raise ValueError(f"{self.path} is no file of marks ({', '.join(COLUMNS)}); move it away")
            self._rows = {_named(row[0]): tuple(row) for row in rows}

    def of(self, clip: str) -> str:
        """The mark of a clip by its name below the folder, or nothing."""
        return self._rows[clip][1] if clip in self._rows else ""

    def set(self, clip: str, mark: str, *, kind: str = "", certainty: str = "", reason: str = "") -> None:
        """Mark a clip, or take its mark away (an empty one); on disk when this returns.

        Raises:
          ValueError: For another mark.
          OSError: When the file cannot be written; then nothing has changed.
        """
        if mark not in (*MARKS, ""):
            raise ValueError(f"a mark is {' or '.join(MARKS)}, or nothing; got {mark[:40]!r}")
        with self._lock:
            rows = {name: row for name, row in self._rows.items() if name != clip}
            if mark:
                rows[clip] = (_inert(clip), mark, kind, certainty, reason)
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows([COLUMNS, *(rows[name] for name in sorted(rows))])
            with private_path(self.path) as temporary:
                temporary.write_bytes(table.getvalue().encode("utf-8", "surrogateescape"))
            self._rows = rows


def _inert(name: str) -> str:
    """A spreadsheet would run what begins like a formula."""
    return f" {name}" if name[:1] in ("=", "+", "@", "-") else name


def _named(cell: str) -> str:
    return cell[1:] if cell[:1] == " " and cell[1:2] in ("=", "+", "@", "-") else cell
