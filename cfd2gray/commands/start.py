"""Looking around: the demo and the doctor."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("demo", run_demo, "the whole way once, on simulated clips and one real echo", "demo --workdir demo")
    sub.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("demo"))
    sub.add_argument("--steps", type=int, default=None, help="training steps; the default is the demo's own")

    sub = add("doctor", run_doctor, "what this installation can do", "doctor --data records")
    sub.add_argument("--data", type=pathlib.Path, help="also look at a folder of records")


def run_demo(args: argparse.Namespace) -> int:
    from cfd2gray.demo import demo

    write_result(args, demo(args.workdir, steps=args.steps))
    return 0


def run_doctor(args: argparse.Namespace) -> int:
    from cfd2gray.doctor import examine

    facts, problems = examine(args.data)
    write_result(args, {"facts": facts, "problems": problems})
    for name, value in facts.items():
        print(f"{name:24s} {value}")
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0
