"""Which pictures are one clip: in folders and zips, with numbers missing, of several patients, of several sizes."""

import shutil
import zipfile

import cv2
import numpy as np
import pytest

from data_pipeline.census.run import census
from data_pipeline.readers import IngestError, read_clip
from data_pipeline.readers.archive import list_archive
from data_pipeline.readers.walk import find_sources
from tests.data_pipeline import dicom_samples as samples

THINNED = (3, 5, 6, 9, 20, 21)


def write(folder, numbers, *, frames=None, pattern="{:04d}.png", side=64):
    folder.mkdir(parents=True, exist_ok=True)
    frames = samples.picture(len(numbers)) if frames is None else frames
    for number, frame in zip(numbers, frames):
        cv2.imwrite(str(folder / pattern.format(number)), cv2.resize(frame, (side, 48))[..., ::-1])
    return folder


def packed(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return target


def found(path, **how):
    return sorted(str(source.name) for source in find_sources([path], **how).sources)


@pytest.fixture
def patients(tmp_path):
    """A zip of two folders of frames; what is in each; the folder it was made from."""
    truth = {"one": samples.picture(3), "two": samples.picture(7)[3:]}
    for name, frames in truth.items():
        write(tmp_path / "made" / name, range(1, len(frames) + 1), frames=frames)
    (tmp_path / "made" / "one" / "notes.txt").write_text("beside the frames")
    return packed(tmp_path / "made", tmp_path / "two.zip"), truth, tmp_path / "made"


def test_two_folders_in_a_zip_are_two_clips(patients, tmp_path):
    path, truth, made = patients
    sources = find_sources([path]).sources
    assert [str(source.name) for source in sources] == ["two/one", "two/two"]
    for source in sources:
        with source.local() as folder:
            np.testing.assert_array_equal(read_clip(folder).frames, truth[source.name.name])
        assert not folder.exists()
    assert found(made) == ["one", "two"]
    assert len(found(path, sequences=False)) == 7 and "two/one/0001.png" in found(path, sequences=False)
    with pytest.raises(IngestError, match="unsupported_layout: holds pictures in 2 folders.* unpack it and name one"):
        read_clip(path)
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.move(path, archive)
    listing = list_archive(archive, views={"two.zip:one/": {"view": "PLAX", "patient": ""}})
    assert [(item.member, item.view) for item in listing.items] == [("one/", "PLAX"), ("two/", "UNKNOWN")]
    assert len({repr(item) for item in listing.items}) == 2  # jobs are known by it
    assert [len(item.read().frames) for item in listing.items] == [3, 4]
    seen = census(archive, key=b"k" * 16)
    assert [row.n_frames for row in seen.rows] == [3, 4] and len({row.clip for row in seen.rows}) == 2
    assert seen.paths[0].endswith("two.zip:one/")


def test_dicom_in_a_zip_is_in_the_census_too(tmp_path):
    clip = samples.save(samples.header(samples.picture(4)), tmp_path / "IM1.dcm")
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive" / "study.zip", "w") as archive:
        archive.write(clip, "DATA/IM1.dcm")
    assert [(row.code, row.n_frames) for row in census(tmp_path / "archive", key=b"k" * 16).rows] == [("", 4)]


def test_frames_with_missing_numbers_are_one_clip_that_says_so(tmp_path):
    truth = samples.picture(len(THINNED))
    folder = write(tmp_path / "thinned", THINNED, frames=truth)
    assert found(folder) == ["thinned"] and found(tmp_path) == ["thinned"]
    assert len(found(folder, sequences=False)) == len(THINNED)
    path = packed(folder, tmp_path / "thinned.zip")
    assert found(path) == ["thinned.zip"]
    for clip in (read_clip(folder), read_clip(path)):
        np.testing.assert_array_equal(clip.frames, truth)
        assert "gaps_in_numbers" in clip.info.flags
    assert "gaps_in_numbers" not in read_clip(write(tmp_path / "whole", range(9, 12), pattern="f{}.png")).info.flags


@pytest.mark.parametrize(
    ("what", "numbers", "how"),
    [
        ("few", (1, 3, 4, 9), {}),
        ("ragged digits", (3, 5, 6, 9, 20), {"pattern": "shot{}.png"}),
        ("another size", (3, 5, 6, 9, 20), {"other": 80}),
        ("another name", (3, 5, 6, 9, 20), {"stray": "x_0021.png"}),
        ("no picture", (3, 5, 6, 9, 20), {"stray": "0021.png"}),
    ],
)
def test_unrelated_pictures_stay_stills(tmp_path, what, numbers, how):
    folder = write(tmp_path / "shots", numbers, pattern=how.get("pattern", "{:04d}.png"))
    if "other" in how:
        write(folder, (30,), side=how["other"])
    if "stray" in how:
        (folder / how["stray"]).write_bytes(b"\x89PNG\r\n\x1a\n")
    count = len(list(folder.iterdir()))
    assert len(found(folder)) == count == len(found(packed(folder, tmp_path / "shots.zip")))


def test_pictures_of_different_size_are_never_joined(tmp_path):
    folder = write(write(tmp_path / "shots", (1, 2)), (3,), side=80)
    for path in (folder, packed(folder, tmp_path / "shots.zip")):
        with pytest.raises(IngestError, match="64x48 and 80x48 are not one clip.*--no-sequences"):
            read_clip(path)


def test_a_zip_of_pictures_and_something_else_is_not_one_clip(tmp_path):
    folder = write(tmp_path / "frames", range(4))
    samples.save(samples.header(samples.picture(4)), folder / "IM1.dcm")
    with pytest.raises(IngestError, match="unknown_format: a zip with dicom in it"):
        read_clip(packed(folder, tmp_path / "a.zip"))
