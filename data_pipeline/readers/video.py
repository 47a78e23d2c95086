"""AVI, MP4, MOV, MKV, GIF and MPEG streams through FFmpeg (PyAV)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import Colorspace

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, FrameSource, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo

_UNTAGGED = 2
"""FFmpeg's AVCOL_SPC_UNSPECIFIED, which PyAV's enumeration leaves out."""
replace = dataclasses.replace
Opener = Callable[[], AbstractContextManager[BinaryIO]]

_DEMUXERS = {"avi": "avi", "mp4": "mov", "mkv": "matroska", "gif": "gif", "mpeg": None}
"""FFmpeg's demuxer by sniffed format: naming it keeps play lists and other indirections out."""
_LOSSLESS_CODECS = frozenset({"ffv1", "rawvideo", "huffyuv", "ffvhuff", "png", "utvideo", "gif", "qtrle"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What the container says of its first video stream."""

    height: int
    width: int
    n_frames: int | None
    fps: float | None
    codec: str


def open_video(
    path: str | os.PathLike[str], *, limits: Limits, format: str, digest: str = "", salvage: bool = False
) -> ClipStream:
    """Open a video file of the sniffed ``format`` as a `ClipStream`. Raises `IngestError`."""

    @contextlib.contextmanager
    def opener() -> Iterator[BinaryIO]:
        with open(path, "rb") as file:
            yield file

    demuxer = _DEMUXERS[format]
    found = probe(path, opener, limits=limits, demuxer=demuxer)
    fps, source = sane_fps(found.fps, "container")
    info = ClipInfo(
        format=format,
        height=found.height,
        width=found.width,
        n_frames=found.n_frames,
        fps=fps,
        fps_source=source,
        lossy=found.codec not in _LOSSLESS_CODECS,
        flags=with_rate_flags((), source),
        source_digest=digest,
    )
    return ClipStream(
        path, info, frame_source(path, opener, limits=limits, salvage=salvage, demuxer=demuxer), limits=limits
    )


def probe(
    path: str | os.PathLike[str], opener: Opener, *, limits: Limits, demuxer: str | None = None, code: str = "corrupt"
) -> Probe:
    """Size, rate and codec of the first video stream; ``code`` names the error when FFmpeg cannot open it."""
    with Guard(path, doing="opening the video", code=code), _container(path, opener, demuxer) as container:
        stream = _video_stream(path, container)
        rate = stream.average_rate or stream.guessed_rate
        limits.check_size(path, height=stream.height, width=stream.width)
        return Probe(
            height=stream.height,
            width=stream.width,
            n_frames=stream.frames or None,
            fps=float(rate) if rate else None,
            codec=stream.codec_context.name,
        )


def frame_source(
    path: str | os.PathLike[str],
    opener: Opener,
    *,
    limits: Limits,
    salvage: bool,
    demuxer: str | None = None,
    broadcast: bool = False,
) -> FrameSource:
    """A factory of frame generators over the first video stream.

    Args:
      salvage: a packet that cannot be decoded ends the clip (flag ``truncated``) instead of failing it.
      broadcast: untagged streams of 720 lines and more are BT.709, as DICOM's video transfer syntaxes say; elsewhere
        FFmpeg's own default (BT.601) is what every player shows.
    """

    def frames() -> Generator[np.ndarray, None, tuple[str, ...]]:
        with _container(path, opener, demuxer) as container:
            stream = _video_stream(path, container)
            stream.codec_context.thread_count = 1  # workers parallelise over clips
            seen = 0
            try:
                for frame in container.decode(stream):
                    limits.check_size(path, height=frame.height, width=frame.width)
                    yield _rgb(frame, broadcast=broadcast)
                    seen += 1
            except av.error.FFmpegError as error:
                if not (salvage and seen):
                    raise IngestError(
                        "corrupt" if seen else "unsupported_codec",
                        path,
                        f"FFmpeg stopped after {seen} frames ({error}); export the clip again or read it with salvage",
                    ) from error
                return ("truncated",)
        return ()

    return frames


@contextlib.contextmanager
def _container(
    path: str | os.PathLike[str], opener: Opener, demuxer: str | None
) -> Iterator[av.container.InputContainer]:
    with opener() as file, av.open(file, format=demuxer) as container:
        yield container


def _video_stream(path: str | os.PathLike[str], container: av.container.InputContainer):
    if not container.streams.video:
        raise IngestError("no_frames", path, "the container has no video stream; export the clip again")
    return container.streams.video[0]


def _rgb(frame: av.VideoFrame, *, broadcast: bool) -> np.ndarray:
    """uint8 [H, W, 3]."""
    if frame.format.name in ("rgb24", "gray"):
        plane = frame.to_ndarray()
        return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    untagged = int(frame.colorspace) == _UNTAGGED
    options = {}
    if untagged and broadcast and frame.height >= 720:
        options = {"src_colorspace": Colorspace.ITU709, "dst_colorspace": Colorspace.ITU709}
    return frame.to_ndarray(format="rgb24", **options)
