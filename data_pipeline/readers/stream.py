"""`ClipStream`: a clip whose frames are decoded one at a time, as every reader of this package returns it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.schema import Clip, ClipInfo

FrameSource = Callable[[], Generator[np.ndarray, None, tuple[str, ...]]]
"""Called once per pass; yields uint8 [H, W, 3] RGB frames and returns the flags that only decoding could tell."""
_VARIES = 0.1
"""Spread of the time between frames, as a share of its mean, above which it is more than a recorder's jitter."""
_BLACK = 8
"""Grey level that nothing in a black clip reaches: codecs leave a little noise."""


class ClipStream:
    """Context manager over one clip; iterating decodes frame by frame in bounded memory, again on every pass.

    ``info`` is what the header says; after a complete pass ``info.n_frames`` and ``info.flags`` say what was found.
    Iterating raises `IngestError` and nothing else.
    """

    def __init__(self, path: str | os.PathLike[str], info: ClipInfo, frames: FrameSource, *, limits: Limits) -> None:
        self.path = os.fspath(path)
        self.info = info
        self.header: Any = None
        """The DICOM data set without its pixels, as it was read; ``None`` for other formats."""
        self._frames = frames
        self._limits = limits
        self._closed = False
        self.held = contextlib.ExitStack()
        """What is needed for as long as the stream is open."""

    def __enter__(self) -> ClipStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; iterating afterwards is an error."""
        self._closed = True
        self.held.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._closed:
            raise ValueError("this ClipStream is closed; open the clip again")
        info, shape, seen = self.info, None, 0
        with Guard(self.path, doing="decoding frames"):
            source = self._frames()
            late: tuple[str, ...] = ()
            while True:
                try:
                    frame = next(source)
                except StopIteration as stop:
                    late = stop.value or ()
                    break
                seen += 1
                if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                    raise IngestError("corrupt", self.path, f"frame {seen} decoded to {frame.dtype} {frame.shape}")
                if shape is None:
                    shape = frame.shape
                    self._limits.check_size(self.path, height=shape[0], width=shape[1])
                if frame.shape != shape:
                    raise IngestError(
                        "unsupported_layout",
                        self.path,
                        f"all frames must have one size, frame 1 is {shape[:2]} and frame {seen} {frame.shape[:2]}; "
                        "split the clip where the size changes",
                    )
                self._limits.check_clip(self.path, height=shape[0], width=shape[1], n_frames=seen)
                yield frame
        if not seen:
            raise IngestError("no_frames", self.path, "not one frame could be decoded; export the file again")
        flags = dict.fromkeys(info.flags + late)
        if info.n_frames is not None and info.n_frames != seen:
            flags["frame_count_mismatch"] = None
        if seen == 1:
            flags["still"] = None
        self.info = dataclasses.replace(info, n_frames=seen, height=shape[0], width=shape[1], flags=tuple(flags))

    def read(self) -> Clip:
        """All frames at once, as a `Clip`."""
        frames = np.stack(list(self))
        check_signal(self.path, frames)
        return Clip(frames=frames, info=self.info, header=self.header)


def check_signal(path: str, frames: np.ndarray) -> None:
    """Raise ``no_signal`` for frames that are black but for a codec's noise."""
    if int(frames.max()) < _BLACK:
        raise IngestError(
            "no_signal", path, f"no pixel is brighter than {int(frames.max())} of 255; nothing was recorded"
        )


def sane_fps(fps: float | None, source: str, *, default: float = 30.0) -> tuple[float, str]:
    """``(fps, source)`` when 1 <= fps <= 400, else ``(default, "assumed")``."""
    if fps is not None and np.isfinite(fps) and 1.0 <= fps <= 400.0:
        return float(fps), source
    return default, "assumed"


def with_rate_flags(flags: tuple[str, ...], fps_source: str) -> tuple[str, ...]:
    """``flags`` plus ``assumed_fps`` when the rate is nobody's word."""
    return flags + ("assumed_fps",) if fps_source == "assumed" else flags


def rate_of_times(times: Sequence[float]) -> tuple[float | None, tuple[float, ...]]:
    """``(fps, times where they vary)`` of seconds since the first frame; ``(None, ())`` of less than two."""
    if len(times) < 2:
        return None, ()
    steps = np.diff(times)
    varies = bool(np.ptp(steps) > _VARIES * steps.mean())
    return float(1 / steps.mean()), tuple(times) if varies else ()
