"""Our reader against independent ones (pydicom, GDCM, FFmpeg's program, Pillow); prints every difference and the shares.

    python -m tests.benchmarks.bench_differential [--every N]

`docs/readers_compared.md` explains the differences one by one.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import tempfile

from tests.data_pipeline.readers.other_readers import comparisons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th file")
    args = parser.parse_args()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    files: dict[str, set[str]] = collections.defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        for name, reader, verdict, detail in comparisons(pathlib.Path(folder), every=args.every):
            counts[reader][verdict] += 1
            files[name].add(verdict)
            if verdict not in ("equal", "neither"):
                print(f"{verdict:9s} {reader:12s} {name}: {detail}", flush=True)
    print("| reader | equal | differs | only ours reads | only the other reads | neither |")
    print("| --- | --- | --- | --- | --- | --- |")
    for reader, found in counts.items():
        print(f"| {reader} |", *(f"{found[key]} |" for key in ("equal", "differs", "only we", "only they", "neither")))
    compared = [verdicts for verdicts in files.values() if verdicts & {"equal", "differs"}]
    unread = sum("only they" in verdicts for verdicts in files.values())
    always = sum("differs" not in verdicts for verdicts in compared)
    once = sum("equal" in verdicts for verdicts in compared)
    print(
        f"{len(compared)} files that ours and another read: {100 * once / len(compared):.2f} % equal to one of the others, "
        f"{100 * always / len(compared):.2f} % to all; {unread} more only others read"
    )


if __name__ == "__main__":
    main()
