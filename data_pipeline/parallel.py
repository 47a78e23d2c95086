"""Run many independent jobs in worker processes, results in order, with a progress bar; one bad job stops nothing."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2
import rich.console
import rich.progress

IN_FLIGHT = 3
"""Jobs submitted per worker ahead of the one whose result is awaited: bounds memory, hides uneven lengths."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job: its result, or the code of what went wrong and the exception itself."""

    result: Any = None
    code: str = ""
    error: BaseException | None = None


def run_ordered(
    function: Callable[[Any], Any], arguments: Iterable[Any], *, workers: int = 0
) -> Iterator[tuple[Any, Outcome]]:
    """Yield ``(argument, outcome)`` in the order of ``arguments``.

    ``ValueError`` and ``OSError`` (bad input) become outcomes with a code: the exception's ``code`` if it has one, else
    its class name. So does the death of a worker (``worker_died``): its job is tried once more, alone. Anything else is
    a defect and is raised.

    Args:
        function: picklable when ``workers`` > 1.
        workers: processes; 0 or 1 runs everything here.
    """
    if workers <= 1:
        for argument in arguments:
            yield argument, _guarded(function, argument)
        return
    todo = iter(arguments)
    waiting: collections.deque = collections.deque()
    pool = _pool(workers)
    try:
        while True:
            while len(waiting) < IN_FLIGHT * workers:
                argument = next(todo, _END)
                if argument is _END:
                    break
                waiting.append((argument, _submit(pool, function, argument)))
            if not waiting:
                return
            argument, future = waiting.popleft()
            try:
                outcome = future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False, cancel_futures=True)
                outcome = _alone(function, argument)
                pool = _pool(workers)
                waiting = collections.deque((other, _submit(pool, function, other)) for other, _ in waiting)
            yield argument, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def progress_bar(unit: str, *, show: bool | None = None) -> rich.progress.Progress:
    """A bar with count, rate and remaining time on standard error; by default only where a person watches."""
    console = rich.console.Console(stderr=True)
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        _Rate(unit),
        rich.progress.TimeRemainingColumn(),
        console=console,
        disable=not (console.is_terminal if show is None else show),
    )


class _Rate(rich.progress.ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: rich.progress.Task) -> str:
        speed = task.finished_speed or task.speed
        return f"{speed:.1f} {self.unit}/s" if speed else f"- {self.unit}/s"


_END = object()


def _pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    # spawn: a fork of a process with running threads (JAX, OpenCV, FFmpeg) may hang.
    return concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


def _start_worker() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cv2.setNumThreads(1)


def _submit(pool, function, argument) -> concurrent.futures.Future:
    try:
        return pool.submit(_guarded, function, argument)
    except BrokenProcessPool as error:  # it broke while idle: let the waiting side find out in order
        future: concurrent.futures.Future = concurrent.futures.Future()
        future.set_exception(error)
        return future


def _alone(function, argument) -> Outcome:
    with _pool(1) as pool:
        try:
            return pool.submit(_guarded, function, argument).result()
        except BrokenProcessPool as error:
            return Outcome(code="worker_died", error=error)


def _guarded(function, argument) -> Outcome:
    try:
        return Outcome(result=function(argument))
    except (ValueError, OSError) as error:
        return Outcome(code=str(getattr(error, "code", "") or type(error).__name__), error=error)
