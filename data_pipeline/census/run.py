"""What an archive holds, and what translation would add to it: every file looked at once, in parallel, resumable.

A row says of one file which sub-modality, view and patient it is, or why it cannot be read. Rows carry keyed hashes of
identifiers, and no file names (contract C8). `census_tables` counts them, `census_page` draws them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import parallel
from data_pipeline.census import sheets
from data_pipeline.census.rows import CensusOptions, CensusRow, SeenRows
from data_pipeline.readers import Limits, open_clip
from data_pipeline.readers.archive import list_archive, read_view_csv
from data_pipeline.readers.datasets import Item, echoxflow
from data_pipeline.readers.stream import check_signal
from data_pipeline.schema import Region
from data_pipeline.screen import dual_panes
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.storage import is_remote, size_of

MODALITIES = ("bmode", "dual", "cfd", "power", "tissue", "spectral", "mmode", "quad", "other", "still", "unreadable")
"""Sub-modalities of a file. ``dual``: B-mode beside colour; ``still``: a single frame, whatever it shows."""
GREYSCALE = ("bmode", "dual")
"""Holds a greyscale video already."""
TRANSLATABLE = ("cfd",)
"""Becomes one by translation."""
KEY_NAME = "census.key"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Census:
    """The rows of an archive, in the order of its files."""

    rows: tuple[CensusRow, ...]
    passed_over: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What of the archive was not looked at, by reason: see `readers.archive.Listing`."""
    thumbnails: Mapping[str, Sequence[tuple[str, bytes]]] = dataclasses.field(default_factory=dict, compare=False)
    """Kind (and `rows.UNSURE`) -> clips and their pictures (PNG), a fair draw."""
    paths: Sequence[str] = dataclasses.field(default=(), compare=False, repr=False)
    """Where the file of each row lies. Identifiers: for the person who asks only."""

    def of(self, *modalities: str) -> tuple[CensusRow, ...]:
        return tuple(row for row in self.rows if row.modality in modalities)


def census(
    archive_dir: str | os.PathLike,
    *,
    out_dir: str | os.PathLike | None = None,
    dataset: str = "",
    view_csv: str | os.PathLike | None = None,
    options: CensusOptions | None = None,
    on_error: Callable[[str, str, BaseException | None], None] | None = None,
    **how: Any,
) -> Census:
    """Look at every file below a folder.

    Args:
        archive_dir: the archive, here or in a bucket. Symbolic links are counted, and followed only if ``options`` say so;
            hidden files are left out.
        out_dir, options, on_error, how: as for `look_at`; ``on_error`` is also told what is passed over.
        dataset: the layout of a public data set, as for `readers.archive.list_archive`.
        view_csv: a table ``file,view`` and, if wanted, ``patient``; ``file`` is the path below the archive, or the
            name with or without its suffix where only one file has it. It overrides the header.

    Raises:
        ValueError: for a folder that is none or empty, a bad CSV, or rows that are in the way.
    """
    views = read_view_csv(view_csv) if view_csv is not None else None
    options = options or CensusOptions()
    listing = list_archive(
        archive_dir, dataset=dataset, views=views, leave_out=out_dir, follow_links=options.follow_links
    )
    for why, path in (*listing.passed_over, *(("unmatched_in_view_csv", name) for name in listing.unmatched)):
        if on_error:
            on_error(path, why, None)
    found = look_at(listing.items, archive_dir, out_dir=out_dir, options=options, on_error=on_error, **how)
    return dataclasses.replace(found, passed_over=listing.counts)


def look_at(
    items: Sequence[Item],
    archive_dir: str | os.PathLike,
    *,
    out_dir: str | os.PathLike | None = None,
    key: bytes | None = None,
    workers: int = 0,
    timeout: float = parallel.TIMEOUT,
    memory: int = 0,
    resume: bool = True,
    part: tuple[int, int] | None = None,
    options: CensusOptions | None = None,
    progress: bool | None = None,
    on_error: Callable[[str, str, BaseException | None], None] | None = None,
) -> Census:
    """What the items of an archive are, in their order.

    Args:
        items: from `readers.archive.list_archive` of ``archive_dir``.
        out_dir: where the rows go (and the key, when none is given); without it nothing can be resumed.
        key: secret of the pseudonyms, at least 16 bytes; by default a new one, kept in ``out_dir``.
        workers, timeout, memory: as for `parallel.run_ordered`.
        resume: go on with the rows in ``out_dir``, and look again only at what other options change; otherwise rows there
            are an error.
        part: ``(k, n)``: look only at the k-th of n shares of the files; a census without it joins them.
        progress: show a bar; by default when a terminal is there.
        on_error: called with the path, the code and the exception of each unreadable file.
    """
    options, out = options or CensusOptions(), Path(out_dir) if out_dir is not None else None
    if out is not None and not resume and list(out.glob("census*.sqlite")):
        raise ValueError(f"{out} holds a census; resume that, or give another folder")
    hasher = KeyedHasher(_key(out, key))
    items = items if part is None else items[part[0] - 1 :: part[1]]
    root = archive_dir if is_remote(archive_dir) else os.path.join(Path(archive_dir).expanduser(), "")
    names = [sys.intern(name_of(item, str(root), hasher)) for item in items]  # the rows' own are the same
    look = functools.partial(_look, hasher=hasher, options=options)
    with SeenRows(out, options, part=part) as seen, parallel.progress_bar("files", show=progress) as bar:
        todo = [place for place, name in enumerate(names) if name not in seen.rows]
        shown = bar.add_task("census", total=len(names), completed=len(names) - len(todo))
        tasks = (_Task(item=items[place], clip=names[place]) for place in todo)
        for task, outcome in parallel.run_ordered(look, tasks, workers=workers, timeout=timeout, memory=memory):
            if outcome.code and on_error:
                on_error(task.item.shown, outcome.code, outcome.error)
            row, picture = outcome.result or (None, b"")
            seen.add(row or CensusRow(clip=task.clip, modality="unreadable", code=outcome.code), picture)
            bar.advance(shown)
        del todo
        rows = tuple(_joined(seen.rows.pop(name), item, hasher) for name, item in zip(names, items))
        return Census(rows=rows, thumbnails=seen.thumbnails, paths=_Paths(items))


@dataclasses.dataclass(frozen=True)
class _Paths(Sequence[str]):
    """The files of items, without a list of them."""

    items: Sequence[Item]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place):
        return self.items[place].shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    item: Item
    clip: str


def _joined(row: CensusRow, item: Item, hasher: KeyedHasher) -> CensusRow:
    """The row with what is known of the file from elsewhere; that wins."""
    told: dict[str, Any] = {}
    if item.patient:
        told = {"patient": hasher.patient(item.patient), "patient_known": True}
    elif not row.patient_known:
        told = {"patient": hasher.patient(f"clip {row.clip}")}
    if item.dataset:
        told["study"] = hasher.study(item.study or item.patient)
    if item.view != "UNKNOWN":
        told["view"] = item.view
    if item.fps is not None and 1 <= item.fps <= 400 and row.n_frames:
        told["fps"] = round(float(item.fps), 3)
    return dataclasses.replace(row, **told)


def _look(task: _Task, *, hasher: KeyedHasher, options: CensusOptions) -> tuple[CensusRow, bytes]:
    """In a worker: what one file is by itself, and a picture of it. Raises `readers.IngestError` if it cannot be read."""
    if isinstance(task.item, echoxflow.StreamItem):
        return _look_at_streams(task.clip, task.item), b""
    start, limits = time.process_time(), Limits(follow_symlinks=options.follow_links)
    with (
        task.item.local() as path,
        open_clip(path, limits=limits, salvage=options.salvage, digest=False) as stream,
    ):
        frames = np.stack(list(itertools.islice(stream, options.max_frames)))
        check_signal(path, frames)
        info, n_bytes = stream.info, _size(path)
    n_frames = max(len(frames), info.n_frames or 0) if len(frames) == options.max_frames else len(frames)
    found = analyse(frames, regions=info.regions, image_type=info.image_type)
    modality, score = found.kind, found.score
    if modality in ("cfd", "power", "other", "quad") or _two_pictures(info.regions):
        panes, _ = dual_panes.find_panes(frames, regions=info.regions)
        if panes is not None:
            modality, score = "dual", panes.ncc
    still = n_frames == 1
    row = CensusRow(
        clip=task.clip,
        modality="still" if still else modality,
        shows=modality if still else "",
        patient=hasher.patient(info.identity.patient) if info.identity.patient else "",
        patient_known=bool(info.identity.patient),
        study=hasher.study(info.identity.study) if info.identity.study else "",
        view=info.view,
        score=round(float(score), 3),
        n_frames=n_frames,
        height=info.height,
        width=info.width,
        fps=round(info.fps, 3),
        vendor=info.vendor,
        salvaged="truncated" in info.flags,
        n_bytes=n_bytes,
        seconds=round(time.process_time() - start, 4),
        looked=len(frames),
        pictured=options.thumbnails,
    )
    return row, sheets.thumbnail(frames, found.sector) if options.thumbnails else b""


def _size(path: str) -> int:
    return 0 if not is_remote(path) and os.path.isdir(path) else size_of(path)


def _look_at_streams(clip: str, item: echoxflow.StreamItem) -> CensusRow:
    """A recording of separate streams: B-mode beside colour, or B-mode alone. Nothing is decoded to say so."""
    shapes = item.shapes()
    modality = "dual" if len(shapes) == 3 else "bmode" if echoxflow.BMODE in shapes else "other"
    n_frames, height, width = shapes.get(echoxflow.VELOCITY) or shapes.get(echoxflow.BMODE) or (0, 0, 0)
    return CensusRow(clip=clip, modality=modality, score=1.0, n_frames=n_frames, height=height, width=width)


def _two_pictures(regions: tuple[Region, ...]) -> bool:
    return sum(region.spatial_format == 1 and region.data_type in (1, 2) for region in regions) == 2


def name_of(item: Item, root: str, hasher: KeyedHasher) -> str:
    """Keyed hash of a file's place below ``root``, its size and time."""
    if is_remote(item.path):
        return hasher.clip(f"{item.place.removeprefix(root)}\0{item.version}")
    try:
        status = os.stat(item.path)
        version = f"{status.st_size}\0{status.st_mtime_ns}"
    except OSError:
        version = ""  # it vanished since it was listed: the look will say so
    return hasher.clip(f"{item.place.removeprefix(root)}\0{version}")


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
