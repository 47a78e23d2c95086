"""Being asked to stop: a first SIGTERM or Ctrl-C ends the run after a checkpoint, a second one at once.

A scheduler may tell one process of many, or all at different moments, but all must save and leave at the same step:
`StopVote` makes them agree. Where nothing would be lost, before the first step and while what is saved is evaluated, nobody
waits for a vote: `StopRequest.may_leave`.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cfd2gray.mesh import batch_sharding, replicated

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Context manager; ``requested`` turns true on SIGTERM or SIGINT. Outside the main thread it never does.

    Args:
      leave: Ends the process. Given, a request inside `may_leave` calls it from a thread of its own: Python's signal handlers
        do not run while the compiler does, which may take minutes. None: every request waits for the next step.
    """

    def __init__(self, leave: Callable[[], object] | None = None) -> None:
        self.requested = False
        self._leave, self._finish = leave, None
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    @contextlib.contextmanager
    def may_leave(self, finish: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Inside, all that was trained is saved, or will be when ``finish`` returns: a request ends the process at once."""
        self._finish = finish
        try:
            if self._leave is not None and self.requested:
                self._go()
            yield
        finally:
            self._finish = None

    def _go(self) -> None:
        finish = self._finish
        if finish is not None and self._leave is not None:
            finish()
            self._leave()

    def _listen(self, heard: socket.socket) -> None:
        while number := heard.recv(1):  # empty when the other end is closed
            if number[0] in SIGNALS:
                self._go()

    def __enter__(self) -> StopRequest:
        for number in SIGNALS:
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread (a notebook's executor, say): signals stay as they are
                return self
        if self._leave is not None:
            self._heard, self._told = socket.socketpair()
            self._told.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(self._heard,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before and self._leave is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._told.close()
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
