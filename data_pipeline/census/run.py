"""What an archive holds, and what translation would add to it: every file looked at once, in parallel, resumable.

A row says of one file which sub-modality, view and patient it is, or why it cannot be read. Rows carry keyed hashes of
identifiers, and no file names (contract C8). `census_tables` counts them, `census_page` draws them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipeline import parallel
from data_pipeline.pairs import dual_panes
from data_pipeline.readers import Limits, open_clip
from data_pipeline.readers.archive import PATIENT_FROM, archive_items, read_view_csv
from data_pipeline.readers.datasets import Item, echoxflow
from data_pipeline.readers.stream import check_signal
from data_pipeline.schema import Region
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.deidentify import KeyedHasher

MODALITIES = ("bmode", "dual", "cfd", "power", "tissue", "spectral", "mmode", "quad", "other", "still", "unreadable")
"""Sub-modalities of a file. ``dual``: B-mode beside colour; ``still``: a single frame, whatever it shows."""
GREYSCALE = ("bmode", "dual")
"""Holds a greyscale video already."""
TRANSLATABLE = ("cfd",)
"""Becomes one by translation."""
JOURNAL_NAME, KEY_NAME = "census.jsonl", "census.key"


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Census:
    """The rows of an archive, in the order of its files."""

    rows: tuple[CensusRow, ...]

    def of(self, *modalities: str) -> tuple[CensusRow, ...]:
        return tuple(row for row in self.rows if row.modality in modalities)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CensusOptions:
    """How files are looked at."""

    max_frames: int = 40
    """Frames of a clip that are decoded."""
    patient_from: str = "tags"
    """One of `archive_items.PATIENT_FROM`."""
    any_modality: bool = False
    """Look into DICOM objects whose modality is not US, too."""
    salvage: bool = False
    """Look at the whole frames of truncated files, too."""

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}")
        if self.patient_from not in PATIENT_FROM:
            raise ValueError(f"patient_from must be one of {PATIENT_FROM}, got {self.patient_from!r}")


def census(
    archive_dir: str | os.PathLike,
    *,
    out_dir: str | os.PathLike | None = None,
    dataset: str = "",
    view_csv: str | os.PathLike | None = None,
    key: bytes | None = None,
    workers: int = 0,
    resume: bool = True,
    options: CensusOptions | None = None,
    progress: bool | None = None,
    on_error: Callable[[str, str, BaseException | None], None] | None = None,
) -> Census:
    """Look at every file below a folder.

    Args:
        archive_dir: the archive. Symbolic links are not followed, hidden files are left out.
        out_dir: where the journal goes (and the key, when none is given); without it nothing can be resumed.
        dataset: the layout of a public data set, as for `archive_items.archive_items`.
        view_csv: a table ``file,view`` and, if wanted, ``patient``; ``file`` is the path below the archive, or the
            name with or without its suffix. It overrides the header.
        key: secret of the pseudonyms, at least 16 bytes; by default a new one, kept in ``out_dir``.
        workers: processes.
        resume: go on with the journal in ``out_dir``; otherwise a journal there is an error.
        progress: show a bar; by default when a terminal is there.
        on_error: called with the path, the code and the exception of each unreadable file.

    Raises:
        ValueError: for a folder that is none or empty, a bad CSV, or a journal that is in the way.
    """
    archive, options = Path(archive_dir).expanduser(), options or CensusOptions()
    out = Path(out_dir) if out_dir is not None else None
    views = read_view_csv(view_csv) if view_csv is not None else None
    items = archive_items(archive, dataset=dataset, views=views, patient_from=options.patient_from)
    if out is not None:
        items = [item for item in items if out.resolve() not in Path(item.path).resolve().parents]
    hasher = KeyedHasher(_key(out, key))
    journal = _Journal(out, resume=resume)
    tasks = [_Task(item=item, clip=_name(item, archive, hasher)) for item in items]
    todo = [task for task in tasks if task.clip not in journal.rows]
    look = functools.partial(_look, hasher=hasher, options=options)
    with journal, parallel.progress_bar("files", show=progress) as bar:
        shown = bar.add_task("census", total=len(tasks), completed=len(tasks) - len(todo))
        for task, outcome in parallel.run_ordered(look, todo, workers=workers):
            row = outcome.result or _unreadable(task, outcome.code, hasher)
            if outcome.code and on_error:
                on_error(task.item.path, outcome.code, outcome.error)
            journal.add(row)
            bar.advance(shown)
    return Census(rows=tuple(journal.rows[task.clip] for task in tasks))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    item: Item
    clip: str


def _look(task: _Task, *, hasher: KeyedHasher, options: CensusOptions) -> CensusRow:
    """In a worker: what one file is. Raises `readers.IngestError` where it cannot be read."""
    if task.item.dataset == "echoxflow":
        return _look_at_recording(task, hasher)
    with open_clip(
        task.item.path, limits=Limits(), any_modality=options.any_modality, salvage=options.salvage, digest=False
    ) as stream:
        frames = np.stack(list(itertools.islice(stream, options.max_frames)))
        check_signal(task.item.path, frames)
        info = task.item.told(stream.info)
    n_frames = max(len(frames), info.n_frames or 0) if len(frames) == options.max_frames else len(frames)
    found = analyse(frames, regions=info.regions, image_type=info.image_type)
    modality, score = found.kind, found.score
    if modality in ("cfd", "power", "other", "quad") or _two_pictures(info.regions):
        panes, _ = dual_panes.find_panes(frames, regions=info.regions)
        if panes is not None:
            modality, score = "dual", panes.ncc
    still = n_frames == 1
    patient = task.item.patient if options.patient_from == "folder" else info.identity.patient
    return CensusRow(
        clip=task.clip,
        modality="still" if still else modality,
        shows=modality if still else "",
        patient=hasher.patient(patient or f"clip {task.clip}"),
        patient_known=bool(patient),
        study=hasher.study(info.identity.study) if info.identity.study else "",
        view=info.view,
        score=round(float(score), 3),
        n_frames=n_frames,
        height=info.height,
        width=info.width,
        fps=round(info.fps, 3),
        vendor=info.vendor,
    )


def _look_at_recording(task: _Task, hasher: KeyedHasher) -> CensusRow:
    """A recording of EchoXFlow: B-mode beside colour, or B-mode alone. Nothing is decoded to say so."""
    shapes = echoxflow.shapes(task.item.labels["recording"])
    modality = "dual" if len(shapes) == 3 else "bmode" if echoxflow.BMODE in shapes else "other"
    n_frames, height, width = shapes.get(echoxflow.VELOCITY) or shapes.get(echoxflow.BMODE) or (0, 0, 0)
    return CensusRow(
        clip=task.clip,
        modality=modality,
        patient=hasher.patient(task.item.patient),
        patient_known=True,
        study=hasher.study(task.item.patient),
        view=task.item.view,
        score=1.0,
        n_frames=n_frames,
        height=height,
        width=width,
    )


def _unreadable(task: _Task, code: str, hasher: KeyedHasher) -> CensusRow:
    return CensusRow(
        clip=task.clip,
        modality="unreadable",
        code=code,
        patient=hasher.patient(task.item.patient or f"clip {task.clip}"),
        patient_known=bool(task.item.patient),
        view=task.item.view,
    )


def _two_pictures(regions: tuple[Region, ...]) -> bool:
    return sum(region.spatial_format == 1 and region.data_type in (1, 2) for region in regions) == 2


def _name(item: Item, archive: Path, hasher: KeyedHasher) -> str:
    path = Path(item.path)
    status = path.stat()
    place = path.relative_to(archive).as_posix()
    if "recording" in item.labels:
        place += f"\0{item.labels['recording'].member}"  # several recordings lie in one file
    return hasher.clip(f"{place}\0{status.st_size}\0{status.st_mtime_ns}")


def _key(out: Path | None, key: bytes | None) -> bytes:
    """The given key, or that of an earlier census in ``out``, or a new one, which is kept there for its owner only."""
    if key is not None or out is None:
        return key if key is not None else secrets.token_bytes(32)
    out.mkdir(parents=True, exist_ok=True)
    path = out / KEY_NAME
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    try:
        return bytes.fromhex(path.read_text().strip())
    except ValueError:
        raise ValueError(f"{path} is damaged: it must hold hexadecimal digits; remove it to begin anew") from None


class _Journal:
    """Rows found so far, by clip; one JSON line each when there is a folder. A torn last line is dropped."""

    def __init__(self, out: Path | None, *, resume: bool) -> None:
        self.rows: dict[str, CensusRow] = {}
        self._file = None
        if out is None:
            return
        out.mkdir(parents=True, exist_ok=True)
        path = out / JOURNAL_NAME
        if path.exists() and not resume:
            raise ValueError(f"{path} exists; resume that census, or give another folder")
        whole = 0
        if path.exists():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            for line in data[:whole].splitlines():
                row = CensusRow(**json.loads(line))
                self.rows[row.clip] = row
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._file.truncate(whole)

    def add(self, row: CensusRow) -> None:
        self.rows[row.clip] = row
        if self._file is not None:
            self._file.write(json.dumps(dataclasses.asdict(row), sort_keys=True).encode() + b"\n")

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()
