"""Writing greyscale clips as video, each with a side-car that says they are synthetic (contract C7)."""

from __future__ import annotations

import contextlib
import dataclasses
import fractions
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import cv2
import numpy as np

from data_pipeline.files import atomic_path, write_json

CODECS = {
    ".mp4": ("libx264", {"crf": "14", "preset": "veryfast"}),
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
    path: pathlib.Path,
    *,
    height: int,
    width: int,
    fps: float,
    colour: bool = False,
    frame_times: Sequence[float] = (),
    pixel_aspect: float = 1.0,
    title: str = "",
    comment: str = "",
    corner_mark: str = "",
) -> Iterator[Callable[[np.ndarray], None]]:
    """A video that is written frame by frame: yields ``add(frame)``, uint8 ``[H, W]`` or, in colour, ``[H, W, 3]``. The file
    appears when all went well.

    Args:
      frame_times: seconds of each frame, where the rate varies.
      pixel_aspect: height of a pixel over its width; GIF cannot say it.
      title, comment: written into the container, where it can hold them.
      corner_mark: drawn into the lower right corner of every frame.
    """
    suffix = path.suffix.lower()
    codec, options = CODECS[suffix]
    with atomic_path(path) as temporary, av.open(str(temporary), "w", container_options=_REPEATABLE) as container:
        if title:
            container.metadata["title"] = title
            container.metadata["comment"] = comment
        clock = _Clock.of(suffix, fps, tuple(frame_times))
        stream = container.add_stream(codec, rate=clock.rate, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = _pixel_format(codec, colour=colour, even=height % 2 == 0 and width % 2 == 0)
        stream.codec_context.time_base = clock.tick
        if pixel_aspect != 1 and suffix != ".gif":
            stream.codec_context.sample_aspect_ratio = 1 / fractions.Fraction(pixel_aspect).limit_denominator(1000)
        number = itertools.count()

        def add(frame: np.ndarray) -> None:
            image = np.array(frame) if corner_mark else np.ascontiguousarray(frame)
            if corner_mark:
                _draw_mark(image, corner_mark)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24" if colour else "gray")
            picture.pts, picture.time_base = clock.ticks(next(number)), clock.tick
            container.mux(stream.encode(picture))

        yield add
        container.mux(stream.encode(None))


_REPEATABLE = {"fflags": "+bitexact"}
"""No dates and no random numbers in the container: the same frames give the same file."""


@dataclasses.dataclass(frozen=True)
class _Clock:
    """When a container shows its frames."""

    rate: fractions.Fraction
    tick: fractions.Fraction
    times: tuple[float, ...]

    @staticmethod
    def of(suffix: str, fps: float, times: tuple[float, ...]) -> _Clock:
        if suffix == ".gif":  # hundredths of a second; players show delays below two of them at a tenth of the rate
            rate = fractions.Fraction(min(fps, 50.0)).limit_denominator(1001)
            slow = bool(times) and bool((np.diff(times) < 0.02).any())
            return _Clock(rate, fractions.Fraction(1, 100), () if slow else times)
        rate = fractions.Fraction(fps).limit_denominator(1001)
        if times and suffix != ".avi":  # AVI has one rate
            return _Clock(rate, fractions.Fraction(1, 90_000 if suffix == ".mp4" else 1000), times)
        return _Clock(rate, 1 / rate, ())

    def ticks(self, number: int) -> int:
        seconds = self.times[number] if number < len(self.times) else number / self.rate
        return round(seconds / self.tick)


def _draw_mark(image: np.ndarray, text: str) -> None:
    scale = max(image.shape[0] / 900, 0.3)
    (wide, _), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    place = (max(image.shape[1] - wide - 4, 0), image.shape[0] - base - 2)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,) * 3, 1, cv2.LINE_AA)


def _pixel_format(codec: str, *, colour: bool, even: bool) -> str:
    if codec == "libx264":  # 4:2:0 is what every player shows, but it cannot hold odd sizes
        return "yuv420p" if even else "yuv444p"
    if codec == "ffv1":
        return "bgr0" if colour else "gray"
    return "rgb8" if colour else "gray"


def sidecar_path(path: pathlib.Path) -> pathlib.Path:
    """``clip.mp4 -> clip.mp4.json``."""
    return path.with_name(path.name + ".json")


SYNTHETIC = "Greyscale synthesised from a colour-flow Doppler clip; for research, not for diagnosis"
COPIED = "Greyscale copy of a clip without colour; nothing was synthesised"


def described(synthetic: bool) -> str:
    """One sentence on what a result is."""
    return SYNTHETIC if synthetic else COPIED


def write_sidecar(path: pathlib.Path, facts: dict[str, Any]) -> None:
    """The side-car of ``path``: whether it is synthetic, by which model, from which source (a digest, never a name)."""
    synthetic = bool(facts.get("synthesised_share", 1))
    write_json(sidecar_path(path), {"synthetic": synthetic, "description": described(synthetic)} | facts)
