"""One compressed DICOM frame to samples: every decoder that knows the code stream, until one of them can read it."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Callable

import av
import cv2
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid as uids
from pydicom.pixels import get_decoder

from data_pipeline.readers.dicom import codestream
from data_pipeline.readers.dicom.layout import PixelLayout
from data_pipeline.readers.dicom.terms import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED
from data_pipeline.readers.errors import IngestError
from data_pipeline.readers.limits import Limits

_PYDICOM = {
    uids.JPEGBaseline8Bit: ("pillow",),
    uids.JPEGExtended12Bit: ("pillow",),
    uids.JPEGLSLossless: ("pyjpegls",),
    uids.JPEGLSNearLossless: ("pyjpegls",),
    uids.JPEG2000Lossless: ("pylibjpeg", "pillow"),
    uids.JPEG2000: ("pylibjpeg", "pillow"),
    uids.HTJ2KLossless: ("pylibjpeg",),
    uids.HTJ2KLosslessRPCL: ("pylibjpeg",),
    uids.HTJ2K: ("pylibjpeg",),
    uids.RLELossless: ("pydicom",),
}
"""Decoders of pydicom that raise on damaged data. GDCM is left out: it aborts the whole process on some."""
_FFMPEG = {
    uids.JPEGLossless: "mjpeg",
    uids.JPEGLosslessSV1: "mjpeg",
    uids.JPEGLSLossless: "jpegls",
    uids.JPEGLSNearLossless: "jpegls",
    uids.JPEG2000Lossless: "jpeg2000",
    uids.JPEG2000: "jpeg2000",
}
"""FFmpeg's decoders, which survive damaged streams; of lossless JPEG it is the only one that does."""
_STORED_YCBCR = frozenset({uids.JPEGLossless, uids.JPEGLosslessSV1, uids.JPEGLSLossless, uids.JPEGLSNearLossless})
"""Their code streams say nothing of colour: the header's photometric interpretation does."""
_WHOLE = frozenset({DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED})


def decode_compressed(
    data: bytes, layout: PixelLayout, syntax: uids.UID, path: str | os.PathLike[str], *, limits: Limits
) -> np.ndarray:
    """One encapsulated frame, ``[H, W]`` or ``[H, W, 3]`` (RGB), in its stored bit depth.

    Raises ``unsupported_codec``, or ``bad_dimensions`` when the code stream's own size differs from the header's, or
    what the last decoder raised when none could read it.
    """
    if syntax in _WHOLE:
        return layout.decode_native(_bounded(data, layout, path, deflated=syntax == DEFLATED_FRAME))
    if syntax != uids.RLELossless:
        _check_size(data, layout, path, limits)
        beyond = codestream.beyond_decoders(data)
        if beyond:
            raise IngestError(
                "unsupported_codec", path, f"{beyond} has no decoder here; export as JPEG 2000 or uncompressed"
            )
    last: Exception | None = None
    for decode in _candidates(data, layout, syntax):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return decode()
        except Exception as error:  # the next decoder may cope; Guard types the last failure
            last = error
    if last is None:
        raise IngestError(
            "unsupported_codec", path, f"no decoder for {syntax.name}; export as JPEG, JPEG 2000 or uncompressed"
        )
    raise last


def _candidates(data: bytes, layout: PixelLayout, syntax: uids.UID) -> list[Callable[[], np.ndarray]]:
    found: list[Callable[[], np.ndarray]] = []
    if codestream.is_plain_rgb(data):  # a converter's RGB, whatever the header's photometric interpretation
        found.append(lambda: np.array(Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB")))
    plugins = _PYDICOM.get(syntax, ())
    available = get_decoder(syntax).available_plugins if plugins else ()
    found += [lambda plugin=plugin: _pydicom(data, layout, syntax, plugin) for plugin in plugins if plugin in available]
    if syntax in _FFMPEG and not (_FFMPEG[syntax] == "jpegls" and codestream.by_pixel(data)):  # it exchanges components
        found.append(lambda: _ffmpeg(data, layout, syntax))
    return found


def _check_size(data: bytes, layout: PixelLayout, path: str | os.PathLike[str], limits: Limits) -> None:
    size = codestream.frame_size(data)
    if size is None:
        raise IngestError("corrupt", path, "a frame has no JPEG or JPEG 2000 frame header; export the file again")
    limits.check_size(path, height=size[0], width=size[1])
    if size[:2] != (layout.rows, layout.columns) or size[2] != layout.samples:
        raise IngestError(
            "bad_dimensions",
            path,
            f"header says {layout.rows} x {layout.columns} x {layout.samples}, the compressed frame "
            f"{size[0]} x {size[1]} x {size[2]}; export the file again",
        )


def _bounded(data: bytes, layout: PixelLayout, path: str | os.PathLike[str], *, deflated: bool) -> bytes:
    needed = layout.native_frame_bytes
    if deflated:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, needed)
        except zlib.error:
            if len(data) not in (needed, needed + 1):  # else it was labelled, not deflated
                raise
    if len(data) < needed:
        raise IngestError("truncated", path, f"a frame needs {needed} bytes and has {len(data)}; copy the file again")
    return data[:needed]


def _pydicom(data: bytes, layout: PixelLayout, syntax: uids.UID, plugin: str) -> np.ndarray:
    if plugin == "pyjpegls":
        data += b"\xff\xd9"  # CharLS searches on for seconds where a damaged stream lacks its end marker
    array, _ = get_decoder(syntax).as_array(
        pydicom.encaps.encapsulate([data], has_bot=False),
        index=0,
        decoding_plugin=plugin,
        rows=layout.rows,
        columns=layout.columns,
        samples_per_pixel=layout.samples,
        photometric_interpretation=layout.photometric,
        planar_configuration=layout.planar if layout.samples > 1 else 0,
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        pixel_representation=int(layout.signed),
        number_of_frames=1,
        pixel_keyword="PixelData",
    )
    return array


def _ffmpeg(data: bytes, layout: PixelLayout, syntax: uids.UID) -> np.ndarray:
    """Raises ``ValueError`` for subsampled components or no frame, ``av.error.FFmpegError`` for damage."""
    array = ffmpeg_samples(data, _FFMPEG[syntax])
    if array.shape[:2] != (layout.rows, layout.columns) or (array.ndim == 3) != (layout.samples == 3):
        raise ValueError(f"a frame decoded to {array.shape}")
    if layout.samples == 1 and layout.signed:
        array = array.view(array.dtype.str.replace("u", "i"))
    return ycbcr_to_rgb(array) if syntax in _STORED_YCBCR and layout.photometric.startswith("YBR") else array


def ffmpeg_samples(data: bytes, codec: str) -> np.ndarray:
    """One frame as its components were stored: ``[H, W]`` or ``[H, W, 3]``, uint8 or uint16, no colour conversion."""
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    frames = context.decode(av.Packet(data)) + context.decode(None)
    if not frames:
        raise ValueError(f"no frame in the {codec} code stream")
    frame, name = frames[0], frames[0].format.name
    if name in ("gray", "gray16le", "gray12le", "gray10le", "bgr24", "rgb24"):
        array = frame.to_ndarray()
        return array if name != "bgr24" else np.ascontiguousarray(array[..., ::-1])
    order = {"gbrp": (2, 0, 1), "yuv444p": (0, 1, 2), "yuvj444p": (0, 1, 2)}.get(name)
    if order is None:
        raise ValueError(f"{codec} with samples {name} is not supported; only components of full size")
    planes = [_plane(frame.planes[index], frame.height, frame.width) for index in order]
    return np.stack(planes, axis=-1)


def _plane(plane: av.video.plane.VideoPlane, height: int, width: int) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]


def ycbcr_to_rgb(array: np.ndarray) -> np.ndarray:
    """Full-range BT.601 YCbCr (PS3.3 C.7.6.3.1.2) to RGB, uint8 ``[H, W, 3]``."""
    return cv2.cvtColor(np.ascontiguousarray(array[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
