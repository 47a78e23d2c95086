"""From a user's archive to training records."""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import Any

from cfd2gray.commands.parsers import AddCommand, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("census", run_census, "what an archive holds and what translation adds", "census DICOM -o census")
    _add_archive(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, help="folder for census.csv, .json and .html")

    about = "find colour and greyscale pairs in an archive"
    sub = add("pair", run_pair, about, "pair DICOM --contact-sheet pairs.png")
    _add_archive(sub)
    _add_paint(sub)
    sub.add_argument("--contact-sheet", type=pathlib.Path, metavar="PNG")
    sub.add_argument("--rows", type=int, default=40, help="pairs on the sheet at most")

    about = "pack an archive's pairs into training records"
    sub = add("pack", run_pack, about, "pack DICOM -o records --key-file key")
    _add_archive(sub)
    _add_paint(sub)
    sub.add_argument("--encoding", choices=("raw", "zstd"), default="raw")
    sub.add_argument("--shard-mb", type=float, default=256.0)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)


def _add_archive(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("archive", type=pathlib.Path, help="a folder of DICOM, video or image files")
    sub.add_argument("--view-csv", type=pathlib.Path, help="which view each file shows")
    sub.add_argument("--key-file", type=pathlib.Path, help="secret of the identifiers' hashes; made when missing")
    sub.add_argument("--workers", type=int, default=os.cpu_count())


def _add_paint(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--paint", type=int, default=0, metavar="N", help="also N painted pairs of each greyscale clip")


def _archive_key(args: argparse.Namespace) -> bytes:
    from cfd2gray.translation.batch import read_key

    return read_key(args.key_file)


def _archive_jobs(args: argparse.Namespace) -> list:
    from data_pipeline.archive_pairs import archive_jobs
    from data_pipeline.census import read_view_csv

    views = read_view_csv(args.view_csv) if args.view_csv else None
    seeds = tuple(range(args.paint))
    return archive_jobs(args.archive, key=_archive_key(args), views=views, paint_seeds=seeds)


def run_pair(args: argparse.Namespace) -> int:
    import collections

    from data_pipeline.contact_sheet import write_contact_sheet
    from data_pipeline.parallel import progress_bar, run_ordered

    jobs, kinds, reasons, shown = _archive_jobs(args), collections.Counter(), collections.Counter(), []
    with progress_bar("files") as bar:
        task = bar.add_task("pairing", total=len(jobs))
        for _, outcome in run_ordered(_call, jobs, workers=args.workers):
            reasons.update([outcome.code] if outcome.code else [])
            for pair in outcome.result or ():
                kinds[pair.kind] += 1
                if len(shown) < args.rows:
                    shown.append(pair)
            bar.advance(task)
    if args.contact_sheet and shown:
        write_contact_sheet(args.contact_sheet, shown)
    write_result(args, {"files": len(jobs), "pairs": dict(kinds), "no_pair": dict(reasons)})
    print(f"{len(jobs)} files: {dict(kinds) or 'no pairs'}; without a pair: {dict(reasons)}")
    return 0 if kinds else 1


def _call(job: Any) -> list:
    return list(job())


def run_pack(args: argparse.Namespace) -> int:
    from data_pipeline.pack import pack

    manifest = pack(_archive_jobs(args), args.out, encoding=args.encoding, workers=args.workers, shard_mb=args.shard_mb)
    clips = sum(shard.n_clips for shard in manifest.shards)
    write_result(args, {"clips": clips, "counts": dict(manifest.counts), "left_out": dict(manifest.errors)})
    print(f"{clips} clips in {args.out}; left out: {dict(manifest.errors) or 'none'}")
    return 0


def run_census(args: argparse.Namespace) -> int:
    import rich.console

    from data_pipeline import census_page, census_tables
    from data_pipeline.census import census

    found = census(args.archive, out_dir=args.out, view_csv=args.view_csv, key=_archive_key(args), workers=args.workers)
    console = rich.console.Console()
    console.print(census_tables.terminal_table(found))
    console.print(census_tables.headline(found))
    if args.out:
        census_tables.write_csv(found, args.out / "census.csv")
        census_tables.write_json(found, args.out / "census.json")
        census_page.write_html(found, args.out / "census.html")
        print(f"page: {args.out / 'census.html'}")
    write_result(args, census_tables.summary(found))
    return 0
