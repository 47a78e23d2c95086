"""Work on many frames by several cores at once: OpenCV and NumPy let go of the interpreter while they compute."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import cv2


def each(work: Callable[..., Any], *items: Iterable[Any]) -> list[Any]:
    """``list(map(work, *items))``, by as many threads as OpenCV may use: one in a worker process (`parallel`).

    ``work`` must not come here again: it would wait for itself.
    """
    jobs, threads = list(zip(*items)), cv2.getNumThreads()
    if min(len(jobs), threads) < 2:
        return [work(*job) for job in jobs]
    return list(_pool(os.getpid(), threads).map(lambda job: work(*job), jobs))


T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same, the next one always in the making by a thread of its own while one is used."""
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


def later(work: Callable[[], T]) -> Callable[[], T]:
    """What gives the result of ``work()``, which is begun at once, or when it is asked for where there is one core."""
    return _pool(os.getpid(), 1, "later").submit(work).result if cv2.getNumThreads() > 1 else functools.cache(work)


@functools.cache
def _pool(process: int, threads: int, name: str = "frames") -> ThreadPoolExecutor:
    """Of one process: threads do not outlive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"{name}-{process}")
