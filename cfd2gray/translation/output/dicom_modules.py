"""The header of a greyscale clip that cannot be mistaken for an acquired one (PS3.3 A.7, C.7.6.1, C.12.1).

It is built from an allow-list, never by deleting from a copy of the source's.
"""

from __future__ import annotations

import dataclasses
import datetime
import fractions
import uuid
import warnings

import numpy as np
import pydicom
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from data_pipeline.readers.dicom.header import CAPTURE_CLASSES, ULTRASOUND_CLASSES, get, integer
from data_pipeline.readers.dicom.terms import image_type_terms
from data_pipeline.screen.deidentify import KeyedHasher

_US_MULTIFRAME = uids.UltrasoundMultiFrameImageStorage
_CAPTURE_MULTIFRAME = uids.MultiFrameGrayscaleByteSecondaryCaptureImageStorage
IMPLEMENTATION_UID = "2.25.250829170377498611219270846128514837391"
_CLINICAL = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "SpecificCharacterSet",
)  # fmt: skip
"""Carried over in clinical mode, so that the clip files beside its source."""
_REGION_KEYWORDS = (
    "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1",
    "PhysicalUnitsXDirection", "PhysicalUnitsYDirection", "PhysicalDeltaX", "PhysicalDeltaY", "ReferencePixelX0",
    "ReferencePixelY0", "ReferencePixelPhysicalValueX", "ReferencePixelPhysicalValueY",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statement:
    """What the header of a result says of it, besides the source's own words.

    Attributes:
      fps, frame_times, pixel_aspect: see `schema.ClipInfo`.
      model_name, weights_digest, version: of the software. settings: what pixels depend on beside; see `Translator.settings`.
      mode: ``research``: pseudonyms and new UIDs by ``hasher``, no dates. ``clinical``: same patient and study as the
        source; for use inside the hospital that owns them.
      hasher: keyed pseudonyms, research mode.
      seed: what the new UIDs are derived from, so that the same source gives the same file again; empty: drawn.
      source_digest: of the source, for the pseudonym of a file that names no patient; empty: drawn.
      synthetic: something was synthesised; otherwise it is the greyscale copy of a clip without colour.
      cleaned: pixels outside the sector and text were removed.
      burned_in: text may still be legible in the pixels.
      lossy_source: the source was lossy, whatever its header says.
    """

    fps: float
    model_name: str
    weights_digest: str
    version: str
    settings: str = ""
    mode: str = "research"
    hasher: KeyedHasher | None = None
    seed: str = ""
    source_digest: str = ""
    synthetic: bool = True
    cleaned: bool = True
    burned_in: bool = False
    lossy_source: bool = False
    pixel_aspect: float = 1.0
    frame_times: tuple[float, ...] = ()

    def new_uid(self, what: str) -> str:
        if self.seed and self.hasher is not None:
            return self.hasher.uid(f"{what}\0{self.seed}\0{self.weights_digest}\0{self.settings}\0{self.version}")
        return f"2.25.{uuid.uuid4().int}"


def header(
    source: Dataset | None,
    said: Statement,
    *,
    n_frames: int,
    shape: tuple[int, int],
    sector: np.ndarray | None = None,
) -> tuple[FileDataset, str]:
    """``(data set without pixel data, one line on calibration that was lost, or "")``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values of the source's header
        ds = FileDataset(None, {}, file_meta=_file_meta(source, said), preamble=b"\0" * 128)
        _identify(ds, source, said)
        _describe(ds, source, said)
        _time(ds, said, n_frames)
        _set_pixels(ds, shape, said)
        lost = _set_regions(ds, source, shape, sector)
        _set_lossy(ds, source, said.lossy_source)
    return ds, lost


def _file_meta(source: Dataset | None, said: Statement) -> FileMetaDataset:
    meta = FileMetaDataset()
    ultrasound = source is not None and str(get(source, "SOPClassUID", "")) in ULTRASOUND_CLASSES
    meta.MediaStorageSOPClassUID = _US_MULTIFRAME if ultrasound else _CAPTURE_MULTIFRAME
    meta.MediaStorageSOPInstanceUID = said.new_uid("instance")
    meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    return meta


def _identify(ds: Dataset, source: Dataset | None, said: Statement) -> None:
    """Patient, Study, Series and SOP Common modules."""
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "AccessionNumber", "ReferringPhysicianName"):  # fmt: skip
        setattr(ds, keyword, "")
    hasher = said.hasher
    if said.mode == "clinical":
        for keyword in _CLINICAL:
            value = get(source, keyword)
            if value is not None:
                setattr(ds, keyword, value)
    else:
        patient = str(get(source, "PatientID", "")).strip() if source is not None else ""
        study = str(get(source, "StudyInstanceUID", "")) if source is not None else ""
        # Clips of nobody known are not of one patient: each source file has a pseudonym of its own.
        pseudonym = hasher.patient(patient or f"source {said.source_digest or said.new_uid('patient')}")
        ds.PatientID = pseudonym
        ds.PatientName = pseudonym
        ds.StudyInstanceUID = hasher.uid(study) if study else said.new_uid("study")
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethodCodeSequence = [_code("113100", "DCM", "Basic Application Confidentiality Profile")]
        if said.cleaned and not said.burned_in:
            ds.DeidentificationMethodCodeSequence.append(_code("113101", "DCM", "Clean Pixel Data Option"))
    ds.Modality = "US"
    ds.SeriesInstanceUID = said.new_uid("series")
    number = integer(source, "SeriesNumber") if source is not None else None
    ds.SeriesNumber = str(1000 + (number if number is not None and 0 <= number < 1_000_000 else 0))
    ds.SeriesDescription = (
        "SYNTHETIC greyscale from colour flow" if said.synthetic else "Greyscale copy, no colour found"
    )
    ds.InstanceNumber = "1"
    ds.PatientOrientation = ""
    ds.Laterality = ""


def _describe(ds: Dataset, source: Dataset | None, said: Statement) -> None:
    """What it is, what it was made from, and by what."""
    dated = said.mode == "clinical" or not said.seed
    now = datetime.datetime.now()
    ds.ContentDate, ds.ContentTime = (now.strftime("%Y%m%d"), now.strftime("%H%M%S")) if dated else ("", "")
    if dated:
        ds.InstanceCreationDate, ds.InstanceCreationTime = ds.ContentDate, ds.ContentTime
    values = get(source, "ImageType", ()) if source is not None else ()
    terms = image_type_terms((values,) if isinstance(values, str) else tuple(str(v) for v in values))
    ds.ImageType = ["DERIVED", "SECONDARY", terms[2] if len(terms) > 2 else "OTHER", "0001"]
    ds.SyntheticData = "YES" if said.synthetic else "NO"
    stated = str(get(source, "BurnedInAnnotation", "YES")) if source is not None and said.mode == "clinical" else "YES"
    ds.BurnedInAnnotation = "NO" if said.cleaned and not said.burned_in else stated
    ds.QualityControlImage = "NO"
    ds.Manufacturer = "cfd2gray"
    ds.ManufacturerModelName = said.model_name[:64]
    ds.SoftwareVersions = said.version[:64]
    what = (
        "Greyscale synthesised from colour-flow clip" if said.synthetic else "Greyscale copy of a clip without colour"
    )
    ds.DerivationDescription = (
        f"{what} by cfd2gray {said.version}, model {said.model_name} {said.weights_digest[:16]}; not for diagnosis"
    )[:1024]
    equipment = Dataset()
    equipment.Manufacturer = "cfd2gray"
    equipment.ManufacturerModelName = said.model_name[:64]
    equipment.SoftwareVersions = said.version[:64]
    if dated:
        equipment.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    equipment.ContributionDescription = f"weights sha256 {said.weights_digest}, {said.settings}"[:1024]
    equipment.PurposeOfReferenceCodeSequence = [
        _code("109100", "DCM", "Synthesizing Equipment")
        if said.synthetic
        else _code("109103", "DCM", "Modifying Equipment")
    ]
    ds.ContributingEquipmentSequence = [equipment]
    if ds.SOPClassUID == _CAPTURE_MULTIFRAME:
        ds.ConversionType = "SYN"
    instance = str(get(source, "SOPInstanceUID", "")) if source is not None else ""
    if instance:
        reference = Dataset()
        known = str(get(source, "SOPClassUID", ""))
        known = known if known in ULTRASOUND_CLASSES | CAPTURE_CLASSES else str(_US_MULTIFRAME)
        reference.ReferencedSOPClassUID = known
        reference.ReferencedSOPInstanceUID = instance if said.mode == "clinical" else said.hasher.uid(instance)
        reference.PurposeOfReferenceCodeSequence = [
            _code("121322", "DCM", "Source image for image processing operation")
        ]
        ds.SourceImageSequence = [reference]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _time(ds: Dataset, said: Statement, n_frames: int) -> None:
    ds.NumberOfFrames = str(n_frames)
    if len(said.frame_times) == n_frames > 2:
        ds.FrameTimeVector = [f"{1000 * step:.6g}" for step in np.diff(said.frame_times, prepend=0.0)]
        ds.FrameIncrementPointer = pydicom.tag.Tag("FrameTimeVector")
    else:
        ds.FrameTime = f"{1000 / said.fps:.6g}"
        ds.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    ds.RecommendedDisplayFrameRate = str(max(int(round(said.fps)), 1))


def _set_pixels(ds: Dataset, shape: tuple[int, int], said: Statement) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.UltrasoundColorDataPresent = 0
    if ds.SOPClassUID == _CAPTURE_MULTIFRAME:
        del ds.UltrasoundColorDataPresent
        ds.PresentationLUTShape = "IDENTITY"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    if said.pixel_aspect != 1:
        ratio = fractions.Fraction(said.pixel_aspect).limit_denominator(1000)
        ds.PixelAspectRatio = [str(ratio.numerator), str(ratio.denominator)]


def _set_regions(ds: Dataset, source: Dataset | None, shape: tuple[int, int], sector: np.ndarray | None) -> str:
    """Two-dimensional regions of the source as tissue, on the frame's own grid; one line where they do not fit it."""
    found = [_tissue_region(region) for region in get(source, "SequenceOfUltrasoundRegions") or ()] if source else []
    items = [item for item in found if item is not None]
    if not items:
        return ""
    scale = _region_scale(items, (integer(source, "Rows"), integer(source, "Columns")), shape, sector)
    if scale is None:
        return "its ultrasound regions do not fit the frame: the scale in centimetres is not carried over"
    if scale != 1:
        for item in items:
            _rescale(item, scale)
    items = [item for item in items if _corners(item)[2] <= shape[1] + 2 and _corners(item)[3] <= shape[0] + 2]
    if items:
        ds.SequenceOfUltrasoundRegions = items
    if "PixelAspectRatio" in ds:  # not both (C.7.6.3: only where no region calibrates)
        calibrated = any(item.PhysicalDeltaX and item.PhysicalDeltaY for item in items)
        if calibrated:
            del ds.PixelAspectRatio
    return ""


def _tissue_region(region: Dataset) -> Dataset | None:
    if integer(region, "RegionSpatialFormat") != 1 or integer(region, "RegionDataType") not in (1, 2):
        return None
    item = Dataset()
    for keyword in _REGION_KEYWORDS:
        value = get(region, keyword)
        if isinstance(value, (int, float)):
            setattr(item, keyword, value)
    if any(keyword not in item for keyword in _REGION_KEYWORDS[:8]):  # type 1: an item without one is not valid
        return None
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, integer(region, "RegionFlags") or 0
    return item


def _corners(item: Dataset) -> list[int]:
    return [int(item[f"RegionLocation{name}"].value) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]


_SCALES = (1.0, 2.0, 0.5, 1.5, 4 / 3, 1.6, 1.25, 3.0, 4.0, 2 / 3, 0.75)
"""Pixels of the grid the regions were written for, per pixel of the frame, that resized clips have."""


def _region_scale(
    items: list[Dataset], stated: tuple[int | None, int | None], shape: tuple[int, int], sector: np.ndarray | None
) -> float | None:
    """Pixels of the frame per pixel of the regions' grid, or ``None`` when the regions plainly fit no grid."""
    right, bottom = (max(_corners(item)[i] for item in items) for i in (2, 3))
    if None not in stated and (right <= stated[1] + 2 and bottom <= stated[0] + 2):
        ratio = shape[0] / stated[0], shape[1] / stated[1]
        return ratio[0] if abs(ratio[0] / ratio[1] - 1) < 0.01 else None
    if sector is None or not sector.any():
        return None
    rows, columns = np.nonzero(sector.any(axis=1))[0], np.nonzero(sector.any(axis=0))[0]
    for grid in _SCALES:
        if right > grid * shape[1] + 2 or bottom > grid * shape[0] + 2:
            continue
        for item in items:
            x0, y0, x1, y1 = (corner / grid for corner in _corners(item))
            around = x0 - 3 <= columns[0] and columns[-1] <= x1 + 3 and y0 - 3 <= rows[0] and rows[-1] <= y1 + 3
            if around and (columns[-1] - columns[0]) * (rows[-1] - rows[0]) > 0.5 * (x1 - x0) * (y1 - y0):
                return 1 / grid
    return None


def _rescale(item: Dataset, scale: float) -> None:
    for name in ("MinX0", "MinY0", "MaxX1", "MaxY1"):
        keyword = f"RegionLocation{name}"
        setattr(item, keyword, int(round(item[keyword].value * scale)))
    for keyword in ("ReferencePixelX0", "ReferencePixelY0"):
        if keyword in item:
            setattr(item, keyword, int(round(item[keyword].value * scale)))
    for keyword in ("PhysicalDeltaX", "PhysicalDeltaY"):
        setattr(item, keyword, item[keyword].value / scale)


def _set_lossy(ds: Dataset, source: Dataset | None, lossy_source: bool) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5)."""
    flagged = source is not None and str(get(source, "LossyImageCompression", "")) == "01"
    ds.LossyImageCompression = "01" if flagged or lossy_source else "00"
    if flagged:
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            value = get(source, keyword)
            if value is not None:
                setattr(ds, keyword, value)
