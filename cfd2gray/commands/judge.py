"""How good a model is: scores and pages."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, add_config, add_weights, chosen_weights, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "evaluate", run_evaluate, "score a model beside the do-nothing baselines, with a report",
        "evaluate --config tiny --config.data.dir=records --checkpoint run -o run/evaluation",
    )  # fmt: skip
    add_config(sub)
    add_weights(sub)
    sub.add_argument("--split", choices=("train", "val", "test"), default="test")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = add("report", run_report, "the page of an evaluation", "report run/evaluation.json -o page.html")
    sub.add_argument("evaluation", type=pathlib.Path)
    sub.add_argument("--workdir", type=pathlib.Path, help="the training run, for its curves")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)


def run_evaluate(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.config import load_config
    from cfd2gray.evaluation.run import evaluate_weights
    from cfd2gray.evaluation.tables import print_result

    use_compile_cache()
    config = load_config(args.config, args.overrides)
    result = evaluate_weights(config, chosen_weights(args), args.out, split=args.split, workdir=args.checkpoint)
    write_result(args, result)
    print_result(result)
    print(f"report: {args.out / 'report.html'}")
    return 0


def run_report(args: argparse.Namespace) -> int:
    import json

    from cfd2gray.evaluation.report import write_report
    from cfd2gray.training.writer import read_history

    try:
        result = json.loads(args.evaluation.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{args.evaluation}: not JSON ({error}); give an evaluation.json of `cfd2gray evaluate`"
        ) from error
    write_report(args.out, result, [], history=read_history(args.workdir) if args.workdir else None)
    print(f"report: {args.out}")
    return 0
