"""Listing an archive: nothing is passed over in silence."""

import os
from pathlib import Path

import pytest

from data_pipeline.readers import archive
from data_pipeline.readers.dicom.header import patient_id


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(listing, folder):
    return [os.path.relpath(item.path, folder) for item in listing.items]


def test_links_and_vanished_folders_are_counted_and_named(tmp_path, monkeypatch):
    root = make(
        tmp_path / "a", "b/2.dcm", "b/1.dcm", "a/1.dcm", "z.dcm", ".hidden", "b/DICOMDIR", "gone/3.dcm", "out/4"
    )
    (root / "link.dcm").symlink_to(root / "z.dcm")
    (root / "broken.dcm").symlink_to(root / "nowhere")
    scandir = os.scandir

    def racing(folder):
        if str(folder).endswith("gone"):
            raise FileNotFoundError(folder)
        if str(folder).endswith(os.sep + "a") and str(folder) != str(root):
            raise PermissionError(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", racing)
    listing = archive.list_archive(root, leave_out=root / "out")
    assert names(listing, root) == ["z.dcm", "b/1.dcm", "b/2.dcm"]
    assert listing.counts == {"link": 2, "unreadable_folder": 1, "vanished": 1}
    assert {os.path.basename(path) for _, path in listing.passed_over} == {"link.dcm", "broken.dcm", "a", "gone"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_named(tmp_path):
    root = make(tmp_path / "a", "b/1.dcm", "c/2.dcm")
    (root / "c").chmod(0)
    try:
        listing = archive.list_archive(root)
    finally:
        (root / "c").chmod(0o700)
    assert listing.counts == {"unreadable_folder": 1}


def test_nothing_but_links_says_so(tmp_path):
    (tmp_path / "link.dcm").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no file; passed over: .*link.*1"):
        archive.list_archive(tmp_path)


def test_a_name_in_the_csv_must_mean_one_file(tmp_path):
    root = make(tmp_path / "a", "p1/IM1.dcm", "p2/IM1.dcm", "p2/IM2.nii.gz")
    view = {"view": "A4C", "patient": "Smith"}
    with pytest.raises(ValueError, match="'IM1.dcm' .2 times.; write their paths"):
        archive.list_archive(root, views={"IM1.dcm": view})
    listing = archive.list_archive(root, views={"p2/IM1.dcm": view, "IM2": view, "IM9.dcm": view})
    assert [item.patient for item in listing.items] == ["", "Smith", "Smith"]
    assert listing.unmatched == ("IM9.dcm",) and listing.counts == {"unmatched_in_view_csv": 1}


def test_a_file_is_told_one_thing(tmp_path):
    (tmp_path / "v.csv").write_text("file,view\na.dcm,A4C\na.dcm,A4C\n./a.dcm,PLAX\n")
    with pytest.raises(ValueError, match="line 4: says something else"):
        archive.read_view_csv(tmp_path / "v.csv")


def test_patient_ids_are_compared_by_what_they_mean():
    assert {patient_id(text) for text in (" MRN5", "MRN5", "mrn5", "MRN5^^^HOSP", "MRN5 ")} == {"MRN5"}
    assert [patient_id(text) for text in ("ANONYMOUS", "0", "000", "anon 01", "", " - ", "Unknown")] == [
        "", "", "", "ANON 01", "", "", "",
    ]  # fmt: skip
    assert patient_id("10") == "10" and patient_id("ANON17") == "ANON17" and patient_id("X") == "" != patient_id("X1")
