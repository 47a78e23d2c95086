"""What a packed directory says about itself: ``manifest.json`` (shards, digests, counts), ``clips.jsonl`` (its clips).

Both carry keyed hashes of identifiers only. The manifest is written last: a directory with one is complete.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline import storage
from data_pipeline.files import json_line, write_atomically
from data_pipeline.schema import SCHEMA_VERSION, VIEW_DOMAIN, PairRecord

MANIFEST_NAME = "manifest.json"
CLIPS_NAME = "clips.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClipRow:
    """A clip as the manifest knows it: everything but the pixels."""

    clip_id: str
    patient_id: str
    view: str
    kind: str
    shared: bool
    n_frames: int
    height: int
    width: int
    fps: float
    score: float
    vendor: str
    source_digest: str
    split: str = ""
    shard: int = -1
    """Number of the shard within its split."""
    record: int = -1
    """Number of the record within its shard."""

    @property
    def domain(self) -> str:
        return VIEW_DOMAIN[self.view]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of records. ``n_bytes`` is its size, ``sha256`` what ``sha256sum`` prints."""

    file: str
    split: str
    n_clips: int
    n_bytes: int
    sha256: str

    @property
    def number(self) -> int:
        return int(self.file.rpartition("-")[2])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A packed data set. ``directory`` is where it was read from and is not stored."""

    name: str
    encoding: str
    shards: tuple[Shard, ...]
    counts: Mapping[str, Any]
    """Per split: ``clips, patients, frames`` and ``view, domain, kind`` (each a table name -> clips)."""
    patients: Mapping[str, tuple[str, ...]]
    """Keyed hashes of the patients of each split."""
    settings: Mapping[str, Any]
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Jobs that gave no clip, by code."""
    duplicates: int = 0
    """Clips left out because a clip of the same id was packed before."""
    near_duplicates: tuple[tuple[str, str], ...] = ()
    """Pairs of clip ids in different splits whose mean frames nearly agree: look at them before trusting a score."""
    schema_version: int = SCHEMA_VERSION
    directory: str = dataclasses.field(default="", compare=False)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.counts)

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the shards: names the data themselves, wherever they lie."""
        text = "\n".join(f"{shard.split} {shard.n_clips} {shard.sha256}" for shard in self.shards)
        return hashlib.sha256(f"{self.encoding}\n{text}".encode()).hexdigest()

    def shards_of(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split in order; ``ValueError`` when it holds no clip."""
        own = (shard for shard in self.shards if shard.split == split)
        shards = tuple(sorted(own, key=lambda shard: shard.number))  # shard 100000 sorts before 99999 by name
        if not shards:
            have = ", ".join(f"{name} ({table['clips']} clips)" for name, table in self.counts.items()) or "none"
            raise ValueError(
                f"split {split!r} of {self.directory or self.name} holds no clip; splits with clips: {have}. "
                "Pack more patients, or change the fractions"
            )
        return shards


def row_of(record: PairRecord) -> ClipRow:
    """The manifest's row of a record (split and place still open)."""
    n_frames, height, width, _ = record.cfd.shape
    return ClipRow(
        clip_id=record.clip_id,
        patient_id=record.patient_id,
        view=record.view,
        kind=record.kind,
        shared=bool(record.shared),
        n_frames=n_frames,
        height=height,
        width=width,
        fps=float(record.fps),
        score=float(record.score),
        vendor=record.vendor,
        source_digest=record.source_digest,
    )


class Counts:
    """Counts per split, in the form of `Manifest.counts`, of rows that come one after another."""

    def __init__(self) -> None:
        self._patients: dict[str, set[str]] = collections.defaultdict(set)
        self._frames: collections.Counter[str] = collections.Counter()
        self._tables: dict[str, dict[str, collections.Counter[str]]] = {}

    def add(self, row: ClipRow) -> None:
        self._patients[row.split].add(row.patient_id)
        self._frames[row.split] += row.n_frames
        tables = self._tables.setdefault(row.split, {name: collections.Counter() for name in _TABLES})
        for name, table in tables.items():
            table[getattr(row, name)] += 1

    @property
    def patients(self) -> dict[str, set[str]]:
        """Ids of the patients of each split."""
        return self._patients

    def tables(self) -> dict[str, dict[str, Any]]:
        return {
            split: {
                "clips": sum(tables["view"].values()),
                "patients": len(self._patients[split]),
                "frames": self._frames[split],
                **{name: dict(sorted(table.items())) for name, table in tables.items()},
            }
            for split, tables in sorted(self._tables.items())
        }


_TABLES = ("view", "domain", "kind")


def line_of(row: ClipRow) -> str:
    """The line of a clip in ``clips.jsonl``."""
    return json.dumps(fields_of(row), sort_keys=True) + "\n"


def fields_of(row: ClipRow) -> dict[str, Any]:
    """What a row holds, by name."""
    return {name: getattr(row, name) for name in _FIELDS}


_FIELDS = tuple(field.name for field in dataclasses.fields(ClipRow))


def save(manifest: Manifest, directory: str | os.PathLike) -> None:
    """Write ``manifest.json`` by renaming."""
    fields = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest)}
    fields["shards"] = [dataclasses.asdict(shard) for shard in manifest.shards]
    del fields["directory"]
    fields["digest"] = manifest.digest
    write_atomically(Path(directory, MANIFEST_NAME), json.dumps(fields, indent=1, sort_keys=True) + "\n")


def load(path: str | os.PathLike) -> Manifest:
    """Read the manifest of a packed directory (or the manifest file itself), here or in a bucket.

    Raises:
        ValueError: when there is none, it is damaged, or it has another schema version.
    """
    directory = os.fspath(path).removesuffix(f"/{MANIFEST_NAME}").rstrip("/") or "/"
    file = f"{directory}/{MANIFEST_NAME}"
    try:
        with storage.open_binary(file) as opened:
            text = opened.read()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{path} is not a packed data set: it has no {MANIFEST_NAME}. "
            "Give a directory that `cfd2gray pack` finished; an interrupted one is finished by running it again"
        ) from None
    try:
        fields = json.loads(text)
        if fields["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"{file} has schema version {fields['schema_version']}, this release reads {SCHEMA_VERSION}; "
                "pack the data again"
            )
        digest = fields.pop("digest")
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["patients"] = {split: tuple(ids) for split, ids in fields["patients"].items()}
        fields["near_duplicates"] = tuple(tuple(pair) for pair in fields["near_duplicates"])
        manifest = Manifest(**fields, directory=directory)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}); pack the data again") from None
    if manifest.digest != digest:
        raise ValueError(f"{file} was edited: its digest is {manifest.digest[:12]}, it claims {digest[:12]}")
    return manifest


def load_rows(manifest: Manifest, split: str) -> list[ClipRow]:
    """The clips of a split in the order of their records."""
    with storage.open_binary(f"{manifest.directory}/{CLIPS_NAME}") as lines:
        rows = [ClipRow(**fields) for line in lines if (fields := json_line(line))["split"] == split]
    return sorted(rows, key=lambda row: (row.shard, row.record))
