"""Write a synthetic greyscale clip as DICOM that cannot be mistaken for an acquired one (PS3.3 A.7, C.7.6.1, C.12.1).

The header is built from an allow-list, never by deleting from a copy of the source's.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import secrets
import uuid
import warnings

import numpy as np
import pydicom
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from data_pipeline.readers.dicom_header import CAPTURE_CLASSES, ULTRASOUND_CLASSES, get, integer
from data_pipeline.readers.dicom_terms import image_type_terms
from data_pipeline.screen.deidentify import KeyedHasher, sector_only
from data_pipeline.screen.fan_fit import fit_fan

_US_MULTIFRAME = uids.UltrasoundMultiFrameImageStorage
_CAPTURE_MULTIFRAME = uids.MultiFrameGrayscaleByteSecondaryCaptureImageStorage
IMPLEMENTATION_UID = "2.25.250829170377498611219270846128514837391"
_ENCODINGS = {"explicit": uids.ExplicitVRLittleEndian, "rle": uids.RLELossless}
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


def write_dicom(
    path: str | os.PathLike[str],
    frames: np.ndarray,
    *,
    source: Dataset | None,
    fps: float,
    model_name: str,
    weights_digest: str,
    version: str,
    mode: str = "research",
    hasher: KeyedHasher | None = None,
    sector: np.ndarray | None = None,
    encoding: str = "explicit",
    lossy_source: bool = False,
    overwrite: bool = False,
) -> Dataset:
    """Write a clip as a new DERIVED\\SECONDARY instance marked as synthetic.

    Args:
      path: written under a temporary name beside it, read back and compared, then renamed.
      frames: uint8 ``[T, H, W]``, T >= 1.
      source: header of the clip it was made from; ``None`` for sources that were no DICOM.
      fps: frames per second, positive.
      model_name, weights_digest, version: of the software, for the derivation description and the equipment.
      mode: ``research``: pseudonyms and new UIDs by ``hasher``, no dates, and pixels of the sector only. ``clinical``:
        same patient and study as ``source``, all pixels; for use inside the hospital that owns them.
      hasher: keyed pseudonyms; ``None`` draws a key that is forgotten, so that nothing links back.
      sector: bool ``[H, W]`` of the sector (research mode); fitted to the frames when not given.
      encoding: ``explicit`` (uncompressed) or ``rle``.
      lossy_source: the source was lossy although no DICOM header says so (a video).
      overwrite: replace an existing file.

    Returns:
      The data set as written.

    Raises:
      ValueError: a wrong argument. FileExistsError: ``path`` exists. OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    _check(path, frames, fps=fps, mode=mode, encoding=encoding, source=source, overwrite=overwrite)
    if mode == "research":
        hasher = hasher or KeyedHasher(secrets.token_bytes(32))
        if sector is None:
            sector = fit_fan(np.repeat(frames[..., None], 3, axis=3)).sector
        frames = sector_only(frames, sector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values of the source's header
        ds = FileDataset(None, {}, file_meta=_file_meta(source), preamble=b"\0" * 128)
        _identify(ds, source, mode, hasher)
        _describe(ds, source, mode, hasher, model_name=model_name, weights_digest=weights_digest, version=version)
        _time(ds, fps, len(frames))
        _set_pixels(ds, frames)
        _set_regions(ds, source, frames.shape[1:])
        _set_lossy(ds, source, lossy_source)
    if encoding == "rle":
        # pydicom's own encoder: GDCM's aborts the process on frames of odd length
        ds.compress(uids.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        ds.save_as(partial, enforce_file_format=True, overwrite=False)
        _read_back(partial, frames)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return ds


def _check(
    path: pathlib.Path,
    frames: np.ndarray,
    *,
    fps: float,
    mode: str,
    encoding: str,
    source: Dataset | None,
    overwrite: bool,
) -> None:
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        got = f"{frames.dtype} {list(frames.shape)}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"frames must be uint8 [T, H, W] with no empty axis, got {got}")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, got {fps}")
    if mode not in ("research", "clinical"):
        raise ValueError(f"mode must be 'research' or 'clinical', got {mode!r}")
    if encoding not in _ENCODINGS:
        raise ValueError(f"encoding must be one of {sorted(_ENCODINGS)}, got {encoding!r}")
    if mode == "clinical" and (source is None or not get(source, "StudyInstanceUID")):
        raise ValueError("clinical mode files the clip beside its source and needs a DICOM source; use mode='research'")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or allow overwriting")


def _file_meta(source: Dataset | None) -> FileMetaDataset:
    meta = FileMetaDataset()
    ultrasound = source is not None and str(get(source, "SOPClassUID", "")) in ULTRASOUND_CLASSES
    meta.MediaStorageSOPClassUID = _US_MULTIFRAME if ultrasound else _CAPTURE_MULTIFRAME
    meta.MediaStorageSOPInstanceUID = _new_uid()
    meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    return meta


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def _identify(ds: Dataset, source: Dataset | None, mode: str, hasher: KeyedHasher | None) -> None:
    """Patient, Study, Series and SOP Common modules."""
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "AccessionNumber", "ReferringPhysicianName"):  # fmt: skip
        setattr(ds, keyword, "")
    if mode == "clinical":
        for keyword in _CLINICAL:
            value = get(source, keyword)
            if value is not None:
                setattr(ds, keyword, value)
    else:
        patient = str(get(source, "PatientID", "")) if source is not None else ""
        study = str(get(source, "StudyInstanceUID", "")) if source is not None else ""
        pseudonym = hasher.patient(patient) if patient else "SYNTHETIC"
        ds.PatientID = pseudonym
        ds.PatientName = pseudonym
        ds.StudyInstanceUID = hasher.uid(study) if study else _new_uid()
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethodCodeSequence = [
            _code("113100", "DCM", "Basic Application Confidentiality Profile"),
            _code("113101", "DCM", "Clean Pixel Data Option"),
        ]
    ds.Modality = "US"
    ds.SeriesInstanceUID = _new_uid()
    number = integer(source, "SeriesNumber") if source is not None else None
    ds.SeriesNumber = str(1000 + (number if number is not None and 0 <= number < 1_000_000 else 0))
    ds.SeriesDescription = "SYNTHETIC greyscale from colour flow"
    ds.InstanceNumber = "1"
    ds.PatientOrientation = ""
    ds.Laterality = ""


def _describe(
    ds: Dataset,
    source: Dataset | None,
    mode: str,
    hasher: KeyedHasher | None,
    *,
    model_name: str,
    weights_digest: str,
    version: str,
) -> None:
    """What it is, what it was made from, and by what."""
    now = datetime.datetime.now()
    ds.ContentDate, ds.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    ds.InstanceCreationDate, ds.InstanceCreationTime = ds.ContentDate, ds.ContentTime
    values = get(source, "ImageType", ()) if source is not None else ()
    terms = image_type_terms((values,) if isinstance(values, str) else tuple(str(v) for v in values))
    ds.ImageType = ["DERIVED", "SECONDARY", terms[2] if len(terms) > 2 else "OTHER", "0001"]
    ds.SyntheticData = "YES"
    ds.BurnedInAnnotation = "NO" if mode == "research" else str(get(source, "BurnedInAnnotation", "YES"))
    ds.QualityControlImage = "NO"
    ds.Manufacturer = "cfd2gray"
    ds.ManufacturerModelName = model_name[:64]
    ds.SoftwareVersions = version[:64]
    ds.DerivationDescription = (
        f"Greyscale synthesised from colour-flow clip by cfd2gray {version}, model {model_name} {weights_digest[:16]}; "
        "not for diagnosis"
    )[:1024]
    equipment = Dataset()
    equipment.Manufacturer = "cfd2gray"
    equipment.ManufacturerModelName = model_name[:64]
    equipment.SoftwareVersions = version[:64]
    equipment.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    equipment.ContributionDescription = f"weights sha256 {weights_digest}"[:1024]
    equipment.PurposeOfReferenceCodeSequence = [_code("109100", "DCM", "Synthesizing Equipment")]
    ds.ContributingEquipmentSequence = [equipment]
    if ds.SOPClassUID == _CAPTURE_MULTIFRAME:
        ds.ConversionType = "SYN"
    instance = str(get(source, "SOPInstanceUID", "")) if source is not None else ""
    if instance:
        reference = Dataset()
        known = str(get(source, "SOPClassUID", ""))
        known = known if known in ULTRASOUND_CLASSES | CAPTURE_CLASSES else str(_US_MULTIFRAME)
        reference.ReferencedSOPClassUID = known
        reference.ReferencedSOPInstanceUID = instance if mode == "clinical" else hasher.uid(instance)
        reference.PurposeOfReferenceCodeSequence = [
            _code("121322", "DCM", "Source image for image processing operation")
        ]
        ds.SourceImageSequence = [reference]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _time(ds: Dataset, fps: float, n_frames: int) -> None:
    """Cine and Multi-frame modules."""
    ds.NumberOfFrames = str(n_frames)
    ds.FrameTime = f"{1000.0 / fps:.6g}"
    ds.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    ds.RecommendedDisplayFrameRate = str(max(int(round(fps)), 1))


def _set_pixels(ds: Dataset, frames: np.ndarray) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.UltrasoundColorDataPresent = 0
    if ds.SOPClassUID == _CAPTURE_MULTIFRAME:
        del ds.UltrasoundColorDataPresent
        ds.PresentationLUTShape = "IDENTITY"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    data = np.ascontiguousarray(frames).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"


def _set_regions(ds: Dataset, source: Dataset | None, shape: tuple[int, int]) -> None:
    """Two-dimensional regions of the source as tissue, where the frame is the source's own."""
    if source is None or (integer(source, "Rows"), integer(source, "Columns")) != tuple(shape):
        return
    items = []
    for region in get(source, "SequenceOfUltrasoundRegions") or ():
        if integer(region, "RegionSpatialFormat") != 1 or integer(region, "RegionDataType") not in (1, 2):
            continue
        item = Dataset()
        for keyword in _REGION_KEYWORDS:
            value = get(region, keyword)
            if isinstance(value, (int, float)):
                setattr(item, keyword, value)
        corners = [integer(item, "RegionLocation" + name) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if any(keyword not in item for keyword in _REGION_KEYWORDS[:8]):  # type 1: an item without one is not valid
            continue
        if None in corners or corners[2] > shape[1] + 2 or corners[3] > shape[0] + 2:
            continue
        item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, integer(region, "RegionFlags") or 0
        items.append(item)
    if items:
        ds.SequenceOfUltrasoundRegions = items


def _set_lossy(ds: Dataset, source: Dataset | None, lossy_source: bool) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5)."""
    flagged = source is not None and str(get(source, "LossyImageCompression", "")) == "01"
    ds.LossyImageCompression = "01" if flagged or lossy_source else "00"
    if flagged:
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            value = get(source, keyword)
            if value is not None:
                setattr(ds, keyword, value)


def _read_back(path: pathlib.Path, frames: np.ndarray) -> None:
    """Raise ``OSError`` unless the file says what was meant."""
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array.reshape(frames.shape)
    if ds.SyntheticData != "YES" or list(ds.ImageType[:2]) != ["DERIVED", "SECONDARY"]:
        raise OSError(f"{path} lost its marking as synthetic on the way to disk; nothing was kept")
    if not np.array_equal(pixels, frames):
        raise OSError(f"{path} does not read back as written (disk full or faulty?); nothing was kept")
