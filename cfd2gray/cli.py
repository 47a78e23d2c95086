"""The ``cfd2gray`` command: reads arguments, calls the library, reports errors in one line. No logic of its own."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from cfd2gray import __version__
from cfd2gray.commands import archive, bench, card, export, judge, learn, readers, simulate, start, translate
from cfd2gray.commands.parsers import PROG, adder


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 some inputs failed, 2 a user's mistake, 75 stopped on request."""
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    overrides = [text.removeprefix("--config.") for text in extra if text.startswith("--config.")]
    unknown = [text for text in extra if not text.startswith("--config.")]
    if unknown or (overrides and not hasattr(args, "config")):
        parser.error(f"{args.command}: unknown argument {(unknown or extra)[0]!r}; see {PROG} {args.command} --help")
    args.overrides = overrides
    _quiet_libraries(verbose=args.verbose)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print(f"{PROG} {args.command}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "").startswith((PROG, "data_pipeline")):
            raise
        print(f"{PROG} {args.command}: needs {error.name}, which is not installed; pip install {PROG}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        text = " ".join(str(error).split())
        print(f"{PROG} {args.command}: {text or type(error).__name__}", file=sys.stderr)
        return 2


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


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Translate colour-flow-Doppler ultrasound video to greyscale. Research use, not diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    add = adder(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    for topic in (start, simulate, archive, learn, judge, card, readers, translate, export, bench):
        topic.add_commands(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
