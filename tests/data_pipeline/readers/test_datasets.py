"""Public data sets: small copies of their documented layouts, quirks included."""

import csv
import json
import pathlib
import tarfile

import cv2
import nibabel
import numpy as np
import pytest
import zarr

from data_pipeline.pairs.streams import StreamOptions, pair_from_recording
from data_pipeline.readers import IngestError, datasets
from data_pipeline.readers.datasets import echoxflow
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.screen.deidentify import KeyedHasher
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode


def write_table(path: pathlib.Path, rows: list[dict], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def avi(path: pathlib.Path, frames: int = 3, rate: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(str(path), samples.picture(frames, 112, 112), codec="mjpeg", pixels="yuvj420p", rate=rate)


def test_echonet_dynamic(tmp_path):
    rows = [
        {"FileName": "0X1A", "EF": "61.2", "ESV": "30", "EDV": "80", "FrameHeight": "112", "FrameWidth": "112",
         "FPS": "51", "NumberOfFrames": "3", "Split": "TRAIN"},
        {"FileName": "0X1B.avi", "EF": "", "ESV": "", "EDV": "", "FrameHeight": "112", "FrameWidth": "112",
         "FPS": "38", "NumberOfFrames": "3", "Split": "VAL"},
        {"FileName": "0X1C", "EF": "50", "ESV": "30", "EDV": "60", "FrameHeight": "112", "FrameWidth": "112",
         "FPS": "50", "NumberOfFrames": "3", "Split": "TEST"},
    ]  # fmt: skip
    write_table(tmp_path / "FileList.csv", rows)
    avi(tmp_path / "Videos" / "0X1A.avi")
    avi(tmp_path / "Videos" / "0X1B.avi")
    items = list(datasets.items("echonet-dynamic", tmp_path))
    assert [item.split for item in items] == ["train", "val", "test"]
    assert [item.exists for item in items] == [True, True, False]
    clip = items[0].read()
    assert (clip.info.fps, clip.info.fps_source, clip.info.view) == (51.0, "table", "A4C")
    assert clip.info.identity.patient == "echonet-dynamic/0X1A" and clip.frames.shape == (3, 112, 112, 3)
    assert items[0].labels["ef"] == 61.2 and items[1].labels["ef"] is None


def test_echonet_pediatric(tmp_path):
    for view, stem in (("A4C", "CR32a7555-CR32a7582-000039"), ("PSAX", "CR32a7555-CR32a7582-000041")):
        write_table(
            tmp_path / view / "FileList.csv",
            [
                {
                    "FileName": f"{stem}.avi",
                    "EF": "65",
                    "Sex": "F",
                    "Age": "3",
                    "Weight": "14",
                    "Height": "95",
                    "Split": "9",
                }
            ],
        )
        avi(tmp_path / view / "Videos" / f"{stem}.avi", rate=30)
    first, second = datasets.items("echonet-pediatric", tmp_path)
    assert (first.view, second.view, first.split) == ("A4C", "PSAX", "test")
    assert first.patient == second.patient  # one examination: never in two splits
    assert first.read().info.fps == 30.0 and first.read().info.fps_source == "container"


def test_echonet_lvh(tmp_path):
    rows = [
        {"HashedFileName": "0XAA", "Calc": calc, "CalcValue": value, "Frame": "2", "X1": "1", "Y1": "2", "X2": "3",
         "Y2": "4", "split": "train"}
        for calc, value in (("IVSd", "1.1"), ("LVIDd", "4.5"))
    ]  # fmt: skip
    write_table(tmp_path / "MeasurementsList.csv", rows)
    avi(tmp_path / "Batch3" / "0XAA.avi")
    (item,) = datasets.items("echonet-lvh", tmp_path)
    assert item.exists and item.view == "PLAX" and item.split == "train"
    assert [m["name"] for m in item.labels["measurements"]] == ["IVSd", "LVIDd"]


def test_camus(tmp_path):
    grey = samples.picture(4, 60, 50)[..., 0]
    for patient, (ed, es) in (("patient0001", (1, 4)), ("patient0002", (4, 1))):
        folder = tmp_path / "database_nifti" / patient
        folder.mkdir(parents=True)
        for chamber in ("2CH", "4CH"):
            lines = f"ED: {ed}\nES: {es}\nNbFrame: 4\nSex: F\nAge: 56\nImageQuality: Good\nEF: 54\nFrameRate: 51.5\n"
            (folder / f"Info_{chamber}.cfg").write_text(lines)
            image = nibabel.Nifti1Image(grey.transpose(2, 1, 0), np.eye(4))  # rotated, as nibabel shows CAMUS
            nibabel.save(image, folder / f"{patient}_{chamber}_half_sequence.nii.gz")
            nibabel.save(image, folder / f"{patient}_{chamber}_half_sequence_gt.nii.gz")
    (tmp_path / "database_split").mkdir()
    (tmp_path / "database_split" / "subgroup_training.txt").write_text("patient0001\n")
    (tmp_path / "database_split" / "subgroup_testing.txt").write_text("patient0002\n")
    items = list(datasets.items("camus", tmp_path))
    assert [(i.patient, i.view, i.split, i.labels["first"]) for i in items] == [
        ("camus/patient0001", "A2C", "train", "ED"), ("camus/patient0001", "A4C", "train", "ED"),
        ("camus/patient0002", "A2C", "test", "ES"), ("camus/patient0002", "A4C", "test", "ES"),
    ]  # fmt: skip
    clip = items[0].read()
    np.testing.assert_array_equal(clip.frames[..., 0], grey)
    assert clip.info.fps == 51.5 and items[0].labels["outlines"].endswith("half_sequence_gt.nii.gz")


def test_camus_before_nifti(tmp_path):
    grey = samples.picture(4, 60, 50)[..., 0]
    folder = tmp_path / "testing" / "patient0001"
    folder.mkdir(parents=True)
    (folder / "patient0001_4CH_sequence.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 50 60 4\nElementType = MET_UCHAR\n"
        "ElementDataFile = patient0001_4CH_sequence.raw\n"
    )
    (folder / "patient0001_4CH_sequence.raw").write_bytes(grey.tobytes())
    (item,) = datasets.items("camus", tmp_path)
    assert item.split == "test"
    np.testing.assert_array_equal(item.read().frames[..., 0], grey)
    (folder / "patient0001_4CH_sequence.raw").write_bytes(grey.tobytes()[:-1])
    with pytest.raises(IngestError, match="truncated"):
        item.read()


def test_mimic_iv_echo(tmp_path):
    where = "files/p10/p10002221/s94106955/94106955_0001.dcm"
    write_table(
        tmp_path / "echo-record-list.csv",
        [
            {
                "subject_id": "10002221",
                "study_id": "94106955",
                "acquisition_datetime": "2204-08-18",
                "dicom_filepath": where,
            }
        ],
    )
    (tmp_path / where).parent.mkdir(parents=True)
    samples.save(samples.header(samples.picture()), tmp_path / where)
    (item,) = datasets.items("mimic-iv-echo", tmp_path)
    clip = item.read()
    assert clip.info.identity.patient == "mimic-iv-echo/10002221" and clip.info.identity.study.endswith("94106955")
    assert clip.info.vendor == "Philips"


def test_tables_cannot_name_files_elsewhere(tmp_path):
    for bad in ("../secret.dcm", "/etc/passwd", "a/../../b.dcm"):
        write_table(tmp_path / "echo-record-list.csv", [{"subject_id": "1", "study_id": "2", "dicom_filepath": bad}])
        with pytest.raises(IngestError, match="unsafe_path"):
            list(datasets.items("mimic-iv-echo", tmp_path))


def test_cardiac_uda(tmp_path):
    grey = samples.picture(3, 60, 50)[..., 0].transpose(2, 1, 0)
    for site, name in (("Site_G_20", "patient1-4"), ("Site_R_52", "patient1-3"), ("Site_R_52", "patient1-2")):
        folder = tmp_path / site
        folder.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(grey, np.eye(4)), folder / f"{name}_image.nii.gz")
        nibabel.save(nibabel.Nifti1Image(grey // 100, np.eye(4)), folder / f"{name}_label.nii.gz")
    items = list(datasets.items("cardiac-uda", tmp_path))
    assert [(i.patient, i.view) for i in items] == [
        ("cardiac-uda/G/patient1", "A4C"), ("cardiac-uda/R/patient1", "UNKNOWN"), ("cardiac-uda/R/patient1", "PSAX"),
    ]  # fmt: skip
    assert items[0].read().frames.shape == (3, 60, 50, 3) and items[0].labels["masks"]


def test_tmed2(tmp_path):
    base = tmp_path / "approved_users_only"
    for folder, name in (("view_and_diagnosis_labeled_set/labeled", "3725s1_5"), ("unlabeled_set/unlabeled", "99s2_0")):
        (base / folder).mkdir(parents=True)
        cv2.imwrite(str(base / folder / f"{name}.png"), samples.picture(1, 112, 112)[0])
    write_table(
        base / "labels_per_image.csv",
        [
            {"query_key": "3725s1_5.png", "view_label": "PLAX", "diagnosis_label": "severe_AS",
             "diagnosis_classifier_split": "train"},
            {"query_key": "1s1_1.png", "view_label": "A4CorA2CorOther", "diagnosis_label": "no_AS",
             "diagnosis_classifier_split": "test"},
        ],
    )  # fmt: skip
    first, second = datasets.items("tmed2", tmp_path)
    assert (first.patient, first.study, first.view, first.split) == ("tmed2/3725", "tmed2/3725s1", "PLAX", "train")
    assert first.read().info.flags == ("still", "assumed_fps") and not second.exists and second.view == "UNKNOWN"
    from data_pipeline.readers.datasets import tmed2

    assert [item.patient for item in tmed2.items(tmp_path, unlabelled=True)][2:] == ["tmed2/99"]


def test_fetal_planes(tmp_path):
    write_table(
        tmp_path / "FETAL_PLANES_DB_data.csv",
        [
            {"Image_name": "Patient00001_Plane3_1_of_3", "Patient_num": "1", "Plane": "Fetal thorax",
             "Brain_plane": "Not A Brain", "Operator": "Op. 1", "US_Machine": "Voluson E6", "Train ": "1"},
            {"Image_name": "Patient00002_Plane3_1_of_1", "Patient_num": "2", "Plane": "Fetal brain",
             "Brain_plane": "Trans-thalamic", "Operator": "Other", "US_Machine": "Aloka", "Train ": "0"},
        ],
        delimiter=";",
    )  # fmt: skip
    (tmp_path / "Images").mkdir()
    cv2.imwrite(str(tmp_path / "Images" / "Patient00001_Plane3_1_of_3.png"), samples.picture(1, 64, 80)[0])
    first, second = datasets.items("fetal-planes", tmp_path)
    assert (first.split, second.split, first.exists, second.exists) == ("train", "test", True, False)
    assert first.labels["plane"] == "Fetal thorax" and first.read().frames.shape == (1, 64, 80, 3)


def test_wrong_tables_and_names(tmp_path):
    write_table(tmp_path / "FileList.csv", [{"Name": "x"}])
    with pytest.raises(IngestError, match="FileName"):
        list(datasets.items("echonet-dynamic", tmp_path))
    with pytest.raises(IngestError, match="not_found"):
        list(datasets.items("fetal-planes", tmp_path))
    with pytest.raises(ValueError, match="echonet-dynamic"):
        datasets.items("imagenet", tmp_path)


NYQUIST = 0.605


def write_recording(path: pathlib.Path, *, tilt_and_width: bool = False, colour: bool = True) -> None:
    """A Zarr recording as EchoXFlow documents it: 6 colour frames at 12 Hz, 4 B-mode frames at 8 Hz."""
    rng = np.random.default_rng(0)
    group = zarr.open_group(str(path), mode="w")
    bmode = rng.integers(130, 220, (4, 90, 70), dtype=np.uint8)
    bmode[:, 30:60, 20:50] = 8  # blood
    ends = {"angle_start_rad": -0.6, "angle_end_rad": 0.6}
    box = {"tilt_rad": 0.05, "width_rad": 0.6} if tilt_and_width else {"angle_start_rad": -0.25, "angle_end_rad": 0.35}
    sectors = [{"semantic_id": "bmode", "geometry": {"depth_start_m": 0.002, "depth_end_m": 0.15, **ends}}]
    arrays = {"data/2d_brightness_mode": bmode, "timestamps/2d_brightness_mode": np.arange(4, dtype=np.float32) / 8}
    if colour:
        sectors.append(
            {"semantic_id": "2d_color_doppler", "velocity_limit_mps": NYQUIST,
             "geometry": {"depth_start_m": 0.05, "depth_end_m": 0.11, **box}}
        )  # fmt: skip
        velocity = np.full((6, 40, 30), 0.3, np.float32)
        velocity[:, :, 15:] = -0.3
        arrays |= {
            "data/2d_color_doppler_velocity": velocity,
            "data/2d_color_doppler_power": np.full((6, 40, 30), 0.5, np.float32),
            "timestamps/2d_color_doppler": np.arange(6, dtype=np.float32) / 12,
        }
    for name, array in arrays.items():
        group.create_array(name, data=array)
    group.attrs["recording_manifest"] = {"manifest_type": "2d", "sectors": sectors}


@pytest.fixture
def exams(tmp_path):
    write_recording(tmp_path / "exams" / "exam_00aa" / "rec_1.zarr")
    write_recording(tmp_path / "exams" / "exam_00aa" / "rec_2.zarr", colour=False)
    write_recording(tmp_path / "other" / "exam_00bb" / "rec_1.zarr", tilt_and_width=True)
    with tarfile.open(tmp_path / "exams" / "exam_00bb.tar", "w") as archive:
        archive.add(tmp_path / "other" / "exam_00bb", "exam_00bb")
    write_table(
        tmp_path / "splits.csv",
        [{"exam_id": "exam_00aa", "five_fold_split": "3"}, {"exam_id": "exam_00bb", "five_fold_split": "0"}],
    )
    (tmp_path / "croissant.json").write_text(json.dumps({"recordSet": []}))
    import shutil

    shutil.rmtree(tmp_path / "other")
    return tmp_path


def recordings(root):
    """Those that have all three streams."""
    return filter(None, map(echoxflow.load, echoxflow.find_recordings(root)))


def test_echoxflow_recordings_in_folders_and_tars(exams):
    assert len(echoxflow.find_recordings(exams)) == 3
    found = list(recordings(exams))
    assert sorted((r.exam, r.name, r.fold) for r in found) == [("exam_00aa", "rec_1", 3), ("exam_00bb", "rec_1", 0)]
    for recording in found:
        assert recording.nyquist == NYQUIST and recording.bmode.shape == (4, 90, 70)
        assert recording.colour_sector.angle_start == pytest.approx(-0.25)
        assert recording.colour_sector.depth_end == pytest.approx(11.0)


def test_echoxflow_pairs_are_true_pairs(exams):
    recording = next(r for r in recordings(exams) if r.exam == "exam_00aa")
    hasher = KeyedHasher(b"x" * 16)
    pair = pair_from_recording(recording, hasher=hasher, seed=3, options=StreamOptions(size=160))
    again = pair_from_recording(recording, hasher=hasher, seed=3, options=StreamOptions(size=160))
    np.testing.assert_array_equal(pair.cfd, again.cfd)
    assert pair.cfd.shape == (6, 160, 160, 3) and pair.kind == "streams" and pair.shared
    assert pair.fps == pytest.approx(12, rel=1e-3)
    assert "exam_00aa" not in json.dumps([pair.clip_id, pair.patient_id, pair.params, pair.vendor])
    flow, outline = (pair.strata & FLOW) > 0, (pair.strata & OUTLINE) > 0
    untouched = ~flow & ~outline
    np.testing.assert_array_equal(pair.cfd[untouched], np.repeat(pair.grey, 3, axis=3)[untouched])
    assert flow.any() and (((pair.strata & BOX) > 0) | ~flow).all() and (((pair.strata & SECTOR) > 0) | ~flow).all()
    assert (pair.grey[..., 0][flow] < 60).mean() > 0.9  # colour is written where blood is
    other = pair_from_recording(recording, hasher=hasher, seed=4, options=StreamOptions(size=160))
    assert not np.array_equal(other.cfd, pair.cfd) and np.array_equal(other.grey, pair.grey)


def test_echoxflow_colour_side_follows_the_sign_of_the_velocity(exams):
    recording = next(r for r in recordings(exams) if r.exam == "exam_00aa")
    pair = pair_from_recording(recording, hasher=KeyedHasher(b"x" * 16), options=StreamOptions(size=160))
    flow = (pair.strata[0] & FLOW) > 0
    columns = np.nonzero(flow)[1]
    middle = pair.geometry.apex_x + 0.05 * 8 / pair.geometry.cm_per_px
    left, right = flow.copy(), flow.copy()
    left[:, int(middle) - 4 :] = False
    right[:, : int(middle) + 5] = False
    assert columns.min() < middle < columns.max()
    red = lambda part: float((pair.cfd[0][part][:, 0].astype(int) - pair.cfd[0][part][:, 2]).mean())  # noqa: E731
    assert red(left) * red(right) < 0  # one side warm, the other cold, whichever way the map is turned


def test_echoxflow_bad_recordings(tmp_path):
    path = tmp_path / "exam_00cc" / "rec.zarr"
    write_recording(path)
    (ref,) = echoxflow.find_recordings(tmp_path)
    group = zarr.open_group(str(path), mode="a")
    manifest = dict(group.attrs)["recording_manifest"]
    del manifest["sectors"][1]["velocity_limit_mps"]
    group.attrs["recording_manifest"] = manifest
    with pytest.raises(IngestError, match="Nyquist"):
        echoxflow.load(ref)
    group.attrs["recording_manifest"] = {}
    with pytest.raises(IngestError, match="corrupt"):
        echoxflow.load(ref)
