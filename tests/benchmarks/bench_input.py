"""How fast packed clips come in: encodings and readers on the same data, paired and alternated.

    python tests/benchmarks/bench_input.py --clips 120 --frames 16 --size 128 --json input.json

Every contender delivers batches of 8 clips as NumPy arrays (cfd, grey, strata, labels). They run in short blocks, one
after another, again and again in changing order, so that the drift of a shared machine hits all alike; ratios are
taken within a round, and the median over the rounds is reported with its range. ``read()`` is the bandwidth of the
page cache: the file read into one small buffer that never leaves the processor's cache, and nothing else; ``read() of
whole batches`` has to write to memory, as everything that delivers batches does. Grain reads at random, in shuffled
order, tf.data in the order of the file.

The few clips that are packed stand for an epoch of `EPOCH`: Grain's shuffle draws again until a number lies within the
data set, which costs 0.1 ms a clip among a hundred clips and 3 us among thousands.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from data_pipeline.loading import loader
from data_pipeline.loading.batching import ReusingStack
from data_pipeline.records import example as records
from data_pipeline.records import pack
from data_pipeline.records.tfrecord import ShardSource
from data_pipeline.schema import BOX, FLOW, SECTOR, PairRecord

BATCH, EPOCH = 8, 20_000


def speckle_clips(count: int, *, frames: int, size: int) -> Iterator[PairRecord]:
    """Clips that compress like ultrasound: moving speckle in a sector, a box with colour, black around."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] * (128.0 / size)
    angle, radius = np.arctan2(x - 64, y + 12), np.hypot(x - 64, y + 12)
    sector = (abs(angle) < 0.65) & (radius > 16) & (radius < 134)
    for number in range(count):
        noise = rng.standard_normal((2, size + 32, size + 32))
        noise = (noise + np.roll(noise, 1, 2) + np.roll(noise, 2, 2) + np.roll(noise, 1, 1)) / 2
        envelope = np.hypot(*noise)
        cfd = np.empty((frames, size, size, 3), np.uint8)
        grey, strata = np.empty((frames, size, size, 1), np.uint8), np.empty((frames, size, size), np.uint8)
        centre, extent = rng.integers(40, 90, 2), rng.integers(10, 25)
        for time_ in range(frames):
            shift = 16 + int(4 * np.sin(time_ / 3 + number))
            level = envelope[shift : shift + size, 16 : 16 + size] * (0.35 + 0.65 * np.exp(-radius / 120)) * 90
            chamber = np.hypot(y - centre[0], x - centre[1]) < extent
            level = np.clip(level + rng.standard_normal((size, size)) * 3, 0, 255) * np.where(chamber, 0.15, 1)
            frame = np.where(sector, level, 0).astype(np.uint8)
            flow = np.sin(time_ / 2 + x / 9) * (chamber & sector)
            grey[time_, ..., 0] = frame
            cfd[time_] = frame[..., None]
            cfd[time_][flow > 0.3] = (np.stack([flow, flow * 0.3, flow * 0], -1)[flow > 0.3] * 255).astype(np.uint8)
            cfd[time_][flow < -0.3] = (np.stack([flow * 0, -flow * 0.3, -flow], -1)[flow < -0.3] * 255).astype(np.uint8)
            strata[time_] = sector * SECTOR + chamber * BOX + (abs(flow) > 0.3) * FLOW
        yield PairRecord(
            cfd=cfd, grey=grey, strata=strata, labels=np.zeros_like(strata), clip_id=f"c{number}",
            patient_id=f"p{number}", view="A4C", kind="simulated", shared=True, fps=20.0,
        )  # fmt: skip


def arrays(record: PairRecord) -> dict[str, np.ndarray]:
    return {name: getattr(record, name) for name in records.ARRAYS}


class Epoch:
    """A source that repeats a few clips, so that Grain shuffles as many as a data set has."""

    def __init__(self, source: ShardSource | ArrayRecords) -> None:
        self.source = source

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> PairRecord:
        return self.source[int(index) % len(self.source)]


def by_grain(source: ShardSource | ArrayRecords, *, threads: int) -> Iterator[dict]:
    dataset = (
        grain.MapDataset.source(Epoch(source))
        .seed(0)
        .shuffle()
        .repeat()
        .map(arrays)
        .batch(BATCH, batch_fn=ReusingStack())
    )
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))


class ArrayRecords:
    """The same records in a file of ArrayRecord, one a group, uncompressed, through its own source."""

    def __init__(self, directory: Path, file: Path) -> None:
        if not file.exists():
            source, writer = ShardSource(directory, "train"), ArrayRecordWriter(str(file), "group_size:1,uncompressed")
            for number in range(len(source)):
                writer.write(bytes(source.serialized(number)))
            writer.close()
        self.source = grain.sources.ArrayRecordDataSource([str(file)])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> PairRecord:
        return records.decode(self.source[index])


def by_loop(directory: Path) -> Iterator[dict]:
    source, rng, stack = ShardSource(directory, "train"), np.random.default_rng(0), ReusingStack()
    while True:
        order = rng.permutation(len(source))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield stack([arrays(source[int(i)]) for i in order[start : start + BATCH]])


def by_loader(directory: Path, *, frames: int, size: int, workers: int = 0) -> Iterator[dict]:
    return iter(
        loader.make_loader(
            ShardSource(directory, "train"), batch_size=BATCH, frames=frames, size=size, seed=0, training=True,
            num_workers=workers,
        )
    )  # fmt: skip


def by_tf_data(directory: Path, *, threads: int) -> Iterator[dict]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    spec = {}
    for name in records.ARRAYS:
        spec[f"{name}/value"] = tf.io.FixedLenFeature([], tf.string)
        spec[f"{name}/shape"] = tf.io.FixedLenFeature([4 if name in ("cfd", "grey") else 3], tf.int64)

    def parse(data):
        row = tf.io.parse_single_example(data, spec)
        return {
            name: tf.reshape(tf.io.decode_raw(row[f"{name}/value"], tf.uint8), row[f"{name}/shape"])
            for name in records.ARRAYS
        }

    files = sorted(str(path) for path in directory.glob("*.tfrecord-?????"))
    dataset = tf.data.TFRecordDataset(files).repeat().map(parse, num_parallel_calls=threads, deterministic=True)
    return dataset.batch(BATCH, drop_remainder=True).prefetch(2).as_numpy_iterator()


def by_read(directory: Path, clip_bytes: float, *, buffer_bytes: int = 4 << 20) -> Iterator[None]:
    """The bytes of a batch through read(), from the page cache into one buffer that is used again and again."""
    buffer, left = bytearray(buffer_bytes), 0.0
    while True:
        for path in sorted(directory.glob("*.tfrecord-?????")):
            with open(path, "rb", buffering=0) as file:
                while n := file.readinto(buffer):
                    left += n
                    while left >= BATCH * clip_bytes:
                        left -= BATCH * clip_bytes
                        yield None


def paired(contenders: dict[str, Iterator], *, base: str, rounds: int, block_s: float) -> dict[str, dict[str, float]]:
    """Seconds per batch of each contender, in alternation; ratios of speed to ``base`` within each round."""
    names = list(contenders)
    for name in names:
        for _ in range(4):
            next(contenders[name])
    seconds: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            next(contenders[name])  # what was prefetched while the others ran is not counted
            next(contenders[name])
            count, start, used = 0, time.perf_counter(), time.process_time()
            while (elapsed := time.perf_counter() - start) < block_s or count < 3:
                next(contenders[name])
                count += 1
            seconds[name].append(elapsed / count)
            cpu[name].append((time.process_time() - used) / count)
    table = {}
    for name in names:
        ratios = [b / own for own, b in zip(seconds[name], seconds[base])]
        table[name] = {
            "clips_per_s": BATCH / statistics.median(seconds[name]),
            "cpu_ms_per_clip": 1e3 * statistics.median(cpu[name]) / BATCH,
            f"speed_to_{base}": statistics.median(ratios),
            "to_read": statistics.median(b / own for own, b in zip(seconds[name], seconds["read()"])),
            "low": min(ratios),
            "high": max(ratios),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clips", 120), ("frames", 16), ("size", 128), ("rounds", 9), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--block-s", type=float, default=0.4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    clip_bytes = options.frames * options.size**2 * 6
    report: dict[str, dict] = {"settings": {k: v for k, v in vars(options).items() if k != "json"}, "sizes": {}}
    with tempfile.TemporaryDirectory() as folder:
        directories = {name: Path(folder) / name for name in records.ENCODINGS}
        clips = list(speckle_clips(options.clips, frames=options.frames, size=options.size))
        for encoding, directory in directories.items():
            start = time.perf_counter()
            manifest = pack.pack(
                clips, directory, encoding=encoding, shard_mb=64, fractions=[("train", 1.0)], progress=False
            )
            elapsed = time.perf_counter() - start
            stored = sum(shard.n_bytes for shard in manifest.shards)
            report["sizes"][encoding] = {
                "relative_size": stored / (clip_bytes * len(clips)),
                "pack_mb_per_s": clip_bytes * len(clips) / elapsed / 1e6,
            }
        raw, zstd = directories["raw"], directories["zstd"]
        contenders: dict[str, Iterator] = {
            "read()": by_read(raw, sum(path.stat().st_size for path in raw.glob("*.tfrecord-?????")) / len(clips)),
            "read() of whole batches": by_read(
                raw,
                sum(path.stat().st_size for path in raw.glob("*.tfrecord-?????")) / len(clips),
                buffer_bytes=4 * BATCH * int(clip_bytes),
            ),
            "grain raw": by_grain(ShardSource(raw), threads=options.threads),
            "grain raw, crc always": by_grain(ShardSource(raw, verify_crc="always"), threads=options.threads),
            "grain raw of ArrayRecord": by_grain(
                ArrayRecords(raw, Path(folder) / "raw.array_record"), threads=options.threads
            ),
            "grain zstd": by_grain(ShardSource(zstd), threads=options.threads),
            "grain zstd of ArrayRecord": by_grain(
                ArrayRecords(zstd, Path(folder) / "zstd.array_record"), threads=options.threads
            ),
            "plain loop raw": by_loop(raw),
            "loader raw, half the frames": by_loader(raw, frames=max(1, options.frames // 2), size=options.size),
        }
        tf_data: Callable[[], Iterator] = lambda: by_tf_data(raw, threads=options.threads)  # noqa: E731
        try:
            contenders["tf.data raw"] = tf_data()
        except ImportError:
            print("TensorFlow is not installed: no comparison with tf.data")
        base = "tf.data raw" if "tf.data raw" in contenders else "read()"
        report["readers"] = paired(contenders, base=base, rounds=options.rounds, block_s=options.block_s)
    for encoding, row in report["sizes"].items():
        print(f"{encoding:6} size {row['relative_size']:.2f} of the pixels, packed at {row['pack_mb_per_s']:.0f} MB/s")
    for name, row in sorted(report["readers"].items(), key=lambda item: -item[1]["clips_per_s"]):
        print(
            f"{name:28} {row['clips_per_s']:8.0f} clips/s  {row['clips_per_s'] * clip_bytes / 1e6:7.0f} MB/s"
            f"  cpu {row['cpu_ms_per_clip']:6.3f} ms/clip"
            f"  x{row[f'speed_to_{base}']:.2f} of {base} [{row['low']:.2f}-{row['high']:.2f}]  x{row['to_read']:.2f} of read()"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
