"""DICOM that is marked as synthetic, complete, exact, and free of what identifies a patient."""

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from data_pipeline.readers import read_clip
from data_pipeline.screen.deidentify import KeyedHasher
from tests.cfd2gray.translation.written_dicom import write_dicom
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.screen.test_deidentify import plant
from tests.data_pipeline.screen.test_fan_fit import SHAPES, speckle

OPTIONS = {"fps": 18.44, "model_name": "tiny-1", "weights_digest": "ab" * 32, "version": "0.1.0"}
HASHER = KeyedHasher(b"k" * 32)

REQUIRED = {  # type 1 attributes of the Ultrasound Multi-frame IOD (PS3.3 A.7) that apply here
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType",
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelData", "NumberOfFrames", "FrameIncrementPointer", "FrameTime", "LossyImageCompression",
}  # fmt: skip
PRESENT = {  # type 2: there, possibly empty
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber", "SeriesNumber", "Manufacturer", "InstanceNumber",
}  # fmt: skip


def grey(frames=3):
    return speckle(SHAPES["phased"], frames=frames)[..., 0]


def source(**tags) -> Dataset:
    ds = samples.header(speckle(SHAPES["phased"], frames=3), **tags)
    ds.SeriesNumber = "3"
    return ds


@pytest.mark.parametrize("encoding", ["explicit", "rle"])
@pytest.mark.parametrize("shape", [(3, 300, 400), (1, 33, 35)])
def test_exact_complete_and_marked(tmp_path, encoding, shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "out.dcm"
    write_dicom(path, frames, source=source(), sector=np.ones(shape[1:], bool), encoding=encoding, **OPTIONS)
    ds = pydicom.dcmread(path)
    np.testing.assert_array_equal(ds.pixel_array.reshape(shape), frames)
    assert not [k for k in REQUIRED if not ds.get(k) and ds.get(k) != 0]
    assert not [k for k in PRESENT if k not in ds]
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "CARDIOLOGY", "0001"] and ds.SyntheticData == "YES"
    assert "not for diagnosis" in ds.DerivationDescription and "tiny-1" in ds.DerivationDescription
    assert ds.SeriesDescription.startswith("SYNTHETIC") and ds.SeriesNumber == 1003
    equipment = ds.ContributingEquipmentSequence[0]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert ds.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert ds[keyword].value.is_valid
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.dcm"]
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    assert list(reader.GetImage().GetDimensions())[:2] == [shape[2], shape[1]]


def test_our_own_reader_takes_it_back(tmp_path):
    frames = grey()
    write_dicom(tmp_path / "out.dcm", frames, source=source(), **OPTIONS)
    clip = read_clip(tmp_path / "out.dcm")
    assert clip.info.fps == pytest.approx(18.44, rel=1e-4) and clip.info.fps_source == "FrameTime"
    np.testing.assert_array_equal(clip.frames[..., 0], clip.frames[..., 2])


def test_research_mode_unlinks_and_clinical_mode_files_beside_the_source(tmp_path):
    frames, origin = grey(), source(StudyDate="20200102", PatientName="DOE^JOHN", AccessionNumber="A1")
    first = write_dicom(tmp_path / "a.dcm", frames, source=origin, hasher=HASHER, **OPTIONS)
    again = write_dicom(tmp_path / "b.dcm", frames, source=origin, hasher=HASHER, **OPTIONS)
    forgotten = write_dicom(tmp_path / "c.dcm", frames, source=origin, **OPTIONS)
    assert first.PatientID == HASHER.patient("P1") == again.PatientID != forgotten.PatientID
    assert first.StudyInstanceUID == HASHER.uid("1.2.3") == again.StudyInstanceUID != forgotten.StudyInstanceUID
    assert first.SOPInstanceUID != again.SOPInstanceUID
    assert first.PatientIdentityRemoved == "YES" and first.BurnedInAnnotation == "NO"
    assert (first.StudyDate, first.AccessionNumber) == ("", "")
    clinical = write_dicom(tmp_path / "d.dcm", frames, source=origin, mode="clinical", **OPTIONS)
    assert (clinical.PatientID, clinical.StudyInstanceUID, clinical.StudyDate) == ("P1", "1.2.3", "20200102")
    assert clinical.SeriesInstanceUID != "1.2.3.5" and clinical.SOPInstanceUID != "1.2.3.4"
    assert clinical.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert "PatientIdentityRemoved" not in clinical and clinical.BurnedInAnnotation == "YES"
    with pytest.raises(ValueError, match="clinical"):
        write_dicom(tmp_path / "e.dcm", frames, source=None, mode="clinical", **OPTIONS)


def test_nothing_of_the_header_or_banner_survives_in_research_mode(tmp_path):
    origin = source()
    for keyword in ("Manufacturer", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
        delattr(origin, keyword)
    plant(origin, "ZACHARIAS")
    frames = grey()
    frames[:, 2:16, 4:120] = 255  # where the name stands
    write_dicom(tmp_path / "out.dcm", frames, source=origin, hasher=HASHER, **OPTIONS)
    data = (tmp_path / "out.dcm").read_bytes()
    for secret in (b"ZACHARIAS", b"zacharias", b"19330707", b"JOHN", b"1.2.3.4\0"):
        assert secret not in data
    ds = pydicom.dcmread(tmp_path / "out.dcm")
    assert not ds.pixel_array[:, 2:16, 4:120].any() and ds.pixel_array[:, 150, 200].any()
    assert not [element for element in ds if element.tag.is_private]


def test_regions_and_lossy_history_follow_the_source(tmp_path):
    item = Dataset()
    for keyword, value in (
        ("RegionLocationMinX0", 10), ("RegionLocationMinY0", 5), ("RegionLocationMaxX1", 390), ("RegionLocationMaxY1", 290),
        ("RegionSpatialFormat", 1), ("RegionDataType", 2), ("RegionFlags", 2), ("PhysicalDeltaX", 0.03),
        ("PhysicalDeltaY", 0.03), ("PhysicalUnitsXDirection", 3), ("PhysicalUnitsYDirection", 3),
    ):  # fmt: skip
        setattr(item, keyword, value)
    origin = source(SequenceOfUltrasoundRegions=[item], LossyImageCompression="01", LossyImageCompressionRatio="19")
    ds = write_dicom(tmp_path / "a.dcm", grey(), source=origin, **OPTIONS)
    region = ds.SequenceOfUltrasoundRegions[0]
    assert (region.RegionDataType, region.RegionLocationMaxX1, region.PhysicalDeltaX) == (1, 390, 0.03)
    assert (ds.LossyImageCompression, float(ds.LossyImageCompressionRatio)) == ("01", 19)
    ds = write_dicom(tmp_path / "b.dcm", grey()[:, ::2, ::2], source=origin, **OPTIONS)
    region = ds.SequenceOfUltrasoundRegions[0]  # the same picture at half the size
    assert (region.RegionLocationMinX0, region.RegionLocationMaxX1, region.PhysicalDeltaX) == (5, 195, 0.06)
    ds = write_dicom(tmp_path / "d.dcm", grey()[:, :, ::2], source=origin, **OPTIONS)
    assert "SequenceOfUltrasoundRegions" not in ds  # another pixel grid
    assert write_dicom(tmp_path / "c.dcm", grey(), source=source(), **OPTIONS).LossyImageCompression == "00"


def test_without_a_dicom_source_it_is_a_secondary_capture(tmp_path):
    ds = write_dicom(tmp_path / "a.dcm", grey(), source=None, lossy_source=True, **OPTIONS)
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.2" and ds.ConversionType == "SYN"
    assert ds.LossyImageCompression == "01" and "SourceImageSequence" not in ds
    assert len(ds.PatientID) == 32 and ds.PatientID == ds.PatientName
    assert read_clip(tmp_path / "a.dcm").frames.shape == (3, 300, 400, 3)


def test_nothing_is_overwritten_or_left_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_dicom(path, grey(), source=None, **OPTIONS)
    assert path.read_bytes() == b"mine"
    write_dicom(path, grey(), source=None, overwrite=True, **OPTIONS)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("cfd2gray.translation.output.dicom._read_back", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dicom(path, grey(), source=None, overwrite=True, **OPTIONS)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": np.zeros((1, 40, 40), np.float32)}, "uint8"),
        ({"fps": 0.0}, "fps"),
        ({"mode": "public"}, "mode"),
        ({"encoding": "jpeg"}, "encoding"),
    ],
)
def test_wrong_arguments(tmp_path, change, message):
    arguments = {"frames": grey(), "source": None, **OPTIONS, **change}
    with pytest.raises(ValueError, match=message):
        write_dicom(tmp_path / "a.dcm", arguments.pop("frames"), **arguments)


def test_real_header(tmp_path):
    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    origin, clip = pydicom.dcmread(path), read_clip(path)
    write_dicom(tmp_path / "a.dcm", clip.frames[..., 1], source=origin, **OPTIONS)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert ds.LossyImageCompression == "01" and ds.SOPClassUID == samples.US_MULTIFRAME
    values = {str(element.value) for element in ds.iterall()}
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert str(origin.get(keyword)) not in values
