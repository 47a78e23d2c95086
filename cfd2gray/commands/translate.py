"""What it is all for: colour-flow clips to greyscale."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, add_weights, chosen_weights, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("translate", run_translate, "colour-flow clips to greyscale", "translate clip.dcm -o grey.dcm")
    sub.add_argument("inputs", nargs="+", type=pathlib.Path, metavar="CLIP")
    add_weights(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True, help="a file, or a folder for several inputs")
    sub.add_argument("--format", default=None, help="for a folder: .dcm, .mp4, .mkv, .avi, .gif or .npy")
    sub.add_argument("--whole-frame", action="store_true", help="let the network write the whole sector")
    sub.add_argument("--confidence", action="store_true", help="also write the confidence map")
    sub.add_argument("--mode", choices=("research", "clinical"), default="research", help="how DICOM output is linked")
    about = "what computes the network: auto takes an accelerator's JAX, or the fastest that is installed for the CPU"
    sub.add_argument("--runtime", choices=("auto", "jax", "openvino", "onnxruntime"), default="auto", help=about)
    sub.add_argument("--key-file", type=pathlib.Path, help="secret for the hashes of identifiers; made when missing")


def run_translate(args: argparse.Namespace) -> int:
    from cfd2gray.translation.batch import translate_files
    from cfd2gray.translation.translator import Translator

    outcome = translate_files(
        Translator(chosen_weights(args), runtime=args.runtime), args.inputs, args.out, format=args.format, whole_frame=args.whole_frame,
        confidence=args.confidence, mode=args.mode, key_file=args.key_file,
    )  # fmt: skip
    write_result(args, outcome)
    return 1 if outcome["failed"] else 0
