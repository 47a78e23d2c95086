"""Long clips in windows that cannot be seen: each window reads a halo as wide as the network's reach in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def run_windows(
    function: Callable[..., tuple[Any, ...]],
    arrays: tuple[np.ndarray, ...],
    *,
    window: int,
    radius: int,
    margin: int = 0,
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Apply ``function`` to overlapping windows of ``arrays [T, ...]`` and yield the frames each is responsible for.

    Every call sees the same number of frames, ``window + 2 * radius`` (one compilation): the clip is continued beyond
    its ends by its first and last frame. Since a frame's result depends on no more than ``radius`` frames either way, it
    is the same whatever the window.

    Args:
      function: Takes arrays of ``window + 2 * radius`` frames, returns arrays of ``2 * margin`` fewer. They may still be
        in the making (JAX's are): the next window is started before the results of this one are asked for, so that
        devices and host work at the same time.
      arrays: Equal leading axis T.
      window: Frames a call is responsible for; made smaller for short clips.
      radius: Reach in time.
      margin: Frames that ``function`` itself drops at either end.

    Yields:
      ``(slice of frames, results for those frames)`` in order.
    """
    frames = arrays[0].shape[0]
    window = min(window, 1 << (frames - 1).bit_length())
    first, waiting = radius - margin, None
    for start in range(0, frames, window):
        index = np.clip(np.arange(start - radius, start + window + radius), 0, frames - 1)
        results = function(*(array[index] for array in arrays))
        if waiting is not None:
            yield _kept(*waiting, first)
        waiting = slice(start, min(start + window, frames)), results
    yield _kept(*waiting, first)


def _kept(part: slice, results: tuple[Any, ...], first: int) -> tuple[slice, tuple[np.ndarray, ...]]:
    count = part.stop - part.start
    return part, tuple(np.asarray(result)[first : first + count] for result in results)
