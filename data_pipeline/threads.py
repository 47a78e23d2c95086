"""Work on many frames by several cores at once: OpenCV and NumPy let go of the interpreter while they compute."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2


def each(work: Callable[..., Any], *items: Iterable[Any]) -> list[Any]:
    """``list(map(work, *items))``, by as many threads as OpenCV may use: one in a worker process (`parallel`).

    ``work`` must not come here again: it would wait for itself.
    """
    threads = cv2.getNumThreads()
    return list((_pool(os.getpid(), threads).map if threads > 1 else map)(work, *items))


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Of one process: threads do not outlive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"frames-{process}")
