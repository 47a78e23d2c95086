"""The same packing on a cluster, run by Apache Beam (extra ``[beam]``).

One element is one batch: a worker packs it with `pack.run_batches`, its jobs in a process of their own, and commits it. The
pipeline carries names of batches only; jobs, and with them paths and the key, are made on the workers by ``make_jobs``,
which names where the listing and the key can be read. Resuming, parts and the end are those of `pack`, so equal jobs give
equal files. ``out_dir`` may be a bucket or a folder that all workers share.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipeline import parallel
from data_pipeline.records import batches, splits
from data_pipeline.records import finish as finishing
from data_pipeline.records.batches import BatchWriter
from data_pipeline.records.manifest import Manifest
from data_pipeline.records.pack import Job, claim, make_settings, run_batches, run_job
from data_pipeline.records.places import Folder, place_of


def pack_with_beam(
    make_jobs: Callable[[], tuple[Sequence[Job], bytes]],
    out_dir: str,
    *,
    name: str = "pairs",
    shard_mb: float = 256.0,
    encoding: str = "zstd",
    timeout: float = parallel.TIMEOUT,
    memory: int = 0,
    fractions: Iterable[tuple[str, float]] = splits.DEFAULT_FRACTIONS,
    salt: str = "",
    options: Mapping[str, Any] | None = None,
    runner: str = "DirectRunner",
    runner_options: Sequence[str] = (),
    on_error: Callable[[Any, str, BaseException | None], None] | None = None,
) -> Manifest:
    """Run the jobs on a Beam runner; further arguments as for `pack.pack`.

    Args:
        make_jobs: picklable; gives the jobs, and the secret of their names, here and on every worker.
        out_dir: a place that is empty, or holds this very packing.
        runner: ``DirectRunner``, ``DataflowRunner``, ``FlinkRunner``, ``SparkRunner``, ...
        runner_options: further pipeline options as on a command line (``--project=...``).
        on_error: picklable; called on the worker with the job, the code and the exception of each failed job.

    Raises:
        ValueError: when ``out_dir`` holds something else, a patient falls into two splits, or no clip came out.
    """
    shares = splits.check_fractions(fractions)
    settings = make_settings(
        name=name, encoding=encoding, shard_mb=shard_mb, fractions=shares, salt=salt, options=options
    )
    folder = place_of(out_dir)
    claim(folder, settings)
    with folder.alone(None):
        whole = set(finishing.drop_lost(folder))
        jobs, key = make_jobs()
        todo = [batch.name for batch in batches.plan(folder, jobs, key=key) if batch.name not in whole]
        if todo:
            run = functools.partial(run_job, encoding=encoding, fractions=shares, salt=salt)
            work = _PackBatch(
                make_jobs, folder, run, shard_bytes=int(shard_mb * 1e6), on_error=on_error, timeout=timeout,
                memory=memory,
            )  # fmt: skip
            with beam.Pipeline(runner=runner, options=PipelineOptions(list(runner_options))) as pipeline:
                _ = (
                    pipeline
                    | "batches" >> beam.Create(todo)
                    | "spread" >> beam.Reshuffle()
                    | "pack" >> beam.ParDo(work)
                )
        return finishing.finish(folder, settings=settings)


class _PackBatch(beam.DoFn):
    def __init__(
        self,
        make_jobs: Callable,
        folder: Folder,
        run: Callable,
        *,
        shard_bytes: int,
        on_error: Callable | None,
        **limits: float,
    ) -> None:
        self.make_jobs, self.folder, self.run, self.shard_bytes = make_jobs, folder, run, shard_bytes
        self.on_error, self.manner = on_error, {"workers": 1, **limits}

    def setup(self) -> None:
        jobs, key = self.make_jobs()
        self.batches = {batch.name: batch for batch in batches.plan(self.folder, jobs, key=key, grow=False)}

    def process(self, name: str):
        with tempfile.TemporaryDirectory(prefix="cfd2gray-") as scratch:
            write = functools.partial(BatchWriter, self.folder, local=Path(scratch), shard_bytes=self.shard_bytes)
            manner = {**self.manner, "spool": scratch}
            for job, code, error in run_batches(self.run, [self.batches[name]], write, **manner):
                if code and self.on_error:
                    self.on_error(job, code, error)
                beam.metrics.Metrics.counter("pack", code or "packed").inc()  # pyright: ignore[reportPrivateImportUsage]
        yield name
