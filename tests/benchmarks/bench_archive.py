"""An archive of a million entries: listing, census, packing and its end, with their peak memory, and what kills cost.

    python -m tests.benchmarks.bench_archive listing FOLDER --entries 1000000
    python -m tests.benchmarks.bench_archive finish FOLDER --entries 1000000
    python -m tests.benchmarks.bench_archive report FOLDER --entries 1000000
    python -m tests.benchmarks.bench_archive drill FOLDER --entries 20000 --kills 20

``listing`` walks over hard links to a few files and makes jobs and their names. ``finish`` joins rows that a packing would
have written (drawn thumbnails, sparse shards). ``report`` joins a census whose rows lie in SQLite. ``drill`` packs real
DICOM files of real headers and tiny pixels by a job that reads, checks and writes them; then again, killed with SIGKILL
(workers as often as parents) and once by a power cut, which is the kill of everything and the loss of what no fsync had
named; the data sets must be equal. Peaks are those of the kernel (VmHWM), the parent's own and the largest of its workers.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from cfd2gray.pages import census as census_page
from data_pipeline.census import tables
from data_pipeline.census.rows import CensusOptions, CensusRow, SeenRows, fields_of
from data_pipeline.census.run import census, name_of
from data_pipeline.pairs.jobs import archive_jobs
from data_pipeline.readers.archive import list_archive
from data_pipeline.readers.datasets import Item
from data_pipeline.records import batches, example, pack
from data_pipeline.records import manifest as manifests
from data_pipeline.records.manifest import ClipRow
from data_pipeline.records.places import Folder
from data_pipeline.records.tfrecord import ShardSource, ShardWriter
from data_pipeline.schema import SECTOR, PairRecord
from data_pipeline.screen.deidentify import KeyedHasher
from tests.data_pipeline.tiny_archive import simulated, write_dicom

KEY = b"a secret of the benchmark"
FSYNC_LOG = "BENCH_FSYNC_LOG"


@contextlib.contextmanager
def measured(what: str, facts: dict) -> Iterator[None]:
    wall, cpu = time.monotonic(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    facts[what] = {
        "wall_s": round(time.monotonic() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mib": peak,
    }
    print(what, facts[what], flush=True)


def links(folder: pathlib.Path, entries: int) -> None:
    """A hundred files a series, ten series a patient; a file system allows some 60,000 links to one file."""
    folder.mkdir(parents=True)
    own = [folder / f".file-{number}" for number in range(entries // 50_000 + 1)]
    for path in own:
        path.write_bytes(b"\0" * 128 + b"DICM")
    for series in range(entries // 100):
        place = folder / f"P{series // 10:05d}" / f"S{series % 10:02d}"
        place.mkdir(parents=True)
        for number in range(100):
            os.link(own[(series * 100 + number) // 50_000], place / f"IM_{number:04d}.dcm")


def listing(folder: pathlib.Path, entries: int) -> dict:
    archive, facts = folder / "links", {}
    if not archive.exists():
        links(archive, entries)
    with measured("listing", facts):
        found = list_archive(archive, leave_out=archive / "out")
    with measured("jobs and their names", facts):
        (folder / "plan").mkdir(exist_ok=True)
        jobs = archive_jobs(found.items, key=KEY)
        planned = batches.plan(Folder(folder / "plan"), jobs, key=KEY)
    facts["entries"] = sum(len(batch) for batch in planned)
    return facts


def drawn_row(number: int) -> ClipRow:
    patient = hashlib.md5(f"patient {number // 12}".encode()).hexdigest()
    return ClipRow(
        clip_id=hashlib.md5(str(number).encode()).hexdigest(),
        patient_id=patient,
        view=("A4C", "A2C", "PLAX", "LIVER")[number % 4],
        kind="painted",
        shared=True,
        n_frames=40 + number % 50,
        height=256,
        width=256,
        fps=30.0,
        score=0.9,
        vendor="GE",
        source_digest=hashlib.sha256(str(number).encode()).hexdigest(),
        split=(("train",) * 8 + ("val", "test"))[int(patient[:8], 16) % 10],
    )


def drawn_thumbnails(entries: int, seed: int = 0) -> Iterator[np.ndarray]:
    """uint8 ``[n, 1024]`` blocks of 64: combinations of smooth patterns, no two alike, but for one of a thousand copies."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] / 32
    waves = [np.cos(np.pi * (i * y + j * x)) / (1 + i + j) for i in range(14) for j in range(14)]
    basis = np.stack(waves).reshape(len(waves), -1).astype(np.float32)
    first = None
    for start in range(0, entries, 64):
        images = 100 + 25 * rng.standard_normal((min(64, entries - start), len(basis)), np.float32) @ basis
        block = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        first = block[:1] if first is None else first
        if start % 64_000 == 0:
            block[-1] = first
        yield block


def finish(folder: pathlib.Path, entries: int) -> dict:
    facts: dict = {}
    out = folder / f"packed-{entries}"
    shutil.rmtree(out, ignore_errors=True)
    place = Folder(out)
    settings = pack.make_settings(
        name="pairs", encoding="zstd", shard_mb=256, fractions=(("train", 0.8), ("val", 0.1), ("test", 0.1)), salt="",
        options=None,
    )  # fmt: skip
    pack.claim(place, settings)
    keys = []
    for number, images in enumerate(drawn_thumbnails(entries)):
        name, sizes, clips = f"0000-{number:06d}", {}, []
        for place_in, image in enumerate(images):
            row = drawn_row(number * 64 + place_in)
            shard = f"{name}-{row.split}-00"
            at = sizes.get(shard, 0)
            sizes[shard] = at + 12 + 1_000_000 + 4
            clips.append({
                "type": "clip", "row": manifests.fields_of(row), "shard": shard, "offset": at + 12, "length": 1_000_000,
                "thumbnail": base64.b64encode(image.tobytes()).decode(),
            })  # fmt: skip
        jobs = [{"type": "job", "key": f"{number * 64 + n:024x}", "code": ""} for n in range(len(images))]
        keys += [job["key"] for job in jobs]
        shards = [{"type": "shard", "name": s, "n_bytes": n, "sha256": "0" * 64} for s, n in sizes.items()]
        for shard, size in sizes.items():
            with open(out / "batches" / shard, "wb") as file:
                file.truncate(size)
        lines = [{"type": "duplicates", "count": 0}, *shards, *jobs, *clips]
        (out / "batches" / f"{name}.jsonl").write_text(
            "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        )
    (out / "batches" / "plan-0000.txt").write_text("\n".join(keys) + "\n")
    del keys
    subprocess.run([sys.executable, "-m", __spec__.name, "_finish", str(out)], check=True)
    facts |= json.loads((folder / f"packed-{entries}.json").read_text())
    return facts


def finish_alone(out: pathlib.Path) -> None:
    """In a process of its own, whose peak is nothing else's."""
    facts: dict = {}
    with measured("finish", facts):
        manifest = pack.finish(out)
    with measured("finish once more", facts):
        pack.finish(out)
    facts |= {"shards": len(manifest.shards), "clips": sum(shard.n_clips for shard in manifest.shards)}
    facts["near_duplicates"] = len(manifest.near_duplicates)
    pathlib.Path(f"{out}.json").write_text(json.dumps(facts))


def report(folder: pathlib.Path, entries: int) -> dict:
    """A census that has seen everything is put together again; its rows are drawn."""
    archive, out = folder / "links", folder / "census"
    if not archive.exists():
        links(archive, entries)
    shutil.rmtree(out, ignore_errors=True)
    hasher, root = KeyedHasher(KEY), os.path.join(archive, "")
    with SeenRows(out, CensusOptions()):
        pass  # makes the tables
    with contextlib.closing(sqlite3.connect(out / "census.sqlite")) as file, file:
        file.executemany(
            "INSERT INTO rows VALUES (?, 40, 0, ?)",
            (seen_row(n, item, root, hasher) for n, item in enumerate(list_archive(archive).items)),
        )
    subprocess.run([sys.executable, "-m", __spec__.name, "_report", str(folder)], check=True)
    return json.loads((folder / "report.json").read_text())


def seen_row(number: int, item: Item, root: str, hasher: KeyedHasher) -> tuple[str, str]:
    row = CensusRow(
        clip=name_of(item, root, hasher), modality=("cfd", "bmode", "dual", "spectral", "still")[number % 5], n_frames=60,
        patient=hasher.patient(str(number // 12)), patient_known=True, study=hasher.study(str(number // 6)), score=0.9,
        view=("A4C", "PLAX", "LIVER")[number % 3], height=600, width=800, fps=30.0, vendor="GE",
    )  # fmt: skip
    return row.clip, json.dumps(fields_of(row))


def report_alone(folder: pathlib.Path) -> None:
    facts: dict = {}
    with measured("census of what was seen", facts):
        found = census(folder / "links", out_dir=folder / "census", key=KEY)
    with measured("tables and page", facts):
        tables.write_csv(found, folder / "census" / "census.csv")
        tables.write_json(found, folder / "census" / "census.json")
        census_page.write_html(found, folder / "census" / "census.html")
        tables.write_private_list(found, folder / "census" / "private.csv")
    facts["rows"] = len(found.rows)
    (folder / "report.json").write_text(json.dumps(facts))


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
            fps=clip.info.fps, score=1.0, vendor="", source_digest=clip.info.source_digest, geometry=_FAN,
        )  # fmt: skip


_FAN = simulated().geometry


def dicoms(folder: pathlib.Path, entries: int) -> None:
    """Real headers, 2 frames of 32 x 32 px; each file has its own patient, study and instance, and its own noise."""
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


def drill_once(archive: str, out: str, workers: int) -> None:
    """One packing, and what it took; notes the files that reached the disk."""
    log = os.environ.get(FSYNC_LOG)
    if log:
        fsync = os.fsync

        def noted(handle: int) -> None:
            fsync(handle)
            with open(log, "a") as file:
                file.write(f"{os.fstat(handle).st_ino}\n")

        os.fsync = noted
    facts: dict = {}
    with measured("pack", facts):
        jobs = [ReadAndWrite(item, KeyedHasher(KEY)) for item in list_archive(archive).items]
        pack.pack(jobs, out, key=KEY, workers=workers, shard_mb=16)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts["worker_peak_mib"] = children.ru_maxrss >> 10
    facts["workers_cpu_s"] = round(children.ru_utime + children.ru_stime, 1)
    pathlib.Path(f"{out}.json").write_text(json.dumps(facts))


def plain_loop(archive: str) -> float:
    """Processor seconds of decoding the same files and writing them to one TFRecord file, one after another."""
    before = time.process_time()
    path = pathlib.Path(f"{archive}.records")
    path.unlink(missing_ok=True)
    with ShardWriter(path) as sink:
        for item in list_archive(archive).items:
            with contextlib.suppress(ValueError):
                sink.write(example.encode(ReadAndWrite(item, KeyedHasher(KEY))(), encoding="zstd"))
    path.unlink()
    return time.process_time() - before


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


def drill(folder: pathlib.Path, entries: int, kills: int, workers: int) -> dict:
    archive, whole, torn = folder / f"dicoms-{entries}", folder / "whole", folder / "torn"
    if not archive.exists():
        dicoms(archive, entries)
    for path in (whole, torn):
        shutil.rmtree(path, ignore_errors=True)
    command = [sys.executable, "-m", __spec__.name, "_pack", str(archive)]
    start = time.monotonic()
    subprocess.run([*command, str(whole), "--workers", str(workers)], check=True)
    seconds = time.monotonic() - start
    facts = json.loads(pathlib.Path(f"{whole}.json").read_text())
    facts["loop_cpu_s"] = round(plain_loop(str(archive)), 1)
    facts["rate_to_loop_per_cpu"] = round(facts["loop_cpu_s"] / (facts["pack"]["cpu_s"] + facts["workers_cpu_s"]), 3)
    rng, log = random.Random(0), folder / "fsync.log"
    log.unlink(missing_ok=True)
    parents = died = lost = 0
    for number in range(kills + 1):
        process = subprocess.Popen(
            [*command, str(torn), "--workers", str(workers)], start_new_session=True, stdout=subprocess.DEVNULL,
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
    subprocess.run([*command, str(torn), "--workers", str(workers)], check=True)
    left, right = ids(whole), ids(torn)
    facts |= {
        "kills_of_parents": parents, "kills_of_workers": died, "files_cut": lost, "clips": len(left),
        "same_records": left == right, "same_files": tree(whole) == tree(torn), "errors": dict(manifests.load(torn).errors),
    }  # fmt: skip
    return facts


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
    parser.add_argument("what", choices=("listing", "finish", "report", "drill", "_pack", "_finish", "_report"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", nargs="?")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.what == "_pack":
        return drill_once(str(options.folder), options.out, options.workers)
    if options.what == "_finish":
        return finish_alone(options.folder)
    if options.what == "_report":
        return report_alone(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.what == "drill":
        facts = drill(options.folder, options.entries, options.kills, options.workers)
    else:
        facts = {"listing": listing, "finish": finish, "report": report}[options.what](options.folder, options.entries)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
