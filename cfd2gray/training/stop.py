"""Being asked to stop: a first SIGTERM or Ctrl-C ends the run after a checkpoint, a second one at once.

A scheduler may tell one process of many, or all at different moments, but all must save and leave at the same step:
`Vote` makes them agree. Where nothing would be lost, before the first step and while what is saved is evaluated, nobody
waits for a vote: `StopRequest.may_leave`.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cfd2gray.mesh import batch_sharding, replicated
from data_pipeline.mistakes import Mistake

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


class Vote:
    """``vote(stop, save, ...)``, called by every process after every step: for each question, whether any process said yes.

    One integer per device and question is added up beside the training step, and the sums are looked at `LAG` steps later,
    when they are long there: the loop does not wait for the devices because of it. One process alone has its answer at once.

    Args:
      mesh: Devices.
      questions: How many.
    """

    LAG = 2

    def __init__(self, mesh: Mesh, questions: int):
        self._sharding, self._questions = batch_sharding(mesh), questions
        self._sum = jax.jit(lambda votes: votes.sum(axis=0), out_shardings=replicated(mesh))
        self._waiting: collections.deque[jax.Array] = collections.deque()

    def __call__(self, *mine: bool) -> list[bool]:
        if jax.process_count() == 1:
            return list(mine)
        votes = np.tile(np.array(mine, np.int32), (jax.local_device_count(), 1))
        self._waiting.append(self._sum(jax.make_array_from_process_local_data(self._sharding, votes)))
        if len(self._waiting) <= self.LAG:
            return [False] * self._questions
        return [bool(count) for count in jax.device_get(self._waiting.popleft())]


class Timer:
    """Says once that its time is over, and not again before it was started anew: an answer to a vote takes steps.

    Args:
      minutes: From one start to the next; 0: its time is never over.
      clock: Seconds.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic):
        if minutes < 0:
            raise Mistake(f"minutes between checkpoints or evaluations must not be negative, got {minutes}")
        self._seconds, self._clock = 60 * minutes, clock
        self.start()

    def start(self) -> None:
        self._began, self._said = self._clock(), not self._seconds

    def over(self) -> bool:
        if self._said or self._clock() - self._began < self._seconds:
            return False
        self._said = True
        return True
