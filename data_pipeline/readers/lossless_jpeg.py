"""Lossless JPEG (process 14) through FFmpeg, which survives damaged streams where other decoders abort the process."""

from __future__ import annotations

import av
import numpy as np


def decode_lossless_jpeg(data: bytes) -> np.ndarray:
    """One 8-bit frame as its components were stored: uint8 ``[H, W]`` or ``[H, W, 3]``, no colour conversion.

    Raises:
      ValueError: more than 8 bits, subsampled components, or no frame in ``data``.
      av.error.FFmpegError: a damaged code stream.
    """
    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count = 1
    frames = context.decode(av.Packet(data)) + context.decode(None)
    if not frames:
        raise ValueError("no frame in the lossless JPEG code stream")
    frame, name = frames[0], frames[0].format.name
    if name in ("gray", "bgr24", "rgb24"):
        array = frame.to_ndarray()
        return array if name != "bgr24" else np.ascontiguousarray(array[..., ::-1])
    order = {"gbrp": (2, 0, 1), "yuv444p": (0, 1, 2), "yuvj444p": (0, 1, 2)}.get(name)
    if order is None:
        raise ValueError(f"lossless JPEG with samples {name} is not supported; only 8 bits, all components full size")
    planes = [_plane(frame.planes[index], frame.height, frame.width) for index in order]
    return np.stack(planes, axis=-1)


def _plane(plane: av.video.plane.VideoPlane, height: int, width: int) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
