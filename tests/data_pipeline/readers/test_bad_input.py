"""Every way a file can be wrong has its code, its one line, and costs nothing but itself."""

import os
import pickle
import struct
import zipfile

import cv2
import numpy as np
import pydicom
import pytest
from pydicom import uid as uids
from pydicom.dataset import Dataset

from data_pipeline.readers import CODES, IngestError, Limits, open_clip, read_clip
from tests.data_pipeline import dicom_samples as samples


def code_of(path, **options) -> str:
    """The code with which reading fails; checks the message on the way."""
    with pytest.raises(IngestError) as caught:
        read_clip(path, **options)
    error = caught.value
    assert error.code in CODES and "\n" not in str(error)
    assert str(error).startswith(f"{path}: {error.code}: ") and str(path) not in error.detail
    return error.code


def dicom(tmp_path, *, syntax=uids.ExplicitVRLittleEndian, frames=None, **tags):
    frames = samples.picture() if frames is None else frames
    return samples.save(samples.header(frames, **tags), tmp_path / "a.dcm", syntax)


def jpeg(tmp_path, n=4, **tags):
    truth = samples.picture(n)
    tags = {"PhotometricInterpretation": "YBR_FULL", **tags}
    ds = samples.encapsulated(samples.header(truth, **tags), samples.jpeg_frames(truth))
    return samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\0" * 4096])
def test_no_dicom_at_all(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert code_of(path) == "not_dicom"
    other = tmp_path / "a.xyz"
    other.write_bytes(content)
    assert code_of(other) == "unknown_format"


def test_renamed_image(tmp_path):
    data = cv2.imencode(".png", samples.picture()[0])[1].tobytes()
    for name, code in (("a.dcm", "not_dicom"), ("a.avi", "unknown_format"), ("a.mp4", "unknown_format")):
        (tmp_path / name).write_bytes(data)
        assert code_of(tmp_path / name) == code
    (tmp_path / "a.png").write_bytes(data)
    assert read_clip(tmp_path / "a.png").info.flags == ("still", "assumed_fps")


def test_missing_file_and_folder(tmp_path):
    assert code_of(tmp_path / "nothing.dcm") == "not_found"
    (tmp_path / "empty").mkdir()
    assert code_of(tmp_path / "empty") == "unknown_format"


@pytest.mark.parametrize("share", np.arange(0.05, 1.0, 0.05))
@pytest.mark.parametrize("compressed", [True, False])
def test_truncated_anywhere(tmp_path, share, compressed):
    path = jpeg(tmp_path, n=8) if compressed else dicom(tmp_path, frames=samples.picture(8))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    code = code_of(path)
    assert code in ("truncated", "no_pixels", "not_dicom", "corrupt")
    if share >= 0.5:
        assert code == "truncated"
        clip = read_clip(path, salvage=True)
        assert 0.3 * 8 * share <= len(clip.frames) < 8 and "truncated" in clip.info.flags


def test_number_of_frames_is_only_a_hint(tmp_path):
    for make in (jpeg, lambda path, n, **tags: dicom(path, frames=samples.picture(n), **tags)):
        for said in ("0", None, "2", "9"):
            clip = read_clip(make(tmp_path, 4, NumberOfFrames=said))
            assert len(clip.frames) == clip.info.n_frames == 4
            assert "frame_count_mismatch" in clip.info.flags
        assert "frame_count_mismatch" not in read_clip(make(tmp_path, 4)).info.flags


def test_no_whole_frame(tmp_path):
    ds = samples.header(samples.picture())
    ds.PixelData = b""
    assert code_of(samples.save(ds, tmp_path / "a.dcm")) == "no_frames"
    ds = samples.encapsulated(samples.header(samples.picture()), [])
    assert code_of(samples.save(ds, tmp_path / "b.dcm", uids.JPEGBaseline8Bit)) == "no_frames"


@pytest.mark.parametrize("tags", [{"Rows": 0}, {"Columns": 0}, {"Rows": 65535, "Columns": 65535}, {"Rows": 8}])
def test_dimensions_are_checked_before_decoding(tmp_path, tags):
    assert code_of(dicom(tmp_path, **tags)) == "bad_dimensions"


def test_too_many_frames_or_bytes(tmp_path):
    path = dicom(tmp_path, frames=samples.picture(4))
    assert code_of(path, limits=Limits(max_frames=3)) == "bad_dimensions"
    assert code_of(path, limits=Limits(max_decoded_bytes=30_000)) == "bad_dimensions"
    assert code_of(path, limits=Limits(max_file_bytes=10_000)) == "too_large"


def test_code_stream_that_claims_another_size(tmp_path):
    truth = samples.picture(1, 64, 64)
    stream = bytearray(samples.jpeg_frames(truth)[0])
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    ds = samples.encapsulated(samples.header(truth, PhotometricInterpretation="YBR_FULL"), [bytes(stream)])
    assert code_of(samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit)) == "bad_dimensions"


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsAllocated": 12},
        {"BitsAllocated": 1},
        {"BitsAllocated": 32, "PhotometricInterpretation": "YBR_FULL"},
        {"BitsStored": 9},
        {"SamplesPerPixel": 2},
        {"PhotometricInterpretation": "HSV"},
        {"PhotometricInterpretation": None},
        {"SamplesPerPixel": None},
    ],
)
def test_unsupported_pixels(tmp_path, tags):
    assert code_of(dicom(tmp_path, **tags)) == "unsupported_pixels"


def test_palette_without_its_table(tmp_path):
    frames = samples.picture()[..., 0]
    assert code_of(dicom(tmp_path, frames=frames, PhotometricInterpretation="PALETTE COLOR")) == "corrupt"


def test_video_that_no_decoder_knows(tmp_path):
    ds = samples.encapsulated(samples.header(samples.picture()), [b"no video at all" * 20])
    assert code_of(samples.save(ds, tmp_path / "a.dcm", uids.MPEG4HP41)) == "unsupported_codec"


def test_other_objects(tmp_path):
    no_pixels = samples.header(samples.picture(), PixelData=None, Modality="SR")
    assert code_of(samples.save(no_pixels, tmp_path / "a.dcm")) == "no_pixels"
    path = dicom(tmp_path, Modality="CT")
    assert code_of(path) == "not_ultrasound"
    assert len(read_clip(path, any_modality=True).frames) == 3
    assert code_of(dicom(tmp_path, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2")) == "unsupported_layout"


def test_encrypted(tmp_path):
    item = Dataset()
    item.EncryptedContent = b"\0" * 16
    assert code_of(dicom(tmp_path, EncryptedAttributesSequence=[item])) == "encrypted"
    assert code_of(dicom(tmp_path, syntax="1.2.826.0.1.3680043.9.9999.1")) == "encrypted"


def test_transfer_syntax_against_pixels(tmp_path):
    path = jpeg(tmp_path)
    truth = read_clip(path).frames
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1\0\0\0"))
    clip = read_clip(path)  # the code streams say what they are
    np.testing.assert_array_equal(clip.frames, truth)
    assert "syntax_corrected" in clip.info.flags

    def labelled_jpeg(ds, name):  # uncompressed, the label says JPEG
        file = samples.save(ds, tmp_path / name)
        label = b"1.2.840.10008.1.2.4.50"
        data = file.read_bytes().replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\0" + label)
        file.write_bytes(data)
        return file

    ds = samples.header(samples.picture())
    clip = read_clip(labelled_jpeg(ds, "b.dcm"))
    np.testing.assert_array_equal(clip.frames, samples.picture())
    assert "syntax_corrected" in clip.info.flags
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]
    assert code_of(labelled_jpeg(ds, "c.dcm")) == "corrupt"


def test_green_all_over(tmp_path):
    green = np.zeros((2, 64, 64, 3), np.uint8)
    green[..., 1] = np.random.default_rng(0).integers(100, 255, green.shape[:3])
    assert code_of(dicom(tmp_path, frames=green)) == "bad_colour"


@pytest.mark.parametrize("level", [0, 6])
def test_nothing_but_black(tmp_path, level):
    assert code_of(dicom(tmp_path, frames=np.full((3, 64, 64, 3), level, np.uint8))) == "no_signal"


def test_segmented_and_full_length_palettes(tmp_path):
    index = (samples.picture()[..., 0] // 4).astype(np.uint16)
    ds = samples.header(index, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=16, BitsStored=16, HighBit=15)
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [0, 0, 16])  # 0 stands for 65536 entries
        ramp = np.clip(np.arange(65536, dtype=np.uint32) * 1024, 0, 65535).astype(np.uint16)
        setattr(ds, f"{name}PaletteColorLookupTableData", ramp.tobytes())
    frames = read_clip(samples.save(ds, tmp_path / "full.dcm")).frames
    np.testing.assert_array_equal(frames[..., 0], index * 4)
    ds = samples.header((index).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [64, 0, 16])
        # PS3.3 C.7.9.2: a discrete segment of one entry, then a linear one of 63 up to 63 * 1024
        segments = np.array([0, 1, 0, 1, 63, 63 * 1024], np.uint16)
        setattr(ds, f"Segmented{name}PaletteColorLookupTableData", segments.tobytes())
    frames = read_clip(samples.save(ds, tmp_path / "segmented.dcm")).frames
    assert np.abs(frames[..., 1].astype(int) - index * 4).max() <= 1


def test_a_still_is_a_clip_of_one(tmp_path):
    clip = read_clip(dicom(tmp_path, frames=samples.picture(1)))
    assert clip.frames.shape[0] == 1 and "still" in clip.info.flags


def test_bare_data_set_is_read_only_if_it_is_an_image(tmp_path):
    truth = samples.picture()
    ds = samples.header(truth)
    path = tmp_path / "bare.dcm"
    pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
    data = path.read_bytes()
    start = data.index(b"\x08\x00\x08\x00CS")
    path.write_bytes(data[start:])
    np.testing.assert_array_equal(read_clip(path).frames, truth)


def test_links_are_refused_unless_allowed(tmp_path):
    path = dicom(tmp_path)
    link = tmp_path / "link.dcm"
    os.symlink(path, link)
    assert code_of(link) == "unsafe_path"
    assert len(read_clip(link, limits=Limits(follow_symlinks=True)).frames) == 3
    folder = tmp_path / "frames"
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "x.png"), samples.picture()[0])
    os.symlink(tmp_path / "x.png", folder / "x.png")
    assert code_of(folder) == "unsafe_path"
    os.mkfifo(tmp_path / "pipe.dcm")
    assert code_of(tmp_path / "pipe.dcm") == "unsafe_path"


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png"])
def test_zip_members_that_leave_the_archive(tmp_path, name):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, cv2.imencode(".png", samples.picture()[0])[1].tobytes())
    assert code_of(path) == "unsafe_path"


def test_zip_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 2_000_000)
    assert code_of(path, limits=Limits(max_decoded_bytes=1 << 20)) == "too_large"


def test_numpy_files(tmp_path):
    truth = samples.picture()
    np.save(tmp_path / "a.npy", truth)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-100])
    assert code_of(tmp_path / "a.npy") == "truncated"
    np.save(tmp_path / "b.npy", truth.astype(complex))
    assert code_of(tmp_path / "b.npy") == "unsupported_pixels"
    np.save(tmp_path / "c.npy", truth.transpose(0, 3, 1, 2))
    assert code_of(tmp_path / "c.npy") == "unsupported_layout"
    np.save(tmp_path / "d.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert code_of(tmp_path / "d.npy") in ("unsupported_pixels", "unsupported_layout")
    np.savez(tmp_path / "e.npz", a=truth, b=truth)
    assert code_of(tmp_path / "e.npz") == "unknown_format"


def test_folders_that_are_no_clip(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), samples.picture(1, 64, 64)[0])
    cv2.imwrite(str(folder / "b.png"), samples.picture(1, 64, 80)[0])
    assert code_of(folder) == "unsupported_layout"
    dicom(folder)
    assert code_of(folder) == "unknown_format"


def test_errors_travel_between_processes_and_name_no_file_in_their_detail(tmp_path):
    with pytest.raises(IngestError) as caught:
        open_clip(tmp_path / "DOE^JOHN.dcm")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.code, copy.path, str(copy)) == (caught.value.code, caught.value.path, str(caught.value))
    assert "DOE" not in copy.detail


def test_limits_are_checked():
    with pytest.raises(ValueError, match="max_frames"):
        Limits(max_frames=0)
    with pytest.raises(ValueError, match="min_side"):
        Limits(min_side=100, max_side=10)
