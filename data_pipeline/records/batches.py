"""The unit of packing: a batch of jobs becomes a shard or several per split, with its rows beside it.

    OUT/batches/settings.json             what the packing is made with
    OUT/batches/plan-0000.txt             keyed names of jobs in order; files found later make plan-0001, and so on
    OUT/batches/0000-000012.jsonl         the rows of batch 12 of plan 0: its shards and jobs, then its clips
    OUT/batches/0000-000012-train-00      a shard, until `finish` gives it its name in OUT

A batch counts when its rows are there. They are written last, under a temporary name, after the shards and the folder
were flushed to the disk; so resuming is looking which files are there, and whoever runs a batch (this process, another
machine's, a Beam worker) needs to know of no other. Jobs are named by keyed hashes: their paths are identifiers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.parallel import Outcome
from data_pipeline.records import manifest as manifests
from data_pipeline.records.manifest import ClipRow
from data_pipeline.records.places import FOLDER, Folder
from data_pipeline.records.tfrecord import ShardWriter
from data_pipeline.schema import PairRecord

MAX_JOBS, MIN_JOBS, BATCHES = 64, 4, 64
"""Jobs of a batch: a list is cut into about this many batches, within these bounds. What a kill costs is at most these."""
_KEY = "S32"
"""Array type of a job's name; a million of them take 32 MB."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """A serialised clip on its way from a worker to the writer."""

    row: ClipRow
    data: bytes
    thumbnail: str = ""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some jobs under one name. They are taken from ``source`` when they are asked for."""

    name: str
    keys: np.ndarray
    """Names of the jobs, bytes."""
    source: Sequence[Any]
    places: np.ndarray
    """Where each job is in ``source``; -1 for one that is no longer listed."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def jobs(self) -> Iterator[Any]:
        return (self.source[place] if place >= 0 else _gone for place in self.places.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip that was written: its row, and where it lies in which shard of the batch."""

    row: ClipRow
    shard: str
    offset: int
    length: int
    thumbnail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What the rows of a batch say. ``jobs``: key -> code of its failure or empty; ``shards``: name -> (size, SHA-256)."""

    jobs: dict[str, str]
    shards: dict[str, tuple[int, str]]
    clips: list[Entry]
    duplicates: int


def job_keys(jobs: Sequence[Any], *, key: bytes) -> np.ndarray:
    """A keyed name for each job, the same in every run; a job that is there twice gets two. Bytes ``[n]``."""
    secret = hashlib.blake2b(key).digest()
    named = (hashlib.blake2b(_text(job).encode(), key=secret, digest_size=12).hexdigest().encode() for job in jobs)
    keys = np.fromiter(named, _KEY, count=len(jobs))
    order = np.argsort(keys, kind="stable")
    seen: dict[bytes, int] = {}
    for place in order[1:][keys[order[1:]] == keys[order[:-1]]]:
        name = bytes(keys[place])
        seen[name] = seen.get(name, 1) + 1
        keys[place] = b"%s.%d" % (name, seen[name])
    return keys


def _text(job: Any) -> str:
    text = f"{job.clip_id} {job.cfd.shape}" if isinstance(job, PairRecord) else repr(job)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def plan(
    folder: Folder, jobs: Sequence[Any], *, key: bytes, retry: Collection[str] = (), grow: bool = True
) -> list[Batch]:
    """All batches of a packing in order; jobs that no plan knows yet, or that failed with a code in ``retry``, make a new one.

    Processes that start together on one folder write the same plan. With ``grow`` false, what is planned stays as it is.
    """
    own = job_keys(jobs, key=key)
    order = np.argsort(own)
    names = folder.names()
    plans = sorted(name for name in names if re.fullmatch(rf"{FOLDER}/plan-\d+\.txt", name))
    planned = [np.array(folder.read(name).split(), _KEY) for name in plans]
    if grow:
        new = np.ones(len(own), bool)
        for keys in planned:
            places = _places(keys, own, order)
            new[places[places >= 0]] = False
        if retry:
            failed = [name.encode() for name, code in _codes(folder, names).items() if code in retry]
            places = _places(np.array(failed, _KEY), own, order)
            new[places[places >= 0]] = True
        if new.any():
            keys = own[new]
            folder.write(f"{FOLDER}/plan-{len(planned):04d}.txt", b"\n".join(keys.tolist()).decode() + "\n")
            planned.append(keys)
    found = []
    for number, keys in enumerate(planned):
        places = _places(keys, own, order)
        size = min(MAX_JOBS, max(MIN_JOBS, len(keys) // BATCHES))
        for first in range(0, len(keys), size):
            part = slice(first, first + size)
            found.append(Batch(f"{number:04d}-{first // size:06d}", keys[part], jobs, places[part]))
    return found


def _places(keys: np.ndarray, own: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Where each of ``keys`` is in ``own`` (which ``order`` sorts), or -1."""
    if not len(own):
        return np.full(len(keys), -1)
    places = order[np.minimum(np.searchsorted(own, keys, sorter=order), len(own) - 1)]
    return np.where(own[places] == keys, places, -1)


def stream(pairs: Iterable[Any]) -> Iterator[Batch]:
    """Batches of a stream, whose jobs are known by their place."""
    pairs, number = iter(pairs), 0
    while jobs := tuple(pair for _, pair in zip(range(MIN_JOBS), pairs)):
        first = number * MIN_JOBS
        keys = np.array([f"stream-{first + n}".encode() for n in range(len(jobs))], _KEY)
        yield Batch(f"0000-{number:06d}", keys, jobs, np.arange(len(jobs)))
        number += 1


def _gone() -> None:
    raise FileNotFoundError("what this job was to read is no longer listed")


def _codes(folder: Folder, names: Iterable[str]) -> dict[str, str]:
    """The latest code of each job that failed."""
    failed: dict[str, str] = {}
    for name in done(names):
        note_failures(read(folder, name, clips=False), failed)
    return failed


def note_failures(written: Written, failed: dict[str, str]) -> None:
    """Bring ``failed`` (key -> code) up to date with the jobs of a later batch."""
    for own, code in written.jobs.items():
        if code:
            failed[own] = code
        else:
            failed.pop(own, None)


def done(names: Iterable[str]) -> list[str]:
    """Names of the batches whose rows are there, in order."""
    return sorted(match[1] for name in names if (match := re.fullmatch(rf"{FOLDER}/(\d+-\d+)\.jsonl", name)))


def read(folder: Folder, name: str, *, clips: bool = True) -> Written:
    """The rows of a batch; with ``clips`` false all but those of its clips, which are most of the bytes."""
    path = f"{FOLDER}/{name}.jsonl"
    lines = folder.read_some(path, 0, _HEAD).splitlines(keepends=True) if not clips else []
    if not (lines and lines[0].startswith(b'{"count"') and any(_is_clip(line) for line in lines)):
        lines = folder.read(path).splitlines()
    written = Written(jobs={}, shards={}, clips=[], duplicates=0)
    for line in lines:
        if not clips and _is_clip(line):
            continue
        item = json.loads(line)
        kind = item.pop("type")
        if kind == "job":
            written.jobs[item["key"]] = item["code"]
        elif kind == "shard":
            written.shards[item["name"]] = (item["n_bytes"], item["sha256"])
        elif kind == "clip":
            written.clips.append(Entry(row=ClipRow(**item.pop("row")), **item))
        else:
            written = dataclasses.replace(written, duplicates=item["count"])
    return written


_HEAD = 1 << 15
"""Bytes that hold the rows of a batch before those of its clips, nearly always."""
SHARD = re.compile(rf"{FOLDER}/\d{{4,}}-\d{{6,}}-.+-\d{{2,}}")
"""Names of shards that have no final name yet."""


def _is_clip(line: bytes) -> bool:
    return line.startswith(b'{"length"')


class BatchWriter:
    """Writes the shards of one batch and then its rows. What an attempt before left behind is replaced.

    Args:
        folder: where the batch is committed.
        batch: which one.
        local: an empty folder of this machine, where shards are written until then; on the folder's own disk a rename
            commits them.
        shard_bytes: size at which a shard is closed.
    """

    def __init__(self, folder: Folder, batch: Batch, *, local: Path, shard_bytes: int) -> None:
        self.folder, self.batch, self.local, self.shard_bytes = folder, batch, local, shard_bytes
        self._writers: dict[str, ShardWriter] = {}
        self._closed: list[tuple[Path, int, str]] = []
        self._done: list[dict] = []
        self._clips: list[dict] = []
        self._ids: set[str] = set()
        self._duplicates = self._jobs = 0

    @property
    def complete(self) -> bool:
        return self._jobs == len(self.batch)

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of the next job."""
        for clip in outcome.result or ():
            if clip.row.clip_id in self._ids:
                self._duplicates += 1
                continue
            self._ids.add(clip.row.clip_id)
            writer = self._writer(clip.row.split, len(clip.data))
            offset, length = writer.write(clip.data)
            place = {"shard": writer.path.name, "offset": offset, "length": length, "thumbnail": clip.thumbnail}
            self._clips.append({"type": "clip", "row": manifests.fields_of(clip.row), **place})
        self._done.append({"type": "job", "key": self.batch.keys[self._jobs].decode(), "code": outcome.code})
        self._jobs += 1

    def commit(self) -> None:
        """Close the shards, flush them, and write the rows."""
        for split in list(self._writers):
            self._close(split)
        rows: list[dict] = [{"type": "duplicates", "count": self._duplicates}]
        for path, n_bytes, sha256 in self._closed:
            rows.append({"type": "shard", "name": path.name, "n_bytes": n_bytes, "sha256": sha256})
            self.folder.take(path, f"{FOLDER}/{path.name}")
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in (*rows, *self._done, *self._clips))
        self.folder.write(f"{FOLDER}/{self.batch.name}.jsonl", text)

    def abort(self) -> None:
        for writer in self._writers.values():
            writer.abort()

    def _writer(self, split: str, size: int) -> ShardWriter:
        writer = self._writers.get(split)
        if writer is not None and writer.n_bytes + size > self.shard_bytes:
            self._close(split)
        if split not in self._writers:
            number = sum(path.name.startswith(f"{self.batch.name}-{split}-") for path, _, _ in self._closed)
            self._writers[split] = ShardWriter(self.local / f"{self.batch.name}-{split}-{number:02d}")
        return self._writers[split]

    def _close(self, split: str) -> None:
        writer = self._writers.pop(split)
        writer.close()
        self._closed.append((writer.path, writer.n_bytes, writer.sha256))
