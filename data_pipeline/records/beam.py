"""The same packing on a cluster, run by Apache Beam (extra ``[beam]``).

One element is one batch: a worker packs it with `pack.run_batches`, its jobs in a process of their own, and commits it. The
pipeline carries names of batches only; jobs, and with them paths and the key, are made on the workers by ``make_jobs``,
which names where the listing and the key can be read. Resuming, parts and the end are those of `pack`, so equal jobs give
equal files. ``out_dir`` may be any file system that Beam knows (``gs://``, ``hdfs://``, a shared folder).
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipeline.records import batches, splits
from data_pipeline.records import finish as finishing
from data_pipeline.records.batches import FOLDER, BatchWriter
from data_pipeline.records.manifest import Manifest
from data_pipeline.records.pack import Job, claim, make_settings, run_batches, run_job


def pack_with_beam(
    make_jobs: Callable[[], tuple[Sequence[Job], bytes]],
    out_dir: str,
    *,
    name: str = "pairs",
    shard_mb: float = 256.0,
    encoding: str = "zstd",
    fractions: Iterable[tuple[str, float]] = splits.DEFAULT_FRACTIONS,
    salt: str = "",
    options: Mapping[str, Any] | None = None,
    runner: str = "DirectRunner",
    runner_options: Sequence[str] = (),
) -> Manifest:
    """Run the jobs on a Beam runner; further arguments as for `pack.pack`.

    Args:
        make_jobs: picklable; gives the jobs, and the secret of their names, here and on every worker.
        out_dir: a place that is empty, or holds this very packing.
        runner: ``DirectRunner``, ``DataflowRunner``, ``FlinkRunner``, ``SparkRunner``, ...
        runner_options: further pipeline options as on a command line (``--project=...``).

    Raises:
        ValueError: when ``out_dir`` holds something else, a patient falls into two splits, or no clip came out.
    """
    shares = splits.check_fractions(fractions)
    settings = make_settings(
        name=name, encoding=encoding, shard_mb=shard_mb, fractions=shares, salt=salt, options=options
    )
    folder = BeamFolder(out_dir)
    claim(folder, settings)
    whole = set(finishing.drop_lost(folder))
    jobs, key = make_jobs()
    todo = [batch.name for batch in batches.plan(folder, jobs, key=key) if batch.name not in whole]
    if todo:
        run = functools.partial(run_job, encoding=encoding, fractions=shares, salt=salt)
        with beam.Pipeline(runner=runner, options=PipelineOptions(list(runner_options))) as pipeline:
            _ = (
                pipeline
                | "batches" >> beam.Create(todo)
                | "spread" >> beam.Reshuffle()
                | "pack" >> beam.ParDo(_PackBatch(make_jobs, folder, run, int(shard_mb * 1e6)))
            )
    return finishing.finish(folder, settings=settings)


class _PackBatch(beam.DoFn):
    def __init__(self, make_jobs: Callable, folder: BeamFolder, run: Callable, shard_bytes: int) -> None:
        self.make_jobs, self.folder, self.run, self.shard_bytes = make_jobs, folder, run, shard_bytes

    def setup(self) -> None:
        jobs, key = self.make_jobs()
        self.batches = {batch.name: batch for batch in batches.plan(self.folder, jobs, key=key, grow=False)}

    def process(self, name: str):
        with tempfile.TemporaryDirectory() as scratch:
            write = functools.partial(
                BatchWriter, self.folder, local=Path(scratch) / "shards", shard_bytes=self.shard_bytes
            )
            for _, code, _ in run_batches(self.run, [self.batches[name]], write, workers=1):
                beam.metrics.Metrics.counter("pack", code or "packed").inc()  # pyright: ignore[reportPrivateImportUsage]
        yield name


class BeamFolder(batches.Folder):
    """A packing's place on any file system that Beam knows."""

    def empty(self) -> bool:
        return not any(match.metadata_list for match in FileSystems.match([self._path("*"), self._path(f"{FOLDER}/*")]))

    def names(self) -> dict[str, int]:
        found = {}
        for inside in ("", f"{FOLDER}/"):
            for match in FileSystems.match([self._path(f"{inside}*")]):
                for entry in match.metadata_list:
                    found[f"{inside}{entry.path.rstrip('/').rpartition('/')[2]}"] = entry.size_in_bytes
        return found

    def read(self, name: str) -> bytes:
        with FileSystems.open(self._path(name), compression_type="uncompressed") as file:
            return file.read()

    def write(self, name: str, text: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "text"
            path.write_text(text)
            self.take(path, name)

    def take(self, local: Path, name: str) -> None:
        temporary = self._path(f"{name}.{uuid.uuid4().hex}.part")  # workers' containers share process ids
        with open(local, "rb") as source, FileSystems.create(temporary, "application/octet-stream") as sink:
            shutil.copyfileobj(source, sink, 1 << 22)
        self._replace(temporary, self._path(name))
        os.unlink(local)

    def rename(self, old: str, new: str) -> None:
        self._replace(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        if FileSystems.exists(self._path(name)):
            FileSystems.delete([self._path(name)])

    def _replace(self, old: str, new: str) -> None:
        if FileSystems.exists(new):
            FileSystems.delete([new])
        FileSystems.rename([old], [new])

    def _path(self, name: str) -> str:
        return FileSystems.join(self.root, *name.split("/"))
