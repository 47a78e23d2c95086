"""The reader study: can people tell translated clips from real ones?"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable

from cfd2gray.commands.parsers import PROG, AddCommand, add_config, add_weights, chosen_weights, write_result


def add_commands(add: AddCommand) -> None:
    """Declare `reader-study` and what it can do."""
    sub = add(
        "reader-study", _no_action, "a blinded study of whether people can tell translated clips from real ones",
        "reader-study build --config.data.dir=records --items 60 -o study\n"
        f"  {PROG} reader-study score study/key.json answers/*.json -o scores.html\n"
        f"  {PROG} reader-study power --answers 300",
    )  # fmt: skip
    actions = sub.add_subparsers(dest="action", metavar="ACTION")

    build = _action(actions, "build", run_build, "make the page for readers, and the key for you")
    add_config(build)
    add_weights(build)
    build.add_argument("--split", choices=("train", "val", "test"), default="test")
    build.add_argument("--items", type=int, default=60, help="clips shown, half of them real (default 60)")
    build.add_argument("--repeats", type=int, default=6, help="clips shown twice, for agreement with oneself (6)")
    build.add_argument("--fps", type=float, default=15.0, help="of every clip alike (15)")
    build.add_argument("--title", default="Real or synthetic?")
    build.add_argument("--seed", type=int, default=0, help="of the draw of clips")
    build.add_argument("-o", "--out", type=pathlib.Path, required=True, help="a new folder")

    score = _action(actions, "score", run_score, "accuracy, agreement, ROC and power from readers' answer files")
    score.add_argument("key", type=pathlib.Path, help="key.json of the study")
    score.add_argument("answers", type=pathlib.Path, nargs="+", help="answer files, one per reader")
    score.add_argument("-o", "--out", type=pathlib.Path, help="also write the scores as a page")

    power = _action(actions, "power", run_power, "what a study of some size can see, before asking anyone for time")
    power.add_argument("--answers", type=int, required=True, metavar="N", help="readers times clips")
    about = "answers needed to see this accuracy with 80 %% power, besides the usual ones"
    power.add_argument("--accuracy", type=float, metavar="SHARE", help=about)

    rehearse = _action(actions, "simulate", run_simulate, "answer files of made-up readers, to rehearse the scoring")
    rehearse.add_argument("key", type=pathlib.Path, help="key.json of the study")
    rehearse.add_argument("--readers", type=int, default=5)
    about = "0 guesses, 1 is right 69 %% of the time, 2 is right 84 %%"
    rehearse.add_argument("--skill", type=float, default=0.2, help=about)
    rehearse.add_argument("--seed", type=int, default=0)
    rehearse.add_argument("-o", "--out", type=pathlib.Path, required=True, help="a new folder")


def _action(
    actions: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    sub = actions.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    sub.set_defaults(run=run)
    for flag in ("--debug", "--verbose"):  # also after the action; the command's own must not be reset by these
        sub.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    sub.add_argument("--json", type=pathlib.Path, metavar="FILE", default=argparse.SUPPRESS, help="result as JSON")
    return sub


def _no_action(args: argparse.Namespace) -> int:
    raise ValueError(f"say what to do: build, score, power or simulate; see {PROG} reader-study --help")


def run_build(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.config import load_config
    from cfd2gray.cpu_cores import device_per_core
    from cfd2gray.evaluation.reader_study.build import StudyOptions, check_folder
    from cfd2gray.evaluation.run import build_reader_study

    use_compile_cache()
    check_folder(args.out)  # before minutes of translating
    config = load_config(args.config, args.overrides)
    device_per_core(shares=config.eval.batch_size)
    options = StudyOptions(items=args.items, repeats=args.repeats, fps=args.fps, seed=args.seed, title=args.title)
    key = build_reader_study(config, chosen_weights(args), args.out, options=options, split=args.split)
    write_result(args, {"study": key["study"], "n_items": len(key["items"]), "page_sha256": key["page_sha256"]})
    print(f"{args.out / 'study.html'}: {len(key['items'])} clips; send this file to your readers")
    print(f"{args.out / 'key.json'}: the answers; keep it, and do not send it")
    return 0


def run_score(args: argparse.Namespace) -> int:
    from cfd2gray.evaluation.reader_study.results_page import print_scores, write_reader_page
    from cfd2gray.evaluation.reader_study.score import read_answers, read_key, score_study

    key = read_key(args.key)
    scores = score_study(key, [read_answers(path, key) for path in args.answers])
    write_result(args, scores)
    print_scores(scores)
    if args.out:
        write_reader_page(args.out, scores)
        print(f"report: {args.out}")
    return 0


def run_power(args: argparse.Namespace) -> int:
    from cfd2gray.evaluation.reader_study.results_page import print_power
    from cfd2gray.evaluation.reader_study.score import power_table

    table = power_table(args.answers, accuracy=args.accuracy)
    write_result(args, table)
    print_power(table)
    return 0


def run_simulate(args: argparse.Namespace) -> int:
    from cfd2gray.evaluation.reader_study.build import check_folder
    from cfd2gray.evaluation.reader_study.score import read_key
    from cfd2gray.evaluation.reader_study.simulate import simulate_reader
    from data_pipeline.files import write_json

    key = read_key(args.key)
    if args.readers < 1:
        raise ValueError(f"--readers must be at least 1, got {args.readers}")
    check_folder(args.out)
    for number in range(args.readers):
        name = f"simulated {number + 1}"
        answers = simulate_reader(key, name=name, skill=args.skill, seed=args.seed * 1000 + number)
        write_json(args.out / f"simulated-{number + 1}.json", answers)
    print(f"{args.readers} simulated readers in {args.out}")
    return 0
