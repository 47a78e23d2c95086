"""Batches in memory that is used again.

A batch of video is megabytes, and fresh memory of that size comes from the kernel page by page, each of them zeroed first:
that took three times as long as copying the clips. Memory of a batch is handed out again once nothing refers to the batch
any more, be it NumPy, JAX (which may use a batch where it lies) or a view.
"""

from __future__ import annotations

import collections
import mmap
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

SMALL = 1 << 16
"""Bytes below which an array is simply allocated."""
SPARE = 8
"""Unused pieces of one size that are kept; prefetching keeps a few batches alive at a time."""


class ReusingStack:
    """Stacks elements, dicts of equally shaped arrays, along a new first axis: a ``batch_fn`` for Grain.

    Safe to call from several threads. Pickling gives a new one.
    """

    def __init__(self) -> None:
        self._spare: dict[int, collections.deque] = collections.defaultdict(lambda: collections.deque(maxlen=SPARE))

    def __reduce__(self):
        return type(self), ()

    def __call__(self, elements: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The batch, its keys sorted (as Grain's own are); raises ``ValueError`` when shapes differ."""
        return {name: self._stacked([element[name] for element in elements]) for name in sorted(elements[0])}

    def _stacked(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        first = np.asarray(arrays[0])
        if first.nbytes * len(arrays) < SMALL:
            return np.stack(arrays)
        memory = self._memory(first.nbytes * len(arrays))
        return np.stack(arrays, out=memory.view(first.dtype).reshape(len(arrays), *first.shape))

    def _memory(self, n_bytes: int) -> np.ndarray:
        """uint8 ``[n_bytes]``; its piece of memory comes back when the array and every view of it are gone."""
        spare = self._spare[n_bytes]
        try:
            piece = spare.pop()
        except IndexError:
            piece = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                piece.madvise(mmap.MADV_HUGEPAGE)
        array = np.frombuffer(piece, np.uint8)
        weakref.finalize(array, spare.append, piece).atexit = False
        return array
