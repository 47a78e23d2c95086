# PYTHON_ARGCOMPLETE_OK
"""The ``cfd2gray`` command: reads arguments, calls the library, reports errors in one line. No logic of its own."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import pathlib
import stat
import sys
from collections.abc import Sequence

from cfd2gray import __version__
from cfd2gray.commands import archive, bench, card, export, judge, learn, readers, serve, simulate, start, translate
from cfd2gray.commands.parsers import PROG, CommandParser, adder
from cfd2gray.exit_codes import EXIT_INTERRUPTED, EXIT_MISTAKE, EXIT_UNHEARD, exit_code, leave_note
from data_pipeline.mistakes import Mistake, named_mistakes
from data_pipeline.storage import only_here


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 some inputs failed, others as in `cfd2gray.exit_codes`."""
    try:
        code = _run(argv)
        return EXIT_UNHEARD if _unheard() else leave_note(code)
    except SystemExit as error:  # argparse
        if isinstance(error.code, int):
            leave_note(error.code)
        _unheard()
        raise


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    overrides = [text.removeprefix("--config.") for text in extra if text.startswith("--config.")]
    unknown = [text for text in extra if not text.startswith("--config.")]
    if unknown or (overrides and not hasattr(args, "config")):
        parser.error(f"{args.command}: unknown argument {(unknown or extra)[0]!r}; see {PROG} {args.command} --help")
    args.overrides = overrides
    _quiet_libraries(verbose=args.verbose)
    try:
        # What a scheduler starts again sorts its errors itself; otherwise what was refused is what was asked for.
        with contextlib.nullcontext() if args.restarts else named_mistakes():
            _stay_here(args)
            return args.run(args) or 0
    except KeyboardInterrupt:
        print(f"{PROG} {args.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "").startswith((PROG, "data_pipeline")):
            raise
        print(f"{PROG} {args.command}: needs {error.name}, which is not installed; pip install {PROG}", file=sys.stderr)
        return EXIT_MISTAKE
    except (Mistake, OSError) as error:
        if isinstance(error, BrokenPipeError) and _unheard(said=True):
            return EXIT_UNHEARD
        if args.debug:
            raise
        text = " ".join(str(error).split())
        print(f"{PROG} {args.command}: {text or type(error).__name__}", file=sys.stderr)
        return exit_code(error)


def _unheard(*, said: bool = False) -> bool:
    """Whether who was to read standard output has gone; then what is left to say goes nowhere.

    Args:
      said: something of it failed already, which an unbuffered stream does not try again.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        said = True
    if not said or not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _stay_here(args: argparse.Namespace) -> None:
    """Paths of this machine stay paths; a URL among them would name a folder like ``gs:`` and is refused."""
    for name, value in vars(args).items():
        what = f"--{name.replace('_', '-')}"
        if isinstance(value, pathlib.Path):
            setattr(args, name, only_here(value, what))
        elif isinstance(value, list):
            setattr(args, name, [only_here(v, what) if isinstance(v, pathlib.Path) else v for v in value])


def _quiet_libraries(*, verbose: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault(
        "TF_ENABLE_ONEDNN_OPTS", "0"
    )  # TensorFlow only writes TensorBoard files here; it need not say so
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("cfd2gray", "data_pipeline"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("absl").setLevel(logging.ERROR)


GROUPS = (
    ("translate", (translate, serve, export)),
    ("make and look at data", (archive, simulate)),
    ("train", (learn,)),
    ("judge", (judge, card, readers)),
    ("this machine", (start, bench)),
)
"""What the help shows together."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = CommandParser(
        prog=PROG,
        usage=f"{PROG} COMMAND ...",
        description="Translate colour-flow-Doppler ultrasound video to greyscale.\nResearch use, not diagnosis.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = parser.add_subparsers(
        prog=PROG, dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS
    )
    lines = []
    for title, topics in GROUPS:
        listed: list[tuple[str, str]] = []
        for topic in topics:
            topic.add_commands(adder(subparsers, listed))
        lines += ["", f"{title}:", *(f"  {name:14s} {about}" for name, about in listed)]
    shown = "\n".join(lines[1:])
    parser.epilog = (
        f"{shown}\n\nFirst steps:\n  {PROG} translate --example\n  {PROG} translate clip.dcm -o grey.dcm\n"
        f"  {PROG} COMMAND --help         every command, with an example"
    )
    _complete(parser)
    return parser


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions (see docs/command_line.md); it sets the variable."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


if __name__ == "__main__":
    sys.exit(main())
