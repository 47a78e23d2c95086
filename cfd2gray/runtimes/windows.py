"""Long clips in windows that cannot be seen: each window reads a halo as wide as the network's reach in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

LEAST = 8
"""Frames below which a window is not divided any further: its halo would cost more than another device saves."""
Results = tuple[np.ndarray, ...]
Waiting = Callable[[], Results]
"""Waits for results that are in the making."""


def window_for(frames: int, lanes: int, most: int) -> int:
    """Frames of a window, at most ``most``: powers of two, so that clips of many lengths share a compilation."""
    return min(most, 1 << (-(-frames // lanes) - 1).bit_length())


def lanes_for(frames: int, devices: int) -> int:
    """How many devices should share the windows of a clip of ``frames`` frames."""
    return max(1, min(devices, frames // LEAST))


def run_windows(
    start: Callable[..., Waiting],
    arrays: tuple[np.ndarray, ...],
    *,
    window: int,
    radius: int,
    margin: int = 0,
    lanes: int = 1,
    wanted: np.ndarray | None = None,
) -> Iterator[tuple[slice, Results]]:
    """Compute overlapping windows of ``arrays [T, ...]`` and yield the frames each is responsible for.

    Every call sees ``lanes`` windows of the same number of frames, ``window + 2 * radius`` (one compilation): the clip is
    continued beyond its ends by its first and last frame. Since a frame's result depends on no more than ``radius``
    frames either way, it is the same whatever the window.

    Args:
      start: Begins work on arrays ``[lanes, window + 2 * radius, ...]`` and returns what waits for the results, arrays of
        ``2 * margin`` fewer frames. The next windows are begun before these results are asked for, so that whoever
        computes and whoever uses the results work at the same time.
      arrays: Equal leading axis T.
      window: Frames a window is responsible for.
      radius: Reach in time.
      margin: Frames that ``start`` itself drops at either end.
      lanes: Windows per call.
      wanted: bool ``[T]``: frames whose results are needed; windows without any are left out. None: all.

    Yields:
      ``(slice of frames, results for those frames)`` in order.
    """
    around, first, waiting = np.arange(-radius, window + radius), radius - margin, None
    starts = _starts(len(arrays[0]) if wanted is None else wanted, window)
    for number in range(0, len(starts), lanes):
        own = starts[number : number + lanes]
        each = np.array([*own, *[own[-1]] * (lanes - len(own))])
        index = np.clip(each[:, None] + around, 0, len(arrays[0]) - 1)
        begun = start(*(array[index] for array in arrays))
        if waiting is not None:
            yield from _kept(*waiting, first)
        waiting = [slice(s, min(s + window, len(arrays[0]))) for s in own], begun
    if waiting is not None:
        yield from _kept(*waiting, first)


def _starts(wanted: int | np.ndarray, window: int) -> Sequence[int]:
    """First frames of windows that cover every wanted frame: all of so many, or those that are true."""
    if isinstance(wanted, int):
        return range(0, wanted, window)
    starts: list[int] = []
    for frame in np.flatnonzero(wanted).tolist():
        if not starts or frame >= starts[-1] + window:
            starts.append(frame)
    return starts


def _kept(parts: list[slice], results: Waiting, first: int) -> Iterator[tuple[slice, Results]]:
    arrays = results()
    for lane, part in enumerate(parts):
        yield part, tuple(array[lane, first : first + part.stop - part.start] for array in arrays)
