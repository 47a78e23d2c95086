"""How good a model is: scores, pages, comparisons, unseen clinical domains."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from cfd2gray.commands.parsers import AddCommand, add_config, add_weights, chosen_weights, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "evaluate", run_evaluate, "score a model beside the do-nothing baselines, with a report",
        "evaluate --config tiny --config.data.dir=records --checkpoint run \\\n      --downstream --audit -o run/evaluation",
    )  # fmt: skip
    add_config(sub)
    add_weights(sub)
    sub.add_argument("--split", choices=("train", "val", "test"), default="test")
    _add_extras(sub)
    about = "features of a VGG16 converted by `convert-vgg`, instead of the embedded one"
    sub.add_argument("--vgg", type=pathlib.Path, metavar="FILE", help=about)
    about = "LPIPS's linear weights (.npz or .safetensors): adds LPIPS; needs a --vgg that reaches relu5_3"
    sub.add_argument("--lpips", type=pathlib.Path, metavar="FILE", help=about)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder for evaluation.json and report.html")
    sub.add_argument("--overwrite", action="store_true", help="replace the evaluation of other weights or clips there")

    sub = add(
        "report", run_report, "the page of an evaluation, or several runs side by side",
        "report runs/a/evaluation runs/b/evaluation -o comparison.html",
    )  # fmt: skip
    about = "an evaluation.json or a folder that holds one; the first of several is the one compared with"
    sub.add_argument("evaluation", type=pathlib.Path, nargs="+", metavar="RUN", help=about)
    sub.add_argument("--workdir", metavar="RUN", help="the training run, for its curves (one RUN only)")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)

    sub = add(
        "domains", run_domains, "train without a clinical domain and test on it",
        "domains --config.data.dir=records --trained-on heart -o runs/domains",
    )  # fmt: skip
    add_config(sub)
    sub.add_argument("--domains", default="all", help="heart, fetal, vessel, kidney, liver; by default all of them")
    about = "train one model on these domains only and test it on all --domains; by default each is left out in turn"
    sub.add_argument("--trained-on", default="", metavar="DOMAINS", help=about)
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder; a stopped command goes on there")


def _add_extras(sub: argparse.ArgumentParser) -> None:
    """What an evaluation may do beyond scoring; see `cfd2gray.evaluation.extras.Extras`."""
    group = sub.add_argument_group("do translated clips work as real ones? (heads are trained on the train split)")
    about = "classify and segment real and translated clips: F1, Dice, equivalence"
    group.add_argument("--downstream", action="store_true", help=about)
    about = "learning curves with few greyscale patients, alone and with translations; e.g. 10,20,40 of half of those scored"
    group.add_argument("--recovery", metavar="N,N", default="", help=about)
    about = "can a classifier tell translated from real, and would a label leak through?"
    group.add_argument("--audit", action="store_true", help=about)
    about = "largest difference of F1 that counts as the same (default 0.05); state it before you look"
    group.add_argument("--margin", type=float, default=0.05, metavar="F1", help=about)
    group = sub.add_argument_group("your own labels and models, instead of views, chambers and heads trained here")
    group.add_argument("--labels", type=pathlib.Path, metavar="CSV", help="columns clip_id and label")
    group.add_argument("--label-maps", type=pathlib.Path, metavar="DIR", help="CLIP_ID.npy or CLIP_ID.png per clip")
    about = "what the maps' values 0, 1, ... mean, background first: background,lv,la"
    group.add_argument("--map-names", default="", metavar="NAMES", help=about)
    about = "package.module:function or file.onnx; classes in the order of the sorted labels"
    group.add_argument("--classifier", metavar="MODEL", help=about)
    group.add_argument("--segmenter", metavar="MODEL", help="package.module:function or file.onnx")


def _extras(args: argparse.Namespace) -> Any:
    from cfd2gray.evaluation.extras import Extras

    return Extras(
        downstream=args.downstream,
        recovery=_numbers(args.recovery),
        audit=args.audit,
        class_labels=args.labels,
        label_maps=args.label_maps,
        map_names=_names(args.map_names),
        classifier=args.classifier,
        segmenter=args.segmenter,
        margin=args.margin,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError:
        raise ValueError(f"--recovery takes numbers of patients separated by commas (10,20,40), got {text!r}") from None


def run_evaluate(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.config import load_config
    from cfd2gray.cpu_cores import device_per_core
    from cfd2gray.evaluation.report.tables import print_result
    from cfd2gray.evaluation.run import evaluate_weights, feature_net

    use_compile_cache()
    config = load_config(args.config, args.overrides)
    device_per_core(shares=config.eval.batch_size)
    extras = _extras(args)
    net = feature_net(vgg=args.vgg, lpips=args.lpips) if args.vgg or args.lpips else None
    weights = chosen_weights(args)
    if not args.overwrite:
        _refuse_other_evaluation(args.out / "evaluation.json", weights.digest, args.split)
    result = evaluate_weights(
        config, weights, args.out, split=args.split, workdir=args.checkpoint, extras=extras, net=net
    )
    write_result(args, result)
    print_result(result)
    print(f"report: {args.out / 'report.html'}")
    return 0


def _refuse_other_evaluation(path: pathlib.Path, digest: str, split: str) -> None:
    """The same evaluation may be made again; that of other weights or another split is not lost unasked."""
    from cfd2gray.evaluation.report.compare import load_result

    if not path.is_file():
        return
    before = load_result(path).get("settings", {})
    if (before.get("weights_digest"), before.get("split")) != (digest, split):
        raise ValueError(
            f"{path} is the evaluation of other weights or clips ({before.get('model')}, {before.get('split')}); "
            "name another folder with -o, or replace it with --overwrite"
        )


def _refuse_foreign_page(path: pathlib.Path) -> None:
    if path.is_file() and b'content="cfd2gray"' not in path.read_bytes()[:4096]:
        raise ValueError(
            f"{path} exists and is no page of cfd2gray, so it is not overwritten; name another file with -o"
        )


def run_report(args: argparse.Namespace) -> int:
    from cfd2gray.evaluation.report.compare import (
        compare,
        load_result,
        run_names,
        shared_clips,
        write_comparison,
    )
    from cfd2gray.evaluation.report.page import clips_of, write_report
    from cfd2gray.training.writer import read_history

    results = [load_result(path) for path in args.evaluation]
    _refuse_foreign_page(args.out)
    if len(results) == 1:
        history = read_history(args.workdir) if args.workdir else None
        write_report(args.out, results[0], clips_of(args.evaluation[0]), history=history)
        write_result(args, results[0])
    else:
        if args.workdir:
            raise ValueError("--workdir adds one run's curves, but several runs were given; leave it out")
        named = dict(zip(run_names(args.evaluation), results))
        clips = [clips_of(path) for path in args.evaluation]
        write_comparison(args.out, named, clips=clips)
        if not shared_clips(list(named), clips):
            print("no clip is shown: the runs' reports have none in common")
        write_result(args, compare(named))
    print(f"report: {args.out}")
    return 0


def run_domains(args: argparse.Namespace) -> int:
    from cfd2gray.compile_cache import use_compile_cache
    from cfd2gray.config import load_config
    from cfd2gray.cpu_cores import device_per_core
    from cfd2gray.evaluation.domains import KNOWN
    from cfd2gray.evaluation.report.domain_page import print_domains, write_domain_page
    from cfd2gray.evaluation.run import leave_one_domain_out

    use_compile_cache()
    config = load_config(args.config, args.overrides)
    device_per_core(shares=config.data.batch_size)
    domains = KNOWN if args.domains == "all" else _names(args.domains)
    outcome = leave_one_domain_out(config, args.out, domains=domains, trained_on=_names(args.trained_on))
    write_result(args, outcome)
    print_domains(outcome)
    write_domain_page(args.out / "domains.html", outcome)
    print(f"report: {args.out / 'domains.html'}")
    return 0
