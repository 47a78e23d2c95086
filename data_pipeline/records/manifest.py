"""What a packed directory says about itself: ``manifest.json`` (shards, digests, counts), ``clips.jsonl`` (its clips).

Both carry keyed hashes of identifiers only. The manifest is written last: a directory with one is complete.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.files import write_atomically
from data_pipeline.schema import SCHEMA_VERSION, VIEW_DOMAIN, PairRecord

MANIFEST_NAME = "manifest.json"
CLIPS_NAME = "clips.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
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


def count_clips(rows: Iterable[ClipRow]) -> dict[str, dict[str, Any]]:
    """Counts per split, in the form of `Manifest.counts`."""
    by_split: dict[str, list[ClipRow]] = {}
    for row in rows:
        by_split.setdefault(row.split, []).append(row)
    return {
        split: {
            "clips": len(own),
            "patients": len({row.patient_id for row in own}),
            "frames": sum(row.n_frames for row in own),
            **{
                field: dict(sorted(collections.Counter(getattr(row, field) for row in own).items()))
                for field in ("view", "domain", "kind")
            },
        }
        for split, own in by_split.items()
    }


def save(manifest: Manifest, directory: str | os.PathLike, rows: Iterable[ClipRow]) -> Manifest:
    """Write ``clips.jsonl`` and then, by renaming, ``manifest.json``; returns the manifest with its directory."""
    directory = Path(directory)
    write_atomically(
        directory / CLIPS_NAME, "".join(json.dumps(dataclasses.asdict(row), sort_keys=True) + "\n" for row in rows)
    )
    fields = dataclasses.asdict(manifest)
    del fields["directory"]
    fields["digest"] = manifest.digest
    write_atomically(directory / MANIFEST_NAME, json.dumps(fields, indent=1, sort_keys=True) + "\n")
    return dataclasses.replace(manifest, directory=str(directory))


def load(path: str | os.PathLike) -> Manifest:
    """Read the manifest of a packed directory (or the manifest file itself).

    Raises:
        ValueError: when there is none, it is damaged, or it has another schema version.
    """
    path = Path(path)
    file = path if path.is_file() else path / MANIFEST_NAME
    if not file.is_file():
        raise ValueError(
            f"{path} is not a packed data set: it has no {MANIFEST_NAME}. "
            "Give a directory that `cfd2gray pack` finished; an interrupted one is finished by running it again"
        )
    try:
        fields = json.loads(file.read_text())
        if fields["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"{file} has schema version {fields['schema_version']}, this release reads {SCHEMA_VERSION}; "
                "pack the data again"
            )
        digest = fields.pop("digest")
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["patients"] = {split: tuple(ids) for split, ids in fields["patients"].items()}
        fields["near_duplicates"] = tuple(tuple(pair) for pair in fields["near_duplicates"])
        manifest = Manifest(**fields, directory=str(file.parent))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}); pack the data again") from None
    if manifest.digest != digest:
        raise ValueError(f"{file} was edited: its digest is {manifest.digest[:12]}, it claims {digest[:12]}")
    return manifest


def load_rows(manifest: Manifest, split: str) -> list[ClipRow]:
    """The clips of a split in the order of their records."""
    with open(Path(manifest.directory) / CLIPS_NAME) as lines:
        rows = [ClipRow(**json.loads(line)) for line in lines]
    return sorted((row for row in rows if row.split == split), key=lambda row: (row.shard, row.record))
