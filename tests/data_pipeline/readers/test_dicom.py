"""DICOM ultrasound in every encoding gives the same picture; rates, regions and counts follow the stated rules."""

import gdcm
import numpy as np
import pytest
from pydicom import uid as uids
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from data_pipeline.readers import IngestError, Limits, open_clip, read_clip
from data_pipeline.readers.dicom.pixels import rgb_to_ycbcr
from tests.data_pipeline import dicom_samples as samples


def error(drawn: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(drawn.astype(int) - truth).mean())


def test_rgb_is_read_exactly_and_streams_twice(tmp_path):
    truth = samples.picture()
    path = samples.save(samples.header(truth), tmp_path / "a.dcm")
    with open_clip(path) as stream:
        assert (stream.info.height, stream.info.width, stream.info.n_frames) == (48, 64, 3)
        first, second = np.stack(list(stream)), np.stack(list(stream))
    np.testing.assert_array_equal(first, truth)
    np.testing.assert_array_equal(second, truth)
    info = stream.info
    assert (info.fps, info.fps_source, info.vendor) == (25.0, "FrameTime", "Philips")
    assert info.identity.patient == "P1" and len(info.source_digest) == 64
    assert info.flags == ("no_regions",)


@pytest.mark.parametrize("syntax", [uids.ImplicitVRLittleEndian, uids.ExplicitVRBigEndian])
@pytest.mark.parametrize("size", [(48, 64), (33, 35)])
def test_byte_orders(tmp_path, syntax, size):
    truth = samples.picture(3, *size)
    ds = samples.header(truth)
    ds["PixelData"].VR = "OW"  # in big endian the bytes are then swapped in pairs, across frames of odd size
    if syntax == uids.ExplicitVRBigEndian:
        data = np.frombuffer(ds.PixelData, np.uint16).byteswap()
        ds.PixelData = data.tobytes()
    path = samples.save(ds, tmp_path / "a.dcm", syntax)
    np.testing.assert_array_equal(read_clip(path).frames, truth)


def test_deflated(tmp_path):
    truth = samples.picture()
    path = samples.save(samples.header(truth), tmp_path / "a.dcm", uids.DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(read_clip(path).frames, truth)
    with pytest.raises(IngestError, match="too_large"):
        read_clip(path, limits=Limits(max_decoded_bytes=20_000))


def test_planar_and_ybr_and_422(tmp_path):
    truth = samples.picture()
    planar = samples.header(truth, PlanarConfiguration=1)
    planar.PixelData = np.ascontiguousarray(truth.transpose(0, 3, 1, 2)).tobytes()
    np.testing.assert_array_equal(read_clip(samples.save(planar, tmp_path / "a.dcm")).frames, truth)
    ybr = np.stack([rgb_to_ycbcr(frame) for frame in truth])
    full = samples.header(truth, PhotometricInterpretation="YBR_FULL")
    full.PixelData = ybr.tobytes()
    assert error(read_clip(samples.save(full, tmp_path / "b.dcm")).frames, truth) < 1.0
    pairs = ybr.reshape(3, 48, 32, 2, 3)
    packed = np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1)
    half = samples.header(truth, PhotometricInterpretation="YBR_FULL_422")
    half.PixelData = packed.tobytes()
    assert error(read_clip(samples.save(half, tmp_path / "c.dcm")).frames, truth) < 4.0


def test_monochrome(tmp_path):
    grey = samples.picture()[..., 0]
    frames = read_clip(samples.save(samples.header(grey), tmp_path / "a.dcm")).frames
    np.testing.assert_array_equal(frames, np.repeat(grey[..., None], 3, axis=3))
    inverted = samples.header(255 - grey, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_clip(samples.save(inverted, tmp_path / "b.dcm")).frames[..., 0], grey)
    deep = samples.header(grey, BitsAllocated=16, BitsStored=12, HighBit=11)
    deep.PixelData = (grey.astype(np.uint16) * 16).tobytes()
    assert error(read_clip(samples.save(deep, tmp_path / "c.dcm")).frames[..., 0], grey) < 1.0
    deep.WindowCenter, deep.WindowWidth = "1024", "2048"
    windowed = read_clip(samples.save(deep, tmp_path / "d.dcm")).frames[..., 0]
    assert error(windowed, np.clip(grey.astype(int) * 2, 0, 255)) < 2.0


def test_palette_8_and_16_bit(tmp_path):
    index = (samples.picture()[..., 0] // 4).astype(np.uint8)  # 64 entries
    table = np.stack([np.arange(64) * 4, np.arange(64) * 3, np.arange(64)[::-1] * 4], axis=1)
    for bits in (8, 16):
        ds = samples.header(index, PhotometricInterpretation="PALETTE COLOR")
        for column, name in enumerate(("Red", "Green", "Blue")):
            setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [64, 0, bits])
            values = table[:, column].astype(np.uint8 if bits == 8 else np.uint16)
            setattr(ds, f"{name}PaletteColorLookupTableData", (values << (bits - 8)).astype(values.dtype).tobytes())
        frames = read_clip(samples.save(ds, tmp_path / f"{bits}.dcm")).frames
        np.testing.assert_array_equal(frames, table[index])


@pytest.mark.parametrize("has_bot", [True, False])
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_jpeg_baseline(tmp_path, has_bot, photometric):
    truth = samples.picture()
    ds = samples.encapsulated(
        samples.header(truth, PhotometricInterpretation=photometric),
        samples.jpeg_frames(truth, subsampling=1 if photometric.endswith("422") else 0),
        has_bot=has_bot,
    )
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit))
    assert error(clip.frames, truth) < 5.0 and clip.info.lossy


def test_jpeg_whose_label_says_rgb_is_not_green(tmp_path):
    truth = samples.picture(2, 64, 64)
    streams = samples.jpeg_frames(truth)
    ds = samples.encapsulated(samples.header(truth), streams)
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit))
    assert error(clip.frames, truth) < 5.0
    # uncompressed YCbCr labelled RGB: black becomes green, unless the reader notices
    wrong = samples.header(np.stack([rgb_to_ycbcr(frame) for frame in truth]))
    clip = read_clip(samples.save(wrong, tmp_path / "b.dcm"))
    assert error(clip.frames, truth) < 2.0 and "colour_space_corrected" in clip.info.flags


def test_frames_split_into_fragments(tmp_path):
    truth = samples.picture()
    streams = samples.jpeg_frames(truth)
    parts = []
    for stream in streams:
        cut = len(stream) // 3 // 2 * 2
        parts += [stream[:cut], stream[cut : 2 * cut], stream[2 * cut :]]
    ds = samples.encapsulated(samples.header(truth, PhotometricInterpretation="YBR_FULL"), parts, has_bot=False)
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.JPEGBaseline8Bit))
    assert clip.frames.shape == truth.shape and error(clip.frames, truth) < 5.0


@pytest.mark.parametrize(
    "syntax",
    [
        gdcm.TransferSyntax.RLELossless,
        gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        gdcm.TransferSyntax.JPEGLSLossless,
        gdcm.TransferSyntax.JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize("colour", [True, False])
def test_lossless_codecs_are_exact(tmp_path, syntax, colour):
    truth = samples.picture()
    source = samples.save(samples.header(truth if colour else truth[..., 0]), tmp_path / "a.dcm")
    clip = read_clip(samples.transcode(source, tmp_path / "b.dcm", syntax))
    np.testing.assert_array_equal(clip.frames, truth if colour else np.repeat(truth[..., :1], 3, axis=3))
    assert not clip.info.lossy


def test_htj2k(tmp_path):
    truth = samples.htj2k_picture()
    ds = samples.encapsulated(samples.header(truth[None], PhotometricInterpretation="YBR_RCT"), [samples.HTJ2K_48x40])
    clip = read_clip(samples.save(ds, tmp_path / "a.dcm", uids.HTJ2KLossless))
    np.testing.assert_array_equal(clip.frames[0], truth)


@pytest.mark.parametrize(
    ("tags", "fps", "source"),
    [
        ({"FrameTime": "54.241"}, 1000 / 54.241, "FrameTime"),
        ({"FrameTime": "40", "CineRate": "18"}, 25.0, "FrameTime"),
        ({"FrameTime": None, "FrameTimeVector": ["0", "50", "50", "50"]}, 20.0, "FrameTimeVector"),
        ({"FrameTime": None, "CineRate": "18"}, 18.0, "CineRate"),
        ({"FrameTime": "0", "RecommendedDisplayFrameRate": "12"}, 12.0, "RecommendedDisplayFrameRate"),
        ({"FrameTime": None, "EffectiveDuration": "0.1"}, 30.0, "EffectiveDuration"),
        ({"FrameTime": "0.001"}, 30.0, "assumed"),
        ({"FrameTime": None}, 30.0, "assumed"),
    ],
)  # fmt: skip
def test_frame_rate_rules(tmp_path, tags, fps, source):
    truth = samples.picture()
    ds = samples.header(truth)
    for keyword, value in tags.items():
        if value is not None:
            setattr(ds, keyword, value)
        elif keyword in ds:
            delattr(ds, keyword)
    info = open_clip(samples.save(ds, tmp_path / "a.dcm")).info
    assert info.fps == pytest.approx(fps) and info.fps_source == source
    assert ("assumed_fps" in info.flags) == (source == "assumed")


def region(x0, y0, x1, y1, **tags) -> Dataset:
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 2
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.0308
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def test_regions(tmp_path):
    truth = samples.picture(2, 100, 120)
    good, colour = region(4, 6, 110, 90), region(30, 30, 80, 80, RegionDataType=2)
    ds = samples.header(truth, SequenceOfUltrasoundRegions=[good, colour])
    info = open_clip(samples.save(ds, tmp_path / "a.dcm")).info
    assert [(r.x0, r.y0, r.x1, r.y1, r.data_type) for r in info.regions] == [(4, 6, 111, 91, 1), (30, 30, 81, 81, 2)]
    assert info.cm_per_px == pytest.approx(0.0308) and "no_regions" not in info.flags
    outside = region(84, 31, 595, 414)  # as in files that were shrunk after their tags were written
    ds = samples.header(truth, SequenceOfUltrasoundRegions=[outside, region(0, 0, 10, 10)])
    info = open_clip(samples.save(ds, tmp_path / "b.dcm")).info
    assert info.regions == () and info.cm_per_px is None
    assert {"bad_regions", "no_regions"} <= set(info.flags)


def test_view_comes_from_tags(tmp_path):
    truth = samples.picture()
    assert open_clip(samples.save(samples.header(truth), tmp_path / "a.dcm")).info.view == "UNKNOWN"
    item = Dataset()
    item.CodeMeaning = "Apical four chamber"
    ds = samples.header(truth, ViewCodeSequence=[item])
    assert open_clip(samples.save(ds, tmp_path / "b.dcm")).info.view == "A4C"


def test_header_values_that_could_identify_are_reduced(tmp_path):
    ds = samples.header(samples.picture(), Manufacturer="Dr DOE's own scanner")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "DOE JOHN", "0011"]
    info = open_clip(samples.save(ds, tmp_path / "a.dcm")).info
    assert info.vendor == "other" and info.image_type == ("ORIGINAL", "PRIMARY", "OTHER", "0011")


REAL = {
    "examples_ybr_color.dcm": (30, 240, 320),
    "color3d_jpeg_baseline.dcm": (120, 480, 640),
    "examples_rgb_color.dcm": (1, 240, 320),
    "US1_J2KI.dcm": (1, 480, 640),
    "US1_J2KR.dcm": (1, 480, 640),
    "US1_UNCI.dcm": (1, 480, 640),
    "OBXXXX1A_rle_2frame.dcm": (2, 600, 800),
    "OBXXXX1A_expb.dcm": (1, 600, 800),
    "gdcm-US-ALOKA-16.dcm": (1, 480, 640),
    "gdcm-US-ALOKA-16_big.dcm": (1, 480, 640),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (1, 768, 1024),
    "color-pl.dcm": (1, 120, 256),
    "color-px.dcm": (1, 120, 256),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_neither_green_nor_magenta(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("needs the package pydicom-data")
    clip = read_clip(path, limits=Limits(max_decoded_bytes=200 << 20))
    assert clip.frames.shape == (*REAL[name], 3)
    span = clip.frames[0].max(axis=2).astype(int) - clip.frames[0].min(axis=2)
    assert np.median(span) <= 3


def test_one_clip_stored_in_two_ways_reads_alike():
    names = ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm", "OBXXXX1A_expb.dcm")
    paths = [get_testdata_file(name, download=False) for name in names]
    if None in paths:
        pytest.skip("needs the package pydicom-data")
    first, *others = (read_clip(path).frames for path in paths)
    for other in others:
        np.testing.assert_array_equal(first, other)
