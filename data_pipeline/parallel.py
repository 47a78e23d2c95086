"""Run many independent jobs in worker processes, results in order, with a progress bar; one bad job costs itself only."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import errno
import functools
import itertools
import multiprocessing
import os
import pickle
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pebble

if TYPE_CHECKING:
    import rich.progress

IN_FLIGHT = 2
"""Messages with jobs submitted per worker: bounds what waits in memory, hides uneven lengths."""
BUNDLE, MOST = 0.1, 16
"""Seconds of work that a message carries where jobs are shorter than that, and jobs in it at most: one costs 0.3 ms."""
TIMEOUT = 1800.0
"""Seconds after which a job is given up and its worker killed: a decoder that hangs, a file server that does not answer."""
MAX_DEFECTS, FEW_DEFECTS = 0.05, 10
"""A run stops when more than this share of its jobs, and more than a few, met a defect of this program."""
DEFECT = "defect:"
"""What the code of a job begins with that failed for no fault of its input; the exception's type follows."""
DIED = "worker_died"
"""Code of a job whose worker died of it, twice."""
MEMORY = "memory"
"""Code of a job that wanted more memory than a worker may have."""
TRANSIENT = ("OSError", "not_found", "timeout", DIED, "missing_dependency", MEMORY)
"""Codes that another run may not meet again: file servers, memory, packages."""
PAUSES = (0.2, 1.0, 5.0)
"""Seconds to wait before a job that met a busy or absent file server is tried again."""
SMALL = 1 << 16
"""Bytes of a pickled result up to which it comes back through a pipe: they cost less than a file does."""
_BUSY = frozenset({
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EREMOTEIO,
})  # fmt: skip


class TooManyDefectsError(ValueError):
    """More jobs failed by a defect of this program than can be left out in good faith."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job: its result, or the code of what went wrong and the exception itself."""

    result: Any = None
    code: str = ""
    error: BaseException | None = None


def run_ordered(
    function: Callable[[Any], Any],
    arguments: Iterable[Any],
    *,
    workers: int = 0,
    timeout: float = TIMEOUT,
    memory: int = 0,
    spool: str | os.PathLike[str] | None = None,
) -> Iterator[tuple[Any, Outcome]]:
    """Yield ``(argument, outcome)`` in the order of ``arguments``, which are drawn a few ahead.

    Every exception becomes an outcome with a code: that of bad input (``ValueError``, ``OSError``) is the exception's
    own ``code`` or its class name; ``timeout``, ``worker_died`` and ``memory`` cost that job only; all others are
    ``defect:TYPE``. A job whose file server does not answer (EIO, ESTALE, time-outs, lost connections) is run again after
    `PAUSES`, and is an ``OSError`` if that did not help. Ctrl-C reaches this process alone.

    Args:
        function: picklable when ``workers`` > 0.
        workers: processes; 0 runs everything here, where nothing protects from crashes and hangs.
        timeout: seconds for one job in a worker, pauses included.
        memory: bytes that a worker's own data may take (``RLIMIT_DATA``); 0: what the machine has.
        spool: a folder in which results of more than `SMALL` bytes wait for their turn, so that this process holds one of
            them at a time.

    Raises:
        TooManyDefectsError: see `MAX_DEFECTS`.
    """
    defects = 0
    if workers <= 0:
        outcomes = _here(function, arguments)
    else:
        away = functools.partial(_away, function, spool=None if spool is None else os.fspath(spool))
        outcomes = _in_pool(away, arguments, workers, timeout, memory)
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
    import rich.console  # late: workers show no bar
    import rich.progress

    class Rate(rich.progress.ProgressColumn):
        def render(self, task: rich.progress.Task) -> str:
            speed = task.finished_speed or task.speed
            return f"{speed:,.{1 if speed < 100 else 0}f} {unit}/s" if speed else f"- {unit}/s"

    console = rich.console.Console(stderr=True)
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        Rate(),
        rich.progress.TimeRemainingColumn(),
        console=console,
        disable=not (console.is_terminal if show is None else show),
    )


def _here(function, arguments) -> Iterator[tuple[Any, Outcome]]:
    for argument in arguments:
        yield argument, _guarded(function, argument)


def _in_pool(away, arguments, workers: int, timeout: float, memory: int) -> Iterator[tuple[Any, Outcome]]:
    # spawn: a fork of a process with running threads (JAX, OpenCV, FFmpeg) may hang.
    context = multiprocessing.get_context("spawn")
    todo, waiting, size = iter(arguments), collections.deque(), 1
    pool = pebble.ProcessPool(workers, context=context, initializer=_start_worker, initargs=(memory,))

    def sent(some: tuple) -> concurrent.futures.Future:
        return pool.schedule(_all_away, args=(away, some), timeout=timeout)

    try:
        while True:
            while len(waiting) < IN_FLIGHT * workers and (some := tuple(itertools.islice(todo, size))):
                waiting.append((some, sent(some)))
            if not waiting:
                pool.close()
                return
            some, future = waiting.popleft()
            ran = _ran(future)
            if isinstance(ran, _Ran):
                size = max(1, min(MOST, int(BUNDLE * len(some) / max(ran.seconds, 1e-9))))
                yield from zip(some, map(_taken, ran.outcomes))
            elif len(some) == 1 and ran.code != DIED:
                yield some[0], ran
            else:  # one of several, or an operator's or the kernel's hand, perhaps: a file that does it does it again
                for argument in some:
                    again = _ran(sent((argument,)))
                    yield argument, _taken(again.outcomes[0]) if isinstance(again, _Ran) else again
    finally:
        pool.stop()
        pool.join()


@dataclasses.dataclass(frozen=True)
class _Ran:
    """A message that a worker has answered."""

    seconds: float
    outcomes: list[Outcome]


def _ran(future: concurrent.futures.Future) -> _Ran | Outcome:
    """The answer to a message, or what came of it where there is none."""
    try:
        return future.result()
    except concurrent.futures.TimeoutError as error:
        return Outcome(code="timeout", error=error)
    except pebble.ProcessExpired as error:
        return Outcome(code=DIED, error=error)
    except Exception as error:  # a result that cannot be pickled
        return Outcome(code=_code(error), error=error)


def _taken(outcome: Outcome) -> Outcome:
    """The outcome with a result that waited in a file."""
    if not isinstance(outcome.result, _Spooled):
        return outcome
    try:
        with open(outcome.result.path, "rb") as file:
            result = pickle.load(file)
        os.unlink(outcome.result.path)
    except Exception as error:
        return Outcome(code=_code(error), error=error)
    return dataclasses.replace(outcome, result=result)


@dataclasses.dataclass(frozen=True)
class _Spooled:
    """A result that waits in a file."""

    path: str


def _start_worker(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent alone decides
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = memory or _machine_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def _machine_memory() -> int:
    """Bytes that this machine has, or that its container may take."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a bound
        return total


def _guarded(function, argument) -> Outcome:
    for pause in (*PAUSES, None):
        try:
            return Outcome(result=function(argument))
        except Exception as error:
            if pause is None or not _is_busy(error):
                return Outcome(code=_code(error), error=error)
            time.sleep(pause)
    raise AssertionError  # the last round returns


def _all_away(away, arguments: tuple) -> _Ran:
    """The jobs of one message, in a worker."""
    start = time.monotonic()
    outcomes = [away(argument) for argument in arguments]
    return _Ran(time.monotonic() - start, outcomes)


def _away(function, argument, *, spool: str | None) -> Outcome:
    """`_guarded` in a worker: an exception that does not survive the way back is replaced by its text."""
    outcome = _guarded(function, argument)
    if outcome.error is not None:
        try:
            pickle.loads(pickle.dumps(outcome.error))
        except Exception:  # whatever its class does on the way: its text is what is left of it
            text = f"{type(outcome.error).__name__}: {outcome.error}"
            return dataclasses.replace(outcome, error=RuntimeError(text))
    elif spool is not None:
        return _guarded(functools.partial(_spooled, spool), outcome)
    return outcome


def _spooled(spool: str, outcome: Outcome) -> Any:
    with _Parcel(spool) as parcel:
        pickle.dump(outcome.result, parcel, protocol=5)
    return outcome.result if parcel.file is None else _Spooled(parcel.file.name)


class _Parcel:
    """What `pickle` writes: in memory while it is small, then in a file of ``folder``. A context manager."""

    def __init__(self, folder: str) -> None:
        self.folder, self.file = folder, None
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self.file is None and self._size > SMALL:
            self.file = tempfile.NamedTemporaryFile("wb", dir=self.folder, delete=False)  # noqa: SIM115
            self.file.writelines(self._pieces)
            self._pieces.clear()
        if self.file is None:
            self._pieces.append(piece)
        else:
            self.file.write(piece)

    def __enter__(self) -> _Parcel:
        return self

    def __exit__(self, *_) -> None:
        if self.file is not None:
            self.file.close()


def _is_busy(error: Exception) -> bool:
    """Whether a file server that may come back is behind it."""
    return any(
        isinstance(cause, OSError) and (cause.errno in _BUSY or isinstance(cause, (TimeoutError, ConnectionError)))
        for cause in _causes(error)
    )


def _is_memory(error: Exception) -> bool:
    return any(
        isinstance(cause, MemoryError) or (isinstance(cause, cv2.error) and cause.code == cv2.Error.StsNoMem)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and those that led to it; readers wrap what they meet."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: Exception) -> str:
    if _is_busy(error):
        return "OSError"
    if _is_memory(error):
        return MEMORY
    if isinstance(error, (ValueError, OSError)):
        return str(getattr(error, "code", "") or type(error).__name__)
    return f"{DEFECT}{type(error).__name__}"
