"""AVI, MP4, MOV, MKV, GIF, WMV and MPEG streams through FFmpeg (PyAV)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, FrameSource, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo
from data_pipeline.storage import open_binary

_WITH_ALPHA = frozenset({
    "bgra", "rgba", "argb", "abgr", "pal8", "ya8", "gbrap", "yuva420p", "yuva422p", "yuva444p", "yuva444p10le", "rgba64le",
    "yuva444p12le", "gbrap10le", "gbrap12le", "rgba64be", "ya16le", "ya16be",
})  # fmt: skip
"""FFmpeg's pixel formats that carry transparency."""
_UNTAGGED = 2
"""FFmpeg's AVCOL_SPC_UNSPECIFIED, which PyAV's enumeration leaves out."""
replace = dataclasses.replace
Opener = Callable[[], AbstractContextManager[BinaryIO]]

_DEMUXERS = {
    "avi": "avi", "mp4": "mov", "mkv": "matroska", "gif": "gif", "asf": "asf", "mpegts": "mpegts", "mpeg": None,
}  # fmt: skip
"""FFmpeg's demuxer by sniffed format: naming it keeps play lists and other indirections out."""
_LOSSLESS_CODECS = frozenset({"ffv1", "rawvideo", "huffyuv", "ffvhuff", "png", "utvideo", "gif", "qtrle"})


_OPTIONS = {"gif": {"min_delay": "1"}}
"""FFmpeg takes GIF delays of 10 ms for 100 ms unless told otherwise; 0 stays 100 ms, as players have it."""
_TICKS = 1.6
"""Frame times that leave an even grid by more ticks of the container's clock than rounding explains vary."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What the container says of its first video stream, as it is shown."""

    height: int
    width: int
    n_frames: int | None
    fps: float | None
    codec: str
    frame_times: tuple[float, ...] = ()
    pixel_aspect: float = 1.0


def open_video(
    path: str | os.PathLike[str], *, limits: Limits, format: str, digest: str = "", salvage: bool = False
) -> ClipStream:
    """Open a video file of the sniffed ``format`` as a `ClipStream`. Raises `IngestError`."""

    @contextlib.contextmanager
    def opener() -> Iterator[BinaryIO]:
        with open_binary(path) as file:
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
        pixel_aspect=found.pixel_aspect,
        frame_times=found.frame_times,
        lossy=found.codec not in _LOSSLESS_CODECS,
        flags=with_rate_flags(("variable_rate",) if found.frame_times else (), source),
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
        limits.check_size(path, height=stream.height, width=stream.width)
        rate, shape = stream.average_rate or stream.guessed_rate, (stream.height, stream.width)
        aspect = float(1 / stream.sample_aspect_ratio) if stream.sample_aspect_ratio else 1.0
        counted, codec = stream.frames if demuxer != "gif" else None, stream.codec_context.name
        times, end, tick = _packet_times(container, stream)
        limits.check_clip(path, height=shape[0], width=shape[1], n_frames=len(times))
        fps, varying = _rate(times, end, tick, float(rate) if rate else None, exact=demuxer != "gif")
    matrix = _display_matrix(path, opener, demuxer)
    if matrix is not None and _sideways(matrix):
        shape, aspect = shape[::-1], 1 / aspect
    return Probe(
        height=shape[0],
        width=shape[1],
        n_frames=counted or len(times) or None,
        fps=fps,
        codec=codec,
        frame_times=varying,
        pixel_aspect=aspect,
    )


def _packet_times(container: av.container.InputContainer, stream) -> tuple[list[float], float, float]:
    """When each packet is shown, the end of the last one and the clock's tick, in seconds; empty where it is not told."""
    base, times, end = float(stream.time_base or 0), [], 0.0
    try:
        for packet in container.demux(stream):
            if packet.pts is None or packet.is_discard:
                continue
            times.append(packet.pts * base)
            end = max(end, (packet.pts + (packet.duration or 0)) * base)
    except av.error.FFmpegError:
        return [], 0.0, base  # damage shows when it is decoded
    return sorted(times), end, base


def _rate(
    times: list[float], end: float, tick: float, told: float | None, *, exact: bool
) -> tuple[float | None, tuple[float, ...]]:
    """``(fps, frame times if they vary)``: frames over duration where the container's own word does not fit."""
    if len(times) < 2 or times[-1] <= times[0]:
        return told, ()
    since = np.array(times) - times[0]
    step = since[-1] / (len(times) - 1)
    whole = (end - times[0]) / len(times) if end > times[-1] else step
    slope, start = np.polyfit(np.arange(len(since)), since, 1)
    off = np.abs(since - (start + slope * np.arange(len(since)))).max()
    if off > max(_TICKS * tick, 0.02 * slope):
        return 1 / whole, tuple(np.round(since, 6).tolist())
    if exact and told and abs(told * step - 1) < 0.02:
        return told, ()
    held = end - times[-1] > 2 * slope + _TICKS * tick  # the last frame, before the clip begins again
    return 1 / (step if held else whole), ()


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
            stream.codec_context.thread_count = max(1, cv2.getNumThreads())  # one in a worker process
            stream.codec_context.thread_type = "SLICE"  # by frames, an error would come late
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
                        f"FFmpeg stopped after {seen} frames ({error}); export the clip again, or read its start with "
                        "--salvage",
                    ) from error
                return ("truncated",)
        return ()

    return frames


@contextlib.contextmanager
def _container(
    path: str | os.PathLike[str], opener: Opener, demuxer: str | None
) -> Iterator[av.container.InputContainer]:
    with opener() as file, av.open(file, format=demuxer, options=_OPTIONS.get(demuxer, {})) as container:
        yield container


def _video_stream(path: str | os.PathLike[str], container: av.container.InputContainer):
    if not container.streams.video:
        raise IngestError("no_frames", path, "the container has no video stream; export the clip again")
    return container.streams.video[0]


def _display_matrix(path: str | os.PathLike[str], opener: Opener, demuxer: str | None) -> np.ndarray | None:
    """The display matrix of the first frame, int32 [2, 2], or ``None``; damage shows when the clip is decoded."""
    if demuxer not in ("mov", "matroska"):
        return None
    with contextlib.suppress(av.error.FFmpegError, StopIteration), _container(path, opener, demuxer) as container:
        return _matrix_of(next(container.decode(_video_stream(path, container))))
    return None


def _matrix_of(frame: av.VideoFrame) -> np.ndarray | None:
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2]


def _sideways(matrix: np.ndarray) -> bool:
    """Whether rows become columns."""
    return abs(int(matrix[0, 1])) > abs(int(matrix[0, 0]))


def _turned(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture as players show it: ``(x, y) @ matrix`` by quarter turns and mirrors, uint8 [H, W, 3]."""
    if _sideways(matrix):
        image, matrix = image.transpose(1, 0, 2), matrix[::-1]
    return np.ascontiguousarray(image[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1])


def _rgb(frame: av.VideoFrame, *, broadcast: bool) -> np.ndarray:
    """uint8 [H, W, 3], transparency over black, turned as the container asks for."""
    matrix = _matrix_of(frame)
    image = _upright(frame, broadcast=broadcast)
    return image if matrix is None else _turned(image, matrix)


def _upright(frame: av.VideoFrame, *, broadcast: bool) -> np.ndarray:
    if frame.format.name in ("rgb24", "gray"):
        plane = frame.to_ndarray()
        return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    untagged = int(frame.colorspace) == _UNTAGGED
    options: dict[str, object] = {"interpolation": Interpolation.BICUBIC}  # of chroma, as FFmpeg's own program has it
    if untagged and broadcast and frame.height >= 720:
        options |= {"src_colorspace": Colorspace.ITU709, "dst_colorspace": Colorspace.ITU709}
    if frame.format.name in _WITH_ALPHA:
        return over_black(frame.to_ndarray(format="rgba", **options))
    return frame.to_ndarray(format="rgb24", **options)


def over_black(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4] with straight alpha, shown on black: uint8 [H, W, 3]."""
    colour, alpha = image[..., :3], image[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    return ((colour.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
