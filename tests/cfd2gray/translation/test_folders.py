"""Folders that can be trusted: made, named, mapped, gone on with, never overwritten; and told for what they are."""

import csv
import json
import os
import stat
import zipfile

import cv2
import numpy as np
import pydicom
import pytest

from cfd2gray.translation.folders import batch as batches
from cfd2gray.translation.folders import in_flight
from cfd2gray.translation.folders.batch import Batch, translate_files
from cfd2gray.translation.output.video import write_video
from data_pipeline.readers import read_clip
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator
from tests.data_pipeline import dicom_samples as samples


@pytest.fixture(scope="module")
def translator():
    return make_translator(causal=False)


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 3, height=97, width=112, frames=5, split="test")


@pytest.fixture
def archive(tmp_path, pair):
    """Two colour clips, a grey one, one that is broken, one that is listed twice; in folders."""
    top = tmp_path / "archive"
    (top / "Miller Jane").mkdir(parents=True)
    samples.save(samples.header(pair.cfd, PatientID="P1"), top / "Miller Jane" / "IM1.dcm")
    write_video(top / "b.mkv", pair.cfd, fps=20.0)
    np.save(top / "grey.npy", np.repeat(pair.grey, 3, axis=3))
    np.save(top / "again.npy", np.repeat(pair.grey, 3, axis=3))
    (top / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 200)
    (top / "readme.txt").write_text("no clip")
    return top


def rows(out):
    with out.with_name(out.name + ".map.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def tree(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_new_folder_is_made_mapped_and_gone_on_with(translator, archive, tmp_path, capsys):
    out = tmp_path / "not" / "there" / "yet"
    found = translate_files(translator, [archive], out)
    assert (len(found["translated"]), len(found["copied"]) + found["there"], len(found["refused"])) == (2, 2, 1)
    said = capsys.readouterr().out
    assert "2 translated" in said and "had no colour" in said and "1 refused" in said
    assert "the ultrasound sector was kept" in said and "--keep-screen" in said
    table = rows(out)
    assert len(table) == 5 and stat.S_IMODE(os.stat(f"{out}.map.csv").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{out}.key").st_mode) == 0o600
    assert table[str(archive / "broken.dcm")]["code"] not in ("", "defect")
    dicom = table[str(archive / "Miller Jane" / "IM1.dcm")]
    assert dicom["state"] == "translated" and float(dicom["share"]) > 0 and dicom["output"].count("/") == 1
    assert table[str(archive / "grey.npy")]["output"] == table[str(archive / "again.npy")]["output"]
    before = tree(out)
    text = b"".join(before.values()) + " ".join(before).encode()
    assert b"Miller" not in text and b"IM1" not in text
    assert {name for name in before if not name.startswith(".")} >= {"index.html", dicom["output"]}

    samples.save(samples.header(read_clip(archive / "b.mkv").frames[:3]), archive / "0 new.dcm")
    again = translate_files(translator, [archive], out)
    assert (len(again["translated"]), again["there"], again["refused"], again["refused_before"]) == (1, 4, [], 1)
    assert "1 translated, 0 refused, 4 there already, 1 refused before" in capsys.readouterr().out
    after, renewed = tree(out), ("index.html", "DATA_CARD.md")
    assert {name: data for name, data in after.items() if name in before and name not in renewed} == {
        name: data for name, data in before.items() if name not in renewed
    }
    retried = translate_files(translator, [archive], out, batch=Batch(retry=("all",)))
    assert len(retried["refused"]) == 1


def test_the_page_shows_the_least_certain_first_and_no_name(translator, archive, tmp_path):
    out = tmp_path / "out"
    translate_files(translator, [archive], out)
    page = (out / "index.html").read_text()
    names = [
        row["output"]
        for row in sorted(rows(out).values(), key=lambda r: (r["certainty"] or "9", r["output"]))
        if row["output"]
    ]
    places = [page.index(f">{name}<") for name in dict.fromkeys(names)]
    assert places == sorted(places) and "Miller" not in page
    assert "% sure that this is colour flow" in page and "certainty 0" not in page and "outline not" not in page
    for row in rows(out).values():
        if row["output"]:
            picture = cv2.imread(str(out / ".thumbnails" / f"{row['output']}.jpg"))
            assert picture.shape[0] == 160 and picture.max() > 30


def test_what_was_copied_is_not_called_synthetic(translator, archive, tmp_path):
    out = tmp_path / "out"
    found = translate_files(translator, [archive / "grey.npy", archive / "b.mkv"], out)
    assert [len(found[name]) for name in ("translated", "copied")] == [1, 1]
    copied, synthetic = (pydicom.dcmread(out / found[name][0]["output"]) for name in ("copied", "translated"))
    assert (copied.SyntheticData, synthetic.SyntheticData) == ("NO", "YES")
    assert "SYNTHETIC" not in copied.SeriesDescription and "nothing" not in synthetic.DerivationDescription
    assert "copy" in copied.DerivationDescription and synthetic.LossyImageCompression == "00"
    found = translate_files(translator, [archive / "grey.npy", archive / "b.mkv"], tmp_path / "v", format="mp4")
    sidecar = json.loads((tmp_path / "v" / f"{found['copied'][0]['output']}.json").read_text())
    assert sidecar["synthetic"] is False
    found = translate_files(translator, [archive / "grey.npy"], tmp_path / "c", batch=Batch(only_colour=True))
    assert len(found["left out"]) == 1 and not list((tmp_path / "c").rglob("*.dcm"))


def test_lossy_sources_stay_lossy(translator, pair, tmp_path):
    write_video(tmp_path / "a.mp4", pair.cfd[:, :96], fps=20.0)
    translate_files(translator, [tmp_path / "a.mp4"], tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm").LossyImageCompression == "01"


def test_names_can_be_kept_and_results_made_again(translator, archive, tmp_path):
    out, keep = tmp_path / "out", Batch(keep_names=True)
    translate_files(translator, [archive], out, batch=keep, format=".npy")
    names = {str(path.relative_to(out)) for path in out.rglob("*.npy")}
    assert names == {"Miller Jane/IM1.npy", "b-mkv.npy", "grey.npy", "again.npy"}
    (out / "grey.npy").write_bytes(b"spoilt")
    translate_files(translator, [archive], out, batch=keep, format=".npy")
    assert (out / "grey.npy").read_bytes() == b"spoilt"  # what is there is nobody's business
    translate_files(translator, [archive], out, batch=Batch(keep_names=True, overwrite=True), format=".npy")
    assert np.load(out / "grey.npy").shape == (5, 97, 112)


def test_one_defect_stops_nothing(translator, archive, tmp_path, monkeypatch, capsys):
    real = batches.translate_file

    def sometimes(translator, source, *args, **options):
        if source.name == "b.mkv":
            raise cv2.error("a library gave up")
        if source.name in ("grey.npy", "again.npy"):  # whichever of the two comes first
            raise MemoryError
        return real(translator, source, *args, **options)

    monkeypatch.setattr(batches, "translate_file", sometimes)
    found = translate_files(translator, [archive], tmp_path / "out")
    codes = {os.path.basename(failure["input"]): failure["code"] for failure in found["refused"]}
    assert codes["b.mkv"] == "defect" and codes["grey.npy"] == "too_large" and len(found["translated"]) == 1
    monkeypatch.undo()
    again = translate_files(translator, [archive], tmp_path / "out")  # a defect may be mended: tried again
    assert len(again["translated"]) == 1 and again["refused"] == []


@pytest.mark.parametrize("name", ["q.webm", "q.mov", "q.png", "q.xyz"])
def test_what_cannot_be_written_is_said_before_the_work(translator, archive, tmp_path, name):
    with pytest.raises(ValueError, match="cannot write"):
        translate_files(translator, [archive / "b.mkv"], tmp_path / name)
    with pytest.raises(ValueError, match="cannot write .xyz"):
        translate_files(translator, [archive], tmp_path / "out", format=".xyz")
    assert not (tmp_path / "out").exists() and not (tmp_path / name).exists()


def test_archives_frames_links_and_bytes_for_names(translator, pair, tmp_path, capsys):
    top = tmp_path / "in"
    (top / "frames").mkdir(parents=True)
    for number, frame in enumerate(pair.cfd):
        cv2.imwrite(str(top / "frames" / f"{number:03d}.png"), frame[..., ::-1])
    np.save(tmp_path / "clip.npy", pair.cfd[:4])
    with zipfile.ZipFile(top / "a.zip", "w") as archive:
        archive.write(tmp_path / "clip.npy", "x/clip.npy")
    (top / "link.npy").symlink_to(tmp_path / "clip.npy")
    odd = os.path.join(os.fsencode(top), b"M\xfcller.npy")
    with open(odd, "wb") as file:
        np.save(file, pair.cfd[:3])
    found = translate_files(translator, [top], tmp_path / "out")
    assert sorted(facts["frames"] for facts in found["translated"]) == [3, 4, 5] and not found["refused"]
    assert "1 symbolic links" in capsys.readouterr().err
    table = rows(tmp_path / "out")
    assert os.fsdecode(odd) in table and f"{top / 'a.zip'}:x/clip.npy" in table
    found = translate_files(translator, [top], tmp_path / "out", follow_links=True)
    assert (found["there"], len(found["translated"])) == (3, 1) and not found["refused"]


def test_one_run_at_a_time(translator, archive, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with in_flight.only_one(out), pytest.raises(ValueError, match="another translation writes"):
        translate_files(translator, [archive], out)


def test_what_was_left_unfinished_goes(translator, archive, tmp_path):
    out = tmp_path / "out"
    (out / ".unfinished" / "3").mkdir(parents=True)
    (out / ".unfinished" / "3" / "half.dcm").write_bytes(b"half")
    with open(f"{out}.map.csv", "w") as file:
        file.write('"source","output"\n"torn')
    translate_files(translator, [archive], out)
    assert not (out / ".unfinished").exists() and len(rows(out)) == 5


@pytest.mark.parametrize("suffix", [".dcm", ".npy", ".mkv", ".mp4"])
def test_a_full_disk_is_one_line_and_leaves_nothing(translator, tmp_path, suffix):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and not os.system(f"mount -t tmpfs -o size=100k none {disk} 2>/dev/null")
    if not mounted:
        pytest.skip("needs to mount a small file system")
    try:
        noise = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 1), dtype=np.uint8)
        np.save(tmp_path / "big.npy", np.repeat(noise, 3, axis=3))
        with pytest.raises((OSError, ValueError), match="No space left"):
            translate_files(translator, [tmp_path / "big.npy"], disk / f"out{suffix}", clean=False)
        assert list(disk.iterdir()) == []
    finally:
        os.system(f"umount {disk}")


def test_too_long_a_name_is_one_line(translator, archive, tmp_path):
    with pytest.raises(OSError) as caught:
        translate_files(translator, [archive / "b.mkv"], tmp_path / ("x" * 300 + ".npy"))
    assert "\n" not in str(caught.value)
