"""An archive of a million entries: listing, the end of a packing, a census put together, with their peak memory.

    python -m tests.benchmarks.bench_archive listing FOLDER --entries 1000000
    python -m tests.benchmarks.bench_archive finish FOLDER --entries 1000000
    python -m tests.benchmarks.bench_archive report FOLDER --entries 1000000

``listing`` walks over hard links to a few files and makes jobs and their names. ``finish`` joins rows that a packing would
have written (drawn thumbnails, sparse shards). ``report`` joins a census whose rows lie in SQLite. Peaks are those of the
kernel (VmHWM). What packing itself costs, and kills: `bench_drill`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from cfd2gray.pages import census as census_page
from data_pipeline.census import tables
from data_pipeline.census.rows import CensusOptions, CensusRow, SeenRows, fields_of
from data_pipeline.census.run import census, name_of
from data_pipeline.pairs.jobs import archive_jobs
from data_pipeline.readers.archive import list_archive
from data_pipeline.readers.datasets import Item
from data_pipeline.records import batches, pack
from data_pipeline.records import manifest as manifests
from data_pipeline.records.manifest import ClipRow
from data_pipeline.records.places import Folder
from data_pipeline.screen.deidentify import KeyedHasher
from tests.benchmarks.measured import measured

KEY = b"a secret of the benchmark"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("listing", "finish", "report", "_finish", "_report"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.what == "_finish":
        return finish_alone(options.folder)
    if options.what == "_report":
        return report_alone(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    facts = {"listing": listing, "finish": finish, "report": report}[options.what](options.folder, options.entries)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
