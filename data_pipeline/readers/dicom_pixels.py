"""DICOM pixels to uint8 RGB: decoding of one frame, and the photometric rules of the ultrasound world.

A wrong colour space is a wrong label for colour flow, so `repair_colour` looks at the first frame of every lossy clip.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import pydicom
from pydicom import uid as uids
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, get_decoder

from data_pipeline.readers.codestream import frame_size
from data_pipeline.readers.dicom_header import get, integer, number
from data_pipeline.readers.errors import IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.lossless_jpeg import decode_lossless_jpeg

_PLUGINS = {
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
_LOSSLESS_JPEG = frozenset({uids.JPEGLossless, uids.JPEGLosslessSV1})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """The Image Pixel Module, checked."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def native_frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; native YBR_FULL_422 shares Cb and Cr between two pixels."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8


def pixel_layout(ds: pydicom.Dataset, path: str | os.PathLike[str], *, limits: Limits, native: bool) -> PixelLayout:
    """The Image Pixel Module of ``ds``; raises ``bad_dimensions`` or ``unsupported_pixels``."""
    rows, columns = integer(ds, "Rows") or 0, integer(ds, "Columns") or 0
    limits.check_size(path, height=rows, width=columns)
    photometric = str(get(ds, "PhotometricInterpretation", "")).strip().upper()
    samples = integer(ds, "SamplesPerPixel") or 0
    bits = integer(ds, "BitsAllocated") or 0
    stored = integer(ds, "BitsStored") or bits

    def refuse(rule: str) -> IngestError:
        return IngestError("unsupported_pixels", path, f"{rule}; export the clip as 8-bit RGB or MONOCHROME2")

    expected = 1 if photometric in _GREY or photometric == "PALETTE COLOR" else 3 if photometric in _COLOUR else 0
    if not expected:
        raise refuse(f"Photometric Interpretation {photometric or 'missing'} is not supported")
    if samples != expected:
        raise refuse(f"{photometric} needs {expected} samples per pixel, got {samples}")
    if bits not in (8, 16) or not 1 <= stored <= bits:
        raise refuse(f"Bits Allocated must be 8 or 16 and Bits Stored at most that, got {bits} and {stored}")
    if native and photometric == "YBR_FULL_422" and (bits != 8 or columns % 2):
        raise refuse("uncompressed YBR_FULL_422 needs 8 bits and an even number of columns")
    return PixelLayout(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=integer(ds, "PlanarConfiguration") or 0,
        bits_allocated=bits,
        bits_stored=stored,
        signed=integer(ds, "PixelRepresentation") == 1,
    )


def decode_native(data: bytes, layout: PixelLayout, *, little_endian: bool) -> np.ndarray:
    """One uncompressed frame, ``[H, W]`` or ``[H, W, 3]``, RGB or single sample, in its stored bit depth."""
    if layout.bits_allocated == 16:
        kind = ("<" if little_endian else ">") + ("i2" if layout.signed else "u2")
        array = np.frombuffer(data, kind).astype(kind[1:])
    else:
        array = np.frombuffer(data, np.int8 if layout.signed else np.uint8)
    rows, columns = layout.rows, layout.columns
    if layout.photometric == "YBR_FULL_422":
        groups = array.reshape(rows, columns // 2, 4)  # Y1 Y2 Cb Cr
        luma = groups[..., :2].reshape(rows, columns)
        chroma = [np.repeat(groups[..., i], 2, axis=1) for i in (2, 3)]
        return ycbcr_to_rgb(np.stack([luma, *chroma], axis=-1))
    if layout.samples == 1:
        return array.reshape(rows, columns)
    array = array.reshape(3, rows, columns).transpose(1, 2, 0) if layout.planar else array.reshape(rows, columns, 3)
    return ycbcr_to_rgb(array) if layout.photometric == "YBR_FULL" else array


def decode_compressed(
    data: bytes, layout: PixelLayout, syntax: uids.UID, path: str | os.PathLike[str], *, limits: Limits
) -> np.ndarray:
    """One encapsulated frame, ``[H, W]`` or ``[H, W, 3]`` (RGB), in its stored bit depth.

    Raises ``unsupported_codec``, or ``bad_dimensions`` when the code stream's own size differs from the header's.
    """
    if syntax != uids.RLELossless:
        size = frame_size(data)
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
    if syntax in _LOSSLESS_JPEG:
        array = decode_lossless_jpeg(data)
        if array.shape[:2] != (layout.rows, layout.columns) or (array.ndim == 3) != (layout.samples == 3):
            raise IngestError("corrupt", path, f"a frame decoded to {array.shape}; export the file again")
        return ycbcr_to_rgb(array) if layout.photometric.startswith("YBR") else array
    plugins = _PLUGINS.get(syntax, ())
    available = get_decoder(syntax).available_plugins if plugins else ()
    if not set(plugins) & set(available):
        raise IngestError(
            "unsupported_codec", path, f"no decoder for {syntax.name}; export as JPEG, JPEG 2000 or uncompressed"
        )
    options = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar if layout.samples > 1 else 0,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    if "pyjpegls" in plugins:
        data += b"\xff\xd9"  # CharLS searches on for seconds where a damaged stream lacks its end marker
    value = pydicom.encaps.encapsulate([data], has_bot=False)
    last: Exception | None = None
    for plugin in plugins:
        if plugin not in available:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array, _ = get_decoder(syntax).as_array(value, index=0, decoding_plugin=plugin, **options)
            return array
        except Exception as error:  # the next decoder may cope; Guard types the last failure
            last = error
    raise last


def to_rgb(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one decoded frame to uint8 ``[H, W, 3]`` RGB, with look-up tables built once."""
    if layout.photometric == "PALETTE COLOR":
        return _palette(ds, layout)
    if layout.photometric in _GREY:
        return _grey(ds, layout)
    if layout.bits_allocated == 8:
        return np.ascontiguousarray
    shift = max(layout.bits_stored - 8, 0)
    return lambda frame: (frame.astype(np.int32) >> shift).clip(0, 255).astype(np.uint8)


def _palette(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    indices = np.arange(1 << layout.bits_allocated, dtype=np.uint8 if layout.bits_allocated == 8 else np.uint16)
    table = apply_color_lut(indices, ds)[:, :3]
    # 16-bit entries use their high byte, but some writers put 8-bit values into 16-bit tables
    table = (table >> 8 if table.dtype.itemsize == 2 and table.max() > 255 else table).astype(np.uint8)
    unsigned = np.uint8 if layout.bits_allocated == 8 else np.uint16
    return lambda frame: table[frame.view(unsigned) if frame.dtype != unsigned else frame]


def _grey(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    inverted = layout.photometric == "MONOCHROME1"
    if layout.bits_allocated == 8 and not layout.signed:
        table = np.arange(256, dtype=np.uint8)
    else:
        stored = np.arange(1 << layout.bits_allocated, dtype=np.uint8 if layout.bits_allocated == 8 else np.uint16)
        table = _window(ds, layout, stored.view(stored.dtype.str.replace("u", "i")) if layout.signed else stored)
    if inverted:
        table = 255 - table
    unsigned = np.uint8 if layout.bits_allocated == 8 else np.uint16

    def convert(frame: np.ndarray) -> np.ndarray:
        grey = table[frame.view(unsigned)]
        return np.repeat(grey[..., None], 3, axis=2)

    return convert


def _window(ds: pydicom.Dataset, layout: PixelLayout, stored: np.ndarray) -> np.ndarray:
    """uint8 display value of every stored value: modality LUT, then VOI LUT or window, else the stored range."""
    values = apply_modality_lut(stored, ds).astype(np.float64)
    if get(ds, "VOILUTSequence") is not None:
        out = apply_voi_lut(stored, ds, prefer_lut=True).astype(np.float64)
        low, high = float(out.min()), float(out.max())
    else:
        centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
        if centre is not None and width is not None and width > 1:  # PS3.3 C.11.2.1.2.1
            out, low, high = values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        else:
            span = 1 << layout.bits_stored
            edges = np.array([-span // 2, span // 2 - 1] if layout.signed else [0, span - 1])
            ends = apply_modality_lut(edges.astype(stored.dtype), ds).astype(np.float64)
            out, low, high = values, float(ends.min()), float(ends.max())
    return np.rint((out - low) * (255.0 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8)


def _first(ds: pydicom.Dataset, keyword: str) -> float | None:
    value = get(ds, keyword)
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        try:
            return float(value[0])
        except (TypeError, ValueError, IndexError):
            return None
    return number(ds, keyword)


def ycbcr_to_rgb(array: np.ndarray) -> np.ndarray:
    """Full-range BT.601 YCbCr (PS3.3 C.7.6.3.1.2) to RGB, uint8 ``[H, W, 3]``."""
    return cv2.cvtColor(np.ascontiguousarray(array[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)


def rgb_to_ycbcr(array: np.ndarray) -> np.ndarray:
    """RGB to full-range BT.601 YCbCr, uint8 ``[H, W, 3]``."""
    return np.ascontiguousarray(cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])


def repair_colour(frame: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray] | None, bool]:
    """``(fix, bad)`` for the first frame of a clip, uint8 ``[H, W, 3]``.

    Ultrasound is mostly grey, so a frame that is saturated nearly everywhere has the wrong colour space. ``fix`` undoes
    the one confusion that leaves the frame near-grey (YCbCr shown as RGB, or RGB converted twice); ``bad`` says that
    the frame is green or magenta and neither helps. ``(None, False)`` for a sane frame.
    """
    small = frame[:: max(frame.shape[0] // 128, 1), :: max(frame.shape[1] // 128, 1)]
    share = _coloured_share(small)
    if share < 0.4:
        return None, False
    for fix in (ycbcr_to_rgb, rgb_to_ycbcr):
        if _coloured_share(fix(small)) < 0.35 * share:
            return fix, False
    hue = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2HSV)[..., 0].astype(int) * 2
    odd = ((hue > 70) & (hue < 170)) | ((hue > 280) & (hue < 340))
    return None, bool((odd & (_saturation(small) > 40)).mean() > 0.5)


def _saturation(frame: np.ndarray) -> np.ndarray:
    return frame.max(axis=-1).astype(int) - frame.min(axis=-1)


def _coloured_share(frame: np.ndarray) -> float:
    return float((_saturation(frame) > 40).mean())
