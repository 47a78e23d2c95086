"""What each sub-command does: one function each, which calls the library and prints. No logic of its own."""

from __future__ import annotations

import argparse
from typing import Any

# Libraries are imported where they are used: `cfd2gray --help` and small commands should not wait for JAX.


def _json(args: argparse.Namespace, value: object) -> None:
    if args.json:
        from cfd2gray.files import write_json

        write_json(args.json, value)


def _weights(args: argparse.Namespace) -> Any:
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


def run_paint(args: argparse.Namespace) -> int:
    from cfd2gray.files import write_json
    from cfd2gray.translation.files import luma_clip
    from cfd2gray.translation.video_out import write_video
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
    _json(args, facts)
    print(f"{args.out}: colour_flow.mkv and greyscale.mkv, {len(grey)} frames (lossless)")
    return 0


def _archive_key(args: argparse.Namespace) -> bytes:
    from cfd2gray.translation.batch import read_key

    return read_key(args.key_file)


def _archive_jobs(args: argparse.Namespace) -> list:
    from data_pipeline.archive_pairs import archive_jobs
    from data_pipeline.census import read_view_csv

    views = read_view_csv(args.view_csv) if args.view_csv else None
    seeds = tuple(range(args.paint))
    return archive_jobs(args.archive, key=_archive_key(args), views=views, paint_seeds=seeds)


def run_pair(args: argparse.Namespace) -> int:
    import collections

    from data_pipeline.contact_sheet import write_contact_sheet
    from data_pipeline.parallel import progress_bar, run_ordered

    jobs, kinds, reasons, shown = _archive_jobs(args), collections.Counter(), collections.Counter(), []
    with progress_bar("files") as bar:
        task = bar.add_task("pairing", total=len(jobs))
        for _, outcome in run_ordered(_call, jobs, workers=args.workers):
            reasons.update([outcome.code] if outcome.code else [])
            for pair in outcome.result or ():
                kinds[pair.kind] += 1
                if len(shown) < args.rows:
                    shown.append(pair)
            bar.advance(task)
    if args.contact_sheet and shown:
        write_contact_sheet(args.contact_sheet, shown)
    _json(args, {"files": len(jobs), "pairs": dict(kinds), "no_pair": dict(reasons)})
    print(f"{len(jobs)} files: {dict(kinds) or 'no pairs'}; without a pair: {dict(reasons)}")
    return 0 if kinds else 1


def _call(job: Any) -> list:
    return list(job())


def run_pack(args: argparse.Namespace) -> int:
    from data_pipeline.pack import pack

    manifest = pack(_archive_jobs(args), args.out, encoding=args.encoding, workers=args.workers, shard_mb=args.shard_mb)
    clips = sum(shard.n_clips for shard in manifest.shards)
    _json(args, {"clips": clips, "counts": dict(manifest.counts), "left_out": dict(manifest.errors)})
    print(f"{clips} clips in {args.out}; left out: {dict(manifest.errors) or 'none'}")
    return 0


def run_census(args: argparse.Namespace) -> int:
    import rich.console

    from data_pipeline import census_page, census_tables
    from data_pipeline.census import census

    found = census(args.archive, out_dir=args.out, view_csv=args.view_csv, key=_archive_key(args), workers=args.workers)
    console = rich.console.Console()
    console.print(census_tables.terminal_table(found))
    console.print(census_tables.headline(found))
    if args.out:
        census_tables.write_csv(found, args.out / "census.csv")
        census_tables.write_json(found, args.out / "census.json")
        census_page.write_html(found, args.out / "census.html")
        print(f"page: {args.out / 'census.html'}")
    _json(args, census_tables.summary(found))
    return 0


def run_contact_sheet(args: argparse.Namespace) -> int:
    import cv2

    from cfd2gray.files import atomic_path
    from data_pipeline.schema import VIEWS
    from data_pipeline.simulation.contact_sheet import contact_sheet
    from data_pipeline.simulation.sources import SimulationSource

    views = VIEWS[1:] if args.view == "all" else tuple(args.view.split(","))
    source = SimulationSource(
        views=views, seed=args.seed, length=len(views), height=args.size, width=args.size, frames=16
    )
    sheet = contact_sheet([source[k] for k in range(len(source))], tile=args.size, columns=2 if len(views) > 1 else 1)
    with atomic_path(args.out) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])
    print(f"{args.out}: {len(views)} views, each CFD / B-mode / labels")
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


def run_doctor(args: argparse.Namespace) -> int:
    from cfd2gray.doctor import examine

    facts, problems = examine(args.data)
    _json(args, {"facts": facts, "problems": problems})
    for name, value in facts.items():
        print(f"{name:24s} {value}")
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0
