"""The same packing as an Apache Beam pipeline, for archives too large for one machine (extra ``[beam]``).

Jobs, serialisation, splits, file names and manifest are those of `pack`; equal jobs give equal records. What differs
is the order: a clip's shard is drawn by the hash of its id, since no single process sees all clips. Shards are
written to a temporary file on the worker and copied under a temporary name into ``out_dir``, which may be any file
system that Beam knows (``gs://``, ``hdfs://``, a shared folder), then renamed; the manifest comes last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipeline.records import manifest as manifests
from data_pipeline.records import splits
from data_pipeline.records import tfds as tfds_metadata
from data_pipeline.records.journal import Packed
from data_pipeline.records.manifest import Manifest, Shard
from data_pipeline.records.pack import Job, file_digest, make_manifest, make_settings, run_job
from data_pipeline.records.tfrecord import ShardWriter, index_name


def pack_with_beam(
    jobs: Sequence[Job],
    out_dir: str,
    *,
    name: str = "pairs",
    shard_mb: float = 256.0,
    encoding: str = "raw",
    fractions: Iterable[tuple[str, float]] = splits.DEFAULT_FRACTIONS,
    salt: str = "",
    runner: str = "DirectRunner",
    options: Sequence[str] = (),
) -> Manifest:
    """Run the jobs on a Beam runner; options as for `pack.pack`.

    Args:
        jobs: picklable callables giving one record or several.
        out_dir: an empty or new directory of any file system that Beam knows.
        runner: ``DirectRunner``, ``DataflowRunner``, ``FlinkRunner``, ``SparkRunner``, ...
        options: further pipeline options as on a command line (``--project=...``).

    Raises:
        ValueError: when ``out_dir`` is not empty, a patient falls into two splits, or no clip came out.
    """
    shares = splits.check_fractions(fractions)
    settings = make_settings(jobs, name=name, encoding=encoding, shard_mb=shard_mb, fractions=shares, salt=salt)
    if FileSystems.exists(out_dir) and any(match.metadata_list for match in FileSystems.match([_join(out_dir, "*")])):
        raise ValueError(f"{out_dir} is not empty; choose a new or empty directory")
    if not FileSystems.exists(out_dir):
        FileSystems.mkdirs(out_dir)
    with beam.Pipeline(runner=runner, options=PipelineOptions(list(options))) as pipeline:
        outcomes = (
            pipeline
            | "jobs" >> beam.Create(list(enumerate(jobs)))
            | "spread" >> beam.Reshuffle()
            | "run" >> beam.ParDo(_Run(encoding, shares, salt)).with_outputs("errors", main="clips")
        )
        clips = (
            outcomes.clips
            | "by clip" >> beam.GroupByKey()
            | "once" >> beam.ParDo(_FirstOnly()).with_outputs("duplicates", main="clips")
        )
        sizes = (
            clips.clips
            | "size" >> beam.Map(lambda clip: (clip.row.split, len(clip.data)))
            | "sum sizes" >> beam.CombinePerKey(sum)
        )
        keyed = clips.clips | "bucket" >> beam.Map(
            _with_bucket, sizes=beam.pvalue.AsDict(sizes), shard_bytes=shard_mb * 1e6
        )
        buckets = keyed | "buckets" >> beam.Keys() | "that hold a clip" >> beam.Distinct()
        shards = (
            keyed
            | "by bucket" >> beam.GroupByKey()
            | "write" >> beam.ParDo(_WriteShard(out_dir, name), buckets=beam.pvalue.AsList(buckets))
        )
        one = pipeline | "once at the end" >> beam.Create([None])
        _ = one | "manifest" >> beam.Map(
            _write_manifest,
            shards=beam.pvalue.AsList(shards),
            errors=beam.pvalue.AsDict(outcomes.errors | "count errors" >> beam.combiners.Count.PerElement()),
            duplicates=beam.pvalue.AsSingleton(clips.duplicates | "sum" >> beam.CombineGlobally(sum)),
            out_dir=out_dir,
            settings=settings,
        )
    with FileSystems.open(_join(out_dir, manifests.MANIFEST_NAME)) as file, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / manifests.MANIFEST_NAME).write_bytes(file.read())
        return dataclasses.replace(manifests.load(folder), directory=out_dir)


class _Run(beam.DoFn):
    """``(number, job)`` to ``(clip id, ((number, position), Packed))``, and codes of failures."""

    def __init__(self, encoding: str, fractions: tuple, salt: str) -> None:
        self.options = {"encoding": encoding, "fractions": fractions, "salt": salt}

    def process(self, numbered: tuple[int, Any]):
        number, job = numbered
        try:
            packed = run_job(job, **self.options)
        except (ValueError, OSError) as error:
            yield beam.pvalue.TaggedOutput("errors", str(getattr(error, "code", "") or type(error).__name__))
            return
        for position, clip in enumerate(packed):
            yield clip.row.clip_id, ((number, position), clip)


class _FirstOnly(beam.DoFn):
    """Of clips with one id, keep that of the first job; count the others."""

    def process(self, grouped: tuple[str, Iterable[tuple[tuple[int, int], Packed]]]):
        clips = sorted(grouped[1], key=lambda clip: clip[0])
        if len(clips) > 1:
            yield beam.pvalue.TaggedOutput("duplicates", len(clips) - 1)
        yield clips[0][1]


class _WriteShard(beam.DoFn):
    """``((split, bucket), clips)`` to ``(Shard, [(row, thumbnail)])``; a repeated attempt replaces its own file only.

    Shards are numbered without the gaps that buckets without a clip leave.
    """

    def __init__(self, out_dir: str, name: str) -> None:
        self.out_dir, self.name = out_dir, name

    def process(self, grouped: tuple[tuple[str, int], Iterable[Packed]], buckets: list[tuple[str, int]]):
        (split, bucket), clips = grouped
        number = sorted(own for name, own in buckets if name == split).index(bucket)
        file = tfds_metadata.shard_name(self.name, split, number)
        entries = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            with ShardWriter(path) as writer:
                for clip in sorted(clips, key=lambda clip: clip.row.clip_id):
                    row = dataclasses.replace(clip.row, shard=number, record=len(writer))
                    writer.write(clip.data)
                    entries.append((row, clip.thumbnail))
            for local in (index_name(path), path):
                _upload(local, self.out_dir)
            yield (
                Shard(
                    file=file, split=split, n_clips=len(entries), n_bytes=path.stat().st_size, sha256=file_digest(path)
                ),
                entries,
            )  # fmt: skip


def _with_bucket(clip: Packed, *, sizes: dict[str, int], shard_bytes: float) -> tuple[tuple[str, int], Packed]:
    buckets = math.ceil(sizes[clip.row.split] / shard_bytes)
    return (clip.row.split, _stable_number(clip.row.clip_id) % buckets), clip


def _stable_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _write_manifest(
    _: None, *, shards: list, errors: dict[str, int], duplicates: int, out_dir: str, settings: dict[str, Any]
) -> None:
    shards.sort(key=lambda item: (item[0].split, item[0].file))
    entries = [entry for _, own in shards for entry in own]
    manifest = make_manifest(
        entries, [shard for shard, _ in shards], settings=settings, errors=errors, duplicates=duplicates
    )
    with tempfile.TemporaryDirectory() as folder:
        tfds_metadata.write(folder, manifest)
        manifests.save(manifest, folder, [row for row, _ in entries])
        last = Path(folder) / manifests.MANIFEST_NAME
        for local in [path for path in sorted(Path(folder).iterdir()) if path != last] + [last]:
            _upload(local, out_dir)


def _upload(local: Path, out_dir: str) -> None:
    """Copy a file under a temporary name and rename it."""
    target = _join(out_dir, local.name)
    temporary = f"{target}.{os.getpid()}.part"
    with open(local, "rb") as source, FileSystems.create(temporary, "application/octet-stream") as sink:
        shutil.copyfileobj(source, sink, 1 << 22)
    if FileSystems.exists(target):
        FileSystems.delete([target])
    FileSystems.rename([temporary], [target])


def _join(directory: str, name: str) -> str:
    return FileSystems.join(directory, name)
