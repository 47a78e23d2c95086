"""The ``cfd2gray`` command: reads arguments, calls the library, reports errors in one line. No logic of its own."""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

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
    from cfd2gray import __version__

    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, about: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
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

    sub = command("demo", run_demo, "the whole way once, on simulated clips and one real echo", "demo --workdir demo")
    sub.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("demo"))
    sub.add_argument("--steps", type=int, default=None, help="training steps; the default is the demo's own")

    sub = command(
        "simulate", run_simulate, "make paired clips: training records, DICOM or video",
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
        "train", run_train, "train, or continue a run", "train --config tiny --config.data.dir=records --workdir run"
    )
    add_config(sub)
    sub.add_argument("--workdir", type=pathlib.Path, required=True)
    about = "join the other processes of this run: when the scheduler says so (auto), always, or never"
    sub.add_argument("--distributed", choices=("auto", "on", "off"), default="auto", help=about)

    sub = command(
        "evaluate", run_evaluate, "score a model beside the do-nothing baselines, with a report",
        "evaluate --config tiny --config.data.dir=records --checkpoint run -o run/evaluation",
    )  # fmt: skip
    add_config(sub)
    add_weights(sub)
    sub.add_argument("--split", choices=("train", "val", "test"), default="test")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command("translate", run_translate, "colour-flow clips to greyscale", "translate clip.dcm -o grey.dcm")
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
        run_export,
        "a run's averaged generator as one weights file",
        "export --checkpoint run -o w.safetensors",
    )
    sub.add_argument("--checkpoint", type=pathlib.Path, metavar="RUN", required=True)
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = command(
        "convert-vgg", run_convert_vgg, "VGG16 weights of any common file for the perceptual loss",
        "convert-vgg vgg16.pth --preprocessing torchvision -o vgg16.safetensors",
    )  # fmt: skip
    sub.add_argument("source", type=pathlib.Path)
    sub.add_argument("--preprocessing", choices=("caffe", "torchvision"), required=True)
    sub.add_argument("--last", default="conv4_3", help="last layer to keep")
    sub.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)
    return parser


def _json(args: argparse.Namespace, value: object) -> None:
    if args.json:
        from cfd2gray.files import write_json

        write_json(args.json, value)


def _weights(args: argparse.Namespace):
    from cfd2gray.weights import pretrained
    from cfd2gray.weights.find import checkpoint_weights

    if args.checkpoint and args.weights:
        raise ValueError("give --checkpoint or --weights, not both")
    if args.checkpoint:
        return checkpoint_weights(args.checkpoint)
    return pretrained.load_weights(args.weights) if args.weights else pretrained.load_pretrained()


def run_demo(args: argparse.Namespace) -> int:
    from cfd2gray.demo import demo

    _json(args, demo(args.workdir, steps=args.steps))
    return 0


def run_simulate(args: argparse.Namespace) -> int:
    from data_pipeline.schema import VIEWS
    from data_pipeline.simulation import export

    views = VIEWS[1:] if args.view == "all" else tuple(args.view.split(","))
    made = export.simulate(
        args.out, views=views, clips=args.clips, size=args.size, frames=args.frames, seed=args.seed,
        kind=args.format, workers=args.workers,
    )  # fmt: skip
    print(f"{made} clips in {args.out}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    from cfd2gray.launch.distributed import together

    with together(args.distributed):  # before anything else of JAX
        import jax

        from cfd2gray.compile_cache import use_compile_cache
        from cfd2gray.config import load_config
        from cfd2gray.evaluation.run import validate
        from cfd2gray.training.loop import train
        from cfd2gray.training.stop import EXIT_STOPPED

        use_compile_cache()
        outcome = train(load_config(args.config, args.overrides), args.workdir, validate=validate)
        if jax.process_index() == 0:
            _json(args, {"step": outcome.step, "stopped": outcome.stopped, "metrics": outcome.metrics})
            print(f"{'stopped' if outcome.stopped else 'done'} at step {outcome.step}; {args.workdir} holds the run")
    return EXIT_STOPPED if outcome.stopped else 0


def run_evaluate(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.config import load_config
    from cfd2gray.evaluation.run import evaluate_weights
    from cfd2gray.evaluation.tables import print_result

    use_compile_cache()
    config = load_config(args.config, args.overrides)
    result = evaluate_weights(config, _weights(args), args.out, split=args.split, workdir=args.checkpoint)
    _json(args, result)
    print_result(result)
    print(f"report: {args.out / 'report.html'}")
    return 0


def run_translate(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.translation.batch import translate_files
    from cfd2gray.translation.translator import Translator

    use_compile_cache()
    outcome = translate_files(
        Translator(_weights(args)), args.inputs, args.out, format=args.format, whole_frame=args.whole_frame,
        confidence=args.confidence, mode=args.mode, key_file=args.key_file,
    )  # fmt: skip
    _json(args, outcome)
    return 1 if outcome["failed"] else 0


def run_export(args: argparse.Namespace) -> int:
    from cfd2gray.weights.find import checkpoint_weights
    from cfd2gray.weights.pretrained import save_weights

    digest = save_weights(args.out, checkpoint_weights(args.checkpoint), dtype=args.dtype)
    _json(args, {"file": str(args.out), "sha256": digest})
    print(f"{args.out}  sha256 {digest}")
    return 0


def run_convert_vgg(args: argparse.Namespace) -> int:
    from cfd2gray.weights.vgg_convert import convert

    shapes = convert(args.source, args.out, preprocessing=args.preprocessing, last=args.last, dtype=args.dtype)
    _json(args, shapes)
    print(f"{args.out}: {len(shapes)} tensors, {args.preprocessing} preprocessing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
