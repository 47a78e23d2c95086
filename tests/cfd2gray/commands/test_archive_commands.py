"""census, pair and pack on an archive and on public data sets, as a user calls them."""

import json

import numpy as np
import pytest

from cfd2gray import cli
from data_pipeline.pairs.jobs import ArchiveJob
from data_pipeline.records import manifest as manifests
from data_pipeline.records.tfrecord import ShardSource
from tests.data_pipeline.readers.test_datasets import exams, write_table  # noqa: F401 (a fixture)
from tests.data_pipeline.readers.test_video import encode
from tests.data_pipeline.tiny_archive import grey_screen, make_archive, simulated, write_dicom


@pytest.fixture
def echonet(tmp_path):
    """EchoNet-Dynamic with three videos there and one only listed."""
    root, splits = tmp_path / "EchoNet-Dynamic", {"0X1": "TRAIN", "0X2": "VAL", "0X3": "TEST", "0X4": "TRAIN"}
    write_table(root / "FileList.csv", [{"FileName": n, "FPS": "40", "Split": s} for n, s in splits.items()])
    (root / "Videos").mkdir()
    for seed, name in enumerate(("0X1", "0X2", "0X3"), 1):
        grey = grey_screen(simulated("A4C", seed, size=112))
        encode(str(root / "Videos" / f"{name}.avi"), grey, codec="mjpeg", pixels="yuvj420p", rate=50)
    return root


def test_a_public_set_is_counted_and_packed_with_its_own_views_and_splits(echonet, tmp_path, capsys):
    name = ["--dataset", "echonet_dynamic", "--workers", "0"]
    assert (
        cli.main(["census", str(echonet), *name, "-o", str(tmp_path / "census"), "--json", str(tmp_path / "c.json")])
        == 0
    )
    counted = json.loads((tmp_path / "c.json").read_text())
    assert counted["files"] == 3 and counted["modalities"]["bmode"] == 3
    out = tmp_path / "records"
    assert cli.main(["pack", str(echonet), *name, "--paint", "1", "-o", str(out)]) == 0
    manifest = manifests.load(out)
    for split, patient in (("train", "0X1"), ("val", "0X2"), ("test", "0X3")):
        (row,) = manifests.load_rows(manifest, split)
        assert (row.view, row.fps, row.kind) == ("A4C", 40.0, "painted")
        record = ShardSource(manifest, split)[0]
        assert record.params["dataset"] == "echonet-dynamic" and record.params["split"] == split
        assert patient not in json.dumps(record.params)
    assert (tmp_path / "records.key").stat().st_mode & 0o077 == 0
    assert cli.main(["pack", str(echonet), *name, "--paint", "1", "-o", str(out)]) == 0  # finished: nothing to do
    assert "0X1" not in capsys.readouterr().out


def test_separate_streams_become_true_pairs(exams, tmp_path):  # noqa: F811
    told = ["--dataset", "echoxflow", "--workers", "0"]
    assert cli.main(["census", str(exams), *told, "--json", str(tmp_path / "census.json")]) == 0
    assert json.loads((tmp_path / "census.json").read_text())["modalities"] == {"bmode": 1, "dual": 2}
    sheet = tmp_path / "sheet.png"
    assert cli.main(["pair", str(exams), *told, "--contact-sheet", str(sheet), "--json", str(tmp_path / "p.json")]) == 0
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "files": 3, "pairs": {"streams": 2}, "no_pair": {"no_streams": 1},
    }  # fmt: skip
    assert sheet.stat().st_size > 1000
    assert cli.main(["pack", str(exams), *told, "-o", str(tmp_path / "records")]) == 0
    assert manifests.load(tmp_path / "records").counts["val"]["kind"] == {"streams": 1}  # fold 3
    assert manifests.load(tmp_path / "records").counts["train"]["kind"] == {"streams": 1}  # fold 0


def test_neighbours_of_a_study_are_weak_pairs_when_asked_for(tmp_path, capsys):
    truth = simulated("A4C", 1)
    for name, frames in (("a.dcm", truth.cfd), ("b.dcm", grey_screen(truth))):
        write_dicom(tmp_path / "archive" / name, frames, patient="P", view="A4C")
    told = ["pair", str(tmp_path / "archive"), "--workers", "0", "--json", str(tmp_path / "out.json")]
    assert cli.main(told) == 1
    assert cli.main([*told, "--weak"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["pairs"] == {"weak": 1}


def test_unreadable_files_are_counted_and_said_by_the_exit_code(tmp_path, capsys):
    archive = make_archive(tmp_path / "archive")
    told = ["pack", str(archive), "--workers", "0", "-o"]
    assert cli.main([*told, str(tmp_path / "records")]) == 1
    said = capsys.readouterr()
    assert "1 truncated" in said.out and "SECRET" not in said.out + said.err
    assert cli.main([*told, str(tmp_path / "salvaged"), "--salvage"]) == 0
    assert "truncated" not in capsys.readouterr().out
    assert cli.main([*told, str(tmp_path / "told"), "--verbose"]) == 1
    assert "truncated" in capsys.readouterr().err


def test_parts_of_an_archive_on_several_machines(tmp_path, capsys):
    archive = make_archive(tmp_path / "archive")
    told = [str(archive), "--paint", "1", "--workers", "0", "--key-file", str(tmp_path / "key"), "-o"]
    assert cli.main(["pack", *told, str(tmp_path / "whole")]) == 1
    for k in (1, 2):
        assert cli.main(["census", *told[:1], *told[3:], str(tmp_path / "census"), "--part", f"{k}/2"]) == 0
        assert cli.main(["pack", *told, str(tmp_path / "parts"), "--part", f"{k}/2"]) == 0
    assert cli.main(["pack", *told, str(tmp_path / "parts"), "--finish"]) == 1
    assert manifests.load(tmp_path / "parts") == manifests.load(tmp_path / "whole")
    assert cli.main(["census", *told[:1], *told[3:], str(tmp_path / "census")]) == 1
    assert not (set(manifests.load(tmp_path / "whole").patients) - {"train", "val", "test"})
    with pytest.raises(SystemExit):
        cli.main(["pack", *told, str(tmp_path / "parts"), "--part", "3/2"])
    assert "must be K/N" in capsys.readouterr().err


def test_pairs_are_found_in_parts_and_not_looked_for_again(tmp_path, monkeypatch, capsys):
    archive = make_archive(tmp_path / "archive")
    told = ["pair", str(archive), "--paint", "2", "--rows", "3", "--workers", "0", "--key-file", str(tmp_path / "key")]
    out = ["-o", str(tmp_path / "found")]

    def found(name, *more):
        files = ["--contact-sheet", str(tmp_path / f"{name}.png"), "--json", str(tmp_path / f"{name}.json")]
        assert cli.main([*told, *more, *files]) == (0 if "--part" in more else 1)  # 1: a file is truncated
        return None if "--part" in more else [path.read_bytes() for path in map(tmp_path.joinpath, files[1::2])]

    whole = found("whole")
    found("parts", *out, "--part", "1/2")
    found("parts", *out, "--part", "2/2")
    looked = []
    monkeypatch.setattr(ArchiveJob, "__call__", lambda job: looked.append(job) or [])
    assert found("parts", *out) == whole and not looked
    assert (tmp_path / "found" / "pairs-1-of-2.sqlite").stat().st_mode & 0o077 == 0
    assert (
        cli.main([*told, *out, "--salvage"]) == 1 and looked
    )  # other options: what was found with those is not counted
    assert cli.main([*told, "--part", "1/2"]) == 2
    assert "--part needs -o" in capsys.readouterr().err


def test_new_files_are_appended_and_failures_retried(tmp_path):
    archive, out = make_archive(tmp_path / "archive"), tmp_path / "archive" / "records"  # records inside the archive
    told = ["pack", str(archive), "--paint", "1", "--workers", "0", "-o", str(out)]
    assert cli.main(told) == 1
    before = manifests.load(out)
    whole = (archive / "a" / "IM1.dcm").read_bytes()
    write_dicom(archive / "d" / "IM9.dcm", grey_screen(simulated("A4C", 5)), patient="SECRET-F", view="A4C")
    assert cli.main(told) == 1
    assert set(before.shards) < set(manifests.load(out).shards) and before.errors == manifests.load(out).errors
    (archive / "c" / "cut SECRET-D.dcm").write_bytes(whole)
    assert cli.main(told) == 1 and cli.main([*told, "--retry", "truncated"]) == 0
    assert "truncated" not in manifests.load(out).errors and manifests.load(out).duplicates == 1


def test_an_interrupted_packing_keeps_its_key(tmp_path, monkeypatch):
    archive, ids = make_archive(tmp_path / "archive"), []
    for _ in range(2):
        out = tmp_path / f"out{len(ids)}"
        (tmp_path / f"{out.name}.key").write_bytes(b"one key for both of them")
        cli.main(["pack", str(archive), "--workers", "0", "-o", str(out)])
        ids.append(
            [
                row.patient_id
                for split in manifests.load(out).splits
                for row in manifests.load_rows(manifests.load(out), split)
            ]
        )
    assert ids[0] == ids[1] and len(ids[0]) == 1


def test_beam_on_the_command_line(tmp_path):
    pytest.importorskip("apache_beam")
    archive = tmp_path / "archive"
    write_dicom(archive / "a.dcm", grey_screen(simulated("A4C", 1)), patient="P", view="A4C")
    told = ["--paint", "1", "--key-file", str(tmp_path / "key"), "-o"]
    assert cli.main(["pack", str(archive), *told, str(tmp_path / "beam"), "--runner", "DirectRunner"]) == 0
    assert cli.main(["pack", str(archive), *told, str(tmp_path / "plain"), "--workers", "0"]) == 0
    first, second = (
        ShardSource(tmp_path / name, manifests.load(tmp_path / name).splits[0])[0] for name in ("beam", "plain")
    )
    np.testing.assert_array_equal(first.cfd, second.cfd)
    assert first.clip_id == second.clip_id


@pytest.mark.parametrize(
    "told, message",
    [(["--dataset", "imagenet"], "data set must be one of camus"), (["--dataset", "camus"], "no clip of camus"),
     (["--dataset", "echonet-dynamic"], "FileList.csv")],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path, capsys, told, message):
    (tmp_path / "x").mkdir()
    assert cli.main(["census", str(tmp_path / "x"), *told]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
