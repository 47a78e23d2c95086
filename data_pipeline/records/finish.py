"""The end of a packing: batches become one data set. Shards get their final numbers, the manifest comes last.

Everything is decided and written down (``batches/names.json``) before a file is touched, so that this can be cut off
anywhere and done again. Names that were given stay: a data set that grows keeps its shards. Batches are read one after
another and what is to be written waits in files, so that a million clips take no more memory than their names do.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.records import batches, near_duplicates, splits
from data_pipeline.records import manifest as manifests
from data_pipeline.records import tfds as tfds_metadata
from data_pipeline.records.batches import FOLDER, Entry, Written
from data_pipeline.records.manifest import Manifest, Shard
from data_pipeline.records.places import Folder
from data_pipeline.records.tfrecord import FOOTER, HEADER, ShardWriter, index_file

NAMES = f"{FOLDER}/names.json"


def drop_lost(folder: Folder, own: Collection[str] | None = None) -> list[str]:
    """Names of the batches that are whole; the rows of those whose shards never reached the disk are removed.

    Args:
        own: names of the batches to look at; all by default.
    """
    names = folder.names()
    given = _given(folder, names)
    whole = []
    for name in batches.done(names):
        if own is not None and name not in own:
            continue
        shards = batches.read(folder, name, clips=False).shards
        if all(shard in given or names.get(f"{FOLDER}/{shard}") == size for shard, (size, _) in shards.items()):
            whole.append(name)
        else:
            folder.remove(f"{FOLDER}/{name}.jsonl")
    return whole


def finish(folder: Folder, *, settings: Mapping[str, Any]) -> Manifest:
    """Merge the rows of all batches, check patients and splits, name the shards, write index, metadata and manifest.

    Of clips with one id the first stays; a shard that held another is written again without it.

    Raises:
        ValueError: when there is no clip, or a patient is in two splits.
    """
    names = folder.names()
    given = _given(folder, names)
    with tempfile.TemporaryDirectory() as scratch, _Gathered(Path(scratch), settings["name"], given) as gathered:
        _read_all(folder, batches.done(names), gathered)
        gathered.check()
        folder.write(NAMES, json.dumps(gathered.given, indent=1, sort_keys=True) + "\n")
        _settle(folder, names, gathered)
        for name in names:
            if batches.SHARD.fullmatch(name) and name.removeprefix(f"{FOLDER}/") not in gathered.seen_shards:
                folder.remove(name)  # what an attempt that was cut off left behind
        manifest = gathered.manifest(settings)
        out = Path(scratch, "out")
        out.mkdir()
        tfds_metadata.write(out, manifest)
        gathered.write_indices(out)
        gathered.write_clips(out / manifests.CLIPS_NAME)
        manifests.save(manifest, out)
        for path in sorted(out.iterdir(), key=lambda path: (path.name == manifests.MANIFEST_NAME, path.name)):
            if path.suffix in (".npy", ".jsonl"):
                folder.take(path, path.name)
            else:
                folder.write(path.name, path.read_text())
    return dataclasses.replace(manifest, directory=folder.root)


def _read_all(folder: Folder, done: list[str], gathered: _Gathered) -> None:
    """Two rounds where shards have names already: their clips come first."""
    before = frozenset(gathered.given)
    for name in done:
        written = batches.read(folder, name)
        gathered.note(written)
        if not before:
            gathered.take(written, written.clips)
        else:
            gathered.take(written, [entry for entry in written.clips if entry.shard in before])
    for name in done if before else ():
        written = batches.read(folder, name)
        gathered.take(written, [entry for entry in written.clips if entry.shard not in before])


@dataclasses.dataclass(kw_only=True)
class _Kept:
    """The clips of a shard that stay: where their rows, thumbnails and places wait, and what the shard's file is."""

    shard: str
    split: str
    number: int
    all: bool
    first: int
    count: int
    at: int
    n_bytes: int
    sha256: str

    def named(self, file: str) -> Shard:
        return Shard(file=file, split=self.split, n_clips=self.count, n_bytes=self.n_bytes, sha256=self.sha256)


class _Gathered:
    """What the rows of all batches amount to. Rows and thumbnails wait in files, in the order in which they were read."""

    def __init__(self, scratch: Path, name: str, given: dict[str, dict[str, Any]]) -> None:
        self.given, self.kept, self.seen_shards = given, {}, set()
        self.failed: dict[str, str] = {}
        self._name = name
        self._rows_path, self._images_path = scratch / "rows", scratch / "images"
        self._rows, self._images = self._rows_path.open("wb+"), self._images_path.open("wb")
        self._places, self._rows_at = array.array("q"), array.array("q")
        self._ids: set[bytes] = set()
        self._next = collections.Counter(place["split"] for place in given.values())
        self._clips = self._duplicates = 0
        self.counts = manifests.Counts()

    def __enter__(self) -> _Gathered:
        return self

    def __exit__(self, *_) -> None:
        self._rows.close()
        self._images.close()

    def note(self, written: Written) -> None:
        """What a batch says beside its clips."""
        batches.note_failures(written, self.failed)
        self.seen_shards.update(written.shards)
        self._duplicates += written.duplicates

    def take(self, written: Written, entries: list[Entry]) -> None:
        """Keep those clips whose id was not seen yet, and give their shards numbers."""
        stay: dict[str, list[Entry]] = {}
        for entry in entries:
            name = hashlib.blake2b(entry.row.clip_id.encode(), digest_size=16).digest()
            if name not in self._ids:
                self._ids.add(name)
                stay.setdefault(entry.shard, []).append(entry)
        self._duplicates += len(entries) - sum(map(len, stay.values()))
        held = collections.Counter(entry.shard for entry in written.clips)
        for shard, own in stay.items():
            self._keep(shard, own, whole=len(own) == held[shard], written=written.shards[shard])

    def _keep(self, shard: str, own: list[Entry], *, whole: bool, written: tuple[int, str]) -> None:
        split = own[0].row.split
        if shard not in self.given:
            number = self._next[split]
            self._next[split] += 1
            file = tfds_metadata.shard_name(self._name, split, number)
            self.given[shard] = {"file": file, "split": split, "number": number, "all": whole}
        place = self.given[shard]
        self.kept[shard] = _Kept(
            shard=shard, split=split, number=place["number"], all=place["all"], first=self._clips, count=len(own),
            at=self._rows.tell(), n_bytes=written[0], sha256=written[1],
        )  # fmt: skip
        at = 0
        for record, entry in enumerate(own):
            row = dataclasses.replace(entry.row, shard=place["number"], record=record)
            self._rows_at.append(self._rows.tell())
            self._rows.write(manifests.line_of(row).encode())
            self._images.write(near_duplicates.pixels(entry.thumbnail))
            self._places.extend((entry.offset if place["all"] else at + HEADER, entry.length))
            at += HEADER + entry.length + FOOTER
            self.counts.add(row)
        self._clips += len(own)

    def check(self) -> None:
        """``ValueError`` when there is no clip, or a patient is in two splits."""
        if not self._clips:
            errors = self.errors
            codes = ", ".join(f"{count} x {code}" for code, count in errors.items()) or "there were no jobs"
            raise ValueError(f"no clip came out of the jobs, so nothing was packed: {codes}")
        splits.check_disjoint(self.counts.patients)
        self._rows.flush()
        self._images.close()

    @property
    def errors(self) -> dict[str, int]:
        return dict(sorted(collections.Counter(self.failed.values()).items()))

    @property
    def in_order(self) -> list[_Kept]:
        return sorted(self.kept.values(), key=lambda kept: (kept.split, kept.number))

    def _clip_order(self) -> np.ndarray:
        """Where the clips of the data set, in order, stand among those that were gathered."""
        return np.concatenate([np.arange(kept.first, kept.first + kept.count) for kept in self.in_order])

    def write_indices(self, out: Path) -> None:
        places = np.frombuffer(self._places, np.int64).reshape(-1, 2)
        for split in self.counts.patients:
            own = [places[kept.first : kept.first + kept.count] for kept in self.in_order if kept.split == split]
            np.save(out / index_file(self._name, split), np.concatenate(own))

    def ids_of(self, kept: _Kept) -> list[str]:
        """Clips of a shard that stay."""
        with self._rows_path.open("rb") as rows:
            rows.seek(kept.at)
            return [json.loads(rows.readline())["clip_id"] for _ in range(kept.count)]

    def write_clips(self, path: Path) -> None:
        with path.open("wb") as out, self._rows_path.open("rb") as rows:
            for kept in self.in_order:
                rows.seek(kept.at)
                for _ in range(kept.count):
                    out.write(rows.readline())

    def manifest(self, settings: Mapping[str, Any]) -> Manifest:
        return Manifest(
            name=self._name,
            encoding=settings["encoding"],
            shards=tuple(kept.named(self.given[kept.shard]["file"]) for kept in self.in_order),
            counts=self.counts.tables(),
            patients={split: tuple(sorted(ids)) for split, ids in sorted(self.counts.patients.items())},
            settings=dict(settings),
            errors=self.errors,
            duplicates=self._duplicates,
            near_duplicates=tuple(self._near_duplicates()),
        )

    def _near_duplicates(self) -> list[tuple[str, str]]:
        order = self._clip_order()
        images = near_duplicates.Stored(self._images_path, order)
        names = np.concatenate([np.repeat(kept.split, kept.count) for kept in self.in_order])
        with self._rows_path.open("rb") as rows:

            def clip_id(place: int) -> str:
                rows.seek(self._rows_at[int(order[place])])
                return json.loads(rows.readline())["clip_id"]

            found = [sorted((clip_id(one), clip_id(other))) for one, other in near_duplicates.find(images, names)]
        return [(one, other) for one, other in sorted(found)]


def _given(folder: Folder, names: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    return json.loads(folder.read(NAMES)) if NAMES in names else {}


def _settle(folder: Folder, names: Mapping[str, int], gathered: _Gathered) -> None:
    """Give shards their final names, written again where clips are left out; nothing to do where that was done before."""
    moved = []
    for shard, kept in gathered.kept.items():
        source, file = f"{FOLDER}/{shard}", gathered.given[shard]["file"]
        if not kept.all:
            kept.n_bytes, kept.sha256 = _rewritten(folder, source, kept, file, gathered)
        elif source in names:
            moved.append((source, file))
    folder.rename(moved)


def _rewritten(folder: Folder, source: str, kept: _Kept, file: str, gathered: _Gathered) -> tuple[int, str]:
    """Write a shard again with the clips that stay; its size and SHA-256."""
    ids = gathered.ids_of(kept)
    entries = batches.read(folder, "-".join(kept.shard.split("-")[:2])).clips
    own = {entry.row.clip_id: entry for entry in entries if entry.shard == kept.shard}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / file
        with ShardWriter(path) as writer:
            for clip_id in ids:
                writer.write(folder.read_some(source, own[clip_id].offset, own[clip_id].length))
        folder.take(path, file)
    return writer.n_bytes, writer.sha256
