"""Counts of a census: patient x view x sub-modality, missingness, class balance and what translation would recover.

A clip is *usable now* when it holds a greyscale video, and *recovered* when translation would give one. Both are
counted in clips and in patients, since a second clip of a patient who has one is worth less than the first of one
who has none.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import itertools
import json
import math
import operator
import os
from collections.abc import Iterator
from typing import Any

import rich.table

from data_pipeline.census.rows import CensusRow, fields_of
from data_pipeline.census.run import GREYSCALE, MODALITIES, TRANSLATABLE, Census
from data_pipeline.files import atomic_path, private_path
from data_pipeline.schema import VIEWS
from data_pipeline.screen.kind import named

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


def cells(census: Census) -> Iterator[tuple[tuple[str, str, str], int]]:
    """``(patient, view, modality)`` and its clips, in order."""
    order = {name: place for place, name in enumerate((*VIEWS, *MODALITIES))}
    patient_of = operator.attrgetter("patient")
    for patient, rows in itertools.groupby(sorted(census.rows, key=patient_of), key=patient_of):
        counted = collections.Counter((row.view, row.modality) for row in rows)
        for view, modality in sorted(counted, key=lambda cell: (order[cell[0]], order[cell[1]])):
            yield (patient, view, modality), counted[view, modality]


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
    place = {view: 2 * number for number, view in enumerate(views)}
    has: dict[str, int] = {}  # two bits a view: greyscale, colour
    for row in census.rows:
        if row.modality in (*GREYSCALE, *TRANSLATABLE):
            bits = 3 if row.modality == "dual" else 1 if row.modality in GREYSCALE else 2
            has[row.patient] = has.get(row.patient, 0) | bits << place[row.view]
    name = {3: "both", 1: "greyscale", 2: "recoverable", 0: "missing"}
    counted = collections.Counter(tuple(name[own >> place[view] & 3] for view in views) for own in has.values())
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def summary(census: Census) -> dict[str, Any]:
    """Everything counted, JSON-serialisable (infinite ratios are null)."""
    gains = balance(census)
    now, after = imbalance(gains)
    modalities = collections.Counter(row.modality for row in census.rows)
    unsure = collections.Counter(row.modality for row in census.rows if row.unsure)
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
        "unsure": {kind: count for kind in MODALITIES if (count := unsure[kind])},
        "work": {name: dataclasses.asdict(own) for name, own in work(census).items()},
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
        writer.writerows((*key, count) for key, count in cells(census))


_OURS = ("n_bytes", "seconds", "looked", "pictured")
"""What of a row is the census's own affair; by its size a file could be known again."""


def write_json(census: Census, path: str | os.PathLike) -> None:
    """`summary` and all rows, one a line; by renaming."""
    head = json.dumps(summary(census), indent=1, allow_nan=False).removesuffix("\n}")
    with atomic_path(path) as temporary, open(temporary, "w") as file:
        file.write(f'{head},\n "rows": [')
        for number, row in enumerate(census.rows):
            told = {name: value for name, value in fields_of(row).items() if name not in _OURS}
            file.write(f"{',' if number else ''}\n  {json.dumps(told, allow_nan=False)}")
        file.write("\n ]\n}\n")


PRIVATE_COLUMNS = ("file", "clip", "kind", "certainty", "unsure", "use", "view", "frames", "code")


def write_private_list(census: Census, path: str | os.PathLike) -> None:
    """Which file is which row, as CSV that its owner alone may read; by renaming.

    ``use`` is what the file is good for: ``translate``, ``pair`` (it holds greyscale), or nothing. ``clip`` begins the line
    under its picture on a contact sheet.
    """
    uses: dict[str, str] = {**dict.fromkeys(GREYSCALE, "pair"), **dict.fromkeys(TRANSLATABLE, "translate")}
    with private_path(path) as temporary, open(temporary, "w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(PRIVATE_COLUMNS)
        for place, row in zip(census.paths, census.rows, strict=True):
            writer.writerow((
                place, row.clip, row.kind, f"{row.score:.3f}", "yes" if row.unsure else "", uses.get(row.modality, ""),
                row.view, row.n_frames, row.code,
            ))  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a step would take: an order of magnitude, from what the looks took and what was measured elsewhere."""

    clips: int
    frames: int
    core_hours: float
    """Hours of one core."""
    gigabytes: float
    """Disk, 1e9 bytes."""


TRANSLATED_PER_S = 40.0
"""Frames that one core translates in a second, file to file at 112 px (docs/benchmarks_shipped.md)."""
PACKED_SIDE, PACKED_BYTES = 256, 6 / 8
"""Side of packed pictures, px, and bytes of each of their pixels: colour, target and two masks, an eighth of it in zstd."""


def work(census: Census) -> dict[str, Work]:
    """Time and disk of translating what can be translated, and of packing what holds greyscale.

    Results of translation are taken to be as large as their sources. Packing is the look at the whole clip.
    """
    colour, grey = census.of(*TRANSLATABLE), census.of(*GREYSCALE)
    frames = sum(row.n_frames for row in colour)
    packed = sum(row.n_frames for row in grey)
    looks = sum(row.seconds * max(1.0, row.n_frames / max(row.looked, 1)) for row in grey)
    return {
        "translate": Work(
            clips=len(colour), frames=frames, core_hours=round(frames / TRANSLATED_PER_S / 3600, 3),
            gigabytes=round(sum(row.n_bytes for row in colour) / 1e9, 3),
        ),
        "pack": Work(
            clips=len(grey), frames=packed, core_hours=round(looks / 3600, 3),
            gigabytes=round(packed * PACKED_SIDE**2 * PACKED_BYTES / 1e9, 3),
        ),
    }  # fmt: skip


def terminal_table(census: Census) -> rich.table.Table:
    """Views against sub-modalities, with what translation would add."""
    found = [name for name in MODALITIES if any(row.modality == name for row in census.rows)]
    table = rich.table.Table(title=_counted(len(census.rows), "file"))
    table.add_column("view")
    for name in (*found, "unsure", "more clips", "more patients"):
        table.add_column(named(name), justify="right")
    for view in VIEWS:
        rows = tuple(row for row in census.rows if row.view == view)
        if rows:
            counted = collections.Counter(row.modality for row in rows)
            own = gain(rows)
            unsure = sum(row.unsure for row in rows)
            counts = (str(counted[name] or "") for name in found)
            table.add_row(view, *counts, str(unsure or ""), f"+{own.more_clips}", f"+{own.more_patients}")
    return table


def headline(census: Census) -> str:
    """One sentence: what translation would give."""
    total = gain(census.rows)
    share = f" ({total.more_clips / total.clips:.0%} more)" if total.clips else ""
    none = "who has none" if total.more_patients == 1 else "who have none"
    return (
        f"{_counted(total.clips, 'usable greyscale clip')} of {_counted(total.patients, 'patient')}; translation would add "
        f"{_counted(total.more_clips, 'clip')}{share} and {_counted(total.more_patients, 'patient')} {none}"
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _gain_table(own: Gain) -> dict[str, Any]:
    return {**dataclasses.asdict(own), "clip_factor": _finite(own.clip_factor)}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
