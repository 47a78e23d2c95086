"""The Image Pixel Module of a DICOM header, checked against what the pixel data really holds, and native frames."""

from __future__ import annotations

import dataclasses
import os

import cv2
import numpy as np
import pydicom

from data_pipeline.readers.dicom.header import get, integer
from data_pipeline.readers.errors import IngestError
from data_pipeline.readers.limits import Limits

_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_ONLY_COMPRESSED = frozenset({"YBR_RCT", "YBR_ICT", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """How samples lie in a frame."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    little_endian: bool = True
    shift: int = 0
    """Bits below the stored ones: High Bit + 1 - Bits Stored."""

    @property
    def native_frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; native YBR_FULL_422 shares Cb and Cr between two pixels."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8

    def decode_native(self, data: bytes) -> np.ndarray:
        """One uncompressed frame, ``[H, W]`` or ``[H, W, 3]``, RGB or single sample, as it is stored."""
        if self.bits_allocated > 8:
            kind = ("<" if self.little_endian else ">") + ("i" if self.signed else "u") + str(self.bits_allocated // 8)
            array = np.frombuffer(data, kind).astype(kind[1:])
        elif self.bits_allocated == 1:
            array = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        else:
            array = np.frombuffer(data, np.int8 if self.signed else np.uint8)
        rows, columns = self.rows, self.columns
        if self.photometric == "YBR_FULL_422":
            groups = array.reshape(rows, columns // 2, 4)  # Y1 Y2 Cb Cr
            luma = groups[..., :2].reshape(rows, columns)
            chroma = [np.repeat(groups[..., i], 2, axis=1) for i in (2, 3)]
            return _to_rgb(np.stack([luma, *chroma], axis=-1))
        if self.samples == 1:
            return array.reshape(rows, columns)
        array = array.reshape(3, rows, columns).transpose(1, 2, 0) if self.planar else array.reshape(rows, columns, 3)
        return _to_rgb(array) if self.photometric == "YBR_FULL" else array


def _to_rgb(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8:
        raise ValueError(f"YCbCr samples must be unsigned bytes, got {array.dtype}")
    return cv2.cvtColor(np.ascontiguousarray(array[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)


def pixel_layout(
    ds: pydicom.Dataset,
    path: str | os.PathLike[str],
    *,
    limits: Limits,
    native_bytes: int | None,
    little_endian: bool = True,
) -> tuple[PixelLayout, tuple[str, ...]]:
    """The Image Pixel Module of ``ds`` and flags; raises ``bad_dimensions`` or ``unsupported_pixels``.

    Args:
      native_bytes: length of uncompressed pixel data, ``None`` for compressed. It tells frames of two bytes a pixel
        from frames of three where the photometric interpretation is not what was stored (flag ``layout_corrected``).
    """
    rows, columns = integer(ds, "Rows") or 0, integer(ds, "Columns") or 0
    limits.check_size(path, height=rows, width=columns)
    photometric = str(get(ds, "PhotometricInterpretation", "")).strip().upper()
    samples = integer(ds, "SamplesPerPixel") or 0
    bits = integer(ds, "BitsAllocated") or 0
    stored = integer(ds, "BitsStored") or bits
    native = native_bytes is not None
    flags: tuple[str, ...] = ()

    def refuse(rule: str) -> IngestError:
        return IngestError("unsupported_pixels", path, f"{rule}; export the clip as 8-bit RGB or MONOCHROME2")

    expected = 1 if photometric in GREY or photometric == "PALETTE COLOR" else 3 if photometric in _COLOUR else 0
    if not expected:
        raise refuse(f"Photometric Interpretation {photometric or 'missing'} is not supported")
    if samples != expected:
        raise refuse(f"{photometric} needs {expected} samples per pixel, got {samples}")
    if bits not in (1, 8, 16, 32) or not 1 <= stored <= bits:
        raise refuse(f"Bits Allocated must be 1, 8, 16 or 32 and Bits Stored at most that, got {bits} and {stored}")
    if bits == 1 and (photometric not in GREY or rows * columns % 8):
        raise refuse(f"single bits must be grey and fill whole bytes, got {photometric} of {rows} x {columns}")
    if bits == 32 and photometric not in (*GREY, "RGB"):
        raise refuse(f"32-bit samples must be grey or RGB, got {photometric}")
    if native and expected == 3 and photometric not in ("RGB", "YBR_FULL"):
        if _three_a_pixel(native_bytes, rows * columns * bits // 8, integer(ds, "NumberOfFrames") or 1):
            photometric, flags = "RGB", ("layout_corrected",)  # where it is YCbCr the first frame shows it
        elif photometric in _ONLY_COMPRESSED:
            raise refuse(f"uncompressed pixels cannot be {photometric}")
        elif bits != 8 or columns % 2:
            raise refuse("uncompressed YBR_FULL_422 needs 8 bits and an even number of columns")
    high = integer(ds, "HighBit")
    layout = PixelLayout(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=integer(ds, "PlanarConfiguration") or 0,
        bits_allocated=bits,
        bits_stored=stored,
        signed=integer(ds, "PixelRepresentation") == 1,
        little_endian=little_endian,
        shift=high + 1 - stored if native and high is not None and stored <= high + 1 <= bits else 0,
    )
    return layout, flags


def _three_a_pixel(length: int, plane: int, frames: int) -> bool:
    """Whether ``length`` bytes are ``frames`` frames of three samples a pixel rather than two, but for a few bytes."""
    if length >= 3 * plane * frames:
        return True
    return length % (3 * plane) < 2 and length % (2 * plane) > 1
