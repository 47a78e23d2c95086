"""Run many independent jobs in worker processes, results in order, with a progress bar; one bad job costs itself only."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import pebble
import rich.console
import rich.progress

IN_FLIGHT = 2
"""Jobs submitted per worker: bounds what waits in memory, hides uneven lengths."""
TIMEOUT = 1800.0
"""Seconds after which a job is given up and its worker killed: a decoder that hangs, a file server that does not answer."""
MAX_DEFECTS, FEW_DEFECTS = 0.05, 10
"""A run stops when more than this share of its jobs, and more than a few, met a defect of this program."""
DEFECT = "defect:"
"""What the code of a job begins with that failed for no fault of its input; the exception's type follows."""
TRANSIENT = ("OSError", "not_found", "timeout", "worker_died", "missing_dependency", f"{DEFECT}MemoryError")
"""Codes that another run may not meet again: file servers, memory, packages."""


class TooManyDefectsError(ValueError):
    """More jobs failed by a defect of this program than can be left out in good faith."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job: its result, or the code of what went wrong and the exception itself."""

    result: Any = None
    code: str = ""
    error: BaseException | None = None


def run_ordered(
    function: Callable[[Any], Any], arguments: Iterable[Any], *, workers: int = 0, timeout: float = TIMEOUT
) -> Iterator[tuple[Any, Outcome]]:
    """Yield ``(argument, outcome)`` in the order of ``arguments``, which are drawn a few ahead.

    Every exception becomes an outcome with a code: that of bad input (``ValueError``, ``OSError``) is the exception's
    own ``code`` or its class name; ``timeout`` and ``worker_died`` cost that job only; all others are
    ``defect:TYPE``. Ctrl-C reaches this process alone.

    Args:
        function: picklable when ``workers`` > 0.
        workers: processes; 0 runs everything here, where nothing protects from crashes and hangs.
        timeout: seconds for one job in a worker.

    Raises:
        TooManyDefectsError: see `MAX_DEFECTS`.
    """
    defects = 0
    outcomes = _here(function, arguments) if workers <= 0 else _in_pool(function, arguments, workers, timeout)
    for number, (argument, outcome) in enumerate(outcomes, 1):
        defects += outcome.code.startswith(DEFECT)
        if defects > max(FEW_DEFECTS, MAX_DEFECTS * number):
            raise TooManyDefectsError(
                f"{defects} of {number} jobs failed by a defect of this program, the last with "
                f"{outcome.code.removeprefix(DEFECT)}; stopped. Run one of them with --debug and report what it says"
            ) from outcome.error
        yield argument, outcome


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


def _here(function, arguments) -> Iterator[tuple[Any, Outcome]]:
    for argument in arguments:
        yield argument, _guarded(function, argument)


def _in_pool(function, arguments, workers: int, timeout: float) -> Iterator[tuple[Any, Outcome]]:
    # spawn: a fork of a process with running threads (JAX, OpenCV, FFmpeg) may hang.
    context = multiprocessing.get_context("spawn")
    todo, waiting = iter(arguments), collections.deque()
    pool = pebble.ProcessPool(workers, context=context, initializer=_start_worker)
    try:
        while True:
            while len(waiting) < IN_FLIGHT * workers and (argument := next(todo, _END)) is not _END:
                waiting.append((argument, pool.schedule(_away, args=(function, argument), timeout=timeout)))
            if not waiting:
                pool.close()
                return
            argument, future = waiting.popleft()
            yield argument, _outcome(future)
    finally:
        pool.stop()
        pool.join()


def _outcome(future: concurrent.futures.Future) -> Outcome:
    try:
        return future.result()
    except concurrent.futures.TimeoutError as error:
        return Outcome(code="timeout", error=error)
    except pebble.ProcessExpired as error:
        return Outcome(code="worker_died", error=error)
    except Exception as error:  # a result that cannot be pickled
        return Outcome(code=_code(error), error=error)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent alone decides
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cv2.setNumThreads(1)


def _guarded(function, argument) -> Outcome:
    try:
        return Outcome(result=function(argument))
    except Exception as error:
        return Outcome(code=_code(error), error=error)


def _away(function, argument) -> Outcome:
    """`_guarded` in a worker: an exception that does not survive the way back is replaced by its text."""
    outcome = _guarded(function, argument)
    if outcome.error is not None:
        try:
            pickle.loads(pickle.dumps(outcome.error))
        except Exception:
            text = f"{type(outcome.error).__name__}: {outcome.error}"
            return dataclasses.replace(outcome, error=RuntimeError(text))
    return outcome


def _code(error: Exception) -> str:
    if isinstance(error, (ValueError, OSError)):
        return str(getattr(error, "code", "") or type(error).__name__)
    return f"{DEFECT}{type(error).__name__}"
