"""What it is all for: colour-flow clips to greyscale."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import pathlib
import secrets
import shlex
from typing import Any

from cfd2gray.commands.parsers import AddCommand, add_weights, chosen_weights, counted, write_result

_KINDS = ("cfd", "power", "bmode")
_RUNTIMES = ("auto", "jax", "openvino", "onnxruntime")
_RECIPES = ("echonet", "echoprime", "echoclip", "panecho", "echojepa")
_ENCODINGS = ("explicit", "rle", "jpegls", "j2k")


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "translate",
        run_translate,
        "colour-flow clips to greyscale",
        "translate clip.dcm -o grey.dcm\n  cfd2gray translate --example",
    )
    sub.add_argument(
        "inputs", nargs="*", type=pathlib.Path, metavar="CLIP", help="files, folders, zip archives, DICOMDIR"
    )
    sub.add_argument("--example", action="store_true", help="translate a small synthetic clip that comes with cfd2gray")
    add_weights(sub)
    sub.add_argument("-o", "--out", type=pathlib.Path, help="a file, or a folder for several inputs")
    sub.add_argument("--format", default=None, help="for a folder: .dcm, .mp4, .mkv, .avi, .gif or .npy")
    about = "write clips in the size, crop and kind of file that a public model's own code reads (docs/recipes.md)"
    sub.add_argument("--for", choices=_RECIPES, dest="recipe", help=about)
    about = "what the clip is, where it was seen wrongly: colour flow, power Doppler, greyscale"
    sub.add_argument("--kind", choices=_KINDS, help=about)
    sub.add_argument("--box", metavar="X0,Y0,X1,Y1", help="the colour box in pixels, or a polygon of more corners")
    sub.add_argument(
        "--sector", metavar="X0,Y0,X1,Y1", help="the imaged sector in pixels, or a polygon of more corners"
    )
    sub.add_argument(
        "--mask", type=pathlib.Path, metavar="FILE", help="what colour covers: an image (white is hidden) or .npy"
    )
    sub.add_argument(
        "--remember", type=pathlib.Path, metavar="FILE.json",
        help="keep sectors by manufacturer, model and size there, and use those that are there already",
    )  # fmt: skip
    sub.add_argument(
        "--explain",
        type=pathlib.Path,
        metavar="SEEN.png|SEEN.mp4",
        help="draw what was seen in one clip; nothing is translated",
    )
    sub.add_argument(
        "--whole-frame", action="store_true", help="let the network write the whole sector, not only what colour hides"
    )
    about = (
        "speckle to draw where colour was: 0 (what is to be expected, smooth) to 1 (as strong as in visible tissue); default: "
        "1 where the network's result is enlarged, else 0"
    )
    sub.add_argument("--texture", type=float, metavar="0..1", help=about)
    about = "do not ask other frames what tissue showed, where a result is enlarged: takes a tenth to a fifth less time"
    sub.add_argument("--no-detail", action="store_false", dest="detail", help=about)
    sub.add_argument("--confidence", action="store_true", help="also write the confidence map")
    about = "of DICOM: new identifiers (research), or the source's own and a link to it (clinical)"
    sub.add_argument("--mode", choices=("research", "clinical"), default="research", help=about)
    about = "what computes the network: auto takes an accelerator's JAX, or the fastest that is installed for the CPU"
    sub.add_argument("--runtime", choices=_RUNTIMES, default="auto", help=about)
    sub.add_argument("--key-file", type=pathlib.Path, help="secret of names and pseudonyms; default: OUT.key")
    pixels = sub.add_mutually_exclusive_group()
    pixels.add_argument(
        "--clean", action="store_true", default=None, dest="clean",
        help="black outside the sector and over text, in every format; the default but in clinical mode",
    )  # fmt: skip
    pixels.add_argument("--keep-screen", action="store_false", default=None, dest="clean", help="the whole screen")
    sub.add_argument("--compress", choices=_ENCODINGS, default="explicit", dest="encoding", help="of DICOM, lossless")
    sub.add_argument("--corner-mark", action="store_true", help="draw SYNTHETIC into a corner of videos")
    sub.add_argument("--dry-run", action="store_true", help="say what would be translated and written, and do nothing")
    sub.add_argument("--overwrite", action="store_true", help="make results again that are there already")
    sub.add_argument("--keep-names", action="store_true", help="name results like their sources (on your own machine)")
    sub.add_argument(
        "--only-colour", action="store_true", help="leave clips without colour out instead of copying them"
    )
    sub.add_argument("--retry", action="append", default=[], metavar="CODE", help="try again what was refused; or all")
    sub.add_argument("--follow-links", action="store_true", help="read symbolic links (DataLad, git-annex)")
    sub.add_argument("--no-sequences", action="store_true", help="numbered images in a folder are stills, not a clip")
    about = "frames per second of clips whose source names no rate, as pictures (30 is assumed)"
    sub.add_argument("--fps", type=float, metavar="RATE", help=about)
    sub.add_argument("--salvage", action="store_true", help="translate the whole frames of truncated files")
    sub.add_argument("--any-modality", action="store_true", help="read DICOM captures of other modalities than US")

    sub = add(
        "view",
        run_view,
        "look at clips in the browser: compare, correct, keep or reject",
        "view clip.dcm\n  cfd2gray view archive/\n  cat clip.dcm | cfd2gray view -",
    )
    sub.add_argument("clip", nargs="?", type=pathlib.Path, metavar="CLIP|FOLDER|-", help="- is standard input")
    add_weights(sub)
    sub.add_argument("--runtime", choices=_RUNTIMES, default="auto", help="what computes the network, as in translate")
    sub.add_argument("--port", type=int, default=0, help="of this computer; default: any that is free")
    sub.add_argument("--max-upload", type=int, default=4096, metavar="MIB", help="of a dropped file; default 4096")
    sub.add_argument("--no-browser", action="store_true", help="print the address, open nothing")


_LARGE = 1 << 20
"""Bytes from which an array has pages of its own."""


def _give_memory_back() -> None:
    """Let freed frames go back to the system: glibc begins to keep what is as large as what was freed before."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(-3, _LARGE)  # M_MMAP_THRESHOLD


def run_translate(args: argparse.Namespace) -> int:
    _give_memory_back()
    from cfd2gray.translation.folders.batch import translate_files
    from cfd2gray.translation.folders.plan import Batch, plan_files
    from cfd2gray.translation.output.recipes import RECIPES
    from cfd2gray.translation.translator import Translator
    from data_pipeline.screen.said import Said

    recipe = None if args.recipe is None else RECIPES[args.recipe]
    if recipe and (args.example or args.explain):
        raise ValueError(f"--for {recipe.name} is for clips that are translated; leave --example and --explain out")
    if args.example:
        return _example(args)
    if not args.inputs:
        raise ValueError("which clips? Name files or folders, or try: cfd2gray translate --example")
    said = Said.of(kind=args.kind, box=args.box, sector=args.sector, mask=args.mask)
    if args.explain is not None:
        if args.out is not None:
            raise ValueError(
                f"--explain draws what was seen and translates nothing: leave out -o {args.out}, or --explain"
            )
        return _explain(args, said)
    if args.out is None:
        raise ValueError("where should the result go? Name it with -o (or draw what was seen with --explain)")
    batch = Batch(
        overwrite=args.overwrite, keep_names=args.keep_names, only_colour=args.only_colour,
        retry=tuple(args.retry), sequences=not args.no_sequences,
    )  # fmt: skip
    if args.dry_run:
        plan = plan_files(
            args.inputs, args.out, format=args.format, batch=batch, follow_links=args.follow_links, recipe=recipe
        )
        return _dry_run(args, plan)
    outcome = translate_files(
        Translator(chosen_weights(args), runtime=args.runtime, texture=args.texture, detail=args.detail),
        args.inputs,
        args.out,
        format=args.format,
        key_file=args.key_file,
        batch=batch,
        whole_frame=args.whole_frame,
        confidence=args.confidence,
        mode=args.mode,
        clean=args.clean,
        encoding=args.encoding,
        corner_mark=args.corner_mark,
        fps=args.fps,
        salvage=args.salvage,
        follow_links=args.follow_links,
        any_modality=args.any_modality,
        said=said,
        remember=args.remember,
        recipe=recipe,
    )  # fmt: skip
    write_result(args, outcome)
    if not args.json and args.out.is_file() and args.inputs[0].suffix.lower() != ".zip":
        print(f"see both side by side: cfd2gray view {shlex.quote(str(args.inputs[0]))}")
    return 1 if outcome["failed"] else 0


def run_view(args: argparse.Namespace) -> int:
    from cfd2gray.example import CLIP
    from cfd2gray.translation.translator import Translator

    try:
        from cfd2gray.viewer.serve import view
    except ModuleNotFoundError as error:
        raise ValueError(
            f'the viewer needs {error.name}, which is not installed; pip install "./cfd2gray[view]"'
        ) from None
    if args.max_upload < 1:
        raise ValueError(f"--max-upload is 1 MiB or more, got {args.max_upload}")
    weights = chosen_weights(args)
    view(
        args.clip, lambda: Translator(weights, runtime=args.runtime), example=CLIP, port=args.port,
        max_upload=args.max_upload << 20, browser=not args.no_browser,
    )  # fmt: skip
    return 0


def _example(args: argparse.Namespace) -> int:
    from cfd2gray.example import translate_example
    from cfd2gray.translation.translator import Translator

    if args.inputs:
        raise ValueError("--example brings its own clip; leave the others out")
    out = args.out or pathlib.Path("cfd2gray-example")
    write_result(
        args,
        translate_example(
            Translator(chosen_weights(args), runtime=args.runtime, texture=args.texture, detail=args.detail), out
        ),
    )
    return 0


_SHOWN = 20
"""Clips that a dry run names."""


def _dry_run(args: argparse.Namespace, plan: Any) -> int:
    """What would be read and written, from names and sizes alone."""
    total = sum(path.stat().st_size for path in {source.path for source in plan.sources} if path.is_file())
    for source in plan.sources[:_SHOWN]:
        print(f"  {source}")
    if len(plan.sources) > _SHOWN:
        print(f"  and {len(plan.sources) - _SHOWN} more")
    clips = counted(len(plan.sources), "clip")
    if plan.one:
        there = " (is there already)" if args.out.exists() and not args.overwrite else ""
        print(f"{clips}, {total / 1e6:.1f} MB, to {args.out}{there}; nothing was done")
        return 0
    names = "named like their sources" if args.keep_names else "under hashed names"
    print(f"{clips}, {total / 1e6:.1f} MB, to the folder {args.out} as {plan.suffix}, {names};")
    print(f"beside it {args.out}.map.csv (which is which) and {args.key_file or f'{args.out}.key'}; nothing was done")
    return 0


def _explain(args: argparse.Namespace, said: Any) -> int:
    from cfd2gray.translation.explaining import explain_file
    from cfd2gray.translation.files import Output
    from data_pipeline.screen.deidentify import KeyedHasher
    from data_pipeline.screen.kind import in_words

    if len(args.inputs) != 1:
        raise ValueError(f"one clip is explained at a time, got {len(args.inputs)} inputs")
    output = Output(
        format=".npy",
        hasher=KeyedHasher(secrets.token_bytes(32)),
        salvage=args.salvage,
        follow_links=args.follow_links,
        any_modality=args.any_modality,
        said=said,
        remember=args.remember,
    )
    found = explain_file(args.inputs[0], args.explain, output)
    print(f"{args.explain}: {in_words(found.kind, found.score)}: {found.reason}")
    return 0
