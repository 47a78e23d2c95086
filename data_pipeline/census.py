"""What an archive holds, and what translation would add to it: every file looked at once, in parallel, resumable.

A row says of one file which sub-modality, view and patient it is, or why it cannot be read. Rows carry keyed hashes of
identifiers, and no file names (contract C8). `census_tables` counts them, `census_page` draws them.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import itertools
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from data_pipeline import dual_panes, parallel
from data_pipeline.deidentify import KeyedHasher
from data_pipeline.flow import analyse
from data_pipeline.readers import Limits, open_clip
from data_pipeline.schema import VIEWS, Region

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
    """``tags``: the header (or the CSV) names the patient; ``folder``: the first folder below the archive does."""
    any_modality: bool = False
    """Look into DICOM objects whose modality is not US, too."""

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}")
        if self.patient_from not in ("tags", "folder"):
            raise ValueError(f"patient_from must be 'tags' or 'folder', got {self.patient_from!r}")


def census(
    archive_dir: str | os.PathLike,
    *,
    out_dir: str | os.PathLike | None = None,
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
    archive, options = Path(archive_dir), options or CensusOptions()
    out = Path(out_dir) if out_dir is not None else None
    files = [file for file in files_below(archive) if out is None or out.resolve() not in file.resolve().parents]
    table = read_view_csv(view_csv) if view_csv is not None else {}
    hasher = KeyedHasher(_key(out, key))
    journal = _Journal(out, resume=resume)
    names = {file: _name(file, archive, hasher) for file in files}
    todo = [
        _Task(
            path=str(file),
            clip=names[file],
            folder=file.relative_to(archive).parts[0] if len(file.relative_to(archive).parts) > 1 else "",
            told=next((table[form] for form in forms(file, archive) if form in table), None),
        )
        for file in files
        if names[file] not in journal.rows
    ]
    look = functools.partial(_look, hasher=hasher, options=options)
    with journal, parallel.progress_bar("files", show=progress) as bar:
        shown = bar.add_task("census", total=len(files), completed=len(files) - len(todo))
        for task, outcome in parallel.run_ordered(look, todo, workers=workers):
            row = outcome.result or _unreadable(task, outcome.code, hasher, options)
            if outcome.code and on_error:
                on_error(task.path, outcome.code, outcome.error)
            journal.add(row)
            bar.advance(shown)
    return Census(rows=tuple(journal.rows[names[file]] for file in files))


def read_view_csv(path: str | os.PathLike) -> dict[str, dict[str, str]]:
    """Read a table ``file,view[,patient]``: file -> row. ``ValueError`` names the line that is wrong."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a CSV with the columns file,view[,patient]")
    table: dict[str, dict[str, str]] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"file", "view"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns file,view[,patient], got {reader.fieldnames}")
        for row in reader:
            view = (row["view"] or "").strip().upper() or "UNKNOWN"
            name = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
            if view not in VIEWS or not name:
                raise ValueError(
                    f"{path}, line {reader.line_num}: needs a file and a view of {', '.join(VIEWS)}, "
                    f"got {row['view']!r} for {'a' if name else 'no'} file"
                )
            table[name] = {"view": view, "patient": (row.get("patient") or "").strip()}
    return table


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    path: str
    clip: str
    folder: str
    told: Mapping[str, str] | None


def _look(task: _Task, *, hasher: KeyedHasher, options: CensusOptions) -> CensusRow:
    """In a worker: what one file is. Raises `readers.IngestError` where it cannot be read."""
    with open_clip(task.path, limits=Limits(), any_modality=options.any_modality, digest=False) as stream:
        frames = np.stack(list(itertools.islice(stream, options.max_frames)))
        info = stream.info
    n_frames = max(len(frames), info.n_frames or 0) if len(frames) == options.max_frames else len(frames)
    found = analyse(frames, regions=info.regions, image_type=info.image_type)
    modality, score = found.kind, found.score
    if modality in ("cfd", "power", "other", "quad") or _two_pictures(info.regions):
        panes, _ = dual_panes.find_panes(frames, regions=info.regions)
        if panes is not None:
            modality, score = "dual", panes.ncc
    still = n_frames == 1
    told = task.told or {}
    patient = told.get("patient") or (task.folder if options.patient_from == "folder" else info.identity.patient)
    return CensusRow(
        clip=task.clip,
        modality="still" if still else modality,
        shows=modality if still else "",
        patient=hasher.patient(patient or f"clip {task.clip}"),
        patient_known=bool(patient),
        study=hasher.study(info.identity.study) if info.identity.study else "",
        view=told.get("view") or info.view,
        score=round(float(score), 3),
        n_frames=n_frames,
        height=info.height,
        width=info.width,
        fps=round(info.fps, 3),
        vendor=info.vendor,
    )


def _unreadable(task: _Task, code: str, hasher: KeyedHasher, options: CensusOptions) -> CensusRow:
    told = task.told or {}
    patient = told.get("patient") or (task.folder if options.patient_from == "folder" else "")
    return CensusRow(
        clip=task.clip,
        modality="unreadable",
        code=code,
        patient=hasher.patient(patient or f"clip {task.clip}"),
        patient_known=bool(patient),
        view=told.get("view") or "UNKNOWN",
    )


def _two_pictures(regions: tuple[Region, ...]) -> bool:
    return sum(region.spatial_format == 1 and region.data_type in (1, 2) for region in regions) == 2


def files_below(archive: Path) -> list[Path]:
    """Regular files below a folder, sorted, without hidden ones, links and DICOMDIR; ``ValueError`` for none."""
    if not archive.is_dir():
        raise ValueError(f"{archive} is not a folder; give the top folder of the archive")
    found: list[Path] = []
    for folder, folders, files in os.walk(archive):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and name.upper() != "DICOMDIR" and not path.is_symlink() and path.is_file():
                found.append(path)
    if not found:
        raise ValueError(f"{archive} holds no file; give the top folder of the archive")
    return found


def forms(file: Path, archive: Path) -> tuple[str, ...]:
    """How a CSV may call a file: its path below the archive, its name, its name without the suffix."""
    return file.relative_to(archive).as_posix(), file.name, file.stem


def _name(file: Path, archive: Path, hasher: KeyedHasher) -> str:
    status = file.stat()
    return hasher.clip(f"{file.relative_to(archive).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}")


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
