"""MPEG-2, H.264 and HEVC streams inside DICOM: pydicom has no decoder for them, FFmpeg (PyAV) has."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from pydicom import uid as uids

from data_pipeline.readers import video
from data_pipeline.readers.dicom.file import DicomFile, join
from data_pipeline.readers.dicom.header import clip_info
from data_pipeline.readers.errors import IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, sane_fps

_BASE = "1.2.840.10008.1.2.4."
VIDEO_SYNTAXES = frozenset(
    uids.UID(_BASE + tail)
    for number in (100, 101, 102, 103, 104, 105, 106, 107, 108)
    for tail in (str(number), f"{number}.1")
)
"""MPEG-2 main profile (100, 101), H.264 (102..106), HEVC (107, 108) and their fragmentable forms."""


def open_video(file: DicomFile, *, limits: Limits, digest: str, flags: tuple[str, ...], salvage: bool) -> ClipStream:
    """A `ClipStream` over the video stream in ``file``. The size of the stream, not of the header, is believed."""
    if not file.span.fragments:
        raise IngestError("no_frames", file.path, "the pixel data holds no video fragment; export the file again")

    @contextlib.contextmanager
    def stream() -> Iterator[BinaryIO]:
        with file.open_bytes() as data:
            yield io.BytesIO(join(data, list(file.span.fragments)))

    probe = video.probe(file.path, stream, limits=limits, code="unsupported_codec")
    info = clip_info(file, height=probe.height, width=probe.width, n_frames=probe.n_frames, digest=digest, flags=flags)
    if probe.pixel_aspect != 1 and info.pixel_aspect == 1:
        info = video.replace(info, pixel_aspect=probe.pixel_aspect)
    if info.fps_source == "assumed":
        fps, source = sane_fps(probe.fps, "container")
        kept = tuple(flag for flag in info.flags if flag != "assumed_fps" or source == "assumed")
        info = video.replace(info, fps=fps, fps_source=source, flags=kept)
    frames = video.frame_source(file.path, stream, limits=limits, salvage=salvage, broadcast=True)
    return ClipStream(file.path, info, frames, limits=limits)
