"""From a user's archive to training records."""

from __future__ import annotations

import argparse
import functools
import hmac
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cfd2gray.commands.parsers import AddCommand, counted, listed_counts, write_result

PASSED_OVER = ("unknown_format", "not_ultrasound")
"""Codes of files that are simply not for us; every other reader's code makes the exit code 1."""


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("census", run_census, "what an archive holds and what translation adds", "census DICOM -o census")
    _add_archive(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, help="folder for census.csv, .json and .html")
    sub.add_argument("--part", type=_part, metavar="K/N", help="look only at the K-th of N shares, on this machine")
    about = "write which file is what, for you alone: paths, kinds and how sure, use; beside it a page of links"
    sub.add_argument("--private-list", type=pathlib.Path, metavar="CSV", help=about)
    about = (
        "also sheets of small pictures for each kind, and of the unsure (census-KIND.png); names may be legible on them"
    )
    sub.add_argument("--thumbnails", action="store_true", help=about)

    about = "find colour and greyscale pairs in an archive"
    sub = add("pair", run_pair, about, "pair DICOM --contact-sheet pairs.png")
    _add_archive(sub)
    _add_sources(sub)
    sub.add_argument("--contact-sheet", type=pathlib.Path, metavar="PNG")
    sub.add_argument("--rows", type=int, default=40, help="pairs on the sheet at most")
    sub.add_argument("-o", "--out", type=pathlib.Path, help="folder for what was found, to go on with")
    sub.add_argument("--part", type=_part, metavar="K/N", help="look only at the K-th of N shares, on this machine")

    about = "pack an archive's pairs into training records"
    sub = add("pack", run_pack, about, "pack EchoNet-Dynamic --dataset echonet-dynamic --paint 2 -o records")
    _add_archive(sub)
    _add_sources(sub)
    sub.add_argument("--encoding", choices=("raw", "zstd"), default="zstd")
    sub.add_argument("--shard-mb", type=float, default=256.0)
    about = "pack only the K-th of N shares, on this machine; --finish makes one data set of them"
    sub.add_argument("--part", type=_part, metavar="K/N", help=about)
    sub.add_argument("--finish", action="store_true", help="pack nothing more: join what the parts have packed")
    about = "try files again that failed with this code; `transient`: whatever may have passed; may be repeated"
    sub.add_argument("--retry", action="append", default=[], metavar="CODE", help=about)
    about = "pack as an Apache Beam pipeline: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner"
    sub.add_argument("--runner", metavar="NAME", help=about)
    about = "an option of the Beam pipeline, e.g. --runner-option=--project=ours; may be repeated"
    sub.add_argument("--runner-option", action="append", default=[], metavar="TEXT", help=about)
    sub.add_argument("-o", "--out", required=True, help="a new folder; with --runner any place that Beam can write to")


def _add_archive(sub: argparse.ArgumentParser) -> None:
    about = "a folder of DICOM, video or image files, here or in a bucket (s3://, gs://, az://)"
    sub.add_argument("archive", type=_place, help=about)
    sub.add_argument("--dataset", default="", metavar="NAME", help="the layout of a public data set: docs/datasets.md")
    sub.add_argument("--view-csv", type=pathlib.Path, help="which view each file shows: file,view[,patient]")
    about = "secret of the identifiers' hashes; made when missing; by default pack uses OUT.key, census its own folder"
    sub.add_argument("--key-file", type=pathlib.Path, help=about)
    sub.add_argument("--salvage", action="store_true", help="use the whole frames of truncated files")
    sub.add_argument("--dry-run", action="store_true", help="say what would be looked at, and do nothing")
    sub.add_argument("--workers", type=int, default=os.cpu_count())
    about = "after this time a file is given up and counted as `timeout`"
    sub.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS", help=about)
    about = (
        "memory that one worker's data may take; a file that wants more is counted as `memory`; default: the machine's"
    )
    sub.add_argument("--memory-gb", type=float, default=0.0, metavar="GB", help=about)
    about = "read symbolic links (DataLad, git-annex)"
    sub.add_argument("--follow-links", action="store_true", help=about)


def _place(text: str) -> str | pathlib.Path:
    from data_pipeline.storage import is_remote, local_or_remote

    place = local_or_remote(text)
    return place if is_remote(place) else pathlib.Path(place)


def _manner(args: argparse.Namespace) -> dict[str, Any]:
    """How jobs are run: see `data_pipeline.parallel.run_ordered`."""
    return {"workers": args.workers, "timeout": args.timeout, "memory": int(args.memory_gb * 1e9)}


def _dry_run(args: argparse.Namespace, what: str, out: str | pathlib.Path | None) -> int:
    """What would be looked at, from names alone; nothing is written, the key neither."""
    from data_pipeline.readers.archive import list_archive

    listing = list_archive(args.archive, dataset=args.dataset, leave_out=out, follow_links=args.follow_links)
    passed = f"; passed over: {listed_counts(listing.counts)}" if listing.counts else ""
    print(f"{counted(len(listing.items), 'clip')} in {args.archive}{passed}")
    print(f"{what} would go to {out or 'the terminal alone'}; nothing was done")
    return 0


def _part(text: str) -> tuple[int, int]:
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"must be K/N with 1 <= K <= N, got {text!r}")
    return int(k), int(n)


def _add_sources(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--paint", type=int, default=0, metavar="N", help="also N painted pairs of each greyscale clip")
    about = "also weak pairs: a colour clip with a greyscale clip of its study and view (never the same moment)"
    sub.add_argument("--weak", action="store_true", help=about)


def _jobs(args: argparse.Namespace, key: bytes, *, out: str | None = None) -> Sequence:
    """A job for every clip of the archive; ``out`` is where records go, and beside it what --weak has seen."""
    from data_pipeline.census.rows import CensusOptions
    from data_pipeline.census.run import look_at
    from data_pipeline.pairs.jobs import archive_jobs, weak_jobs
    from data_pipeline.readers import Limits
    from data_pipeline.readers.archive import list_archive, read_view_csv
    from data_pipeline.screen.deidentify import KeyedHasher

    views = read_view_csv(args.view_csv) if args.view_csv else None
    follow = args.follow_links
    listing = list_archive(args.archive, dataset=args.dataset, views=views, leave_out=out, follow_links=follow)
    for why, path in listing.passed_over:
        _teller(args)(path, why, None)
    if listing.counts:
        print(f"passed over: {listed_counts(listing.counts)}", file=sys.stderr)
    limits = Limits(follow_symlinks=follow)
    jobs = archive_jobs(listing.items, key=key, paint_seeds=range(args.paint), salvage=args.salvage, limits=limits)
    if not args.weak:
        return jobs
    own = f"-{args.part[0]}-of-{args.part[1]}" if args.part else ""  # parts of one archive run at one time
    kept = f"{out.rstrip('/')}.census{own}" if out and "://" not in out else None
    options = CensusOptions(salvage=args.salvage, follow_links=follow)
    seen = look_at(listing.items, args.archive, out_dir=kept, key=key, options=options, **_manner(args))
    return [*jobs, *weak_jobs(listing.items, seen.rows, hasher=KeyedHasher(key), limits=limits)]


def _key(path: pathlib.Path | None) -> bytes:
    from data_pipeline.screen.deidentify import secret_key

    return secret_key(path)


def _teller(args: argparse.Namespace) -> Callable[[Any, str, BaseException | None], None]:
    """Says which input failed, to the person who asks with --verbose; nothing is written down."""
    return functools.partial(_tell, args.verbose)


def _tell(verbose: bool, what: Any, code: str, error: BaseException | None) -> None:
    if verbose:
        print(str(error or (f"{what}: {code}" if isinstance(what, str) else code)), file=sys.stderr)


def _exit_code(counts: Mapping[str, int]) -> int:
    from data_pipeline.readers import CODES

    return int(
        any(count and (code in CODES or _broke(code)) and code not in PASSED_OVER for code, count in counts.items())
    )


def _broke(code: str) -> bool:
    from data_pipeline.parallel import DEFECT, DIED, MEMORY

    return code.startswith(DEFECT) or code in ("timeout", DIED, MEMORY)


def run_pair(args: argparse.Namespace) -> int:
    import collections
    import itertools

    from data_pipeline.contact_sheet import write_contact_sheet
    from data_pipeline.pairs.found import Found, FoundPairs
    from data_pipeline.parallel import progress_bar, run_ordered
    from data_pipeline.records.batches import job_keys
    from data_pipeline.records.example import decode

    if args.dry_run:
        return _dry_run(args, "a contact sheet", args.contact_sheet)
    if args.part and not args.out:
        raise ValueError("--part needs -o: a run without --part joins the parts there")
    key = _key(args.key_file or (pathlib.Path(f"{args.out}.key") if args.out else None))
    jobs, tell = _jobs(args, key, out=str(args.out) if args.out else None), _teller(args)
    names = [name.decode() for name in job_keys(jobs, key=key).tolist()]
    own = range(len(jobs)) if args.part is None else range(len(jobs))[args.part[0] - 1 :: args.part[1]]
    asked = {**_pack_options(args, key), "sheet": args.contact_sheet is not None, "rows": args.rows}
    call = functools.partial(_call, whole=args.contact_sheet is not None)
    with FoundPairs(args.out, asked, part=args.part) as found, progress_bar("files") as bar:
        todo = [place for place in own if names[place] not in found.rows]
        task = bar.add_task("pairing", total=len(own), completed=len(own) - len(todo))
        pictures = 0
        for (_, outcome), place in zip(run_ordered(call, (jobs[n] for n in todo), **_manner(args)), todo):
            if outcome.code:
                tell(None, outcome.code, outcome.error)
            kinds, shown = outcome.result or ((), ())
            shown = shown[: args.rows - pictures]
            pictures += len(shown)
            found.add(names[place], Found(kinds, outcome.code), shown)
            bar.advance(task)
        if args.part:
            print(
                f"part {args.part[0]} of {args.part[1]} is done; when all are, the same command without --part joins them"
            )
            return 0
        kinds = collections.Counter(kind for name in names for kind in found.rows[name].kinds)
        reasons = collections.Counter(code for name in names if (code := found.rows[name].code))
        shown = [decode(record) for record in itertools.islice(found.shown(names), args.rows)]
    if args.contact_sheet and shown:
        write_contact_sheet(args.contact_sheet, shown)
    write_result(args, {"files": len(jobs), "pairs": dict(kinds), "no_pair": dict(reasons)})
    print(f"{counted(len(jobs), 'file')}: pairs: {listed_counts(kinds)}; without a pair: {listed_counts(reasons)}")
    if not kinds:
        print("no clip shows colour and greyscale side by side; greyscale clips become pairs with --paint 2")
    if args.contact_sheet:
        print(f"sheet: {args.contact_sheet}" if shown else "no sheet was written: there is no pair to show")
    return _exit_code(reasons) if kinds else 1


def _call(job: Any, *, whole: bool) -> tuple[tuple[str, ...], list[bytes]]:
    """Kinds of the pairs, and records of their middle frames: what a sheet shows, and no more of it travels."""
    pairs = job()
    return tuple(pair.kind for pair in pairs), [_middle(pair) for pair in pairs] if whole else []


def _middle(pair: Any) -> bytes:
    from data_pipeline.records.example import encode

    middle = len(pair.cfd) // 2
    return encode(pair.at(slice(middle, middle + 1)), encoding="zstd")


def run_pack(args: argparse.Namespace) -> int:
    from data_pipeline.records import pack as packing

    if args.dry_run:
        return _dry_run(args, "records", args.out)
    key = _pack_key(args)
    settings = {"encoding": args.encoding, "shard_mb": args.shard_mb, "options": _pack_options(args, key)}
    if args.finish:
        manifest = packing.finish(args.out)
    elif args.runner:
        jobs = functools.partial(_jobs_and_key, args)
        manner = {name: value for name, value in _manner(args).items() if name != "workers"}  # Beam's affair
        manifest = _beam()(
            jobs, args.out, runner=args.runner, runner_options=args.runner_option, on_error=_teller(args), **manner,
            **settings,
        )  # fmt: skip
    else:
        manifest = packing.pack(
            _jobs(args, key, out=args.out), args.out, part=args.part, retry=args.retry, key=key, on_error=_teller(args),
            **_manner(args), **settings,
        )  # fmt: skip
    if manifest is None:
        print(f"part {args.part[0]} of {args.part[1]} is packed; when all are: cfd2gray pack ... --finish")
        return 0
    clips = sum(shard.n_clips for shard in manifest.shards)
    write_result(args, {"clips": clips, "counts": dict(manifest.counts), "left_out": dict(manifest.errors)})
    print(f"{counted(clips, 'clip')} in {args.out}; left out: {listed_counts(manifest.errors)}")
    return _exit_code(manifest.errors)


def _pack_options(args: argparse.Namespace, key: bytes) -> dict[str, Any]:
    """What a later call must agree with, beside the jobs themselves."""
    table = args.view_csv.read_bytes() if args.view_csv and args.view_csv.is_file() else b""
    return {
        "dataset": args.dataset,
        "paint": args.paint,
        "weak": args.weak,
        "salvage": args.salvage,
        "views": hmac.new(key, table, "sha256").hexdigest()[:16] if table else "",
    }


def _jobs_and_key(args: argparse.Namespace) -> tuple[list, bytes]:
    """On a cluster's worker: the listing and the key are read there, and travel with nothing."""
    key = _pack_key(args)
    return _jobs(args, key, out=args.out), key


def _pack_key(args: argparse.Namespace) -> bytes:
    """One key for one packing: resumed with a new one, it would call the same patients by other names."""
    if args.key_file is None and "://" in args.out:
        raise ValueError(f"the key of {args.out} must be kept on this machine; give --key-file FILE")
    return _key(args.key_file or pathlib.Path(f"{args.out.rstrip('/')}.key"))


def _beam() -> Callable:
    try:
        from data_pipeline.records.beam import pack_with_beam
    except ImportError:
        raise ValueError("--runner needs Apache Beam; pip install 'cfd2gray[beam]'") from None
    return pack_with_beam


def run_census(args: argparse.Namespace) -> int:
    import rich.console

    from cfd2gray.pages import census as census_page
    from data_pipeline.census import tables as census_tables
    from data_pipeline.census.rows import CensusOptions
    from data_pipeline.census.run import census
    from data_pipeline.census.sheets import write_sheets

    if args.dry_run:
        return _dry_run(args, "the census", args.out)
    if args.part and not args.out:
        raise ValueError("--part needs -o: a census without --part joins the parts there")
    if args.thumbnails and not args.out:
        raise ValueError("--thumbnails needs -o, a folder for the sheets")
    options = CensusOptions(salvage=args.salvage, follow_links=args.follow_links, thumbnails=args.thumbnails)
    key = _key(args.key_file) if args.key_file or not args.out else None  # else the census keeps its own
    found = census(
        args.archive, out_dir=args.out, dataset=args.dataset, view_csv=args.view_csv, key=key, part=args.part,
        options=options, on_error=_teller(args), **_manner(args),
    )  # fmt: skip
    if args.part:
        print("part {} of {} is looked at; when all are, the same command without --part joins them".format(*args.part))
        return 0
    console = rich.console.Console()
    console.print(census_tables.terminal_table(found))
    console.print(census_tables.headline(found))
    if found.passed_over:
        print(f"passed over: {listed_counts(found.passed_over)}", file=sys.stderr)
    if args.out:
        census_tables.write_csv(found, args.out / "census.csv")
        census_tables.write_json(found, args.out / "census.json")
        census_page.write_html(found, args.out / "census.html")
        print(f"page: {args.out / 'census.html'}")
    if args.thumbnails:
        lines = {row.clip: f"{row.clip[:8]} {row.kind} {row.score:.2f}" for row in found.rows}
        for path in write_sheets(found.thumbnails, lines, args.out):
            print(f"pictures: {path}")
    if args.private_list:
        census_tables.write_private_list(found, args.private_list)
        links = args.private_list.with_name(f"{args.private_list.stem}-links.html")
        census_page.write_files_page(found, links)
        print(f"files: {args.private_list}, {links} (paths are identifiers: they are yours alone)")
    summary = census_tables.summary(found)
    write_result(args, summary)
    return _exit_code(summary["unreadable"])
