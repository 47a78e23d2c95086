"""DICOM pixels to uint8 RGB: the photometric rules of the ultrasound world.

A wrong colour space is a wrong label for colour flow, so `repair_colour` looks at the first frame of every lossy clip.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.pixels.processing import apply_voi

from data_pipeline.pixels import saturation
from data_pipeline.readers.dicom.decoders import ycbcr_to_rgb
from data_pipeline.readers.dicom.header import get, number
from data_pipeline.readers.dicom.layout import GREY, PixelLayout


def to_rgb(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one decoded frame to uint8 ``[H, W, 3]`` RGB, with look-up tables built once."""
    if layout.photometric == "PALETTE COLOR":
        return _palette(ds, layout)
    if layout.photometric in GREY:
        return _grey(ds, layout)
    if layout.bits_allocated == 8:
        return np.ascontiguousarray
    shift = max(layout.bits_stored - 8, 0)
    return lambda frame: (frame.astype(np.int64) >> shift).clip(0, 255).astype(np.uint8)


def _palette(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    indices = np.arange(1 << layout.bits_allocated, dtype=np.uint8 if layout.bits_allocated == 8 else np.uint16)
    table = apply_color_lut(indices, ds)[:, :3]
    # 16-bit entries use their high byte, but some writers put 8-bit values into 16-bit tables
    table = (table >> 8 if table.dtype.itemsize == 2 and table.max() > 255 else table).astype(np.uint8)
    unsigned = np.uint8 if layout.bits_allocated == 8 else np.uint16
    return lambda frame: table[frame.view(unsigned) if frame.dtype != unsigned else frame]


def _grey(ds: pydicom.Dataset, layout: PixelLayout) -> Callable[[np.ndarray], np.ndarray]:
    inverse = (layout.photometric == "MONOCHROME1") != (str(get(ds, "PresentationLUTShape", "")).upper() == "INVERSE")

    def shown(raw: np.ndarray) -> np.ndarray:
        grey = _display(ds, layout, _stored(raw, layout))
        return 255 - grey if inverse else grey

    if layout.bits_allocated == 32:  # too many values for a table
        return lambda frame: np.repeat(shown(frame.view(np.uint32))[..., None], 3, axis=2)
    kind = np.uint16 if layout.bits_allocated == 16 else np.uint8
    table = shown(np.arange(1 << 8 * np.dtype(kind).itemsize, dtype=kind))
    return lambda frame: np.repeat(table[frame.view(kind)][..., None], 3, axis=2)


def _stored(raw: np.ndarray, layout: PixelLayout) -> np.ndarray:
    """The stored value of every raw one: what lies above and below the stored bits (old overlays) is not picture."""
    value = (raw >> layout.shift) & ((1 << layout.bits_stored) - 1)
    if not layout.signed:
        return value.astype(raw.dtype)
    sign = 1 << (layout.bits_stored - 1)
    return ((value.astype(np.int64) ^ sign) - sign).astype(raw.dtype.str.replace("u", "i"))


def _display(ds: pydicom.Dataset, layout: PixelLayout, stored: np.ndarray) -> np.ndarray:
    """uint8 display value of every stored value: modality LUT, then VOI LUT or window, else the stored range."""
    values = _modality(stored, ds)
    out, low, high = _voi_lut(ds, values, stored) or _window(ds, values) or (None, 0.0, 0.0)
    if out is None:
        span = 1 << layout.bits_stored
        edges = np.array([-span // 2, span // 2 - 1] if layout.signed else [0, span - 1])
        ends = _modality(edges.astype(stored.dtype), ds).astype(np.float64)
        out, low, high = values, float(ends.min()), float(ends.max())
    return np.rint((out - low) * (255.0 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8)


def _modality(stored: np.ndarray, ds: pydicom.Dataset) -> np.ndarray:
    try:
        return apply_modality_lut(stored, ds).astype(np.float64)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError):  # a broken table counts as none
        return stored.astype(np.float64)


def _voi_lut(ds: pydicom.Dataset, values: np.ndarray, stored: np.ndarray) -> tuple[np.ndarray, float, float] | None:
    if not get(ds, "VOILUTSequence"):
        return None
    try:
        table = pydicom.Dataset()
        table.VOILUTSequence = ds.VOILUTSequence
        out = apply_voi(np.rint(values).astype(np.int32), table).astype(np.float64)
        bits = int(ds.VOILUTSequence[0].LUTDescriptor[2])
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
    # some writers put 8-bit entries into 16-bit tables
    return out, 0.0, 255.0 if bits == 16 and out.max() < 256 else float((1 << bits) - 1)


def _window(ds: pydicom.Dataset, values: np.ndarray) -> tuple[np.ndarray, float, float] | None:
    centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
    function = str(get(ds, "VOILUTFunction", "LINEAR")).strip().upper()
    if centre is None or width is None or width < 1 or (width == 1 and function == "LINEAR"):
        return None
    if function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60))), 0.0, 1.0
    if function == "LINEAR_EXACT":
        return values, centre - width / 2, centre + width / 2
    return values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2  # C.11.2.1.2.1


def _first(ds: pydicom.Dataset, keyword: str) -> float | None:
    value = get(ds, keyword)
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        try:
            return float(value[0])
        except (TypeError, ValueError, IndexError):
            return None
    return number(ds, keyword)


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
    return None, bool((odd & (saturation(small) > 40)).mean() > 0.5)


def _coloured_share(frame: np.ndarray) -> float:
    return float((saturation(frame) > 40).mean())
