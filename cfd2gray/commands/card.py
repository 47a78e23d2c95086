"""The page that says what a set of weights is worth."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, add_weights, chosen_weights, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add("card", run_card, "judge weights by the protocol of the shipped ones", "card --checkpoint run -o docs")
    add_weights(sub)
    sub.add_argument("--title", default="Weights", help="heading of the page and name of its files")
    sub.add_argument("--simulated", type=int, default=40, help="simulated clips per size")
    sub.add_argument("--paintings", type=int, default=8, help="paintings of the real echo per size and target")
    sub.add_argument("--masses", type=int, default=24, help="simulated clips with a mass under colour")
    about = (
        "clips with colour flow of your own: their flow is laid over the real echo, where the truth is known, and they are "
        "judged as they are, by the visible tissue beside"
    )
    sub.add_argument("--real-colour", type=pathlib.Path, metavar="FOLDER", help=about)
    sub.add_argument("--workdir", metavar="RUN", help="the training run, for its curves")
    sub.add_argument("--commit", default="", help="written on the page")
    sub.add_argument(
        "-o", "--out", type=pathlib.Path, required=True, help="folder for the page, its JSON and its picture"
    )


def run_card(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.cpu_cores import device_per_core
    from cfd2gray.evaluation.card.judge import CardOptions, judge
    from cfd2gray.evaluation.card.page import write_card
    from cfd2gray.pages.curves import training_picture
    from cfd2gray.training.writer import read_history

    use_compile_cache()
    device_per_core(most=8)  # each holds a clip at every size
    curves = training_picture(read_history(args.workdir)) if args.workdir else ""
    options = CardOptions(
        simulated=args.simulated, paintings=args.paintings, masses=args.masses, real_colour=args.real_colour
    )
    card = judge(chosen_weights(args), options=options)
    page = write_card(args.out, card, title=args.title, commit=args.commit, curves=curves)
    write_result(args, {"page": str(page), "masses": card.masses})
    print(f"page: {page}")
    return 0
