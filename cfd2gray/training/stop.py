"""Being asked to stop: a first SIGTERM or Ctrl-C ends the run after a checkpoint, a second one at once."""

from __future__ import annotations

import signal
import types

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
