"""A grid of numbers as a clip: what all formats of this room end in."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator

import numpy as np

from data_pipeline.readers.levels import Levels, Planes
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo


def array_clip(
    path: str | os.PathLike[str],
    planes: Planes,
    shape: tuple[int, int, int],
    *,
    format: str,
    limits: Limits,
    digest: str,
    fps: tuple[float | None, str] = (None, "container"),
    times: tuple[float, ...] = (),
    aspect: float = 1.0,
    painted: Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]] = iter,
) -> ClipStream:
    """The clip of the frames that ``planes`` yields, shown on one scale (`levels.Levels`).

    Args:
      shape: frames, rows, columns.
      fps: frames per second and where that is said.
      times: of the frames, where they vary; aspect: height of a pixel over its width. Both as in `ClipInfo`.
      painted: what is drawn over the uint8 ``[H, W, 3]`` frames of a pass.
    """
    levels = Levels(planes)

    def frames() -> Generator[np.ndarray, None, tuple[str, ...]]:
        yield from painted(map(levels.to_rgb, planes()))
        return levels.flags

    n_frames, height, width = (int(n) for n in shape)
    rate, source = sane_fps(*fps)
    flags = (("still",) if n_frames == 1 else ()) + (("variable_rate",) if times else ())
    info = ClipInfo(
        format=format, height=height, width=width, n_frames=n_frames, fps=rate, fps_source=source, frame_times=times,
        pixel_aspect=aspect, flags=with_rate_flags(flags, source), source_digest=digest,
    )  # fmt: skip
    return ClipStream(path, info, frames, limits=limits)
