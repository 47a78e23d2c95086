"""The ``cfd2gray`` command: reads arguments, calls the library, reports errors in one line. No logic of its own."""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from cfd2gray import __version__, commands

PROG = "cfd2gray"


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
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--verbose", action="store_true", help="say more on the way")
    common.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the result as JSON")
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Translate colour-flow-Doppler ultrasound video to greyscale. Research use, not diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, about: str, example: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name,
            parents=[common],
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=f"example:\n  {PROG} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    def add_config(sub: argparse.ArgumentParser) -> None:
        about = "a config .py file or a shipped one's name; --config.KEY=VALUE changes one key, unknown keys are errors"
        sub.add_argument("--config", default="default", metavar="FILE", help=about)

    def add_weights(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--checkpoint", type=pathlib.Path, metavar="RUN", help="the --workdir of a training run")
        sub.add_argument("--weights", type=pathlib.Path, metavar="FILE", help="a weights file made by `export`")

    sub = command(
        "demo", commands.run_demo, "the whole way once, on simulated clips and one real echo", "demo --workdir demo"
    )
    sub.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("demo"))
    sub.add_argument("--steps", type=int, default=None, help="training steps; the default is the demo's own")

    sub = command(
        "simulate", commands.run_simulate, "make paired clips: training records, DICOM or video",
        "simulate --view A4C,KIDNEY --clips 100 -o records",
    )  # fmt: skip
    sub.add_argument("--view", default="all", help="views, separated by commas; default all")
    sub.add_argument("--clips", type=int, default=100, help="how many")
    sub.add_argument("--size", type=int, default=128, help="px, height and width")
    sub.add_argument("--frames", type=int, default=32)
    sub.add_argument("--seed", type=int, default=0, help="number of the first clip; the same seed gives the same bytes")
    sub.add_argument("--format", choices=("records", "dicom", "mp4"), default="records")
    sub.add_argument("--workers", type=int, default=os.cpu_count())
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "train",
        commands.run_train,
        "train, or continue a run",
        "train --config tiny --config.data.dir=records --workdir run",
    )
    add_config(sub)
    sub.add_argument("--workdir", type=pathlib.Path, required=True)
    about = "join the other processes of this run: when the scheduler says so (auto), always, or never"
    sub.add_argument("--distributed", choices=("auto", "on", "off"), default="auto", help=about)

    sub = command(
        "evaluate", commands.run_evaluate, "score a model beside the do-nothing baselines, with a report",
        "evaluate --config tiny --config.data.dir=records --checkpoint run -o run/evaluation",
    )  # fmt: skip
    add_config(sub)
    add_weights(sub)
    sub.add_argument("--split", choices=("train", "val", "test"), default="test")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "translate", commands.run_translate, "colour-flow clips to greyscale", "translate clip.dcm -o grey.dcm"
    )
    sub.add_argument("inputs", nargs="+", type=pathlib.Path, metavar="CLIP")
    add_weights(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True, help="a file, or a folder for several inputs")
    sub.add_argument("--format", default=None, help="for a folder: .dcm, .mp4, .mkv, .avi, .gif or .npy")
    sub.add_argument("--whole-frame", action="store_true", help="let the network write the whole sector")
    sub.add_argument("--confidence", action="store_true", help="also write the confidence map")
    sub.add_argument("--mode", choices=("research", "clinical"), default="research", help="how DICOM output is linked")
    sub.add_argument("--key-file", type=pathlib.Path, help="secret for the hashes of identifiers; made when missing")

    sub = command(
        "export",
        commands.run_export,
        "a run's averaged generator as one weights file",
        "export --checkpoint run -o w.safetensors",
    )
    sub.add_argument("--checkpoint", type=pathlib.Path, metavar="RUN", required=True)
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "convert-vgg", commands.run_convert_vgg, "VGG16 weights of any common file for the perceptual loss",
        "convert-vgg vgg16.pth --preprocessing torchvision -o vgg16.safetensors",
    )  # fmt: skip
    sub.add_argument("source", type=pathlib.Path)
    sub.add_argument("--preprocessing", choices=("caffe", "torchvision"), required=True)
    sub.add_argument("--last", default="conv4_3", help="last layer to keep")
    sub.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    def add_archive(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("archive", type=pathlib.Path, help="a folder of DICOM, video or image files")
        sub.add_argument("--view-csv", type=pathlib.Path, help="which view each file shows")
        sub.add_argument("--key-file", type=pathlib.Path, help="secret of the identifiers' hashes; made when missing")
        sub.add_argument("--workers", type=int, default=os.cpu_count())

    sub = command("paint", commands.run_paint, "paint colour flow over a greyscale clip", "paint clip.dcm -o pair")
    sub.add_argument("clip", type=pathlib.Path)
    sub.add_argument("--view", default="UNKNOWN", help="view of the clip, if known")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--held-out", action="store_true", help="the painter kept out of training, to judge a model with")
    sub.add_argument("--restored", action="store_true", help="target: the untouched clip, not the coarser duplex one")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "census", commands.run_census, "what an archive holds and what translation adds", "census DICOM -o census"
    )
    add_archive(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, help="folder for census.csv, .json and .html")

    for name, run, about, example in (
        (
            "pair",
            commands.run_pair,
            "find colour and greyscale pairs in an archive",
            "pair DICOM --contact-sheet pairs.png",
        ),
        (
            "pack",
            commands.run_pack,
            "pack an archive's pairs into training records",
            "pack DICOM -o records --key-file key",
        ),
    ):
        sub = command(name, run, about, example)
        add_archive(sub)
        sub.add_argument(
            "--paint", type=int, default=0, metavar="N", help="also N painted pairs of each greyscale clip"
        )
        if name == "pair":
            sub.add_argument("--contact-sheet", type=pathlib.Path, metavar="PNG")
            sub.add_argument("--rows", type=int, default=40, help="pairs on the sheet at most")
        else:
            sub.add_argument("--encoding", choices=("raw", "zstd"), default="raw")
            sub.add_argument("--shard-mb", type=float, default=256.0)
            sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "contact-sheet", commands.run_contact_sheet, "a picture of the simulated views", "contact-sheet -o views.png"
    )
    sub.add_argument("--view", default="all")
    sub.add_argument("--size", type=int, default=160, help="px of a tile")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command("report", commands.run_report, "the page of an evaluation", "report run/evaluation.json -o page.html")
    sub.add_argument("evaluation", type=pathlib.Path)
    sub.add_argument("--workdir", type=pathlib.Path, help="the training run, for its curves")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command("doctor", commands.run_doctor, "what this installation can do", "doctor --data records")
    sub.add_argument("--data", type=pathlib.Path, help="also look at a folder of records")
    return parser


if __name__ == "__main__":
    sys.exit(main())
