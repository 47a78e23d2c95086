"""Files as programs really write them are read as players and viewers show them; each test is a kind of file."""

import fractions
import struct
import zipfile

import av
import cv2
import h5py
import jpeg_ls
import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image
from pydicom import uid as uids
from pydicom.dataset import Dataset

from data_pipeline.readers import IngestError, open_clip, read_clip
from data_pipeline.readers.dicom.pixels import rgb_to_ycbcr
from data_pipeline.readers.dicom.terms import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED
from data_pipeline.readers.dicom.views import view_of, view_of_texts
from data_pipeline.readers.walk import find_sources
from tests.data_pipeline import dicom_samples as samples


def corner_video(path, *, matrix=None, aspect=None):
    """Bright top left, in H.264; ``matrix``: the display matrix of the track."""
    frames = np.zeros((6, 160, 192, 3), np.uint8)
    frames[:, :80, :96] = 200
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    if matrix:
        data = bytearray(path.read_bytes())
        at = data.find(b"tkhd") + 44
        data[at : at + 36] = struct.pack(">9i", *matrix)
        path.write_bytes(data)
    return path


ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "shape", "bright"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (160, 192), (0, 0)),
        ((-ONE, 0, 0, 0, -ONE, 0, 192 << 16, 160 << 16, 1 << 30), (160, 192), (1, 1)),
        ((0, ONE, 0, -ONE, 0, 0, 160 << 16, 0, 1 << 30), (192, 160), (0, 1)),  # FFmpeg: clockwise
        ((0, -ONE, 0, ONE, 0, 0, 0, 192 << 16, 1 << 30), (192, 160), (1, 0)),
        ((-ONE, 0, 0, 0, ONE, 0, 192 << 16, 0, 1 << 30), (160, 192), (0, 1)),
    ],
)
def test_phones_turn_their_videos_by_a_matrix(tmp_path, matrix, shape, bright):
    with open_clip(corner_video(tmp_path / "a.mp4", matrix=matrix)) as stream:
        assert (stream.info.height, stream.info.width) == shape
        frame = next(iter(stream))[..., 0]
    rows, columns = (slice(None, 70), slice(-70, None)), (slice(None, 70), slice(-70, None))
    means = np.array([[frame[y, x].mean() for x in columns] for y in rows])
    assert means[bright] > 190 and np.delete(means.ravel(), bright[0] * 2 + bright[1]).max() < 10


def test_sample_aspect_is_told(tmp_path):
    assert read_clip(
        corner_video(tmp_path / "a.mp4", aspect=fractions.Fraction(4, 3))
    ).info.pixel_aspect == pytest.approx(0.75)
    assert read_clip(corner_video(tmp_path / "b.mp4")).info.pixel_aspect == 1


@pytest.mark.parametrize(
    ("delays", "fps", "varies"),
    [([30, 30, 40], 30, False), ([20, 20, 10], 60, False), ([30, 20, 30, 20, 30], 38.46, False), ([40], 25, False),
     ([40, 200, 40, 400], 5.88, True)],
)  # fmt: skip
def test_gif_rates_are_frames_over_duration(tmp_path, delays, fps, varies):
    images = [Image.fromarray(np.full((64, 64), 20 + i, np.uint8)) for i in range(60)]
    durations = (delays * 60)[:60]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=durations, optimize=False)
    info = read_clip(tmp_path / "a.gif").info
    assert info.fps == pytest.approx(fps, rel=0.01) and info.n_frames == 60
    assert ("variable_rate" in info.flags) == varies == bool(info.frame_times)
    if varies:
        np.testing.assert_allclose(np.diff(info.frame_times) * 1000, durations[:-1], atol=0.01)


def test_transparent_background_is_black(tmp_path):
    index = np.zeros((64, 64), np.uint8)
    index[20:40, 20:40] = 1
    image = Image.fromarray(index, "P")
    image.putpalette([0, 0, 0, 180, 180, 180])
    other = image.copy()
    other.putpixel((5, 5), 1)
    image.save(tmp_path / "a.gif", save_all=True, append_images=[other], transparency=0, disposal=2, duration=40)
    frames = read_clip(tmp_path / "a.gif").frames
    assert frames[0, 0, 0].max() == 0 and frames[0, 30, 30, 0] == 180


def mislabelled(tmp_path, label, data):
    files = {}
    for syntax in (uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian):
        raw = samples.save(samples.header(samples.picture()), tmp_path / "x.dcm", syntax).read_bytes()
        end = 144 + int.from_bytes(raw[140:144], "little")
        files[syntax] = raw[:end], raw[end:]
    path = tmp_path / "a.dcm"
    path.write_bytes(files[label][0] + files[data][1])
    return path


def test_value_representations_are_what_is_there(tmp_path):
    explicit, implicit = uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian
    for label, data in ((explicit, implicit), (implicit, explicit)):
        clip = read_clip(mislabelled(tmp_path, label, data))
        np.testing.assert_array_equal(clip.frames, samples.picture())


def test_two_or_three_bytes_a_pixel_is_decided_by_length(tmp_path):
    truth = samples.picture()
    for label in ("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT"):
        clip = read_clip(samples.save(samples.header(truth, PhotometricInterpretation=label), tmp_path / "a.dcm"))
        np.testing.assert_array_equal(clip.frames, truth)
        assert "layout_corrected" in clip.info.flags
    ybr = samples.header(np.stack([rgb_to_ycbcr(f) for f in truth]), PhotometricInterpretation="YBR_FULL_422")
    clip = read_clip(samples.save(ybr, tmp_path / "b.dcm"))
    assert np.abs(clip.frames.astype(int) - truth).mean() < 2
    half = samples.header(truth, PhotometricInterpretation="YBR_PARTIAL_422")
    half.PixelData = half.PixelData[: len(half.PixelData) * 2 // 3]
    with pytest.raises(IngestError, match="cannot be YBR_PARTIAL_422"):
        read_clip(samples.save(half, tmp_path / "c.dcm"))


@pytest.mark.parametrize("table", [True, False])
def test_rle_frames_in_several_fragments(tmp_path, table):
    truth = samples.picture(4)
    ds = samples.header(truth)
    ds.compress(uids.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    from pydicom.encaps import encapsulate, generate_frames

    streams = list(generate_frames(ds.PixelData, number_of_frames=4))
    ds.PixelData = encapsulate(streams, fragments_per_frame=3, has_bot=table)
    ds["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(read_clip(samples.save(ds, tmp_path / "a.dcm", uids.RLELossless)).frames, truth)


def test_the_next_decoder_is_tried(tmp_path):
    grey = samples.picture(2)[..., 0]
    streams = [bytes(jpeg_ls.encode(frame)) for frame in grey]
    padded = [stream[:-2] + b"\0" + stream[-2:] for stream in streams]  # CharLS refuses, FFmpeg reads
    ds = samples.encapsulated(samples.header(grey), padded)
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.JPEGLSLossless))
    np.testing.assert_array_equal(clip.frames[..., 1], grey)


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422", "YBR_FULL"])
def test_jpeg_whose_components_are_called_rgb(tmp_path, label):
    truth = samples.picture(2)
    streams = []
    for frame in truth:
        planes = Image.merge("YCbCr", [Image.fromarray(np.ascontiguousarray(frame[..., i])) for i in range(3)])
        stream = samples.io.BytesIO()
        planes.save(stream, "JPEG", quality=98, subsampling=0)  # samples as they are: RGB called YCbCr
        data = bytearray(stream.getvalue())
        del data[2 : 4 + int.from_bytes(data[4:6], "big")]  # no JFIF marker
        for marker, step, first in ((b"\xff\xc0", 3, 10), (b"\xff\xda", 2, 5)):
            at = data.find(marker)
            for i, letter in enumerate(b"RGB"):
                data[at + first + step * i] = letter
        streams.append(bytes(data))
    ds = samples.encapsulated(samples.header(truth, PhotometricInterpretation=label), streams)
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit))
    assert np.abs(clip.frames.astype(int) - truth).mean() < 2


def test_current_syntaxes_are_named_and_those_without_codec_are_read(tmp_path):
    truth = samples.picture()
    ds = samples.encapsulated(samples.header(truth), [frame.tobytes() for frame in truth])
    path = samples.save(ds, tmp_path / "a.dcm", ENCAPSULATED_UNCOMPRESSED)
    np.testing.assert_array_equal(read_clip(path).frames, truth)
    for uid, expected in ((str(DEFLATED_FRAME), None), ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless")):
        old = str(ENCAPSULATED_UNCOMPRESSED).encode()
        new, width = uid.encode(), len(uid) + len(uid) % 2
        data = path.read_bytes().replace(
            struct.pack("<H", 22) + old, struct.pack("<H", width) + new.ljust(width, b"\0")
        )
        (tmp_path / "b.dcm").write_bytes(data)
        if expected is None:
            np.testing.assert_array_equal(read_clip(tmp_path / "b.dcm").frames, truth)
        else:
            with pytest.raises(IngestError, match=f"unsupported_codec: compressed as {expected}"):
                read_clip(tmp_path / "b.dcm")


def test_windows_and_tables_of_bytes(tmp_path):
    grey = samples.picture()[..., 0]
    shown = read_clip(
        samples.save(samples.header(grey, WindowCenter="64", WindowWidth="128"), tmp_path / "a.dcm")
    ).frames
    assert np.abs(shown[..., 0].astype(int) - np.clip(grey.astype(int) * 2, 0, 255)).max() <= 1
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], list(range(255, -1, -1))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    ds = samples.header(grey, VOILUTSequence=[table])
    np.testing.assert_array_equal(read_clip(samples.save(ds, tmp_path / "b.dcm")).frames[..., 0], 255 - grey)


def test_bits_above_the_stored_ones_are_no_picture(tmp_path):
    grey = samples.picture()[..., 0]
    ds = samples.header(grey, BitsAllocated=16, BitsStored=8, HighBit=7)
    ds.PixelData = (grey.astype(np.uint16) | 0x5A00).tobytes()  # old overlays lie there
    np.testing.assert_array_equal(read_clip(samples.save(ds, tmp_path / "a.dcm")).frames[..., 0], grey)


def test_a_loose_end_is_no_missing_frame(tmp_path):
    truth = samples.picture()
    path = samples.save(samples.header(truth), tmp_path / "a.dcm")
    ds = samples.header(truth)
    ds.PixelData += b"\0" * 6
    np.testing.assert_array_equal(read_clip(samples.save(ds, tmp_path / "b.dcm")).frames, truth)
    ds = samples.encapsulated(samples.header(truth), samples.jpeg_frames(truth))
    path = samples.save(ds, tmp_path / "c.dcm", uids.JPEGBaseline8Bit)
    whole = read_clip(path).frames
    path.write_bytes(path.read_bytes()[:-8])  # the delimiter
    clip = read_clip(path)
    np.testing.assert_array_equal(clip.frames, whole)
    assert "loose_end" in clip.info.flags


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_metaimage_fields_that_change_the_layout(tmp_path, suffix):
    truth = samples.picture(5)
    head = "ObjectType = Image\nNDims = 3\nDimSize = 64 48 5\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\n"
    if suffix == ".mha":
        (tmp_path / "a.mha").write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + truth.tobytes())
    else:
        (tmp_path / "a.raw").write_bytes(b"x" * 100 + truth.tobytes())
        (tmp_path / "a.mhd").write_text(
            head + "HeaderSize = 100\nElementSpacing = 0.1 0.2 1\nElementDataFile = a.raw\n"
        )
    clip = read_clip(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(clip.frames, truth)
    assert clip.info.pixel_aspect == (2 if suffix == ".mhd" else 1)
    grey = (truth[..., 0].astype(np.uint16) * 16).astype(">u2")
    (tmp_path / "b.raw").write_bytes(grey.tobytes())
    text = head.replace("ElementNumberOfChannels = 3\n", "").replace("MET_UCHAR", "MET_USHORT")
    (tmp_path / "b.mhd").write_text(text + "BinaryDataByteOrderMSB = True\nElementDataFile = b.raw\n")
    clip = read_clip(tmp_path / "b.mhd")
    np.testing.assert_array_equal(clip.frames[..., 0], truth[..., 0])
    assert "levels_scaled" in clip.info.flags


def test_research_formats(tmp_path):
    truth = samples.picture(4)
    nrrd.write(str(tmp_path / "a.nrrd"), truth, index_order="C")
    nrrd.write(str(tmp_path / "raw.nrrd"), truth[..., 0], {"encoding": "raw", "spacings": [1, 2, 1]}, index_order="C")
    nibabel.save(nibabel.Spm2AnalyzeImage(truth[..., 0].transpose(2, 1, 0), np.eye(4)), tmp_path / "b.hdr")
    with h5py.File(tmp_path / "c.hdf5", "w") as file:
        file["data/image_sc"] = np.linspace(-60, 0, 4 * 48 * 64, dtype=np.float32).reshape(4, 48, 64)
        file["color_doppler/image"] = truth
    np.testing.assert_array_equal(read_clip(tmp_path / "a.nrrd").frames, truth)
    np.testing.assert_array_equal(read_clip(tmp_path / "b.hdr").frames[..., 0], truth[..., 0])
    np.testing.assert_array_equal(read_clip(tmp_path / "c.hdf5").frames, truth)
    raw = read_clip(tmp_path / "raw.nrrd")
    np.testing.assert_array_equal(raw.frames[..., 2], truth[..., 0])
    assert raw.info.pixel_aspect == 2


def test_deep_and_float_pictures_have_one_scale(tmp_path):
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    for number in range(3):
        Image.fromarray(ramp // (number + 1)).save(tmp_path / f"{number}.png")
    clip = read_clip(tmp_path)
    assert [int(frame.max()) for frame in clip.frames] == [255, 127, 85] and "levels_scaled" in clip.info.flags
    dark, light = np.full((64, 64), 200, np.uint16), np.full((64, 64), 40_000, np.uint16)
    Image.fromarray(light).save(tmp_path / "t.tif", save_all=True, append_images=[Image.fromarray(dark)])
    assert [int(frame.max()) for frame in read_clip(tmp_path / "t.tif").frames] == [156, 0]
    floats = np.stack([np.full((64, 64), 0.25), np.linspace(0, 1, 4096).reshape(64, 64)])
    np.save(tmp_path / "f.npy", floats)
    np.testing.assert_array_equal(read_clip(tmp_path / "f.npy").frames[..., 0], np.rint(floats * 255))


def test_a_camera_says_which_way_is_up(tmp_path):
    image = Image.fromarray(samples.picture(1)[0])
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn clockwise
    image.save(tmp_path / "a.png", exif=exif)
    clip = read_clip(tmp_path / "a.png")
    np.testing.assert_array_equal(clip.frames[0], np.rot90(samples.picture(1)[0], -1))
    assert (clip.info.height, clip.info.width) == (64, 48)


def test_unequal_pixels_and_varying_times_of_dicom(tmp_path):
    item = Dataset()
    for keyword, value in (
        ("RegionLocationMinX0", 0), ("RegionLocationMinY0", 0), ("RegionLocationMaxX1", 63), ("RegionLocationMaxY1", 47),
        ("RegionSpatialFormat", 1), ("RegionDataType", 1), ("RegionFlags", 2), ("PhysicalDeltaX", 0.02),
        ("PhysicalDeltaY", 0.03), ("PhysicalUnitsXDirection", 3), ("PhysicalUnitsYDirection", 3),
    ):  # fmt: skip
        setattr(item, keyword, value)
    truth = samples.picture(4)
    ds = samples.header(truth, SequenceOfUltrasoundRegions=[item], FrameTimeVector=["0", "40", "120", "40"])
    ds.FrameIncrementPointer = 0x00181065
    info = read_clip(samples.save(ds, tmp_path / "a.dcm")).info
    assert (info.cm_per_px, info.pixel_aspect) == (0.02, pytest.approx(1.5))
    assert info.frame_times == (0.0, 0.04, 0.16, 0.2) and "variable_rate" in info.flags
    ds = samples.header(truth, PixelAspectRatio=["3", "4"])
    assert read_clip(samples.save(ds, tmp_path / "b.dcm")).info.pixel_aspect == 0.75


def test_patient_ids_are_trimmed_and_nobody_is_nobody(tmp_path):
    for text, expected in ((" MRN5 ", "MRN5"), ("ANONYMOUS", ""), ("0", ""), ("mrn5", "MRN5")):
        path = samples.save(samples.header(samples.picture(), PatientID=text), tmp_path / "a.dcm")
        assert read_clip(path).info.identity.patient == expected


@pytest.mark.parametrize(
    ("text", "view"),
    [("Snap2 liver", "LIVER"), ("MAP4 protocol", "UNKNOWN"), ("Recap3", "UNKNOWN"), ("4CH", "A4C"), ("AP 4CH", "A4C"),
     ("Apical 4", "A4C"), ("PLA", "PLAX"), ("SAX AV", "PSAX"), ("CAROTID LONG", "CAROTID_LONG"), ("Liver", "LIVER"),
     ("Kidney", "KIDNEY"), ("Renal", "KIDNEY"), ("Fetal heart 4 chamber", "FETAL_4CH"), ("A4C and A2C", "UNKNOWN"),
     ("CAROTID_LONG", "CAROTID_LONG"), ("subcostal 4ch", "SUBCOSTAL"), ("AP LAX", "A3C")],
)  # fmt: skip
def test_views_by_whole_words(text, view):
    assert view_of_texts([text]) == view


def test_views_by_code_before_words():
    assert view_of(["399214001"], ["PLAX"]) == "A4C" and view_of(["G-A19B"], []) == "A2C"
    assert view_of(["0815"], ["Vierkammerblick", "plax"]) == "PLAX"


def test_the_walk_finds_what_people_have(tmp_path):
    truth = samples.picture(4)
    clip = samples.save(samples.header(truth), tmp_path / "elsewhere.dcm")
    top = tmp_path / "archive"
    for folder in ("frames", "stills", "linked"):
        (top / folder).mkdir(parents=True)
    for number, frame in enumerate(truth):
        cv2.imwrite(str(top / "frames" / f"f{number + 9}.png"), frame[..., ::-1])
        cv2.imwrite(str(top / "stills" / f"{'abcd'[number]}.png"), frame[..., ::-1])
    for name in ("readme.txt", "Thumbs.db", "DICOMDIR", "frames/notes.csv", ".hidden.dcm"):
        (top / name).write_text("no clip")
    (top / "linked" / "x.dcm").symlink_to(clip)
    (top / "linked" / "round").symlink_to(top, target_is_directory=True)
    with zipfile.ZipFile(top / "study.zip", "w") as archive:
        archive.write(clip, "DATA/IM1.dcm")
        archive.writestr("README.txt", "no clip")
    found = find_sources([top])
    names = [str(source.name) for source in found.sources]
    assert sorted(names) == ["frames", *(f"stills/{letter}.png" for letter in "abcd"), "study/DATA/IM1.dcm"]
    assert "2 symbolic links" in found.told() and "--follow-links" in found.told()
    packed = next(source for source in found.sources if source.member)
    with packed.local() as path:
        np.testing.assert_array_equal(read_clip(path).frames, truth)
    assert not path.exists()
    followed = [str(source.name) for source in find_sources([top], follow_links=True).sources]
    assert "linked/x.dcm" in followed and len(followed) == len(set(followed)) == 7
    stills = [str(source.name) for source in find_sources([top], sequences=False).sources]
    assert "frames/f9.png" in stills and "frames" not in stills


def test_a_dicomdir_stands_for_its_files(tmp_path):
    from pydicom.fileset import FileSet

    source = samples.header(samples.picture(), PatientName="A^B", StudyDate="20200101", StudyTime="101010", StudyID="1",
                            SeriesNumber="1", InstanceNumber="1")  # fmt: skip
    files = FileSet()
    files.add(source)
    files.write(tmp_path / "disc")
    found = find_sources([tmp_path / "disc" / "DICOMDIR"]).sources
    assert len(found) == 1 and read_clip(found[0].path).frames.shape == (3, 48, 64, 3)
    assert [s.path for s in find_sources([tmp_path / "disc"]).sources] == [found[0].path]
