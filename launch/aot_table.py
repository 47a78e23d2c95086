"""Puts what `launch.aot --json` found into the table of `docs/launch.md`, between its two marks.

python -m launch.aot_table --aot aot/*.json --date 2026-11-24 --page docs/launch.md
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cfd2gray.launch.chips import GIB

from cfd2gray.pages.markdown import markdown_table
from data_pipeline.files import write_atomically

BEGIN, END = "<!-- aot table: begin -->", "<!-- aot table: end -->"


def table(results: Sequence[Mapping[str, Any]], *, date: str) -> str:
    """One line per training step."""
    head = ["config", "slice", "mesh", "clips a step", "memory", "of", "TFLOP", "GB", "FLOP/B", "sent MiB", "ms", "of peak",
            "clips/s"]  # fmt: skip
    rows = []
    for result in sorted(results, key=lambda r: (r["config"], r["topology"], r["batch_size"])):
        step, fsdp = result["programs"]["train"], result["mesh"]["fsdp"]
        sent = sum(kind["sent"] for kind in step["collectives"].values()) / 2**20
        rows.append(
            [
                result["config"],
                result["topology"],
                f"{result['chips'] // fsdp} x {fsdp}",
                str(result["batch_size"]),
                f"{step['memory']['peak'] / GIB:.1f} GiB",
                f"{step['memory']['limit'] / GIB:.1f}",
                f"{step['flops'] / 1e12:.2f}",
                f"{step['bytes'] / 1e9:.0f}",
                f"{step['intensity']:.0f}",
                f"{sent:.0f}",
                f"{1e3 * step['seconds']:.0f}",
                f"{step['efficiency']:.0%}",
                f"{result['batch_size'] / step['seconds']:.0f}",
            ]
        )
    jax = ", ".join(sorted({result["jax"] for result in results}))
    quick = "with --quick" if all(result["quick"] for result in results) else "with full effort, or --quick"
    return (
        f"*Generated on {date} by `launch.aot` {quick} and `launch.aot_table`, JAX {jax}: compiled by the TPU compiler, "
        "predicted, not measured. All figures are per chip and training step but the last, which is of the whole slice.*\n\n"
        + "\n".join(markdown_table(head, rows))
    )


def replace_between(page: str, text: str) -> str:
    """``page`` with ``text`` between its marks. Raises ``ValueError`` when a mark is missing or twice there."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page must hold {BEGIN} and then {END} once")
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m launch.aot_table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--aot", type=pathlib.Path, nargs="+", required=True, metavar="JSON")
    parser.add_argument("--date", required=True, help="when the files were made, YYYY-MM-DD")
    parser.add_argument("--page", type=pathlib.Path, required=True, metavar="MD")
    args = parser.parse_args(argv)
    try:
        text = table([json.loads(path.read_text()) for path in args.aot], date=args.date)
        page = replace_between(args.page.read_text(), text)
        write_atomically(args.page, page)
    except (ValueError, OSError, KeyError) as error:
        print(f"launch.aot_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
