"""Counts of a census: patient x view x sub-modality, missingness, class balance and what translation would recover.

A clip is *usable now* when it holds a greyscale video, and *recovered* when translation would give one. Both are
counted in clips and in patients, since a second clip of a patient who has one is worth less than the first of one
who has none.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import rich.table

from data_pipeline.census.rows import CensusRow
from data_pipeline.census.run import GREYSCALE, MODALITIES, TRANSLATABLE, Census
from data_pipeline.files import atomic_path, write_atomically
from data_pipeline.schema import VIEWS

STATES = ("both", "greyscale", "recoverable", "missing")
"""Of a patient and a view: greyscale and colour; greyscale; colour only, so that translation helps; neither."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """Usable clips and patients now, and those that translation would add."""

    clips: int
    more_clips: int
    patients: int
    more_patients: int

    @property
    def clip_factor(self) -> float:
        """Usable clips after translation for each usable now (infinite where there is none)."""
        return (self.clips + self.more_clips) / self.clips if self.clips else math.inf if self.more_clips else 1.0


def cells(census: Census) -> dict[tuple[str, str, str], int]:
    """Clips by ``(patient, view, modality)``, in order."""
    counted = collections.Counter((row.patient, row.view, row.modality) for row in census.rows)
    order = {name: place for place, name in enumerate((*VIEWS, *MODALITIES))}
    return dict(sorted(counted.items(), key=lambda item: (item[0][0], order[item[0][1]], order[item[0][2]])))


def views_of(census: Census) -> tuple[str, ...]:
    """The views that occur, in the glossary's order."""
    seen = {row.view for row in census.rows if row.modality in (*GREYSCALE, *TRANSLATABLE)}
    return tuple(view for view in VIEWS if view in seen)


def gain(rows: tuple[CensusRow, ...]) -> Gain:
    """What translation adds to these rows."""
    now = [row for row in rows if row.modality in GREYSCALE]
    more = [row for row in rows if row.modality in TRANSLATABLE]
    patients = {row.patient for row in now}
    return Gain(
        clips=len(now),
        more_clips=len(more),
        patients=len(patients),
        more_patients=len({row.patient for row in more} - patients),
    )


def balance(census: Census) -> dict[str, Gain]:
    """Class balance: the gain of each view that occurs."""
    return {view: gain(tuple(row for row in census.rows if row.view == view)) for view in views_of(census)}


def imbalance(gains: dict[str, Gain]) -> tuple[float, float]:
    """Clips of the most frequent view for each of the rarest, ``(now, after translation)``; infinite for an empty view.

    ``UNKNOWN`` is no class and is left out.
    """
    known = [own for view, own in gains.items() if view != "UNKNOWN"]
    ratios = []
    for counts in ([own.clips for own in known], [own.clips + own.more_clips for own in known]):
        ratios.append(max(counts) / min(counts) if counts and min(counts) else math.inf if counts else 1.0)
    return ratios[0], ratios[1]


def patterns(census: Census) -> list[tuple[tuple[str, ...], int]]:
    """Missingness: the `STATES` of a patient's views, in the order of `views_of`, and how many patients share them."""
    views = views_of(census)
    has: dict[str, dict[str, set[str]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    for row in census.rows:
        if row.modality in (*GREYSCALE, *TRANSLATABLE):
            has[row.patient][row.view].add("grey" if row.modality in GREYSCALE else "colour")
            if row.modality == "dual":
                has[row.patient][row.view].add("colour")
    name = {("colour", "grey"): "both", ("grey",): "greyscale", ("colour",): "recoverable", (): "missing"}
    counted = collections.Counter(
        tuple(name[tuple(sorted(own.get(view, ())))] for view in views) for own in has.values()
    )
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def summary(census: Census) -> dict[str, Any]:
    """Everything counted, JSON-serialisable (infinite ratios are null)."""
    gains = balance(census)
    now, after = imbalance(gains)
    modalities = collections.Counter(row.modality for row in census.rows)
    return {
        "files": len(census.rows),
        "patients": len({row.patient for row in census.rows if row.patient_known}),
        "files_without_patient": sum(not row.patient_known for row in census.rows),
        "modalities": {name: modalities[name] for name in MODALITIES if modalities[name]},
        "passed_over": dict(census.passed_over),
        "unreadable": dict(sorted(collections.Counter(row.code for row in census.of("unreadable")).items())),
        "stills": dict(sorted(collections.Counter(row.shows for row in census.of("still")).items())),
        "vendors": dict(sorted(collections.Counter(row.vendor for row in census.rows if row.vendor).items())),
        "translation": _gain_table(gain(census.rows)),
        "views": {view: _gain_table(own) for view, own in gains.items()},
        "imbalance": {"now": _finite(now), "after": _finite(after)},
        "missingness": [
            {"patients": count, "views": dict(zip(views_of(census), states))} for states, count in patterns(census)
        ],
    }


def write_csv(census: Census, path: str | os.PathLike) -> None:
    """One line for each patient, view and sub-modality: ``patient,view,modality,clips``; by renaming."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("patient", "view", "modality", "clips"))
        writer.writerows((*key, count) for key, count in cells(census).items())


def write_json(census: Census, path: str | os.PathLike) -> None:
    """`summary` and all rows; by renaming."""
    content = {**summary(census), "rows": [dataclasses.asdict(row) for row in census.rows]}
    write_atomically(Path(path), json.dumps(content, indent=1, allow_nan=False) + "\n")


def terminal_table(census: Census) -> rich.table.Table:
    """Views against sub-modalities, with what translation would add."""
    found = [name for name in MODALITIES if any(row.modality == name for row in census.rows)]
    table = rich.table.Table(title=f"{len(census.rows)} files", caption=headline(census))
    table.add_column("view")
    for name in (*found, "more clips", "more patients"):
        table.add_column(name, justify="right")
    for view in VIEWS:
        rows = tuple(row for row in census.rows if row.view == view)
        if rows:
            counted = collections.Counter(row.modality for row in rows)
            own = gain(rows)
            table.add_row(
                view, *(str(counted[name] or "") for name in found), f"+{own.more_clips}", f"+{own.more_patients}"
            )
    return table


def headline(census: Census) -> str:
    """One sentence: what translation would give."""
    total = gain(census.rows)
    share = f" ({total.more_clips / total.clips:.0%} more)" if total.clips else ""
    return (
        f"{total.clips} usable greyscale clips of {total.patients} patients; translation would add "
        f"{total.more_clips} clips{share} and {total.more_patients} patients who have none"
    )


def _gain_table(own: Gain) -> dict[str, Any]:
    return {**dataclasses.asdict(own), "clip_factor": _finite(own.clip_factor)}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
