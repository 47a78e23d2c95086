"""What a DICOM header says of a clip: frame rate, regions, view, vendor, identifiers. Nothing here touches pixels.

Tags lie, so every value is read tolerantly: one that cannot be parsed counts as missing.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pydicom
from pydicom import uid as uids

from data_pipeline.readers.dicom.file import DicomFile
from data_pipeline.readers.dicom.terms import image_type_terms, vendor_name
from data_pipeline.readers.dicom.views import view_of
from data_pipeline.readers.errors import IngestError
from data_pipeline.readers.stream import sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo, Identity, Region

_IMAGE = "1.2.840.10008.5.1.4.1.1."
ULTRASOUND_CLASSES = frozenset(_IMAGE + tail for tail in ("6.1", "3.1", "6", "3"))
"""US Image, US Multi-frame Image and their retired predecessors."""
CAPTURE_CLASSES = frozenset(_IMAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4", "77.1.4.1"))
"""Secondary capture and video classes, accepted when Modality says US."""
VOLUME_CLASSES = frozenset(_IMAGE + tail for tail in ("6.2",))

_NOBODY = re.compile(
    r"[0X_. -]*|(ANON|ANONYMOUS|ANONYMI[SZ]ED|DEIDENTIFIED|UNKNOWN|NONE|NULL|N/?A|NO ?ID|TEST|PATIENT|DEFAULT)[ _-]*0*"
)
"""Ids that name nobody."""


def get(ds: pydicom.Dataset, keyword: str, default: Any = None) -> Any:
    """The value of ``keyword``, or ``default`` when it is missing, empty or cannot be parsed."""
    try:
        value = ds.get(keyword, None)
    except Exception:  # pydicom parses lazily and raises many types; an unreadable tag counts as missing
        return default
    return default if value is None or value == "" else value


def number(ds: pydicom.Dataset, keyword: str) -> float | None:
    """``keyword`` as a finite float, or ``None``."""
    try:
        value = float(get(ds, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def integer(ds: pydicom.Dataset, keyword: str) -> int | None:
    """``keyword`` as an int, or ``None``."""
    value = number(ds, keyword)
    return None if value is None else int(value)


def check_kind(ds: pydicom.Dataset, path: str | os.PathLike[str], *, has_pixels: bool, any_modality: bool) -> None:
    """Raise ``encrypted``, ``no_pixels``, ``not_ultrasound`` or ``unsupported_layout`` unless it is a 2-D US image."""
    if get(ds, "EncryptedAttributesSequence") is not None:
        raise IngestError("encrypted", path, "carries encrypted attributes; decrypt it with the key of its owner first")
    modality = str(get(ds, "Modality", "")).strip().upper()
    sop_class = str(get(ds, "SOPClassUID", ""))
    if not has_pixels:
        raise IngestError(
            "no_pixels", path, f"modality {modality or 'unknown'} without pixel data (report, wave form, ...); skip it"
        )
    if sop_class in VOLUME_CLASSES:
        raise IngestError("unsupported_layout", path, "an ultrasound volume; export 2-D clips instead")
    if any_modality or modality == "US":
        return
    if modality or sop_class not in ULTRASOUND_CLASSES:
        raise IngestError(
            "not_ultrasound",
            path,
            f"Modality must be US, got {modality or 'none'}; if it is an ultrasound capture, translate --any-modality reads it",
        )


def frame_rate(ds: pydicom.Dataset) -> tuple[float, str]:
    """Frames per second and the keyword it comes from (``assumed``, 30, when no tag is sane).

    Frame Increment Pointer says which of Frame Time and Frame Time Vector applies; then PS3.3 C.7.6.5 in the order of
    how exact the values are in practice (Cine Rate is rounded to whole Hz).
    """
    times = ["FrameTimeVector", "FrameTime"]
    pointer = get(ds, "FrameIncrementPointer")
    tags = pointer if isinstance(pointer, (list, pydicom.multival.MultiValue)) else [pointer]
    if pydicom.tag.Tag("FrameTime") in [t for t in tags if t is not None]:
        times.reverse()
    for keyword in (*times, "CineRate", "RecommendedDisplayFrameRate", "EffectiveDuration"):
        rate: float | None = None
        if keyword == "FrameTimeVector":
            values = get(ds, keyword)
            try:
                steps = np.asarray([float(v) for v in values][1:], float)
            except (TypeError, ValueError):
                continue
            if steps.size and steps.mean() > 0:
                rate = 1000.0 / float(steps.mean())
        else:
            value = number(ds, keyword)
            if value is None or value <= 0:
                continue
            if keyword == "FrameTime":
                rate = 1000.0 / value
            elif keyword == "EffectiveDuration":
                frames = number(ds, "NumberOfFrames") or 0
                rate = frames / value
            else:
                rate = value
        fps, source = sane_fps(rate, keyword)
        if source != "assumed":
            return fps, source
    return sane_fps(None, "assumed")


def regions(ds: pydicom.Dataset, *, height: int, width: int) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """``(regions, flags)`` of the Sequence of Ultrasound Regions, clipped to the image.

    An item that leaves the image by more than 2 px describes another image (the clip was resized after the tags were
    written): it is dropped and ``bad_regions`` flagged, no scale is guessed. Items below 32 px on both sides go too.
    """
    sequence = get(ds, "SequenceOfUltrasoundRegions")
    found: list[Region] = []
    bad = False
    for item in sequence or ():
        corners = [integer(item, "RegionLocation" + name) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if any(c is None for c in corners):
            bad = True
            continue
        x0, y0, x1, y1 = corners
        if x0 < 0 or y0 < 0 or x1 > width + 2 or y1 > height + 2 or x1 <= x0 or y1 <= y0:
            bad = True
            continue
        x1, y1 = min(x1 + 1, width), min(y1 + 1, height)
        if max(x1 - x0, y1 - y0) < 32:
            continue
        centimetres = integer(item, "PhysicalUnitsXDirection") == 3 and integer(item, "PhysicalUnitsYDirection") == 3
        dx, dy = number(item, "PhysicalDeltaX"), number(item, "PhysicalDeltaY")
        if not centimetres or not dx or not dy:
            dx = dy = None
        found.append(
            Region(
                x0=x0,
                y0=y0,
                x1=x1,
                y1=y1,
                spatial_format=integer(item, "RegionSpatialFormat") or 0,
                data_type=integer(item, "RegionDataType") or 0,
                flags=integer(item, "RegionFlags") or 0,
                cm_per_px_x=None if dx is None else abs(dx),
                cm_per_px_y=None if dy is None else abs(dy),
            )
        )
    flags = ("bad_regions",) if bad else ()
    return tuple(found), flags if found else flags + ("no_regions",)


def pixel_size(found: tuple[Region, ...]) -> tuple[float | None, float | None]:
    """``(centimetres of a pixel's width, height over width)`` of the first 2-D tissue or colour region, or ``None``s."""
    for region in found:
        dx, dy = region.cm_per_px_x, region.cm_per_px_y
        if region.spatial_format in (0, 1) and region.data_type in (1, 2) and dx and dy:
            aspect = dy / dx
            if abs(aspect - 1) < 0.02:
                return 0.5 * (dx + dy), 1.0
            return (dx, aspect) if 0.2 < aspect < 5 else (None, None)
    return None, None


def pixel_aspect(ds: pydicom.Dataset) -> float | None:
    """Height of a pixel over its width by Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7: vertical, horizontal), or ``None``."""
    try:
        vertical, horizontal = (float(value) for value in get(ds, "PixelAspectRatio"))
        aspect = vertical / horizontal
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return aspect if 0.2 < aspect < 5 else None


def frame_times(ds: pydicom.Dataset, n_frames: int | None) -> tuple[float, ...]:
    """When each frame is shown, seconds, where Frame Time Vector says that the rate varies; else empty."""
    try:
        steps = np.asarray([float(value) for value in get(ds, "FrameTimeVector")], float)
    except (TypeError, ValueError):
        return ()
    if n_frames is None or len(steps) != n_frames or n_frames < 3 or not (steps[1:] > 0).all():
        return ()
    if np.ptp(steps[1:]) <= max(0.02 * steps[1:].mean(), 1.1):  # whole milliseconds
        return ()
    return tuple(np.round(np.concatenate([[0.0], np.cumsum(steps[1:])]) / 1000, 6).tolist())


def view(ds: pydicom.Dataset) -> str:
    """View of the glossary by View Code Sequence, its meaning, View Name or series text; ``UNKNOWN`` otherwise."""
    items = [item for item in get(ds, "ViewCodeSequence") or () if isinstance(item, pydicom.Dataset)]
    texts = [str(get(item, "CodeMeaning", "")) for item in items]
    keywords = ("ViewName", "SeriesDescription", "ProtocolName", "ImageComments")
    return view_of(
        (str(get(item, "CodeValue", "")) for item in items), [*texts, *(str(get(ds, word, "")) for word in keywords)]
    )


def identity(ds: pydicom.Dataset) -> Identity:
    """Raw identifiers; in memory only (contract C8)."""
    return Identity(
        patient=patient_id(str(get(ds, "PatientID", ""))),
        study=str(get(ds, "StudyInstanceUID", "")),
        series=str(get(ds, "SeriesInstanceUID", "")),
        instance=str(get(ds, "SOPInstanceUID", "")),
    )


def patient_id(text: str) -> str:
    """A patient id as it is compared: blanks around it, its case and an HL7 suffix (``^^^HOSPITAL``) mean nothing.

    Placeholders of anonymisers (``ANONYMOUS``, ``0``) name nobody and give an empty text: taken for a person, they would
    make a whole archive one patient.
    """
    text = text.partition("^")[0].strip(" \0").upper()
    return "" if _NOBODY.fullmatch(text) else text


def clip_info(
    file: DicomFile, *, height: int, width: int, n_frames: int | None, digest: str, flags: tuple[str, ...]
) -> ClipInfo:
    """`ClipInfo` from the header of ``file``."""
    ds = file.dataset
    found, region_flags = regions(ds, height=height, width=width)
    fps, fps_source = frame_rate(ds)
    image_type = get(ds, "ImageType", ())
    image_type = (image_type,) if isinstance(image_type, str) else tuple(str(value) for value in image_type)
    flags += region_flags
    cm_per_px, region_aspect = pixel_size(found)
    aspect = region_aspect if region_aspect is not None else pixel_aspect(ds) or 1.0
    times = frame_times(ds, n_frames)
    if times:
        flags += ("variable_rate",)
    if n_frames == 1:
        flags += ("still",)
    elif n_frames is not None and integer(ds, "NumberOfFrames") != n_frames:
        flags += ("frame_count_mismatch",)
    return ClipInfo(
        format="dicom",
        height=height,
        width=width,
        n_frames=n_frames,
        fps=fps,
        fps_source=fps_source,
        cm_per_px=cm_per_px,
        pixel_aspect=aspect,
        frame_times=times,
        regions=found,
        view=view(ds),
        vendor=vendor_name(str(get(ds, "Manufacturer", ""))),
        lossy=str(get(ds, "LossyImageCompression", "")) == "01" or file.transfer_syntax in _LOSSY,
        image_type=image_type_terms(image_type),
        flags=with_rate_flags(flags, fps_source),
        identity=identity(ds),
        source_digest=digest,
    )


_LOSSY = frozenset({
    uids.JPEGBaseline8Bit, uids.JPEGExtended12Bit, uids.JPEGLSNearLossless, uids.JPEG2000, uids.JPEG2000MC, uids.HTJ2K,
    *(uids.UID(f"1.2.840.10008.1.2.4.{number}{tail}") for number in range(100, 109) for tail in ("", ".1")),
})  # fmt: skip
"""Transfer syntaxes that lose something: their label, which may be of another code stream than it holds, is enough."""
