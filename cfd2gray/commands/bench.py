"""How fast it is here, against the machine's own limit and against what else one could use."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shlex
from typing import Any

from cfd2gray.commands.parsers import PROG, AddCommand, add_config, write_result

TOPICS = ("translate", "files", "train", "input", "ssim", "baseline-diffusion", "memory")


def _topic(name: str) -> str:
    if name not in (*TOPICS, "all"):
        raise argparse.ArgumentTypeError(f"topics are {', '.join(TOPICS)} and all, got {name!r}")
    return name


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("bench", run_bench, "speed on this machine, in paired runs", "bench translate --config tiny --size 128")
    sub.add_argument("topics", nargs="*", type=_topic, metavar="TOPIC", help=f"{', '.join(TOPICS)} or all")
    add_config(sub)
    sub.set_defaults(config="tiny")
    sub.add_argument("--size", type=int, default=0, help="px; default: the config's")
    sub.add_argument("--frames", type=int, default=0, help="frames that the networks work on; default: the config's")
    sub.add_argument("--batch", type=int, default=0, help="clips per update; default: the config's")
    sub.add_argument("--repeats", type=int, default=5, help="turns that every contender gets")
    sub.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    about = "seconds of training for the generator and for the diffusion baseline each; 0: no quality, speed only"
    sub.add_argument("--train-seconds", type=float, default=120.0, help=about)
    sub.add_argument("--no-peers", action="store_true", help="leave PyTorch, TensorFlow and the other libraries out")
    about = "also write the results as a page, .html or .md with its plots beside it; a .md keeps its other sections"
    sub.add_argument("--page", type=pathlib.Path, metavar="FILE", help=about)
    about = "results that --json wrote earlier: draw their --page, measure nothing"
    sub.add_argument("--results", nargs="+", type=pathlib.Path, metavar="FILE", help=about)


def run_bench(args: argparse.Namespace) -> int:
    from cfd2gray.benchmarks import page

    if bool(args.topics) == bool(args.results):
        raise ValueError("name what to measure, or --results of earlier runs, not both")
    if args.results and not args.page:
        raise ValueError("--results are drawn as a page; name it with --page FILE.html or FILE.md")
    if args.page and args.page.suffix not in (".html", ".md"):
        raise ValueError(f"pages are written as .html or .md, got {args.page}")
    results = [json.loads(path.read_text()) for path in args.results] if args.results else [_measured(args)]
    if args.page:
        page.write(args.page, results)
    return 0


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    from rich.console import Console

    from cfd2gray.benchmarks import machine, page, suite
    from cfd2gray.benchmarks.plan import Plan
    from cfd2gray.benchmarks.work import Task
    from cfd2gray.compile_cache import use_compile_cache

    if min(args.repeats, args.seconds) <= 0 or min(args.size, args.frames, args.batch, args.train_seconds) < 0:
        raise ValueError("--repeats and --seconds must be positive, sizes and --train-seconds not negative")
    use_compile_cache()
    console = Console()
    task = Task(
        config=args.config, overrides=tuple(args.overrides), size=args.size, frames=args.frames, batch=args.batch
    )
    task.load()  # a mistake in the settings is told before anything is measured
    with console.status("measuring the machine's own peaks"):
        peaks = machine.probe()
    plan = Plan(
        task=task, rounds=args.repeats, block_s=args.seconds, peers=not args.no_peers, train_s=args.train_seconds,
        peaks=peaks,
    )  # fmt: skip
    topics = list(TOPICS) if "all" in args.topics else list(dict.fromkeys(args.topics))
    with console.status(f"measuring {', '.join(topics)}; compiling takes most of the time"):
        result = suite.run(topics, plan, told=lambda part: page.print_section(dataclasses.asdict(part), console))
    result["command"] = _command(args)
    write_result(args, result)
    return result


def _command(args: argparse.Namespace) -> str:
    """What was typed, but for paths."""
    options = [f"--config {shlex.quote(args.config)}", *(f"--config.{text}" for text in args.overrides)]
    options += [f"--{name} {getattr(args, name)}" for name in ("size", "frames", "batch") if getattr(args, name)]
    return f"{PROG} bench {' '.join([*args.topics, *options, f'--repeats {args.repeats}'])}"
