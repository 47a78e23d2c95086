"""Images, folders, archives, NumPy and NIfTI."""

import zipfile

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image

from data_pipeline.readers import read_clip, sniff
from tests.data_pipeline import dicom_samples as samples


def write_frames(folder, frames, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"frame_{index + 8}{suffix}"), frame[..., ::-1])
    return folder


def test_folder_in_natural_order(tmp_path):
    truth = samples.picture(5)
    folder = write_frames(tmp_path / "clip", truth)  # frame_8 .. frame_12
    (folder / "notes.txt").write_text("beside the frames")
    clip = read_clip(folder)
    np.testing.assert_array_equal(clip.frames, truth)
    assert clip.info.format == "images" and clip.info.flags == ("assumed_fps",)
    again = write_frames(tmp_path / "other name", truth)
    assert read_clip(again).info.source_digest == clip.info.source_digest != ""


def test_zip_of_images(tmp_path):
    truth = samples.picture(4)
    folder = write_frames(tmp_path / "clip", truth)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inner/{file.name}")
    np.testing.assert_array_equal(read_clip(tmp_path / "a.zip").frames, truth)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "clip"]  # nothing was extracted


def test_still_images(tmp_path):
    truth = samples.picture(1)[0]
    grey = truth[..., 0]
    Image.fromarray(truth).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([truth, np.full(grey.shape, 128, np.uint8)])).save(tmp_path / "b.png")
    Image.fromarray(truth).save(tmp_path / "c.bmp")
    Image.fromarray(truth).quantize(256).save(tmp_path / "d.png")
    for name in ("a.png", "c.bmp"):
        np.testing.assert_array_equal(read_clip(tmp_path / name).frames[0], truth)
    faded = read_clip(tmp_path / "b.png").frames[0]  # half transparent, over black
    assert np.abs(faded - truth * (128 / 255)).max() < 1
    assert np.abs(read_clip(tmp_path / "d.png").frames[0].astype(int) - truth).mean() < 4
    Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "e.png")
    np.testing.assert_array_equal(read_clip(tmp_path / "e.png").frames[0, ..., 0], grey)


def test_pages_of_a_tiff_are_frames(tmp_path):
    truth = samples.picture(3)
    first, *others = (Image.fromarray(frame) for frame in truth)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.tif").frames, truth)


def test_numpy_layouts(tmp_path):
    truth = samples.picture(3)
    grey = truth[..., 0]
    for name, array in {
        "rgb": truth,
        "grey": grey,
        "grey1": grey[..., None],
        "still": truth[0],
        "flat": grey[0],
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
        frames = read_clip(tmp_path / f"{name}.npy").frames
        colour = name in ("rgb", "still")
        expected = truth if colour else np.repeat(grey[..., None], 3, axis=3)
        np.testing.assert_array_equal(frames, expected[: len(frames)])
        assert len(frames) == (1 if name in ("still", "flat") else 3)
    np.savez(tmp_path / "a.npz", cfd=truth, fps=np.float32(17.5), note=np.zeros((2, 2)))
    clip = read_clip(tmp_path / "a.npz")
    np.testing.assert_array_equal(clip.frames, truth)
    assert (clip.info.fps, clip.info.fps_source) == (17.5, "fps")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti(tmp_path, name):
    grey = samples.picture(4, 40, 56)[..., 0]
    data = grey.transpose(2, 1, 0)  # columns, rows, time
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / name)
    clip = read_clip(tmp_path / name)
    np.testing.assert_array_equal(clip.frames[..., 0], grey)
    image = nibabel.Nifti1Image(data[:, :, None], np.eye(4))
    image.header.set_zooms((1, 1, 1, 0.04))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / ("t" + name))
    info = read_clip(tmp_path / ("t" + name)).info
    assert info.fps == pytest.approx(25.0) and info.fps_source == "container"


def test_sniffing_looks_at_content(tmp_path):
    np.save(tmp_path / "a.npy", samples.picture(1))
    (tmp_path / "a.npy").rename(tmp_path / "b.bin")
    assert sniff(tmp_path / "b.bin") == "npy"
    assert sniff(tmp_path) == "folder"
