"""The written objects against the standard: module tables of PS3.3, and pydicom's own strict checks of every value.

The tables below are the mandatory modules of the two IODs that are written (A.7 Ultrasound Multi-frame, A.8.3
Multi-frame Grayscale Byte Secondary Capture), attribute by attribute: type 1 must have a value, type 2 must be there.
``1C`` and ``2C`` stand with their condition.
"""

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from tests.cfd2gray.translation.test_dicom_out import OPTIONS, grey, source
from tests.cfd2gray.translation.written_dicom import write_dicom

COMMON = {
    "Patient": {"2": "PatientName PatientID PatientBirthDate PatientSex"},
    "General Study": {"1": "StudyInstanceUID",
                      "2": "StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber"},
    "General Series": {"1": "Modality SeriesInstanceUID", "2": "SeriesNumber Laterality"},
    "General Equipment": {"2": "Manufacturer"},
    "General Image": {"2": "InstanceNumber PatientOrientation ContentDate ContentTime"},
    "Image Pixel": {"1": "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit "
                         "PixelRepresentation PixelData"},
    "Cine": {"1": "FrameTime"},
    "Multi-frame": {"1": "NumberOfFrames FrameIncrementPointer"},
    "SOP Common": {"1": "SOPClassUID SOPInstanceUID"},
}  # fmt: skip
ULTRASOUND = {"US Image": {"1": "LossyImageCompression", "2": "ImageType"}}
CAPTURE = {"SC Equipment": {"1": "ConversionType"},
           "SC Multi-frame Image": {"1": "BurnedInAnnotation PresentationLUTShape RescaleIntercept RescaleSlope "
                                         "RescaleType"}}  # fmt: skip
REGION = {"1": "RegionLocationMinX0 RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1 RegionSpatialFormat "
               "RegionDataType RegionFlags PhysicalUnitsXDirection PhysicalUnitsYDirection PhysicalDeltaX "
               "PhysicalDeltaY"}  # fmt: skip
CODE = {"1": "CodeValue CodingSchemeDesignator CodeMeaning"}
NOT_WITH_ONE_SAMPLE = "PlanarConfiguration"


def lacking(ds: Dataset, table: dict[str, str], where: str) -> list[str]:
    """What a module's table asks for and ``ds`` does not have."""
    out = [f"{where}: {k} (1) has no value" for k in table.get("1", "").split() if ds.get(k) in (None, "", [])]
    return out + [f"{where}: {k} (2) is missing" for k in table.get("2", "").split() if k not in ds]


def violations(ds: Dataset) -> list[str]:
    """Everything in which ``ds`` breaks its IOD, as far as the tables above know it."""
    capture = ds.SOPClassUID == MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    wrong = []
    for where, table in {**COMMON, **(CAPTURE if capture else ULTRASOUND)}.items():
        wrong += lacking(ds, table, where)
    if ds.get("PatientIdentityRemoved") == "YES" and not ds.get("DeidentificationMethodCodeSequence"):
        wrong.append("Patient: De-identification Method Code Sequence (1C) is missing")
    if ds.get("LossyImageCompression") not in ("00", "01"):
        wrong.append("General Image: Lossy Image Compression must be 00 or 01")
    if NOT_WITH_ONE_SAMPLE in ds:
        wrong.append("Image Pixel: Planar Configuration has no meaning with one sample a pixel")
    pixels = (ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.BitsAllocated, ds.BitsStored, ds.HighBit)
    if pixels != (1, "MONOCHROME2", 8, 8, 7) or ds.PixelRepresentation != 0:
        wrong.append(f"Image Pixel: {pixels} is not allowed by the IOD")
    if ds.FrameIncrementPointer != pydicom.tag.Tag("FrameTime"):
        wrong.append("Multi-frame: Frame Increment Pointer must name an attribute that is there")
    if len(ds.ImageType) < 3 or ds.ImageType[0] not in ("ORIGINAL", "DERIVED"):
        wrong.append("US Image: Image Type needs its first three values")
    for number, item in enumerate(ds.get("SequenceOfUltrasoundRegions") or ()):
        wrong += lacking(item, REGION, f"US Region Calibration, item {number}")
    for sequence in ("DeidentificationMethodCodeSequence", "ContributingEquipmentSequence", "SourceImageSequence"):
        for item in ds.get(sequence) or ():
            for code in [item] if sequence.startswith("Deid") else item.PurposeOfReferenceCodeSequence:
                wrong += lacking(code, CODE, sequence)
            if sequence == "SourceImageSequence":
                wrong += lacking(item, {"1": "ReferencedSOPClassUID ReferencedSOPInstanceUID"}, sequence)
            if sequence == "ContributingEquipmentSequence":
                wrong += lacking(item, {"1": "Manufacturer"}, sequence)
    for element in ds.file_meta:
        if element.value in (None, ""):
            wrong.append(f"File Meta: {element.keyword} (1) has no value")
    return wrong


@pytest.fixture
def strict(monkeypatch):
    """pydicom refuses every value that breaks its VR: characters, lengths, ranges, dates, multiplicity."""
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.RAISE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.RAISE)


def region(**tags):
    item = Dataset()
    known = {
        "RegionLocationMinX0": 10, "RegionLocationMinY0": 5, "RegionLocationMaxX1": 390, "RegionLocationMaxY1": 290,
        "RegionSpatialFormat": 1, "RegionDataType": 2, "RegionFlags": 2, "PhysicalDeltaX": 0.03, "PhysicalDeltaY": 0.03,
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3,
    }  # fmt: skip
    for keyword, value in {**known, **tags}.items():
        if value is not None:
            setattr(item, keyword, value)
    return item


CASES = {
    "research": {},
    "clinical": {"mode": "clinical"},
    "rle": {"encoding": "rle"},
    "capture": {"source": None},
    "lossy capture": {"source": None, "lossy_source": True},
    "long texts": {"model_name": "m" * 200, "version": "v" * 200},
}


@pytest.mark.parametrize("case", CASES)
def test_objects_follow_their_module_tables(tmp_path, strict, case):
    origin = source(SequenceOfUltrasoundRegions=[region(), region(PhysicalDeltaX=None)], PatientSex="F")
    write_dicom(tmp_path / "out.dcm", grey(), **{**OPTIONS, "source": origin, **CASES[case]})
    ds = pydicom.dcmread(tmp_path / "out.dcm")
    ds.walk(lambda _, element: element.value)  # converts, and so checks, every value
    assert violations(ds) == []
    kind = (
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage if "capture" in case else UltrasoundMultiFrameImageStorage
    )
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == kind
    assert len(ds.get("SequenceOfUltrasoundRegions") or ()) == (0 if "capture" in case else 1)
    for element in ds.iterall():
        if element.VR == "UI":
            for uid in [element.value] if isinstance(element.value, str) else element.value:
                assert pydicom.uid.UID(uid).is_valid and len(uid) <= 64
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "out.dcm"))
    assert reader.Read()
    image = reader.GetImage()
    assert list(image.GetDimensions()) == [400, 300, 3]
    data = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(3, 300, 400), ds.pixel_array)


def test_the_tables_find_what_is_missing(tmp_path):
    write_dicom(tmp_path / "out.dcm", grey(), source=source(SequenceOfUltrasoundRegions=[region()]), **OPTIONS)
    for keyword in ("StudyInstanceUID", "PatientSex", "FrameTime", "LossyImageCompression",
                    "DeidentificationMethodCodeSequence"):  # fmt: skip
        ds = pydicom.dcmread(tmp_path / "out.dcm")
        delattr(ds, keyword)
        assert violations(ds), keyword
    ds = pydicom.dcmread(tmp_path / "out.dcm")
    del ds.SequenceOfUltrasoundRegions[0].PhysicalDeltaY
    ds.PlanarConfiguration = 0
    assert len(violations(ds)) == 2
