"""Clips to shards: `pack` runs jobs in parallel and writes a packed data set, resumable after any interruption.

Jobs are cut into batches (`batches`), each written and committed as a whole, by this process or by others that take
their share of them (``part``); `finish` makes one data set of them. Records appear in the order of the jobs, so the same
jobs give the same shards byte for byte, with any number of workers or parts, interrupted or not. Jobs that are new in a
later call are appended.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_pipeline import parallel
from data_pipeline.records import batches, near_duplicates, splits
from data_pipeline.records import example as records
from data_pipeline.records import finish as finishing
from data_pipeline.records import manifest as manifests
from data_pipeline.records.batches import Batch, BatchWriter, Packed
from data_pipeline.records.manifest import Manifest
from data_pipeline.records.places import FOLDER, Folder, place_of
from data_pipeline.schema import SCHEMA_VERSION, PairRecord

Job = Callable[[], PairRecord | Iterable[PairRecord]]
SETTINGS = f"{FOLDER}/settings.json"


def pack(
    pairs: Iterable[PairRecord] | Sequence[Job],
    out_dir: str | os.PathLike,
    *,
    name: str = "pairs",
    shard_mb: float = 256.0,
    encoding: str = "zstd",
    workers: int = 0,
    timeout: float = parallel.TIMEOUT,
    memory: int = 0,
    resume: bool = True,
    part: tuple[int, int] | None = None,
    retry: Iterable[str] = (),
    fractions: Iterable[tuple[str, float]] = splits.DEFAULT_FRACTIONS,
    salt: str = "",
    key: bytes = b"",
    options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    on_error: Callable[[Any, str, BaseException | None], None] | None = None,
) -> Manifest | None:
    """Pack pairs into shards per split.

    The split of a clip is ``record.params["split"]`` where a data set brings its own, else `splits.split_of` of its
    patient. A clip whose id was packed before is left out and counted. A job that fails is counted by its code
    (`parallel.run_ordered`) and the rest goes on; no message of an error is stored, since it may carry file names.

    Args:
        pairs: records (packed in this process), or picklable callables giving one record or several.
        out_dir: a directory that does not exist, is empty, or holds this very packing, unfinished or finished; or a
            place in a bucket, ``s3://...``.
        name: of the data set, as part of the shards' names.
        shard_mb: size in MB (1e6 bytes) at which a shard is closed; those of a small batch are smaller.
        encoding: of the arrays, see `records`.
        workers: processes that run the jobs.
        timeout: seconds for one job in a worker.
        memory: bytes that the data of a worker may take; 0: what the machine has.
        resume: go on with an unfinished packing, add to a finished one; otherwise either is an error.
        part: ``(k, n)``: pack only the k-th of n shares of the batches, 1 <= k <= n, and leave the end to a call without.
        retry: codes of failures to be tried once more; ``transient`` stands for `parallel.TRANSIENT`.
        fractions: of the splits.
        salt: of the split hash.
        key: secret of the jobs' names.
        options: of the jobs, JSON-serialisable: what a later call must agree with.
        progress: show a bar; by default when a terminal is there.
        on_error: called with the job, the code and the exception of each failed job.

    Returns:
        The manifest; None for a part.

    Raises:
        ValueError: when the directory holds something else, a patient falls into two splits, or no clip came out.
    """
    shares = splits.check_fractions(fractions)
    settings = make_settings(
        name=name, encoding=encoding, shard_mb=shard_mb, fractions=shares, salt=salt, options=options
    )
    if part is not None and not 1 <= part[0] <= part[1]:
        raise ValueError(f"part must be (k, n) with 1 <= k <= n, got {part}")
    folder = place_of(out_dir)
    claim(folder, settings, resume=resume)
    with folder.alone(part) as scratch:
        todo, total = _todo(folder, pairs, part=part, key=key, retry=retry)
        if part is None and total == 0 and manifests.MANIFEST_NAME in folder.names():
            return manifests.load(folder.root)
        run = functools.partial(run_job, encoding=encoding, fractions=shares, salt=salt)
        write = functools.partial(BatchWriter, folder, local=scratch, shard_bytes=int(shard_mb * 1e6))
        manner = {"workers": workers, "timeout": timeout, "memory": memory, "spool": scratch}
        with parallel.progress_bar("clips", show=progress) as bar:
            task = bar.add_task("packing", total=total)
            for job, code, error in run_batches(run, todo, write, **manner):
                if code and on_error:
                    on_error(job, code, error)
                bar.advance(task)
        del pairs, todo  # a million jobs take half a gigabyte, and the end has its own
        return finishing.finish(folder, settings=settings) if part is None else None


def finish(out_dir: str | os.PathLike) -> Manifest:
    """Make one data set of what parts have packed; ``ValueError`` when batches of the plan are still to be packed."""
    folder = place_of(out_dir)
    if SETTINGS not in folder.names():
        raise ValueError(f"{out_dir} holds no packing; pack its parts first")
    with folder.alone(None):
        whole = set(finishing.drop_lost(folder))
        left = [batch.name for batch in batches.plan(folder, (), key=b"") if batch.name not in whole]
        if left:
            raise ValueError(
                f"{len(left)} batches are not packed yet ({', '.join(left[:3])}{', ...' if len(left) > 3 else ''}); "
                "run their parts, or pack without a part"
            )
        return finishing.finish(folder, settings=json.loads(folder.read(SETTINGS)))


def run_batches(
    run: Callable[[Any], list[Packed]],
    todo: Iterable[Batch],
    write: Callable[[Batch], BatchWriter],
    **manner: Any,
) -> Iterator[tuple[Any, str, BaseException | None]]:
    """Run the jobs of batches, which workers take without waiting for a batch to end; ``(job, code, error)`` of each.

    Args:
        run: a job to its clips.
        todo: the batches.
        write: gives the writer of a batch.
        manner: of `parallel.run_ordered`.
    """
    begun: collections.deque[Batch] = collections.deque()

    def jobs() -> Iterator[Any]:
        for batch in todo:
            begun.append(batch)
            yield from batch.jobs

    writer = None
    try:
        for job, outcome in parallel.run_ordered(run, jobs(), **manner):
            writer = writer or write(begun.popleft())
            writer.add(outcome)
            if writer.complete:
                writer.commit()
                writer = None
            yield job, outcome.code, outcome.error
    finally:
        if writer is not None:
            writer.abort()


def make_settings(
    *,
    name: str,
    encoding: str,
    shard_mb: float,
    fractions: Iterable[tuple[str, float]],
    salt: str,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a packing is made with, as the manifest keeps it; ``ValueError`` for a setting that makes no sense."""
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
        **(options or {}),
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


def claim(folder: Folder, settings: Mapping[str, Any], *, resume: bool = True) -> None:
    """Make sure that a place is ours to pack into with these settings, and begin it where it is empty."""
    if os.path.isfile(folder.root):
        raise ValueError(f"{folder.root} is a file; give a directory for the packed data")
    if SETTINGS in folder.names():
        if not resume:
            raise ValueError(f"{folder.root} holds a packed data set; pass resume, or choose another directory")
        stored = json.loads(folder.read(SETTINGS))
        wrong = [
            f"{key}: {stored.get(key)!r} there, {settings.get(key)!r} asked"
            for key in sorted(stored.keys() | settings.keys())
            if stored.get(key) != settings.get(key)
        ]
        if wrong:
            raise ValueError(
                f"{folder.root} was packed with other settings ({'; '.join(wrong)}); use those, or another directory"
            )
    elif not folder.empty():
        raise ValueError(f"{folder.root} is not empty and holds no packing of ours; choose a new or empty directory")
    else:
        folder.write(SETTINGS, json.dumps(settings, indent=1, sort_keys=True) + "\n")


def _todo(
    folder: Folder, pairs: Iterable, *, part: tuple[int, int] | None, key: bytes, retry: Iterable[str]
) -> tuple[Iterable[Batch], int | None]:
    """The batches that are to be run, and the number of their jobs where it is known."""
    if not isinstance(pairs, Sequence):
        whole = set(finishing.drop_lost(folder))
        return (batch for batch in batches.stream(pairs) if batch.name not in whole), None
    codes = set(retry)
    planned = batches.plan(
        folder, pairs, key=key, retry=codes | set(parallel.TRANSIENT if "transient" in codes else ())
    )
    own = planned if part is None else planned[part[0] - 1 :: part[1]]
    whole = set(finishing.drop_lost(folder, {batch.name for batch in own}))  # others may be writing theirs
    todo = [batch for batch in own if batch.name not in whole]
    return todo, sum(len(batch) for batch in todo)
