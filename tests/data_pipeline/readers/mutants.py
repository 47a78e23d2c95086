"""Mutated files against the readers: run as a program, since only another process can see a crash.

    python -m tests.data_pipeline.readers.mutants SAMPLES_FOLDER FIRST_SEED COUNT

Prints one line ``SEED SAMPLE OUTCOME SECONDS`` per mutant before and after it is read, so the last line names a mutant
that brought the process down. Memory is limited to what the process needs to start plus 1.5 GiB.
"""

from __future__ import annotations

import pathlib
import resource
import struct
import sys
import time

import numpy as np

from data_pipeline.readers import IngestError, Limits, read_clip

LIMITS = Limits(max_decoded_bytes=64 << 20, max_file_bytes=16 << 20, max_frames=500)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(data: bytes, seed: int) -> bytes:
    """One of eight kinds of damage, one to four times; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    if seed % 10 == 0:  # a clean cut at a multiple of 5 %
        return data[: len(data) * int(rng.integers(0, 20)) // 20]
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(out) < 16:
            break
        where = int(rng.integers(len(out)) if rng.random() < 0.4 else rng.integers(min(len(out), 2500)))
        kind = int(rng.integers(8))
        if kind == 0:
            out[where] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[where] = int(rng.integers(256))
        elif kind == 2:
            wide = int(rng.choice([2, 4]))
            value = EXTREMES[int(rng.integers(len(EXTREMES)))] & (0xFFFF if wide == 2 else 0xFFFFFFFF)
            order = "<" if rng.random() < 0.7 else ">"
            out[where : where + wide] = struct.pack(order + ("H" if wide == 2 else "I"), value)
        elif kind == 3:
            del out[where : where + int(rng.integers(1, 64))]
        elif kind == 4:
            out[where:where] = rng.integers(0, 256, int(rng.integers(1, 64))).astype(np.uint8).tobytes()
        elif kind == 5:
            size = int(rng.integers(1, 256))
            out[where:where] = out[where : where + size]
        elif kind == 6:
            size, other = int(rng.integers(1, 256)), int(rng.integers(len(out)))
            out[where : where + size], out[other : other + size] = out[other : other + size], out[where : where + size]
        else:
            del out[int(rng.integers(len(out))) :]
    return bytes(out)


def main(folder: str, first: int, count: int) -> None:
    samples = sorted(pathlib.Path(folder).glob("sample_*"))
    target = pathlib.Path(folder) / "mutant"
    target.mkdir(exist_ok=True)
    for sample in samples:  # every decoder is loaded before memory is limited
        read_clip(sample, limits=LIMITS)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 29), resource.RLIM_INFINITY))
    for seed in range(first, first + count):
        sample = samples[seed % len(samples)]
        path = target / sample.name
        path.write_bytes(mutate(sample.read_bytes(), seed))
        print(seed, sample.name, "...", flush=True)
        start = time.perf_counter()
        try:
            clip = read_clip(path, limits=LIMITS, salvage=seed % 3 == 0)
            outcome = f"read:{len(clip.frames)}"
        except IngestError as error:
            outcome = error.code
        except BaseException as error:  # what must not happen is reported, not hidden
            outcome = f"STRAY:{type(error).__name__}:{' '.join(str(error).split())[:200]}"
        print(seed, sample.name, outcome, f"{time.perf_counter() - start:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
