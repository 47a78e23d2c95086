"""Tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table


def terminal_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()) -> Table:
    """Rows under ``head``; the first column and those in ``left`` are aligned left, the others right."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="", padding=(0, 1, 0, 0))
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 or name in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
