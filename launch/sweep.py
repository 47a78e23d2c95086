"""Many runs from one sweep file, here or on SLURM; then one table of all of them.
For example:

    cfd2gray sweep ablation --workdir sweeps/ablation --list
    cfd2gray sweep configs/sweeps/rates.py --workdir sweeps/rates --jobs 4 \\
        --gpus 0,1,2,3 --config.data.dir=records
    cfd2gray sweep rates --workdir sweeps/rates --slurm --jobs 8 \\
        --slurm-option partition=gpu
    cfd2gray sweep rates --workdir sweeps/rates --collect

A sweep file has ``CONFIG`` and ``get_runs()``, a list of runs or a dict
``{setting: runs}``; or ``TRIALS`` and ``suggest(trial)``, and Optuna searches;
see `configs/sweeps/`. ``--config.KEY=VALUE`` holds for all
runs. Each run has its folder under --workdir and its output in ``logs/``.
Started again, a sweep skips what is done and goes on with the rest. Exit code 0
when all runs are done, 1 when some failed, 75 when it was asked to stop.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib
import json
import os
import pathlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Sequence
from typing import Any

from cfd2gray.launch import search, sweep_slurm, sweep_table

from cfd2gray.config import load_config, load_module
from cfd2gray.exit_codes import EXIT_INTERRUPTED, EXIT_STOPPED, exit_code
from data_pipeline.files import write_json
from data_pipeline.mistakes import named_mistakes
from data_pipeline.parallel import progress_bar
from data_pipeline.storage import only_here

DONE = "sweep_result.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: its number in the sweep, its folder's name, what it changes, and what the sweep file calls that."""

    number: int
    name: str
    overrides: dict[str, Any]
    setting: str = ""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep file's runs of one config; ``common`` holds for all of them."""

    config: str
    runs: tuple[Run, ...]
    common: tuple[str, ...]
    search: str = ""
    """The sweep file, when it is a search: what its runs change is then asked for when they start (`launch.search`)."""

    def arguments(self, run: Run) -> list[str]:
        """``--config`` and its overrides."""
        own = [f"--config.{key}={value!r}" for key, value in run.overrides.items()]
        return ["--config", self.config, *(f"--config.{text}" for text in self.common), *own]


def load_sweep(spec: str, common: Sequence[str]) -> Sweep:
    """The sweep of a file or of a shipped one's name; every run's config is built once, so that mistakes show now.

    Raises:
      ValueError: For a missing file, unknown keys, wrong types, or two equal runs.
    """
    module = _module(spec)
    if hasattr(module, "suggest") and hasattr(module, "TRIALS") and hasattr(module, "CONFIG"):
        load_config(module.CONFIG, common)
        trials = tuple(Run(number, folder_name(number, "trial"), {}) for number in range(module.TRIALS))
        return Sweep(config=module.CONFIG, runs=trials, common=tuple(common), search=spec)
    missing = [name for name in ("CONFIG", "get_runs") if not hasattr(module, name)]
    if missing:
        raise ValueError(
            f"{spec}: a sweep file must define CONFIG and get_runs() or TRIALS and suggest(), {missing} missing"
        )
    given = module.get_runs()
    settings = given if isinstance(given, dict) else {"": given}
    if not any(settings.values()):
        raise ValueError(f"{spec}: get_runs() gave no run; a sweep needs at least one")
    labels, runs = zip(*((label, run) for label, listed in settings.items() for run in listed))
    names = [
        folder_name(number, label) if label else run_name(number, run)
        for number, (label, run) in enumerate(zip(labels, runs))
    ]
    for name, overrides in zip(names, runs):
        try:
            load_config(module.CONFIG, [*common, *(f"{key}={value!r}" for key, value in overrides.items())])
        except ValueError as error:
            raise ValueError(f"run {name}: {error}") from error
    if len({json.dumps(run, sort_keys=True) for run in runs}) < len(runs):
        raise ValueError(f"{spec}: some runs are the same")
    listed = tuple(Run(n, *described) for n, described in enumerate(zip(names, runs, labels)))
    return Sweep(config=module.CONFIG, runs=listed, common=tuple(common))


def _module(spec: str) -> types.ModuleType:
    if spec.endswith(".py"):
        return load_module(spec)
    try:
        return importlib.import_module(f"cfd2gray.configs.sweeps.{spec}")
    except ModuleNotFoundError as error:
        raise ValueError(f"{spec}: neither a .py file nor a sweep of configs/sweeps") from error


def run_name(number: int, overrides: dict[str, Any]) -> str:
    """``003-adversarial=0.0-seed=1``: number and changes."""
    return folder_name(number, "-".join(f"{key.split('.')[-1]}={value}" for key, value in overrides.items()))


def folder_name(number: int, about: str) -> str:
    """Number and text, safe as a folder's name, at most 80 characters."""
    return re.sub(r"[^\w.=+-]+", "_", f"{number:03}-{about}")[:80].rstrip("-_")


def claim(sweep: Sweep, workdir: pathlib.Path) -> None:
    """Note in ``workdir/sweep.json`` what this folder holds. Raises ``ValueError`` when it is another sweep's."""
    path = workdir / "sweep.json"
    mine = json.loads(json.dumps(dataclasses.asdict(sweep)))
    if not sweep.search:
        del mine["search"]
    if path.is_file():
        if json.loads(path.read_text()) != mine:
            raise ValueError(f"{workdir} holds another sweep, or this one with other settings; use a new --workdir")
    elif workdir.exists() and any(workdir.iterdir()):
        raise ValueError(f"{workdir} exists and is no sweep; use a new --workdir")
    write_json(path, mine)


def run_one(sweep: Sweep, run: Run, workdir: pathlib.Path, *, evaluate: bool, gpu: str | None, running: Running) -> int:
    """Train one run, or what is left of it, and perhaps evaluate it. Returns the first exit code that is not 0."""
    folder = workdir / run.name
    if (folder / DONE).is_file():
        return 0
    (workdir / "logs").mkdir(parents=True, exist_ok=True)
    if sweep.search:
        run = dataclasses.replace(run, overrides=search.ask(_module(sweep.search).suggest, workdir, run.number))
    cli, arguments = [sys.executable, "-m", "cfd2gray.cli"], sweep.arguments(run)
    commands = [[*cli, "train", *arguments, "--workdir", str(folder)]]
    if evaluate:
        commands.append([*cli, "evaluate", *arguments, "--checkpoint", str(folder), "-o", str(folder / "evaluation")])
    env = dict(os.environ) | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {})
    with open(workdir / "logs" / f"{run.name}.log", "a") as log:
        for command in commands:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            code = running.call(command, env, log)
            if code:
                return code if code > 0 else 1
    result = sweep_table.read_result(folder)
    if sweep.search:
        search.tell(workdir, run.number, result)
    sweep_table.write_hparams(folder, run.overrides | ({"setting": run.setting} if run.setting else {}), result)
    write_json(folder / DONE, result)
    return 0


class Running:
    """The processes that run now; `stop` passes SIGTERM on, so that each run saves and leaves."""

    def __init__(self) -> None:
        self.stopping = False
        self._lock, self._children = threading.Lock(), set()

    def call(self, command: Sequence[str], env: dict[str, str], log: Any) -> int:
        with self._lock:
            if self.stopping:
                return EXIT_STOPPED
            child = subprocess.Popen(
                command,
                env=env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on once
            )
            self._children.add(child)
        code = child.wait()
        with self._lock:
            self._children.discard(child)
        # What keeps no state of its own (an evaluation) just ends, and is done again.
        return EXIT_STOPPED if self.stopping and code in (-signal.SIGTERM, EXIT_INTERRUPTED) else code

    def stop(self, *_: object) -> None:
        """The first time every run is asked to save and leave; the second time they are ended."""
        again, self.stopping = self.stopping, True
        for child in list(self._children):
            child.kill() if again else child.terminate()


def run_all(sweep: Sweep, workdir: pathlib.Path, *, jobs: int, gpus: Sequence[str], evaluate: bool) -> dict[str, int]:
    """All runs, ``jobs`` at a time, each on a GPU of its own where ``gpus`` are named. Returns exit codes by name."""
    running, places = Running(), queue.SimpleQueue()
    for place in gpus or [None] * jobs:
        places.put(place)

    def work(run: Run) -> int:
        place = places.get()
        try:
            return run_one(sweep, run, workdir, evaluate=evaluate, gpu=place, running=running)
        finally:
            places.put(place)

    before = {number: signal.signal(number, running.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    codes: dict[str, int] = {}
    try:
        with progress_bar("runs") as bar, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            task = bar.add_task("sweep", total=len(sweep.runs))
            futures = {pool.submit(work, run): run for run in sweep.runs}
            for future in concurrent.futures.as_completed(futures):
                codes[futures[future].name] = future.result()
                bar.advance(task)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return codes


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cfd2gray sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", help="a .py file, or the name of one in configs/sweeps")
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--gpus", default="", help="one run per GPU of this list, as in 0,1,2,3")
    parser.add_argument("--evaluate", action="store_true", help="score each run on the test split when it is trained")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this run alone: what a cluster's job calls")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the runs and start nothing")
    what.add_argument("--slurm", action="store_true", help="queue all runs as one job array (extra [sweep])")
    what.add_argument("--collect", action="store_true", help="write table.html, table.csv and table.json")
    about = "an option of sbatch, as in partition=gpu or time=600 (minutes); may be given several times"
    parser.add_argument("--slurm-option", action="append", default=[], metavar="NAME=VALUE", help=about)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    common = [text.removeprefix("--config.") for text in extra if text.startswith("--config.")]
    if len(common) != len(extra):
        parser.error(f"unknown argument {next(t for t in extra if not t.startswith('--config.'))!r}")
    try:
        with named_mistakes():
            args.workdir = only_here(args.workdir, "--workdir")
            return _act(args, common)
    except (ValueError, OSError) as error:
        print(f"cfd2gray sweep: {' '.join(str(error).split())}", file=sys.stderr)
        return exit_code(error)


def _act(args: argparse.Namespace, common: Sequence[str]) -> int:
    if args.collect:
        print(sweep_table.collect(args.workdir))
        return 0
    sweep = load_sweep(args.sweep, common)
    gpus = [gpu for gpu in args.gpus.split(",") if gpu]
    if args.jobs < 1 or (gpus and len(gpus) < args.jobs):
        raise ValueError(f"--jobs must be at least 1 and at most the number of --gpus, got {args.jobs} for {gpus}")
    if args.list:
        for run in sweep.runs:
            print(shlex.join(["cfd2gray", "train", *sweep.arguments(run), "--workdir", str(args.workdir / run.name)]))
        return 0
    if args.slurm:
        again = [args.sweep, "--workdir", str(args.workdir), *(["--evaluate"] if args.evaluate else [])]
        again += [f"--config.{text}" for text in common]
        options = dict(text.partition("=")[::2] for text in args.slurm_option)
        if not all(options.values()):
            raise ValueError(f"--slurm-option must be like partition=gpu, got {', '.join(args.slurm_option)}")
        claim(sweep, args.workdir)
        jobs = sweep_slurm.submit(
            again, runs=len(sweep.runs), at_once=args.jobs, logs=args.workdir / "logs", options=options
        )
        print(f"queued {len(jobs)} runs as {jobs[0].partition('_')[0]}; logs in {args.workdir / 'logs'}")
        print(f"when they are done: cfd2gray sweep {args.sweep} --workdir {args.workdir} --collect")
        return 0
    claim(sweep, args.workdir)
    if args.only is not None:
        if not 0 <= args.only < len(sweep.runs):
            raise ValueError(f"--only must be in 0 .. {len(sweep.runs) - 1}, got {args.only}")
        sweep = dataclasses.replace(sweep, runs=(sweep.runs[args.only],))
    codes = run_all(sweep, args.workdir, jobs=args.jobs, gpus=gpus, evaluate=args.evaluate)
    for name, code in codes.items():
        if code not in (0, EXIT_STOPPED):
            print(f"{name} failed with {code}; see {args.workdir / 'logs' / name}.log", file=sys.stderr)
    if args.only is None:
        print(sweep_table.collect(args.workdir))
    bad = [code for code in codes.values() if code]
    return 0 if not bad else (EXIT_STOPPED if set(bad) == {EXIT_STOPPED} else 1)


if __name__ == "__main__":
    sys.exit(main())
