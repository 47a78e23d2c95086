"""What the sub-commands' parsers share."""

from __future__ import annotations

import argparse
import difflib
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

PROG = "cfd2gray"

Command = Callable[[argparse.Namespace], int]
AddCommand = Callable[[str, Command, str, str], argparse.ArgumentParser]
"""``add(name, run, about, example)``: declares a sub-command and returns its parser."""


class CommandParser(argparse.ArgumentParser):
    """A parser, of the program or of a command, that answers a misspelt command or option with the one that was meant.

    ``passes_on``: its words are another parser's, and end up as ``words``.
    """

    passes_on = False

    def parse_known_args(self, args=None, namespace=None):
        words: list[str] = list(sys.argv[1:] if args is None else args)
        if self.passes_on:
            namespace, _ = super().parse_known_args([], namespace)
            namespace.words = words
            return namespace, []
        if "_ARGCOMPLETE" in os.environ:  # a shell asks about words that are not finished
            pass
        elif self.prog == PROG:
            self._check_command(words)
        elif self._subparsers is None:  # where there are actions, these check their own options
            self._check_options(words)
        return super().parse_known_args(words, namespace)

    def _check_command(self, words: Sequence[str]) -> None:
        if not words:
            self.print_help()
            self.exit(2)
        (choices,) = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        named = next((word for word in words if not word.startswith("-")), None)
        if named is not None and named not in choices:
            self.exit(2, f"{PROG}: no command {named!r}{meant(named, choices)}; see {PROG} --help\n")

    def _check_options(self, words: Sequence[str]) -> None:
        known = [name for action in self._actions for name in action.option_strings]
        for word in words:
            flag = word.partition("=")[0]
            if word == "--":
                return
            if not flag.startswith("--") or flag.startswith("--config."):
                continue
            if not any(name.startswith(flag) for name in known):  # argparse takes what is short and clear
                self.exit(2, f"{self.prog}: unknown argument {flag!r}{meant(flag, known)}; see {self.prog} --help\n")


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for a word that is near a known one, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def counted(number: int, name: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def listed_counts(counts: Mapping[str, int], none: str = "none") -> str:
    """``3 no_panes, 1 too_large``, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered if count) or none


def adder(subparsers: Any, listed: list[tuple[str, str]]) -> AddCommand:
    """The function with which every topic declares its commands; all of them get --debug, --verbose and --json.

    ``(name, about)`` of each goes into ``listed``.
    """
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--verbose", action="store_true", help="say more on the way")
    common.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the result as JSON")

    def add(name: str, run: Command, about: str, example: str) -> argparse.ArgumentParser:
        listed.append((name, about))
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
    """--checkpoint RUN or --weights NAME; see `chosen_weights`."""
    sub.add_argument("--checkpoint", metavar="RUN", help="the --workdir of a training run")
    about = "weights that ship with the package (default, streaming), or a file made by `export`"
    sub.add_argument("--weights", type=pathlib.Path, metavar="NAME|FILE", help=about)


def chosen_weights(args: argparse.Namespace) -> Any:
    """`GeneratorWeights` of --checkpoint, --weights, or the ones that ship with the package."""
    from cfd2gray.weights import pretrained

    if args.checkpoint and args.weights:
        raise ValueError("give --checkpoint or --weights, not both")
    if args.checkpoint:
        from cfd2gray.weights.find import checkpoint_weights

        return checkpoint_weights(args.checkpoint)
    if args.weights is None:
        return pretrained.load_pretrained()
    if args.weights.exists() or args.weights.suffix or args.weights.parent != pathlib.Path():
        return pretrained.load_weights(args.weights)
    return pretrained.load_pretrained(str(args.weights))


def write_result(args: argparse.Namespace, value: object) -> None:
    """Write ``value`` to the --json file, if one was asked for."""
    if args.json:
        from data_pipeline.files import write_json

        write_json(args.json, value)
