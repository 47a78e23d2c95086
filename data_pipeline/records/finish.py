"""The end of a packing: batches become one data set. Shards get their final numbers, the manifest comes last.

Everything is decided and written down (``batches/names.json``) before a file is touched, so that this can be cut off
anywhere and done again. Names that were given stay: a data set that grows keeps its shards.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.records import batches, near_duplicates, splits
from data_pipeline.records import manifest as manifests
from data_pipeline.records import tfds as tfds_metadata
from data_pipeline.records.batches import FOLDER, Entry, Folder
from data_pipeline.records.manifest import ClipRow, Manifest, Shard
from data_pipeline.records.tfrecord import FOOTER, HEADER, ShardWriter, index_file

NAMES = f"{FOLDER}/names.json"


def drop_lost(folder: Folder) -> list[str]:
    """Names of the batches that are whole; the rows of those whose shards never reached the disk are removed."""
    names = folder.names()
    given = _given(folder, names)
    whole = []
    for name in batches.done(names):
        shards = batches.read(folder, name).shards
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
    written = {name: batches.read(folder, name) for name in batches.done(names)}
    codes = {key: code for own in written.values() for key, code in own.jobs.items()}  # the latest attempt counts
    errors = collections.Counter(code for code in codes.values() if code)
    given = _given(folder, names)
    kept, n_clips = _first_of_each([entry for own in written.values() for entry in own.clips], set(given))
    rows = [entry.row for own in kept.values() for entry in own]
    _check(rows, errors)
    for shard, own in kept.items():
        if shard not in given:
            number = sum(place["split"] == own[0].row.split for place in given.values())
            split = own[0].row.split
            given[shard] = {
                "file": tfds_metadata.shard_name(settings["name"], split, number), "split": split, "number": number,
                "all": len(own) == sum(entry.shard == shard for entry in written[shard[:11]].clips),
            }  # fmt: skip
    folder.write(NAMES, json.dumps(given, indent=1, sort_keys=True) + "\n")
    shards, entries, places = [], [], collections.defaultdict(list)
    for shard, place in sorted(given.items(), key=lambda item: (item[1]["split"], item[1]["number"])):
        own = kept[shard]
        shards.append(_settled(folder, shard, place, own, names, written[shard[:11]].shards[shard]))
        at = 0
        for record, entry in enumerate(own):
            row = dataclasses.replace(entry.row, shard=place["number"], record=record)
            entries.append((row, entry.thumbnail))
            places[place["split"]].append((entry.offset if place["all"] else at + HEADER, entry.length))
            at += HEADER + entry.length + FOOTER
    duplicates = n_clips - len(rows) + sum(own.duplicates for own in written.values())
    manifest = make_manifest(entries, shards, settings=settings, errors=errors, duplicates=duplicates)
    with tempfile.TemporaryDirectory() as scratch:
        tfds_metadata.write(scratch, manifest)
        for split, own in places.items():
            np.save(Path(scratch) / index_file(manifest.name, split), np.array(own, np.int64))
        manifests.save(manifest, scratch, [row for row, _ in entries])
        last = Path(scratch) / manifests.MANIFEST_NAME
        for path in [path for path in sorted(Path(scratch).iterdir()) if path != last] + [last]:
            if path.suffix == ".npy":
                folder.take(path, path.name)
            else:
                folder.write(path.name, path.read_text())
    return dataclasses.replace(manifest, directory=folder.root)


def make_manifest(
    entries: Sequence[tuple[ClipRow, str]],
    shards: Sequence[Shard],
    *,
    settings: Mapping[str, Any],
    errors: Mapping[str, int],
    duplicates: int,
) -> Manifest:
    """The manifest of clips, given as ``(row, thumbnail)``, that lie in ``shards``."""
    patients: dict[str, set[str]] = collections.defaultdict(set)
    for row, _ in entries:
        patients[row.split].add(row.patient_id)
    return Manifest(
        name=settings["name"],
        encoding=settings["encoding"],
        shards=tuple(shards),
        counts=manifests.count_clips(row for row, _ in entries),
        patients={split: tuple(sorted(ids)) for split, ids in sorted(patients.items())},
        settings=dict(settings),
        errors=dict(sorted(errors.items())),
        duplicates=duplicates,
        near_duplicates=near_duplicates.find([(row.clip_id, row.split, image) for row, image in entries]),
    )


def _given(folder: Folder, names: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    return json.loads(folder.read(NAMES)) if NAMES in names else {}


def _first_of_each(entries: Sequence[Entry], given: set[str]) -> tuple[dict[str, list[Entry]], int]:
    """Shard -> its clips that stay, and how many clips there were. Clips of shards that have their names come first."""
    seen: set[str] = set()
    kept: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.shard not in given):
        if entry.row.clip_id not in seen:
            seen.add(entry.row.clip_id)
            kept.setdefault(entry.shard, []).append(entry)
    return kept, len(entries)


def _check(rows: Sequence[ClipRow], errors: Mapping[str, int]) -> None:
    if not rows:
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(errors.items())) or "there were no jobs"
        raise ValueError(f"no clip came out of the jobs, so nothing was packed: {codes}")
    patients: dict[str, set[str]] = collections.defaultdict(set)
    for row in rows:
        patients[row.split].add(row.patient_id)
    splits.check_disjoint(patients)


def _settled(
    folder: Folder, shard: str, place: Mapping[str, Any], own: Sequence[Entry], names: Mapping[str, int],
    written: tuple[int, str],
) -> Shard:  # fmt: skip
    """Give a shard its final name, written again where clips are left out; nothing to do where that was done before."""
    source, (n_bytes, sha256) = f"{FOLDER}/{shard}", written
    if place["all"]:
        if source in names:
            folder.rename(source, place["file"])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / place["file"]
            with ShardWriter(path) as writer:
                data = folder.read(source)
                for entry in own:
                    writer.write(data[entry.offset : entry.offset + entry.length])
            n_bytes, sha256 = writer.n_bytes, writer.sha256
            folder.take(path, path.name)
    return Shard(file=place["file"], split=place["split"], n_clips=len(own), n_bytes=n_bytes, sha256=sha256)
