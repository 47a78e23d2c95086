"""The journal of a packing: which clip lies where, which jobs are done; a torn last line is what a kill leaves.

One JSON object a line: first the settings, then ``{"job", "clip": row, "offset", "length", "thumbnail"}`` for a clip,
``{"job", "done": true, "error": code}`` for a finished job, ``{"duplicate": true}``, ``{"shard", "sha256"}`` for a
finished shard.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from pathlib import Path
from types import TracebackType

from data_pipeline.records.manifest import ClipRow, write_atomically
from data_pipeline.records.tfds import shard_name
from data_pipeline.records.tfrecord import masked_crc, temporary_name

JOURNAL_NAME = "journal.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """A serialised clip on its way from a worker to the writer."""

    row: ClipRow
    data: bytes
    thumbnail: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip that was written."""

    job: int
    row: ClipRow
    offset: int
    length: int
    thumbnail: str = ""


class Journal:
    """Open (or begin) the journal of a directory. A context manager.

    Attributes:
        clips: entries of clips whose records are in the shards, in order.
        done: numbers of finished jobs.
        errors: jobs that gave nothing, by code.
        duplicates: clips left out.
        digests: SHA-256 of finished shards, by file name.
    """

    def __init__(self, directory: Path, settings: dict) -> None:
        self.path = directory / JOURNAL_NAME
        self.clips: list[Entry] = []
        self.done: set[int] = set()
        self.errors: collections.Counter[str] = collections.Counter()
        self.duplicates = 0
        self.digests: dict[str, str] = {}
        if self.path.exists():
            lines = self.path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was torn by a kill
            kept = _without_lost_records(directory, settings["name"], [json.loads(line) for line in lines])
            for item in kept[1:]:
                self._take(item)
            if len(kept) < len(lines) or self.path.read_bytes()[-1:] != b"\n":
                write_atomically(self.path, "".join(json.dumps(item, sort_keys=True) + "\n" for item in kept))
        else:
            write_atomically(self.path, json.dumps(settings, sort_keys=True) + "\n")
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115

    @staticmethod
    def stored_settings(directory: Path) -> dict:
        """The settings an unfinished packing was begun with."""
        with open(directory / JOURNAL_NAME) as lines:
            try:
                return json.loads(next(lines))
            except (StopIteration, json.JSONDecodeError):
                raise ValueError(
                    f"{directory / JOURNAL_NAME} is damaged; remove the directory and pack again"
                ) from None

    def add_clip(self, job: int, row: ClipRow, *, offset: int, length: int, thumbnail: str = "") -> None:
        self._put(
            {"job": job, "clip": dataclasses.asdict(row), "offset": offset, "length": length, "thumbnail": thumbnail}
        )

    def finish_job(self, job: int, *, error: str = "") -> None:
        self._put({"job": job, "done": True, "error": error})

    def count_duplicate(self) -> None:
        self._put({"duplicate": True})

    def add_digest(self, shard: str, sha256: str) -> None:
        self._put({"shard": shard, "sha256": sha256})

    def remove(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _put(self, item: dict) -> None:
        self._file.write(json.dumps(item, sort_keys=True).encode() + b"\n")
        self._take(item)

    def _take(self, item: dict) -> None:
        if "clip" in item:
            row = ClipRow(**item["clip"])
            place = {key: item[key] for key in ("job", "offset", "length", "thumbnail")}
            self.clips.append(Entry(row=row, **place))
        elif "done" in item:
            self.done.add(item["job"])
            if item["error"]:
                self.errors[item["error"]] += 1
        elif "sha256" in item:
            self.digests[item["shard"]] = item["sha256"]
        else:
            self.duplicates += 1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def _without_lost_records(directory: Path, name: str, items: list[dict]) -> list[dict]:
    """Drop clips (and reopen their jobs) whose records never reached the disk, as after a power failure."""
    broken: set[tuple[str, int]] = set()
    lost_jobs: set[int] = set()
    kept = []
    for item in items:
        if "clip" in item:
            shard = (item["clip"]["split"], item["clip"]["shard"])
            path = directory / shard_name(name, *shard)
            if not path.exists() and (shard in broken or not _record_is_whole(temporary_name(path), item)):
                broken.add(shard)
                lost_jobs.add(item["job"])
                continue
        kept.append(item)
    return [item for item in kept if not (item.get("done") and item["job"] in lost_jobs)]


def _record_is_whole(path: Path, item: dict) -> bool:
    try:
        with open(path, "rb") as file:
            data = os.pread(file.fileno(), item["length"] + 4, item["offset"])
    except FileNotFoundError:
        return False
    return len(data) == item["length"] + 4 and masked_crc(data[:-4]) == int.from_bytes(data[-4:], "little")
