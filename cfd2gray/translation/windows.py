"""Long clips in windows that cannot be seen: each window reads a halo as wide as the network's reach in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

LEAST = 8
"""Frames below which a window is not divided any further: its halo would cost more than another device saves."""


def lanes_for(frames: int, devices: int) -> int:
    """How many devices should share the windows of a clip of ``frames`` frames."""
    return max(1, min(devices, frames // LEAST))


def run_windows(
    function: Callable[..., tuple[Any, ...]],
    arrays: tuple[np.ndarray, ...],
    *,
    window: int,
    radius: int,
    margin: int = 0,
    lanes: int = 1,
    part: slice | None = None,
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Apply ``function`` to overlapping windows of ``arrays [T, ...]`` and yield the frames each is responsible for.

    Every call sees ``lanes`` windows of the same number of frames, ``window + 2 * radius`` (one compilation): the clip is
    continued beyond its ends by its first and last frame. Since a frame's result depends on no more than ``radius``
    frames either way, it is the same whatever the window.

    Args:
      function: Takes arrays ``[lanes, window + 2 * radius, ...]``, returns arrays of ``2 * margin`` fewer frames. They may
        still be in the making (JAX's are): the next windows are started before the results of these are asked for, so
        that devices and host work at the same time.
      arrays: Equal leading axis T.
      window: Frames a window is responsible for; made smaller for short clips.
      radius: Reach in time.
      margin: Frames that ``function`` itself drops at either end.
      lanes: Windows per call.
      part: Frames that are wanted; the others are only looked at. All by default.

    Yields:
      ``(slice of frames, results for those frames)`` in order.
    """
    frames = arrays[0].shape[0]
    begin, end = (0, frames) if part is None else (part.start, part.stop)
    each = -(-(end - begin) // lanes)
    window = min(window, 1 << (each - 1).bit_length())
    around, first, waiting = np.arange(-radius, window + radius), radius - margin, None
    for start in range(begin, end, lanes * window):
        starts = start + window * np.arange(lanes)
        index = np.clip(starts[:, None] + around, 0, frames - 1)
        results = function(*(array[index] for array in arrays))
        if waiting is not None:
            yield from _kept(*waiting, first)
        parts = [slice(s, min(s + window, end)) for s in starts.tolist() if s < end]
        waiting = parts, results
    yield from _kept(*waiting, first)


def _kept(parts: list[slice], results: tuple[Any, ...], first: int) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    arrays = tuple(map(np.asarray, results))
    for lane, part in enumerate(parts):
        yield part, tuple(array[lane, first : first + part.stop - part.start] for array in arrays)
