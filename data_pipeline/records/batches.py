"""The unit of packing: a batch of jobs becomes a shard or several per split, with its rows beside it.

    OUT/batches/settings.json             what the packing is made with
    OUT/batches/plan-0000.txt             keyed names of jobs in order; files found later make plan-0001, and so on
    OUT/batches/0000-000012.jsonl         the rows of batch 12 of plan 0: its jobs, shards and clips
    OUT/batches/0000-000012-train-00      a shard, until `finish` gives it its name in OUT

A batch counts when its rows are there. They are written last, under a temporary name, after the shards and the folder
were flushed to the disk; so resuming is looking which files are there, and whoever runs a batch (this process, another
machine's, a Beam worker) needs to know of no other. Jobs are named by keyed hashes: their paths are identifiers.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.files import atomic_path, write_atomically
from data_pipeline.parallel import Outcome
from data_pipeline.records.manifest import ClipRow
from data_pipeline.records.tfrecord import ShardWriter
from data_pipeline.schema import PairRecord

FOLDER = "batches"
MAX_JOBS, MIN_JOBS, BATCHES = 64, 4, 64
"""Jobs of a batch: a list is cut into about this many batches, within these bounds. What a kill costs is at most these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """A serialised clip on its way from a worker to the writer."""

    row: ClipRow
    data: bytes
    thumbnail: str = ""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some jobs under one name; ``keys`` are theirs."""

    name: str
    keys: tuple[str, ...]
    jobs: tuple[Any, ...]


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


class Folder:
    """A place that holds a packing; names are relative to it. This one is a folder of this machine."""

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = str(root)

    def names(self) -> dict[str, int]:
        """Every file here and in ``batches/``, with its size."""
        found = {}
        for inside in ("", f"{FOLDER}/"):
            path = os.path.join(self.root, inside)
            if os.path.isdir(path):
                with os.scandir(path) as entries:
                    found |= {f"{inside}{entry.name}": entry.stat().st_size for entry in entries if entry.is_file()}
        return found

    def empty(self) -> bool:
        return not os.path.isdir(self.root) or not os.listdir(self.root)

    def read(self, name: str) -> bytes:
        return Path(self.root, name).read_bytes()

    def write(self, name: str, text: str) -> None:
        """Write a text file by renaming, flushed to the disk together with all renames before it."""
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._flush(path.parent)
        write_atomically(path, text)
        self._flush(path.parent)

    def take(self, local: Path, name: str) -> None:
        """Move a file of this machine here, by renaming."""
        target = Path(self.root, name)
        try:
            os.replace(local, target)
        except OSError:  # another disk
            with atomic_path(target) as temporary:
                shutil.move(local, temporary)
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        os.replace(os.path.join(self.root, old), os.path.join(self.root, new))

    def remove(self, name: str) -> None:
        Path(self.root, name).unlink(missing_ok=True)

    @staticmethod
    def _flush(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def job_keys(jobs: Iterable[Any], *, key: bytes) -> Iterator[str]:
    """A keyed name for each job, the same in every run; a job that is there twice gets two."""
    seen: collections.Counter[str] = collections.Counter()
    for job in jobs:
        text = f"{job.clip_id} {job.cfd.shape}" if isinstance(job, PairRecord) else repr(job)
        text = re.sub(r" at 0x[0-9a-f]+", "", text)
        name = hashlib.blake2b(text.encode(), key=hashlib.blake2b(key).digest(), digest_size=12).hexdigest()
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}.{seen[name]}"


def plan(
    folder: Folder, jobs: Sequence[Any], *, key: bytes, retry: Collection[str] = (), grow: bool = True
) -> list[Batch]:
    """All batches of a packing in order; jobs that no plan knows yet, or that failed with a code in ``retry``, make a new one.

    Processes that start together on one folder write the same plan. With ``grow`` false, what is planned stays as it is.
    """
    by_key = dict(zip(job_keys(jobs, key=key), jobs))
    names = folder.names()
    plans = sorted(name for name in names if re.fullmatch(rf"{FOLDER}/plan-\d+\.txt", name))
    planned = [folder.read(name).decode().split() for name in plans]
    known = {own for keys in planned for own in keys}
    codes = _codes(folder, names) if retry else {}
    again = {own for own, code in codes.items() if code and code in retry and own in by_key}
    new = [own for own in by_key if own not in known or own in again]
    if new and grow:
        folder.write(f"{FOLDER}/plan-{len(planned):04d}.txt", "\n".join(new) + "\n")
        planned.append(new)
    found = []
    for number, keys in enumerate(planned):
        size = min(MAX_JOBS, max(MIN_JOBS, len(keys) // BATCHES))
        for first in range(0, len(keys), size):
            own = tuple(keys[first : first + size])
            found.append(Batch(f"{number:04d}-{first // size:06d}", own, tuple(by_key.get(one, _gone) for one in own)))
    return found


def stream(pairs: Iterable[Any]) -> Iterator[Batch]:
    """Batches of a stream, whose jobs are known by their place."""
    pairs, number = iter(pairs), 0
    while jobs := tuple(pair for _, pair in zip(range(MIN_JOBS), pairs)):
        first = number * MIN_JOBS
        yield Batch(f"0000-{number:06d}", tuple(f"stream-{first + n}" for n in range(len(jobs))), jobs)
        number += 1


def _gone() -> None:
    raise FileNotFoundError("what this job was to read is no longer listed")


def _codes(folder: Folder, names: Iterable[str]) -> dict[str, str]:
    """The latest code of each job."""
    return {own: code for name in done(names) for own, code in read(folder, name).jobs.items()}


def done(names: Iterable[str]) -> list[str]:
    """Names of the batches whose rows are there, in order."""
    return sorted(match[1] for name in names if (match := re.fullmatch(rf"{FOLDER}/(\d+-\d+)\.jsonl", name)))


def read(folder: Folder, name: str) -> Written:
    """The rows of a batch."""
    written = Written(jobs={}, shards={}, clips=[], duplicates=0)
    for line in folder.read(f"{FOLDER}/{name}.jsonl").splitlines():
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


class BatchWriter:
    """Writes the shards of one batch and then its rows. What an attempt before left behind is replaced.

    Args:
        folder: where the batch is committed.
        batch: which one.
        local: where shards are written until then; on the folder's own disk a rename commits them.
        shard_bytes: size at which a shard is closed.
    """

    def __init__(self, folder: Folder, batch: Batch, *, local: Path, shard_bytes: int) -> None:
        self.folder, self.batch, self.local, self.shard_bytes = folder, batch, local, shard_bytes
        self._writers: dict[str, ShardWriter] = {}
        self._closed: list[tuple[Path, int, str]] = []
        self._rows: list[dict] = []
        self._ids: set[str] = set()
        self._duplicates = self._jobs = 0
        local.mkdir(parents=True, exist_ok=True)
        for path in local.glob(f"{batch.name}*"):
            path.unlink()

    @property
    def complete(self) -> bool:
        return self._jobs == len(self.batch.jobs)

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
            self._rows.append({"type": "clip", "row": dataclasses.asdict(clip.row), **place})
        self._rows.append({"type": "job", "key": self.batch.keys[self._jobs], "code": outcome.code})
        self._jobs += 1

    def commit(self) -> None:
        """Close the shards, flush them, and write the rows."""
        for split in list(self._writers):
            self._close(split)
        rows = [*self._rows, {"type": "duplicates", "count": self._duplicates}]
        for path, n_bytes, sha256 in self._closed:
            rows.append({"type": "shard", "name": path.name, "n_bytes": n_bytes, "sha256": sha256})
            self.folder.take(path, f"{FOLDER}/{path.name}")
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
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
