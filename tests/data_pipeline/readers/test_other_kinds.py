"""Kinds of files beside the ones that hospitals write: deep colour, GIF without times, sequences of recorders, old video."""

import cv2
import h5py
import nrrd
import numpy as np
import pytest
from PIL import Image

from data_pipeline.readers import IngestError, Limits, open_clip, read_clip
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_twelve_bits_of_colour_have_one_scale(tmp_path, suffix, alpha):
    pages = np.zeros((2, 48, 64, 3), np.uint16)
    pages[0, ..., 0] = np.linspace(0, 4095, 48 * 64).reshape(48, 64)
    pages[1] = pages[0] // 2
    for number, page in enumerate(pages):
        stored = page[..., ::-1]
        if alpha:
            stored = np.dstack([stored, np.full(page.shape[:2], 65535, np.uint16)])
        cv2.imwrite(str(tmp_path / f"{number}{suffix}"), stored)
    clip = read_clip(tmp_path)
    np.testing.assert_array_equal(clip.frames, pages >> 4)
    assert "levels_scaled" in clip.info.flags


def test_pages_of_deep_colour(tmp_path):
    pages = np.zeros((3, 48, 64, 3), np.uint16)
    pages[1], pages[2, ..., 0] = 65535, 40_000
    cv2.imwritemulti(str(tmp_path / "a.tif"), [page[..., ::-1].copy() for page in pages])
    np.testing.assert_array_equal(read_clip(tmp_path / "a.tif").frames, pages >> 8)


@pytest.mark.parametrize("options", [{}, {"duration": 0}])
def test_a_gif_without_times_is_shown_at_ten_a_second(tmp_path, options):
    images = [Image.fromarray(np.full((48, 64), 20 + i, np.uint8)) for i in range(9)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], optimize=False, **options)
    clip = read_clip(tmp_path / "a.gif")
    np.testing.assert_array_equal(clip.frames[:, 5, 5, 0], np.arange(20, 29))
    assert (clip.info.fps, clip.info.format, clip.info.n_frames, clip.info.flags) == (10, "gif", 9, ())


def test_a_pause_at_the_end_is_no_slower_clip(tmp_path):
    images = [Image.fromarray(np.full((48, 64), 20 + i, np.uint8)) for i in range(20)]
    durations = [70] * 19 + [900]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=durations, optimize=False)
    info = read_clip(tmp_path / "a.gif").info
    assert info.fps == pytest.approx(1000 / 70) and not info.flags


@pytest.mark.parametrize(("name", "codec"), [("a.wmv", "wmv2"), ("a.ts", "mpeg2video")])
def test_old_video(tmp_path, name, codec):
    truth = samples.picture(5)
    encode(str(tmp_path / name), truth, codec=codec, pixels="yuv420p")
    clip = read_clip(tmp_path / name)
    assert clip.frames.shape == truth.shape and clip.info.fps == pytest.approx(25, rel=0.02) and clip.info.lossy
    assert np.abs(clip.frames.astype(int) - truth).mean() < 12


def test_frames_are_counted_before_they_are_decoded(tmp_path):
    encode(str(tmp_path / "a.mkv"), np.repeat(samples.picture(1), 30, axis=0), codec="ffv1", pixels="bgr0")
    with pytest.raises(IngestError, match="at most 20 frames, the file has 30"):
        open_clip(tmp_path / "a.mkv", limits=Limits(max_frames=20))


@pytest.mark.parametrize("steps", [[0.05] * 4, [0.05, 0.2, 0.05, 0.1]])
def test_recorders_of_tracked_probes_say_when_a_frame_was_taken(tmp_path, steps):
    truth, times = samples.picture(5), 12.5 + np.cumsum([0, *steps])
    head = "ObjectType = Image\nNDims = 3\nDimSize = 64 48 5\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\n"
    for number, time in enumerate(times):
        head += f"Seq_Frame{number:04d}_ProbeToTrackerTransform = {'1 0 0 0 ' * 4000}\n"
        head += f"Seq_Frame{number:04d}_Timestamp = {time}\n"
    (tmp_path / "a.mha").write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + truth.tobytes())
    clip = read_clip(tmp_path / "a.mha")
    np.testing.assert_array_equal(clip.frames, truth)
    assert clip.info.fps == pytest.approx(4 / sum(steps))
    varies = len(set(steps)) > 1
    assert bool(clip.info.frame_times) == varies == ("variable_rate" in clip.info.flags)
    if varies:
        np.testing.assert_allclose(clip.info.frame_times, times - times[0])


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("deep", [False, True])
def test_sequences_whose_frames_are_the_nearest_axis(tmp_path, encoding, deep):
    truth = samples.picture(4)[..., 0]
    data = np.ascontiguousarray(np.moveaxis(truth, 0, -1))  # slowest first: [Y, X, T]
    kinds = ["list", "domain", "domain"]
    if deep:
        data, kinds = data[None], [*kinds, "domain"]
    nrrd.write(str(tmp_path / "a.seq.nrrd"), data, {"kinds": kinds, "encoding": encoding}, index_order="C")
    np.testing.assert_array_equal(read_clip(tmp_path / "a.seq.nrrd").frames[..., 1], truth)
    if deep:
        nrrd.write(str(tmp_path / "b.nrrd"), np.repeat(data, 2, axis=0), {"kinds": kinds}, index_order="C")
        with pytest.raises(IngestError, match="unsupported_layout: a sequence of volumes"):
            read_clip(tmp_path / "b.nrrd")


@pytest.mark.parametrize("values", ["values", "pixels"])
def test_velocities_of_zea_are_painted_over_the_picture(tmp_path, values):
    y, x = np.mgrid[:48, :64] / 1000
    picture = np.full((4, 48, 64), -30, np.float32)
    picture[:, 0], picture[:, 1] = -60, 0
    velocity = np.zeros((4, 48, 64), np.float32)
    velocity[:, 10:20, 10:30], velocity[:, 30:40, 10:30], velocity[:, 5] = 0.4, -0.2, np.nan
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[f"data/image_sc/{values}"] = picture
        file["data/image_sc/timestamps"] = [0, 0.04, 0.2, 0.24]
        file["data/image_sc/coordinates"] = np.stack([x, 0 * x, 1.5 * y], axis=-1)
        file[f"data/color_doppler/{values}"] = velocity
        file["data/segmentation/values"] = velocity > 0
    clip = read_clip(tmp_path / "a.hdf5")
    colour = clip.frames.astype(int)
    assert (colour[:, 10:20, 10:30, 0] == 255).all() and (colour[:, 30:40, 10:30, 2] == 230).all()
    away = colour[:, 30:40, 10:30]
    assert (away[..., 2] > away[..., 0] + 100).all()
    assert np.ptp(colour[:, 2:10], axis=-1).max() == 0 and abs(colour[0, 25, 25, 0] - 128) <= 1
    assert clip.info.pixel_aspect == pytest.approx(1.5) and clip.info.frame_times == (0, 0.04, 0.2, 0.24)
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file[f"data/color_doppler/{values}"]
        file[f"data/color_doppler/{values}"] = velocity[:, ::2]
    with pytest.raises(IngestError, match="on the picture's grid"):
        read_clip(tmp_path / "a.hdf5")


def test_data_beside_a_header_may_be_named_with_its_folder(tmp_path):
    truth = samples.picture(2)[..., 0]
    truth.tofile(tmp_path / "a.raw")
    text = "ObjectType = Image\nNDims = 3\nDimSize = 64 48 2\nElementType = MET_UCHAR\nElementDataFile = ./a.raw\n"
    (tmp_path / "a.mhd").write_text(text)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.mhd").frames[..., 0], truth)
    for name in ("../a.raw", "/etc/passwd", ".."):
        (tmp_path / "a.mhd").write_text(text.replace("./a.raw", name))
        with pytest.raises(IngestError, match="unsafe_path"):
            read_clip(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("a.pdf", b"%PDF-1.7", "a PDF"), ("IM_1", b"%PDF-1.7", "a PDF"), ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        ("a.heic", b"\0\0\0\x18ftypheic", "HEIF"), ("a.jxl", b"\xff\x0a\0", "JPEG XL"), ("a.rar", b"Rar!", "RAR"),
        ("a.vol", b"KRETZFILE 1.0", "Voluson volume"), ("a.tgz", b"\x1f\x8b\x08", "gzip"),
        ("a.dcm", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("b.dcm", b"/annex/objects/MD5E-s20--aa.dcm\n", "git annex get"), ("c.dcm", b"", "an empty file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_it_is(tmp_path, name, head, what):
    (tmp_path / name).write_bytes(head)
    with pytest.raises(IngestError, match=what):
        read_clip(tmp_path / name)
