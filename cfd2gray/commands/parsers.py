"""What the sub-commands' parsers share."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

PROG = "cfd2gray"

Command = Callable[[argparse.Namespace], int]
AddCommand = Callable[[str, Command, str, str], argparse.ArgumentParser]
"""``add(name, run, about, example)``: declares a sub-command and returns its parser."""


def adder(subparsers: Any) -> AddCommand:
    """The function with which every topic declares its commands; all of them get --debug, --verbose and --json."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--verbose", action="store_true", help="say more on the way")
    common.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the result as JSON")

    def add(name: str, run: Command, about: str, example: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name,
            parents=[common],
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=f"example:\n  {PROG} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run, restarts=False)
        return sub

    return add


def add_config(sub: argparse.ArgumentParser) -> None:
    """--config FILE; overrides are collected by `cfd2gray.cli.main`."""
    about = "a config .py file or a shipped one's name; --config.KEY=VALUE changes one key, unknown keys are errors"
    sub.add_argument("--config", default="default", metavar="FILE", help=about)


def add_weights(sub: argparse.ArgumentParser) -> None:
    """--checkpoint RUN or --weights FILE; see `chosen_weights`."""
    sub.add_argument("--checkpoint", type=pathlib.Path, metavar="RUN", help="the --workdir of a training run")
    sub.add_argument("--weights", type=pathlib.Path, metavar="FILE", help="a weights file made by `export`")


def chosen_weights(args: argparse.Namespace) -> Any:
    """`GeneratorWeights` of --checkpoint, --weights, or the ones that ship with the package."""
    from cfd2gray.weights import pretrained

    if args.checkpoint and args.weights:
        raise ValueError("give --checkpoint or --weights, not both")
    if args.checkpoint:
        from cfd2gray.weights.find import checkpoint_weights

        return checkpoint_weights(args.checkpoint)
    return pretrained.load_weights(args.weights) if args.weights else pretrained.load_pretrained()


def write_result(args: argparse.Namespace, value: object) -> None:
    """Write ``value`` to the --json file, if one was asked for."""
    if args.json:
        from data_pipeline.files import write_json

        write_json(args.json, value)
