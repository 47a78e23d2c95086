"""What packing and a census cost beside a plain loop, and whether they survive kills and a power cut.

    python -m tests.benchmarks.bench_drill rate FOLDER --entries 2000
    python -m tests.benchmarks.bench_drill drill FOLDER --entries 20000 --kills 20

Both take DICOM files of real headers and 2 frames of 32 x 32 px. A plain loop reads, decodes, encodes and writes to one
TFRecord file (of a census: reads, decodes and analyses), one clip after another, and does nothing else: it knows no workers,
no names of jobs, no resuming, no digests, no search for near-duplicates, no manifest. Its processor time is measured without
its imports; that of packing with those of its workers.

``drill`` packs by a job that reads, checks and writes; then again, killed with SIGKILL (workers as often as parents) and once
by a power cut, which is the kill of everything and the loss of what no fsync had named; the data sets must be equal. Peaks
are those of the kernel (VmHWM), the parent's own and the largest of its workers. Nothing is imported here that a worker does
not need: it would be counted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

from data_pipeline.geometry import Fan
from data_pipeline.readers.archive import list_archive
from data_pipeline.readers.datasets import Item
from data_pipeline.records import example, pack
from data_pipeline.records import manifest as manifests
from data_pipeline.records.tfrecord import ShardSource, ShardWriter
from data_pipeline.schema import SECTOR, PairRecord
from data_pipeline.screen.deidentify import KeyedHasher
from tests.benchmarks.measured import cpu_of, measured

KEY = b"a secret of the benchmark"
FSYNC_LOG = "BENCH_FSYNC_LOG"
COMMAND = [sys.executable, "-m", "tests.benchmarks.bench_drill"]


@dataclasses.dataclass(frozen=True)
class ReadAndWrite:
    """What every packing does without the analysis: read a DICOM, make a record of it."""

    item: Item
    hasher: KeyedHasher

    def __call__(self) -> PairRecord:
        clip = self.item.read()
        return PairRecord(
            cfd=clip.frames, grey=clip.frames[..., 1:2], strata=np.full(clip.frames.shape[:3], SECTOR, np.uint8),
            labels=np.zeros(clip.frames.shape[:3], np.uint8), clip_id=self.hasher.clip(clip.info.identity.instance),
            patient_id=self.hasher.patient(clip.info.identity.patient), view="A4C", kind="painted", shared=True,
            fps=clip.info.fps, score=1.0, vendor="", source_digest=clip.info.source_digest, geometry=Fan(),
        )  # fmt: skip


def dicoms(folder: pathlib.Path, entries: int) -> None:
    """Real headers, 2 frames of 32 x 32 px; each file has its own patient, study and instance, and its own noise."""
    from tests.data_pipeline.tiny_archive import simulated, write_dicom

    folder.mkdir(parents=True)
    frames = np.ascontiguousarray(simulated(size=32, frames=2).cfd)
    template = folder / "template"
    write_dicom(template, frames, patient="P0000000", view="A4C", SOPInstanceUID="1.2.826.0.1.1000000000000")
    data = template.read_bytes()
    template.unlink()
    rng = np.random.default_rng(0)
    pixels = data.rindex(frames.tobytes())
    for number in range(entries):
        place = folder / f"P{number // 200:05d}"
        if number % 200 == 0:
            place.mkdir()
        new = bytearray(data.replace(b"P0000000", b"P%07d" % (number // 7)))
        new = bytearray(bytes(new).replace(b"1.2.826.0.1.1000000000000", b"1.2.826.0.1.1%012d" % number))
        if number % 500 == 499:
            new = new[: len(new) // 2]  # torn
        else:
            new[pixels : pixels + 512] = rng.bytes(512)
        (place / f"IM_{number % 200:04d}.dcm").write_bytes(new)


def pack_once(archive: str, out: str, workers: int) -> None:
    """One packing, and what it took; notes the files that reached the disk."""
    if log := os.environ.get(FSYNC_LOG):
        fsync = os.fsync

        def noted(handle: int) -> None:
            fsync(handle)
            with open(log, "a") as file:
                file.write(f"{os.fstat(handle).st_ino}\n")

        os.fsync = noted
    facts: dict = {}
    with measured("pack", facts):
        pack.pack(
            [ReadAndWrite(item, KeyedHasher(KEY)) for item in list_archive(archive).items], out, key=KEY, workers=workers,
            shard_mb=16,
        )  # fmt: skip
    pathlib.Path(f"{out}.json").write_text(json.dumps(facts))


def census_once(archive: str, out: str, workers: int) -> None:
    from data_pipeline.census.run import census

    facts: dict = {}
    with measured("census", facts):
        census(archive, out_dir=out, key=KEY, workers=workers)
    pathlib.Path(f"{out}.json").write_text(json.dumps(facts))


def plain_loops(archive: str, out: str) -> None:
    """What the clips themselves take, to be packed and to be looked at."""
    from data_pipeline.census import run as census
    from data_pipeline.census.rows import CensusOptions

    facts: dict = {}
    items, path, hasher = list_archive(archive).items, pathlib.Path(f"{out}.records"), KeyedHasher(KEY)
    looks = [census._Task(item=item, clip="") for item in items]
    look = functools.partial(census._look, hasher=hasher, options=CensusOptions())
    look(looks[0])  # imports what is imported late
    with measured("loop", facts), ShardWriter(path) as sink:
        for item in items:
            with contextlib.suppress(ValueError):
                sink.write(example.encode(ReadAndWrite(item, hasher)(), encoding="zstd"))
    path.unlink()
    with measured("looking", facts):
        for task in looks:
            with contextlib.suppress(ValueError):
                look(task)
    pathlib.Path(f"{out}.json").write_text(json.dumps(facts))


def cut_power(out: pathlib.Path, log: pathlib.Path, rng: random.Random) -> int:
    """Files that no fsync named lose their end, or all."""
    safe = {int(line) for line in log.read_text().split()} if log.exists() else set()
    lost = 0
    for path in out.rglob("*"):
        if path.is_file() and path.stat().st_ino not in safe and path.stat().st_size:
            os.truncate(path, rng.randrange(path.stat().st_size))
            lost += 1
    return lost


def workers_of(parent: int) -> list[int]:
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(path.parent.name))
    return found


def batches_in(out: pathlib.Path) -> int:
    return len(list((out / "batches").glob("*.jsonl")))


def undisturbed(what: str, folder: pathlib.Path, archive: pathlib.Path, workers: int) -> dict:
    """What ``_pack``, ``_census`` or ``_loops`` took in a process of its own; its result is in ``whole_pack`` and so on."""
    out = folder / f"whole{what}"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([*COMMAND, what, str(archive), str(out), "--workers", str(workers)], check=True)
    return json.loads(pathlib.Path(f"{out}.json").read_text())


def rate(folder: pathlib.Path, archive: pathlib.Path, workers: int) -> dict:
    facts: dict = {}
    for what in ("_loops", "_census", "_pack"):
        facts |= undisturbed(what, folder, archive, workers)
    for what, loop in (("pack", "loop"), ("census", "looking")):
        facts[f"{what}_to_plain_loop"] = round(cpu_of(facts[loop]) / cpu_of(facts[what]), 3)
    return facts


def drill(folder: pathlib.Path, archive: pathlib.Path, kills: int, workers: int, seconds: float) -> dict:
    """Pack again what lies in ``whole_pack`` and took ``seconds``, among kills."""
    whole, torn = folder / "whole_pack", folder / "torn"
    shutil.rmtree(torn, ignore_errors=True)
    command = [*COMMAND, "_pack", str(archive), str(torn), "--workers", str(workers)]
    rng, log = random.Random(0), folder / "fsync.log"
    log.unlink(missing_ok=True)
    parents = died = lost = 0
    for number in range(kills + 1):
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL,
            env={**os.environ, FSYNC_LOG: str(log)},
        )  # fmt: skip
        before = batches_in(torn)
        while process.poll() is None and batches_in(torn) <= before:  # it got somewhere
            time.sleep(0.02)
        time.sleep(0.3 * rng.random() * seconds / (kills + 1))
        if process.poll() is None and number % 2 and number != kills // 2 and (own := workers_of(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(own), signal.SIGKILL)
                died += 1
            time.sleep(0.5)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            parents += 1
        process.wait()
        if number == kills // 2:
            lost = cut_power(torn, log, rng)
    subprocess.run(command, check=True)
    left, right = ids(whole), ids(torn)
    return {
        "kills_of_parents": parents, "kills_of_workers": died, "files_cut": lost, "clips": len(left),
        "same_records": left == right, "same_files": tree(whole) == tree(torn), "errors": dict(manifests.load(torn).errors),
    }  # fmt: skip


def ids(out: pathlib.Path) -> set[tuple[str, str]]:
    """Clip and digest of its bytes, of every record."""
    found = set()
    for split in manifests.load(out).splits:
        source = ShardSource(out, split)
        found |= {(source.ids(n).clip_id, hashlib.sha256(source.serialized(n)).hexdigest()) for n in range(len(source))}
    return found


def tree(out: pathlib.Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir() if path.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rate", "drill", "_pack", "_census", "_loops"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", nargs="?")
    parser.add_argument("--entries", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.what == "_pack":
        return pack_once(str(options.folder), options.out, options.workers)
    if options.what == "_census":
        return census_once(str(options.folder), options.out, options.workers)
    if options.what == "_loops":
        return plain_loops(str(options.folder), options.out)
    options.folder.mkdir(parents=True, exist_ok=True)
    archive = options.folder / f"dicoms-{options.entries}"
    if not archive.exists():
        dicoms(archive, options.entries)
    if options.what == "rate":
        facts = rate(options.folder, archive, options.workers)
    else:
        facts = undisturbed("_pack", options.folder, archive, options.workers)
        facts |= drill(options.folder, archive, options.kills, options.workers, facts["pack"]["wall_s"])
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
