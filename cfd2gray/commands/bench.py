"""How fast it is here, against the machine's own limit and against what else one could use."""

from __future__ import annotations

import argparse
import pathlib
import shlex

from cfd2gray.commands.parsers import PROG, AddCommand, add_config, write_result

TOPICS = ("translate", "runtimes", "train", "input", "ssim", "baseline-diffusion", "memory")


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("bench", run_bench, "speed on this machine, in paired runs", "bench translate --config tiny --size 128")
    sub.add_argument("topics", nargs="+", choices=(*TOPICS, "all"), metavar="TOPIC", help=f"{', '.join(TOPICS)} or all")
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
    sub.add_argument("--page", type=pathlib.Path, metavar="FILE", help="also write the results as a page of Markdown")


def run_bench(args: argparse.Namespace) -> int:
    import dataclasses

    from rich.console import Console

    from cfd2gray.benchmarks import machine, page, suite
    from cfd2gray.benchmarks.work import Task
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.files import atomic_path

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
    plan = suite.Plan(
        task=task, rounds=args.repeats, block_s=args.seconds, peers=not args.no_peers, train_s=args.train_seconds,
        peaks=peaks,
    )  # fmt: skip
    topics = list(TOPICS) if "all" in args.topics else list(dict.fromkeys(args.topics))
    with console.status(f"measuring {', '.join(topics)}; compiling takes most of the time"):
        result = suite.run(topics, plan, told=lambda part: page.print_section(dataclasses.asdict(part), console))
    write_result(args, result)
    if args.page:
        options = [f"--config {shlex.quote(args.config)}", *(f"--config.{text}" for text in args.overrides)]
        options += [f"--{name} {getattr(args, name)}" for name in ("size", "frames", "batch") if getattr(args, name)]
        with atomic_path(args.page) as temporary:
            temporary.write_text(
                page.markdown(result, command=f"{PROG} bench {' '.join(args.topics)} {' '.join(options)}")
            )
    return 0
