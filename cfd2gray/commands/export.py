"""A network as files that others can use."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    about = "a network as one file: weights, or a graph for any runtime"
    sub = add(
        "export", run_export, about, "export --checkpoint run -o w.safetensors\n  cfd2gray export --onnx grey.onnx"
    )
    which = sub.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", metavar="RUN", help="the --workdir of a training run")
    which.add_argument("--weights", metavar="FILE", help="a weights file, or the name of weights that ship (default)")
    about = "the network that sees what is on a screen; only with --onnx"
    which.add_argument("--screen-parser", action="store_true", help=about)
    sub.add_argument("-o", "--out", type=pathlib.Path, metavar="FILE", help="weights file to write")
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights file")
    sub.add_argument(
        "--mean", metavar="FILE", help="write the mean of these weights and the others, of the same network"
    )
    about = "also write the graphs of --out beside it: with them it is used without JAX"
    sub.add_argument("--graphs", action="store_true", help=about)
    about = "write an ONNX graph with its weights inside, checked against JAX; see docs/onnx.md"
    sub.add_argument("--onnx", type=pathlib.Path, metavar="FILE", help=about)
    about = "the graph takes frame after frame instead of a clip (causal networks: --weights streaming)"
    sub.add_argument("--live", action="store_true", help=about)


def run_export(args: argparse.Namespace) -> int:
    if args.screen_parser:
        return _export_parser(args)
    from cfd2gray.weights.pretrained import available, load_pretrained, load_weights, mean_weights, save_weights

    if not args.out and not args.onnx:
        raise ValueError("nothing to write: give -o FILE.safetensors, --onnx FILE.onnx or both")
    if args.graphs and not args.out:
        raise ValueError("--graphs lie beside a weights file; give -o FILE.safetensors as well")
    name = args.weights or "default"
    if args.checkpoint:
        from cfd2gray.weights.find import checkpoint_weights

        weights = checkpoint_weights(args.checkpoint)
    else:
        weights = load_pretrained(name) if name in available() else load_weights(pathlib.Path(name))
    if args.mean:
        weights = mean_weights(
            weights, load_pretrained(args.mean) if args.mean in available() else load_weights(args.mean)
        )
    written = {}
    if args.out:
        digest = save_weights(args.out, weights, dtype=args.dtype)
        written |= {"file": str(args.out), "sha256": digest}
        print(f"{args.out}  sha256 {digest}")
        weights = load_weights(args.out)
    if args.graphs:
        from cfd2gray.runtimes.onnx_file import write_graphs

        written["graphs"] = [str(path) for path in write_graphs(weights)]
        print(f"graphs beside it: {', '.join(written['graphs'])}")
    if args.onnx:
        from cfd2gray.runtimes.onnx_file import CLIP, STREAM, TESTED, write_onnx

        found = write_onnx(args.onnx, weights, kind=STREAM if args.live else CLIP)
        written |= {"onnx": str(args.onnx), "difference_from_jax": found}
        print(f"{args.onnx}: {TESTED}; furthest from JAX: {_told(found)}")
    write_result(args, written)
    return 0


def _export_parser(args: argparse.Namespace) -> int:
    from cfd2gray.models.ops import OPSET
    from cfd2gray.parsing.export import write_shipped

    if args.onnx is None or args.out or args.graphs or args.live:
        raise ValueError("the screen parser is exported with --onnx FILE.onnx and nothing else")
    found = write_shipped(args.onnx)
    write_result(args, {"onnx": str(args.onnx), "difference_from_jax": found})
    print(f"{args.onnx}: ONNX opset {OPSET}; furthest from JAX: {_told(found)}")
    return 0


def _told(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in found.items())
