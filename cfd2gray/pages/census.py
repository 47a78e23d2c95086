"""A census as one HTML page: missingness heat-map, class balance before and after translation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cfd2gray.pages.blocks import Cell, Legend, Panel, Section, Table, Text, Two
from cfd2gray.pages.numbers import number
from cfd2gray.pages.page import page, write_page
from data_pipeline.census import tables as census_tables
from data_pipeline.census.rows import CensusRow
from data_pipeline.census.run import TRANSLATABLE, Census
from data_pipeline.files import private_path
from data_pipeline.storage import is_remote

_LEGEND = {
    "both": "greyscale and colour",
    "greyscale": "greyscale",
    "recoverable": "colour only: translation would give greyscale",
    "missing": "neither",
}
_SHORT = {"both": "G C", "greyscale": "G", "recoverable": "C", "missing": ""}
MAX_PATTERNS = 300
"""Rows of the heat-map; rarer patterns are added up in a last line."""
MAX_FILES = 2000
"""Files of a kind on the page of links."""


def write_html(census: Census, path: str | os.PathLike, *, title: str = "Archive census") -> None:
    """Write the page; by renaming."""
    summary = census_tables.summary(census)
    facts = (
        f"{summary['files']} files, {summary['patients']} known patients; "
        f"{summary['files_without_patient']} files name no patient and count as one each."
    )
    write_page(path, title=title, facts=facts, sections=sections(census), eyebrow="Archive census")


def write_files_page(census: Census, path: str | os.PathLike) -> None:
    """The files that would be translated and those of an uncertain kind, each a link; readable by its owner alone."""
    chosen = [(place, row) for place, row in zip(census.paths, census.rows, strict=True)]
    parts = [
        ("translate", "What would be translated", [own for own in chosen if own[1].modality in TRANSLATABLE]),
        ("unsure", "Of an uncertain kind: look at them", [own for own in chosen if own[1].unsure]),
    ]
    found = [
        Section(anchor=anchor, title=title, lead=_shown(len(own)), blocks=[Panel(blocks=[_files(own)])])
        for anchor, title, own in parts
    ]
    facts = (
        "Paths are identifiers: this page is for you alone. A click opens a file with the program that is set for it."
    )
    with private_path(path) as temporary:
        temporary.write_text(
            page("Files of the census", facts, found, eyebrow="Archive census"),
            encoding="utf-8",
            errors="surrogateescape",
        )


def _shown(count: int) -> str:
    return f"{count} files" + (
        f", of which the surest {MAX_FILES} are shown; the list has all." if count > MAX_FILES else "."
    )


def _files(own: list[tuple[str, CensusRow]]) -> Table:
    rows = [
        ("", [Cell(text=place, link=place if is_remote(place) else Path(os.path.abspath(place)).as_uri()), row.clip[:8],
              census_tables.named(row.kind), row.view, str(row.n_frames), f"{row.score:.2f}"])
        for place, row in sorted(own, key=lambda one: -one[1].score)[:MAX_FILES]
    ]  # fmt: skip
    return Table(head=("file", "picture", "kind", "view", "frames", "how sure of the kind"), rows=rows, sortable=True)


def sections(census: Census) -> list[Section]:
    """The page's parts."""
    summary = census_tables.summary(census)
    now, after = summary["imbalance"]["now"], summary["imbalance"]["after"]
    balance = f"Most frequent to rarest view: {_ratio(now)} now, {_ratio(after)} after translation."
    caution = (
        "Patients are pseudonyms. Sub-modalities are found by software, and views as the header or the given table names "
        "them: look at samples before relying on a number."
    )
    counts = [("Sub-modalities", ("sub-modality", "files"), summary["modalities"])]
    counts += (
        [("Of an uncertain kind: look at them", ("sub-modality", "files"), summary["unsure"])]
        if summary["unsure"]
        else []
    )
    counts += [("Unreadable, and why", ("reason", "files"), summary["unreadable"])] if summary["unreadable"] else []
    counts += [("Passed over", ("reason", "number"), summary["passed_over"])] if summary["passed_over"] else []
    counts += [("Stills, and what they show", ("shows", "files"), summary["stills"])] if summary["stills"] else []
    called = census_tables.named
    panels = [
        Panel(blocks=[Table(title=name, head=head, rows=[("", [called(key), str(n)]) for key, n in table.items()])])
        for name, head, table in counts
    ]
    return [
        Section(anchor="summary", title="In short", lead=f"{census_tables.headline(census)}.",
                blocks=[Text(text=caution)]),
        Section(anchor="views", nav="Views", title="Who has which view", blocks=[Panel(blocks=_heat_map(census))]),
        Section(anchor="balance", nav="Balance", title="Class balance, before and after translation", lead=balance,
                blocks=[Panel(blocks=[_balance(census)])]),
        Section(anchor="work", nav="Work", title="What it would take",
                blocks=[Panel(blocks=[_work(census)]), Text(text=_GUESS)]),
        Section(anchor="files", title="Files", blocks=[Two(panels=panels)]),
    ]  # fmt: skip


def _heat_map(census: Census) -> list[Any]:
    views, patterns = census_tables.views_of(census), census_tables.patterns(census)
    if not patterns:
        return [Text(text="No greyscale and no colour-flow video was found.")]
    rows: list[tuple[str, list[Any]]] = [
        ("", [str(n), *(Cell(text=_SHORT[s], about=_LEGEND[s], style=f"cell {s}") for s in states)])
        for states, n in patterns[:MAX_PATTERNS]
    ]
    if len(patterns) > MAX_PATTERNS:
        rest = sum(count for _, count in patterns[MAX_PATTERNS:])
        text = f"in {len(patterns) - MAX_PATTERNS} rarer patterns"
        rows.append(("", [str(rest), Cell(text=text, span=len(views))]))
    return [Legend(entries=list(_LEGEND.items())), Table(head=["patients", *views], rows=rows, style="heat")]


def _balance(census: Census) -> Table:
    gains = census_tables.balance(census)
    most = max((own.clips + own.more_clips for own in gains.values()), default=1) or 1
    rows = []
    for view, own in gains.items():
        bar = [("greyscale", own.clips / most), ("recoverable", own.more_clips / most)]
        numbers = (own.clips, f"+{own.more_clips}", own.patients, f"+{own.more_patients}")
        rows.append(("", [view, *map(str, numbers), Cell(text="", bar=bar)]))
    return Table(head=("view", "clips now", "more", "patients now", "more", ""), rows=rows)


_GUESS = (
    "Orders of magnitude: one core translates some 40 frames a second at 112 px; a result is taken to be as large as its "
    "source; packing is the look at the whole clip, and a packed picture an eighth of its raw size."
)


def _work(census: Census) -> Table:
    rows = [
        ("", [name, str(own.clips), str(own.frames), number(own.core_hours, 2), number(own.gigabytes, 2)])
        for name, own in census_tables.work(census).items()
    ]
    return Table(head=("step", "clips", "frames", "core hours", "GB on disk"), rows=rows)


def _ratio(value: float | None) -> str:
    return "no clip of the rarest" if value is None else f"{number(value, 1)} to 1"
