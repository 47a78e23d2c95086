"""What may leave the hospital: keyed hashes for identifiers, an allow-list for headers, pixels of the sector only.

Nothing here promises anonymity. Names also sit inside the sector sometimes (`find_burned_text` flags what looks like
text), so a person should look at a contact sheet before data is shared.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import warnings
from typing import Any

import cv2
import numpy as np
import pydicom

from data_pipeline.readers.dicom_terms import image_type_terms, vendor_name
from data_pipeline.schema import check_frames

_NUMBERS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "FrameTime", "CineRate", "RecommendedDisplayFrameRate", "EffectiveDuration",
    "HeartRate", "UltrasoundColorDataPresent", "MechanicalIndex", "BoneThermalIndex", "SoftTissueThermalIndex",
    "DepthOfScanField", "LossyImageCompressionRatio",
)  # fmt: skip
_REGION_NUMBERS = (
    "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1", "RegionSpatialFormat",
    "RegionDataType", "RegionFlags", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection", "PhysicalDeltaX",
    "PhysicalDeltaY", "ReferencePixelX0", "ReferencePixelY0", "ReferencePixelPhysicalValueX",
    "ReferencePixelPhysicalValueY", "TransducerFrequency", "PulseRepetitionFrequency", "DopplerCorrectionAngle",
)  # fmt: skip
__all__ = [
    "KeyedHasher", "find_burned_text", "image_type_terms", "safe_header", "sector_only", "vendor_name",
]  # fmt: skip

_TERMS = {
    "Modality": frozenset({"US"}),
    "PhotometricInterpretation": frozenset({
        "RGB", "MONOCHROME1", "MONOCHROME2", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422",
        "YBR_RCT", "YBR_ICT", "PALETTE_COLOR",
    }),
    "LossyImageCompression": frozenset({"00", "01"}),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class KeyedHasher:
    """Pseudonyms that only the holder of ``key`` can make again: HMAC-SHA256, cut to 32 hexadecimal digits.

    The same identifier gives the same pseudonym everywhere (so splits and references stay consistent), different kinds
    of identifier never collide, and without the key nobody can test a guess.
    """

    key: bytes = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) < 16:
            got = f"{len(self.key)} bytes" if isinstance(self.key, bytes) else type(self.key).__name__
            raise ValueError(f"key must be at least 16 secret bytes, got {got}; make one with secrets.token_bytes(32)")

    def _hash(self, kind: str, identifier: str) -> str:
        if not identifier:
            raise ValueError(f"the {kind} identifier is empty; clips without one must not be lumped together")
        return hmac.new(
            self.key, f"{kind}\0{identifier}".encode("utf-8", "surrogateescape"), hashlib.sha256
        ).hexdigest()[:32]

    def patient(self, identifier: str) -> str:
        """Pseudonym of a patient id."""
        return self._hash("patient", identifier)

    def study(self, identifier: str) -> str:
        """Pseudonym of a study id."""
        return self._hash("study", identifier)

    def clip(self, identifier: str) -> str:
        """Pseudonym of a clip (its SOP Instance UID, path or digest)."""
        return self._hash("clip", identifier)

    def uid(self, identifier: str) -> str:
        """A DICOM UID (2.25 and a 128-bit number, PS3.5 B.2) for ``identifier``, so that references stay consistent."""
        return f"2.25.{int(self._hash('uid', identifier), 16)}"


def safe_header(ds: pydicom.Dataset) -> dict[str, Any]:
    """What of a DICOM header may be kept: numbers, terms of the standard, the vendor's name. JSON-serialisable.

    Built from an allow-list; free text, dates, identifiers, private groups, overlays and UIDs cannot pass because they
    are never asked for.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        return _safe_header(ds)


def _safe_header(ds: pydicom.Dataset) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for keyword in _NUMBERS:
        value = _number(ds, keyword)
        if value is not None:
            out[keyword] = value
    for keyword, terms in _TERMS.items():
        value = _text(ds, keyword).upper().replace(" ", "_")
        if value in terms:
            out[keyword] = value
    vendor = vendor_name(_text(ds, "Manufacturer"))
    if vendor:
        out["Manufacturer"] = vendor
    image_type = _values(ds, "ImageType")
    if image_type:
        out["ImageType"] = list(image_type_terms(image_type))
    regions = []
    for item in _values(ds, "SequenceOfUltrasoundRegions"):
        if isinstance(item, pydicom.Dataset):
            numbers = {keyword: _number(item, keyword) for keyword in _REGION_NUMBERS}
            regions.append({keyword: value for keyword, value in numbers.items() if value is not None})
    if regions:
        out["SequenceOfUltrasoundRegions"] = regions
    return out


def _values(ds: pydicom.Dataset, keyword: str) -> tuple:
    try:
        value = ds.get(keyword)
    except Exception:  # pydicom parses lazily and raises many types; an unreadable tag is not kept
        return ()
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue, pydicom.Sequence)) else (value,)


def _text(ds: pydicom.Dataset, keyword: str) -> str:
    values = _values(ds, keyword)
    return str(values[0]).strip() if values else ""


def _number(ds: pydicom.Dataset, keyword: str) -> int | float | None:
    values = _values(ds, keyword)
    try:
        value = float(values[0])
    except (IndexError, TypeError, ValueError, OverflowError):
        return None
    if not np.isfinite(value) or abs(value) >= 1e7:  # a number as long as an identifier is none of these quantities
        return None
    return int(value) if value.is_integer() else value


def sector_only(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """A copy of ``frames`` (uint8 ``[T, H, W]`` or ``[T, H, W, C]``) that is black outside ``sector`` (bool [H, W])."""
    if sector.dtype != bool or frames.shape[1:3] != sector.shape:
        raise ValueError(f"sector must be bool {list(frames.shape[1:3])}, got {sector.dtype} {list(sector.shape)}")
    keep = sector if frames.ndim == 3 else sector[..., None]
    return frames * keep.astype(frames.dtype)


def find_burned_text(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """bool ``[H, W]``: what looks like text inside the sector: a row of four or more bright, thin, static glyphs.

    Args:
      frames: uint8 ``[T, H, W, 3]``; with several frames only what never moves counts.
      sector: bool ``[H, W]``.

    Glyphs are 5..22 px tall at 480 rows. Text on bright tissue or in fewer than four glyphs escapes: look at the clips.
    """
    check_frames(frames, channels=3)
    level = frames[0].max(axis=2)
    for frame in frames[1 :: max(len(frames) // 24, 1)]:
        level = np.minimum(level, frame.max(axis=2))
    scale = frames.shape[1] / 480
    size = 2 * max(int(round(4 * scale)), 2) + 1
    hat = cv2.morphologyEx(level, cv2.MORPH_TOPHAT, np.ones((size, size), np.uint8))
    bright = ((hat > 50) & (level > 90)).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(bright, connectivity=8)
    low, high = max(4.0, 5 * scale), max(22 * scale, 12.0)
    tall, wide = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
    fill = stats[:, cv2.CC_STAT_AREA] / np.maximum(tall * wide, 1)
    glyph = (tall >= low) & (tall <= high) & (wide <= 12 * tall) & (fill > 0.15) & (fill < 0.95)
    glyph[0] = False
    letters = np.array([_letters(labels, stats, i) if glyph[i] else 0 for i in range(count)])
    found = np.zeros(sector.shape, np.uint8)
    candidates = np.nonzero(letters)[0]
    for row in _text_rows(candidates, stats, centres):
        if letters[row].sum() < 4:
            continue
        x0, y0 = stats[row, cv2.CC_STAT_LEFT].min(), stats[row, cv2.CC_STAT_TOP].min()
        x1 = (stats[row, cv2.CC_STAT_LEFT] + wide[row]).max()
        y1 = (stats[row, cv2.CC_STAT_TOP] + tall[row]).max()
        pad = max(int(0.3 * (y1 - y0)), 2)
        found[max(y0 - pad, 0) : y1 + pad, max(x0 - 2 * pad, 0) : x1 + 2 * pad] = 1
    return found.astype(bool) & sector


def _letters(labels: np.ndarray, stats: np.ndarray, index: int) -> int:
    """How many letters a component is: touching ones form a word, which has a stroke or two per letter on every line."""
    x, y, wide, tall = stats[index, :4]
    expected = max(int(round(wide / (0.9 * tall))), 1)
    if expected == 1:
        return 1
    part = (labels[y : y + tall, x : x + wide] == index).astype(np.int8)
    strokes = (np.diff(part, axis=1, prepend=0) > 0).sum(axis=1)
    return expected if np.median(strokes) >= 0.9 * expected else 0


def _text_rows(candidates: np.ndarray, stats: np.ndarray, centres: np.ndarray) -> list[np.ndarray]:
    """Groups of glyphs of one height on one base line with gaps of at most two heights."""
    rows: list[list[int]] = []
    for index in candidates[np.argsort(centres[candidates, 0])]:
        base = stats[index, cv2.CC_STAT_TOP] + stats[index, cv2.CC_STAT_HEIGHT]
        for row in rows:
            last = row[-1]
            height = stats[last, cv2.CC_STAT_HEIGHT]
            last_base = stats[last, cv2.CC_STAT_TOP] + height
            gap = stats[index, cv2.CC_STAT_LEFT] - stats[last, cv2.CC_STAT_LEFT] - stats[last, cv2.CC_STAT_WIDTH]
            near = abs(base - last_base) <= max(0.35 * height, 2) and -3 <= gap <= max(2 * height, 8)
            if near and 0.45 <= stats[index, cv2.CC_STAT_HEIGHT] / height <= 2.2:
                row.append(int(index))
                break
        else:
            rows.append([int(index)])
    return [np.array(row) for row in rows]
