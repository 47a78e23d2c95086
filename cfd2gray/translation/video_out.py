"""Writing greyscale clips as video, each with a side-car that says they are synthetic (contract C7)."""

from __future__ import annotations

import contextlib
import fractions
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from cfd2gray.files import atomic_path, write_json

CODECS = {
    ".mp4": ("libx264", {"crf": "16", "preset": "medium"}),
    ".mkv": ("ffv1", {}),
    ".avi": ("ffv1", {}),
    ".gif": ("gif", {}),
}
"""Container -> codec and its options. FFV1 is lossless; H.264 and GIF are for showing."""


def write_video(path: pathlib.Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 ``[T, H, W]`` grey or ``[T, H, W, 3]`` RGB to ``.mp4`` (H.264), ``.mkv``/``.avi`` (FFV1, lossless) or
    ``.gif``, under a temporary name first.

    Raises:
      ValueError: For another suffix, an existing file or frames of another kind.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in CODECS:
        raise ValueError(f"{path}: video is written as {', '.join(CODECS)} (or .dcm), got {path.suffix or 'no suffix'}")
    if frames.dtype != np.uint8 or frames.ndim not in (3, 4):
        raise ValueError(f"frames must be uint8 [T, H, W] or [T, H, W, 3], got {frames.dtype} {list(frames.shape)}")
    height, width = frames.shape[1:3]
    colour = frames.ndim == 4
    with growing_video(path, height=height, width=width, fps=fps, colour=colour) as add:
        for frame in frames:
            add(frame)


@contextlib.contextmanager
def growing_video(
    path: pathlib.Path, *, height: int, width: int, fps: float, colour: bool = False
) -> Iterator[Callable[[np.ndarray], None]]:
    """A video that is written frame by frame: yields ``add(frame)``, uint8 ``[H, W]`` or, in colour, ``[H, W, 3]``. The file
    appears when all went well."""
    codec, options = CODECS[path.suffix.lower()]
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream(codec, rate=fractions.Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = _pixel_format(codec, colour=colour, even=height % 2 == 0 and width % 2 == 0)

        def add(frame: np.ndarray) -> None:
            image = np.ascontiguousarray(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24" if colour else "gray")))

        yield add
        container.mux(stream.encode(None))


def _pixel_format(codec: str, *, colour: bool, even: bool) -> str:
    if codec == "libx264":  # 4:2:0 is what every player shows, but it cannot hold odd sizes
        return "yuv420p" if even else "yuv444p"
    if codec == "ffv1":
        return "bgr0" if colour else "gray"
    return "rgb8" if colour else "gray"


def sidecar_path(path: pathlib.Path) -> pathlib.Path:
    """``clip.mp4 -> clip.mp4.json``."""
    return path.with_name(path.name + ".json")


def write_sidecar(path: pathlib.Path, facts: dict[str, Any]) -> None:
    """The side-car of ``path``: that it is synthetic, by which model, from which source (a digest, never a name)."""
    marked = {
        "synthetic": True,
        "description": "Greyscale synthesised from a colour-flow Doppler clip; for research, not for diagnosis",
    }
    write_json(sidecar_path(path), marked | facts)
