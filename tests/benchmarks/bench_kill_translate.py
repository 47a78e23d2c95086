"""A folder translation that is killed again and again ends with the same bytes as one that was left alone.

python -m tests.benchmarks.bench_kill_translate FOLDER [--files 200] [--kills 10]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np

from data_pipeline.simulation.simulator import simulate_pair
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode


def make_files(folder: pathlib.Path, count: int) -> None:
    """Small clips of five kinds, with and without colour, some broken, some twice."""
    rng = np.random.default_rng(0)
    pair = simulate_pair("A4C", 1, height=64, width=64, frames=6)
    grey = np.repeat(pair.grey, 3, axis=3)
    for number in range(count):
        place = folder / f"study {number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        frames = np.roll(pair.cfd if number % 3 else grey, number % 5, axis=0)[: 2 + number % 4]
        stem = place / f"clip {number:03d}"
        kind = number % 8
        if kind in (0, 1, 2):
            samples.save(samples.header(frames, PatientID=f"P{number % 11}"), stem.with_suffix(".dcm"))
        elif kind in (3, 4):
            np.save(stem.with_suffix(".npy"), frames)
        elif kind == 5:
            encode(str(stem.with_suffix(".avi")), frames, codec="ffv1", pixels="bgr0")
        elif kind == 6:
            cv2.imwrite(str(stem.with_suffix(".png")), frames[0, ..., ::-1])
        else:
            stem.with_suffix(".dcm").write_bytes(rng.bytes(400))


def tree(out: pathlib.Path) -> dict[str, str]:
    """Digest of every file of a folder of results and of its map."""
    files = [*(path for path in out.rglob("*") if path.is_file()), out.with_name(out.name + ".map.csv")]
    return {
        str(path.relative_to(out.parent)).replace(out.name, "OUT", 1): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def command(source: pathlib.Path, out: pathlib.Path, key: pathlib.Path, format: str) -> list[str]:
    return [
        sys.executable, "-m", "cfd2gray.cli", "translate", str(source), "-o", str(out), "--key-file", str(key),
        "--format", format,
    ]  # fmt: skip


def count_files(folder: pathlib.Path) -> int:
    """Files below a folder in which others come and go."""
    return sum(len(files) for _, _, files in os.walk(folder))


def killed(run: list[str], out: pathlib.Path, *, kills: int, seconds: float, seed: int = 0) -> int:
    """Run ``run`` to its end after ``kills`` kills, each at a random time after results begin to come; the kills that hit."""
    rng, hits = random.Random(seed), 0
    for _ in range(kills):
        before = count_files(out)
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        waited = time.monotonic()
        while process.poll() is None and time.monotonic() - waited < 120:
            if count_files(out) > before:
                break
            time.sleep(0.02)
        time.sleep(rng.random() * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            hits += 1
        process.wait()
    subprocess.run(run, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--format", default=".dcm")
    args = parser.parse_args()
    shutil.rmtree(args.folder, ignore_errors=True)
    source, key = args.folder / "in", args.folder / "key"
    make_files(source, args.files)
    start = time.monotonic()
    whole, torn = args.folder / "whole", args.folder / "torn"
    print(subprocess.run(command(source, whole, key, args.format), capture_output=True, text=True, check=False).stdout)
    seconds = time.monotonic() - start
    hits = killed(command(source, torn, key, args.format), torn, kills=args.kills, seconds=0.8 * seconds / args.kills)
    left, right = tree(whole), tree(torn)
    differing = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    print(f"{args.files} files, one run {seconds:.0f} s, {hits} kills; {len(left)} files, {len(differing)} differ")
    print(*differing[:20], sep="\n")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
