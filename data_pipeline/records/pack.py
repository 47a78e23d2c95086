"""Clips to shards: `pack` runs jobs in parallel and writes a packed data set, resumable after any interruption.

How nothing is lost or doubled: one process writes. It appends a record to the open shard of its split, then a line
to ``journal.jsonl``; a record counts when its line is complete. After a kill the journal says what lies in the open
shards; whatever is behind that is cut off, and jobs without a closing line run again. Records appear in the order
of the jobs, so the same jobs give the same shards byte for byte, with any number of workers, interrupted or not.
``manifest.json`` comes last.
"""

from __future__ import annotations

import collections
import dataclasses
import fcntl
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline import parallel
from data_pipeline.records import example as records
from data_pipeline.records import manifest as manifests
from data_pipeline.records import near_duplicates, splits
from data_pipeline.records import tfds as tfds_metadata
from data_pipeline.records.journal import JOURNAL_NAME, Journal, Packed
from data_pipeline.records.manifest import ClipRow, Manifest, Shard
from data_pipeline.records.tfrecord import ShardWriter
from data_pipeline.schema import SCHEMA_VERSION, PairRecord

Job = Callable[[], PairRecord | Iterable[PairRecord]]


def pack(
    pairs: Iterable[PairRecord] | Sequence[Job],
    out_dir: str | os.PathLike,
    *,
    name: str = "pairs",
    shard_mb: float = 256.0,
    encoding: str = "raw",
    workers: int = 0,
    resume: bool = True,
    fractions: Iterable[tuple[str, float]] = splits.DEFAULT_FRACTIONS,
    salt: str = "",
    progress: bool | None = None,
    on_error: Callable[[int, str, BaseException], None] | None = None,
) -> Manifest:
    """Pack pairs into shards per split.

    The split of a clip is ``record.params["split"]`` where a data set brings its own, else `splits.split_of` of its
    patient. A clip whose id was packed before is left out and counted. A job that fails for its input's sake
    (``ValueError``, ``OSError``, a dying worker) is counted by its code and the rest goes on; no message of an error is
    stored, since messages may carry file names.

    Args:
        pairs: records (packed in this process), or picklable callables giving one record or several.
        out_dir: a directory that does not exist, is empty, or holds this very packing, unfinished or finished.
        name: of the data set, as part of the shards' names.
        shard_mb: size in MB (1e6 bytes) at which a shard is closed.
        encoding: of the arrays, see `records`.
        workers: processes that run the jobs.
        resume: go on with an unfinished packing, or return a finished one as it is.
        fractions: of the splits.
        salt: of the split hash.
        progress: show a bar; by default when a terminal is there.
        on_error: called with the job's number, the code and the exception of each failed job.

    Raises:
        ValueError: when the directory holds something else, a patient falls into two splits, or no clip came out.
    """
    shares = splits.check_fractions(fractions)
    jobs = list(pairs) if isinstance(pairs, Sequence) else None
    settings = make_settings(jobs, name=name, encoding=encoding, shard_mb=shard_mb, fractions=shares, salt=salt)
    directory = _own_directory(Path(out_dir), settings, resume=resume)
    if (directory / manifests.MANIFEST_NAME).exists():
        return manifests.load(directory)
    with open(directory / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel, however this process ends
        except OSError:
            raise ValueError(f"another process is packing into {directory}; wait for it, or choose another") from None
        if (directory / manifests.MANIFEST_NAME).exists():  # finished by another process just now
            return manifests.load(directory)
        with Journal(directory, settings) as journal:
            packing = _Packing(directory, journal, name=name, shard_bytes=int(shard_mb * 1e6))
            try:
                total = None if jobs is None else len(jobs)
                todo = ((n, job) for n, job in enumerate(pairs if jobs is None else jobs) if n not in journal.done)
                function = functools.partial(_run_numbered, encoding=encoding, fractions=shares, salt=salt)
                with parallel.progress_bar("clips", show=progress) as bar:
                    task = bar.add_task("packing", total=total, completed=len(journal.done))
                    for (number, _), outcome in parallel.run_ordered(function, todo, workers=workers):
                        for clip in outcome.result or ():
                            packing.add(number, clip)
                        journal.finish_job(number, error=outcome.code)
                        if outcome.code and on_error:
                            on_error(number, outcome.code, outcome.error)
                        bar.advance(task)
                return packing.finish(settings)
            finally:
                packing.suspend()


def make_settings(
    jobs: Sequence[Any] | None, *, name: str, encoding: str, shard_mb: float, fractions: tuple, salt: str
) -> dict[str, Any]:
    """What a packing is made with, as the manifest keeps it; ``ValueError`` for a setting that makes no sense.

    ``jobs`` is None for a stream.
    """
    records.check_encoding(encoding)
    if not shard_mb > 0:
        raise ValueError(f"shard_mb must be positive, got {shard_mb}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"name must be lower-case letters, digits and underscores (TFDS asks for that), got {name!r}")
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "encoding": encoding,
        "shard_mb": float(shard_mb),
        "fractions": [list(share) for share in fractions],
        "salt": hashlib.sha256(salt.encode()).hexdigest()[:16],
        "jobs": "a stream" if jobs is None else f"{len(jobs)} {_digest(jobs, key=salt)}",
    }


def run_job(job: Job | PairRecord, *, encoding: str, fractions: tuple, salt: str) -> list[Packed]:
    """Run a job, decide the split of each of its records and serialise them: the part that workers do."""
    result = job if isinstance(job, PairRecord) else job()
    packed = []
    for record in [result] if isinstance(result, PairRecord) else result:
        split = record.params.get("split") or splits.split_of(record.patient_id, fractions=fractions, salt=salt)
        packed.append(
            Packed(
                row=dataclasses.replace(manifests.row_of(record), split=split),
                data=records.encode(record, encoding=encoding),
                thumbnail=near_duplicates.thumbnail(record.grey),
            )
        )
    return packed


def _run_numbered(numbered: tuple[int, Any], **options: Any) -> list[Packed]:
    return run_job(numbered[1], **options)


def make_manifest(
    entries: Sequence[tuple[ClipRow, str]],
    shards: Iterable[Shard],
    *,
    settings: dict[str, Any],
    errors: Mapping[str, int],
    duplicates: int,
) -> Manifest:
    """The manifest of clips, given as ``(row, thumbnail)``, that lie in ``shards``.

    Raises:
        ValueError: when there is no clip, or a patient is in two splits.
    """
    if not entries:
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(errors.items())) or "there were no jobs"
        raise ValueError(f"no clip came out of the jobs, so nothing was packed: {codes}")
    rows = [row for row, _ in entries]
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(row.split, set()).add(row.patient_id)
    splits.check_disjoint(patients)
    return Manifest(
        name=settings["name"],
        encoding=settings["encoding"],
        shards=tuple(sorted(shards, key=lambda shard: (shard.split, shard.file))),
        counts=manifests.count_clips(rows),
        patients={split: tuple(sorted(ids)) for split, ids in sorted(patients.items())},
        settings=settings,
        errors=dict(sorted(errors.items())),
        duplicates=duplicates,
        near_duplicates=near_duplicates.find([(row.clip_id, row.split, image) for row, image in entries]),
    )


class _Packing:
    """The writing side: open shards, patients seen so far."""

    def __init__(self, directory: Path, journal: Journal, *, name: str, shard_bytes: int) -> None:
        self.directory, self.journal, self.name, self.shard_bytes = directory, journal, name, shard_bytes
        self.writers: dict[str, ShardWriter] = {}
        self.split_of_patient = {entry.row.patient_id: entry.row.split for entry in journal.clips}
        self.job_of_clip = {entry.row.clip_id: entry.job for entry in journal.clips}
        self.shard_number: dict[str, int] = {}
        for split in {entry.row.split for entry in journal.clips}:
            last = max(entry.row.shard for entry in journal.clips if entry.row.split == split)
            self.shard_number[split] = last
            path = self._path(split, last)
            if not path.exists():
                places = [(e.offset, e.length) for e in journal.clips if (e.row.split, e.row.shard) == (split, last)]
                self.writers[split] = ShardWriter(path, resume=places)

    def _path(self, split: str, number: int) -> Path:
        return self.directory / tfds_metadata.shard_name(self.name, split, number)

    def add(self, job: int, clip: Packed) -> None:
        row = clip.row
        if row.clip_id in self.job_of_clip:
            if self.job_of_clip[row.clip_id] != job:  # else: written before this job was interrupted
                self.journal.count_duplicate()
            return
        if self.split_of_patient.setdefault(row.patient_id, row.split) != row.split:
            splits.check_disjoint(
                {self.split_of_patient[row.patient_id]: [row.patient_id], row.split: [row.patient_id]}
            )
        writer = self._writer(row.split, len(clip.data))
        row = dataclasses.replace(row, shard=self.shard_number[row.split], record=len(writer))
        offset, length = writer.write(clip.data)
        self.journal.add_clip(job, row, offset=offset, length=length, thumbnail=clip.thumbnail)
        self.job_of_clip[row.clip_id] = job

    def _writer(self, split: str, size: int) -> ShardWriter:
        writer = self.writers.get(split)
        if writer is not None and writer.n_bytes and writer.n_bytes + size > self.shard_bytes:
            self._close(split)
            writer = None
        if writer is None:
            self.shard_number[split] = self.shard_number.get(split, -1) + 1
            writer = self.writers[split] = ShardWriter(self._path(split, self.shard_number[split]))
        return writer

    def _close(self, split: str) -> None:
        writer = self.writers[split]
        if not writer.closed:
            writer.close()
            # A kill right here costs reading the shard once more at the end.
            self.journal.add_digest(writer.path.name, writer.sha256)

    def suspend(self) -> None:
        for writer in self.writers.values():
            writer.suspend()

    def finish(self, settings: dict) -> Manifest:
        for split in self.writers:
            self._close(split)
        entries = sorted(
            ((entry.row, entry.thumbnail) for entry in self.journal.clips),
            key=lambda entry: (entry[0].split, entry[0].shard, entry[0].record),
        )
        per_shard = collections.Counter((row.split, row.shard) for row, _ in entries)
        shards = [
            Shard(
                file=path.name,
                split=split,
                n_clips=count,
                n_bytes=path.stat().st_size,
                sha256=self.journal.digests.get(path.name) or file_digest(path),
            )
            for (split, number), count in per_shard.items()
            for path in [self._path(split, number)]
        ]
        manifest = make_manifest(
            entries, shards, settings=settings, errors=self.journal.errors, duplicates=self.journal.duplicates
        )
        tfds_metadata.write(self.directory, manifest)
        manifest = manifests.save(manifest, self.directory, [row for row, _ in entries])
        self.journal.remove()
        (self.directory / ".lock").unlink(missing_ok=True)
        return manifest


def _own_directory(directory: Path, settings: dict, *, resume: bool) -> Path:
    """Make the directory, or make sure that it is ours to write into."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; give a directory for the packed data")
    finished = (directory / manifests.MANIFEST_NAME).exists()
    unfinished = (directory / JOURNAL_NAME).exists()
    if finished or unfinished:
        if not resume:
            raise ValueError(f"{directory} holds a packed data set; pass resume, or choose another directory")
        stored = manifests.load(directory).settings if finished else Journal.stored_settings(directory)
        wrong = [
            f"{key}: {stored.get(key)!r} there, {settings[key]!r} asked"
            for key in settings
            if stored.get(key) != settings[key]
        ]
        if wrong:
            raise ValueError(
                f"{directory} was packed with other settings ({'; '.join(wrong)}); use those, or another directory"
            )
    elif directory.exists() and any(path.name != ".lock" for path in directory.iterdir()):
        raise ValueError(f"{directory} is not empty and holds no packing of ours; choose a new or empty directory")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _digest(jobs: Sequence[Any], *, key: str) -> str:
    """Names the list of jobs, to notice that a packing is resumed with other ones. Keyed: paths are identifiers."""
    digest = hashlib.blake2b(key=key.encode()[:64], digest_size=16)
    for job in jobs:
        text = f"{job.clip_id} {job.cfd.shape}" if isinstance(job, PairRecord) else repr(job)
        digest.update(re.sub(r" at 0x[0-9a-f]+", "", text).encode() + b"\0")
    return digest.hexdigest()


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
