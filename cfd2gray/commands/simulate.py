"""Clips made by the software: simulated pairs, painted colour, a picture of the views."""

from __future__ import annotations

import argparse
import os
import pathlib

from cfd2gray.commands.parsers import AddCommand, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "simulate", run_simulate, "make paired clips: training records, DICOM or video",
        "simulate --view A4C,KIDNEY --clips 100 -o records",
    )  # fmt: skip
    sub.add_argument("--view", default="all", help="views, separated by commas; default all")
    sub.add_argument("--clips", type=int, default=100, help="how many")
    sub.add_argument("--size", type=int, default=128, help="px, height and width")
    sub.add_argument("--frames", type=int, default=32)
    sub.add_argument("--seed", type=int, default=0, help="number of the first clip; the same seed gives the same bytes")
    sub.add_argument("--format", choices=("records", "dicom", "mp4"), default="records")
    about = "share of the records whose colour is painted over the simulated greyscale instead of simulated with it"
    sub.add_argument("--painted", type=float, default=0.0, metavar="SHARE", help=about)
    about = "share of the records that are whole screens of any view: squeezed, tinted, biplane, with marks over tissue"
    sub.add_argument("--screens", type=float, default=0.0, metavar="SHARE", help=about)
    about = (
        "share of the records with masks as the screen parser finds them, mistakes included, instead of the true ones"
    )
    sub.add_argument("--found-masks", type=float, default=0.0, metavar="SHARE", help=about)
    sub.add_argument("--workers", type=int, default=os.cpu_count())
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = add("paint", run_paint, "paint colour flow over a greyscale clip", "paint clip.dcm -o pair")
    sub.add_argument("clip", type=pathlib.Path)
    sub.add_argument("--view", default="UNKNOWN", help="view of the clip, if known")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--held-out", action="store_true", help="the painter kept out of training, to judge a model with")
    sub.add_argument("--restored", action="store_true", help="target: the untouched clip, not the coarser duplex one")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = add("contact-sheet", run_contact_sheet, "a picture of the simulated views", "contact-sheet -o views.png")
    sub.add_argument("--view", default="all")
    sub.add_argument("--size", type=int, default=160, help="px of a tile")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)


def run_simulate(args: argparse.Namespace) -> int:
    from data_pipeline.schema import VIEWS
    from data_pipeline.simulation import export

    views = VIEWS[1:] if args.view == "all" else tuple(args.view.split(","))
    made = export.simulate(
        args.out, views=views, clips=args.clips, size=args.size, frames=args.frames, seed=args.seed,
        kind=args.format, painted=args.painted, screens=args.screens, found=args.found_masks,
        workers=args.workers,
    )  # fmt: skip
    write_result(args, {"clips": made, "views": list(views), "format": args.format, "seed": args.seed})
    print(f"{made} clips in {args.out}")
    return 0


def run_paint(args: argparse.Namespace) -> int:
    from cfd2gray.translation.files import luma_clip
    from cfd2gray.translation.output.video import write_video
    from data_pipeline.files import write_json
    from data_pipeline.simulation.painter import HELD_OUT, TRAIN, paint_pair

    grey, info = luma_clip(args.clip)
    pair = paint_pair(
        grey, args.seed, fps=info.fps, options=HELD_OUT if args.held_out else TRAIN, clip_id=info.source_digest,
        patient_id=info.source_digest, view=args.view, shared=not args.restored,
    )  # fmt: skip
    if args.out.exists():
        raise ValueError(f"{args.out} exists and is not overwritten; name another folder")
    write_video(args.out / "colour_flow.mkv", pair.cfd, fps=pair.fps)
    write_video(args.out / "greyscale.mkv", pair.grey[..., 0], fps=pair.fps)
    facts = {"synthetic": True, "kind": pair.kind, "shared": pair.shared, "fps": pair.fps, "params": pair.params}
    write_json(args.out / "pair.json", facts)
    write_result(args, facts)
    print(f"{args.out}: colour_flow.mkv and greyscale.mkv, {len(grey)} frames (lossless)")
    return 0


def run_contact_sheet(args: argparse.Namespace) -> int:
    import cv2

    from data_pipeline.files import atomic_path
    from data_pipeline.schema import VIEWS
    from data_pipeline.simulation.on_the_fly import SimulationSource
    from data_pipeline.simulation.views_sheet import contact_sheet

    views = VIEWS[1:] if args.view == "all" else tuple(args.view.split(","))
    source = SimulationSource(
        views=views, seed=args.seed, length=len(views), height=args.size, width=args.size, frames=16
    )
    sheet = contact_sheet([source[k] for k in range(len(source))], tile=args.size, columns=2 if len(views) > 1 else 1)
    with atomic_path(args.out) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])
    print(f"{args.out}: {len(views)} views, each CFD / B-mode / labels")
    return 0
