"""Does packing keep every core busy? MB/s per core of `pack` against plain loops over the same jobs.

    python tests/benchmarks/bench_pack.py --clips 60 --workers 2

The jobs read uncompressed DICOM dual screens, find the panes, verify, crop and resize them; MB are those of the decoded
screens. The plain loops run in as many processes at the same time, each over its share, so that both sides load the machine
alike; they encode what the jobs give and write it to one TFRecord file each, and do nothing else: no names of jobs, no
resuming, no digests, no search for near-duplicates, no manifest. The ratio is taken between neighbouring runs and its median
reported.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parents[2]))

from data_pipeline.pairs.jobs import archive_jobs  # noqa: E402
from data_pipeline.readers.archive import list_archive  # noqa: E402
from data_pipeline.records import pack  # noqa: E402
from data_pipeline.records.example import encode  # noqa: E402
from data_pipeline.records.tfrecord import ShardWriter  # noqa: E402
from tests.data_pipeline.tiny_archive import dual_screen, simulated, write_dicom  # noqa: E402


def plain_loop(jobs: list) -> float:
    """Seconds that the jobs take, encoded and written one after another."""
    cv2.setNumThreads(1)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ShardWriter(Path(folder, "records")) as sink:
        for job in jobs:
            for record in job():
                sink.write(encode(record, encoding="zstd"))
    return time.perf_counter() - start


def cpu_seconds() -> float:
    """CPU time of this process and of those that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(row.ru_utime + row.ru_stime for row in usage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clips", 60), ("frames", 24), ("size", 320), ("workers", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "archive"
        screens = [dual_screen(simulated("A4C", seed, options.frames, options.size)) for seed in (1, 2)]
        for number in range(options.clips):
            name = archive / f"{number:04d}.dcm"
            write_dicom(name, screens[number % 2], patient=f"p{number}", view="A4C")
        jobs = archive_jobs(list_archive(archive).items, key=b"sixteen bytes or more")
        megabytes = sum(screens[number % 2].nbytes for number in range(options.clips)) / 1e6
        ratios, cpu_ratios = [], []
        context = multiprocessing.get_context("spawn")
        for number in range(options.rounds):
            with concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context) as pool:
                shares = [jobs[worker :: options.workers] for worker in range(options.workers)]
                before = cpu_seconds()
                loop = megabytes / options.workers / statistics.mean(pool.map(plain_loop, shares))
            loop_cpu = cpu_seconds() - before
            before = cpu_seconds()
            out = Path(folder) / f"out{number}"
            start = time.perf_counter()
            pack.pack(jobs, out, workers=options.workers, progress=False)
            packed = megabytes / (time.perf_counter() - start) / options.workers
            pack_cpu = cpu_seconds() - before
            shutil.rmtree(out)
            ratios.append(packed / loop)
            cpu_ratios.append(loop_cpu / pack_cpu)
            print(
                f"plain loop {loop:6.1f} MB/s per core, pack {packed:6.1f} MB/s per core: {ratios[-1]:.2f}; "
                f"per second of CPU {cpu_ratios[-1]:.2f}"
            )
    print(
        f"median ratio {statistics.median(ratios):.2f} by the clock (start of the workers included), "
        f"{statistics.median(cpu_ratios):.2f} by CPU time, with {options.workers} workers"
    )


if __name__ == "__main__":
    main()
