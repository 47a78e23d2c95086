"""Being asked to stop: a first SIGTERM or Ctrl-C ends the run after a checkpoint, a second one at once.

A scheduler may tell one process of many, or all at different moments, but all must save and leave at the same step:
`StopVote` makes them agree.
"""

from __future__ import annotations

import collections
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cfd2gray.mesh import batch_sharding, replicated

EXIT_STOPPED = 75
"""Exit code of a run that was asked to stop and saved its state; starting it again resumes (EX_TEMPFAIL)."""


class StopRequest:
    """Context manager; ``requested`` turns true on SIGTERM or SIGINT. Outside the main thread it never does."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread (a notebook's executor, say): signals stay as they are
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class StopVote:
    """``vote(requested)``, called by every process after every step: whether any process was asked to stop.

    One integer per device is added up beside the training step, and its sum is looked at `LAG` steps later, when it is
    long there: the loop does not wait for the devices because of it.
    """

    LAG = 2

    def __init__(self, mesh: Mesh):
        self._sharding = batch_sharding(mesh)
        self._sum = jax.jit(jnp.sum, out_shardings=replicated(mesh))
        self._waiting: collections.deque[jax.Array] = collections.deque()

    def __call__(self, requested: bool) -> bool:
        if jax.process_count() == 1:
            return requested
        mine = np.full(jax.local_device_count(), requested, np.int32)
        self._waiting.append(self._sum(jax.make_array_from_process_local_data(self._sharding, mine)))
        return len(self._waiting) > self.LAG and int(jax.device_get(self._waiting.popleft())) > 0
