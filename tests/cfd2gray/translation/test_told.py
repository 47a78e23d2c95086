"""What a person is told of results: what was kept, where to look, what is not certain; and whose a clip may be."""

import json
import os
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pydicom
import pytest

from cfd2gray import cli
from cfd2gray.translation.folders.batch import Batch, translate_files
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator
from tests.data_pipeline import dicom_samples as samples


@pytest.fixture(scope="module")
def translator():
    return make_translator(causal=False)


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 3, height=97, width=112, frames=6, split="test")


def pictures(folder, frames, numbers):
    folder.mkdir(parents=True)
    for number, frame in zip(numbers, frames):
        cv2.imwrite(str(folder / f"{number:04d}.png"), frame[..., ::-1])
    return folder


def test_a_zip_of_two_patients_is_two_clips_of_two_patients(translator, pair, tmp_path, capsys):
    pictures(tmp_path / "made" / "a", pair.cfd, range(6))
    pictures(tmp_path / "made" / "b", pair.cfd[::-1], (1, 2, 5, 6, 8, 9))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for file in sorted((tmp_path / "made").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "made"))
    out = tmp_path / "out"
    found = translate_files(translator, [tmp_path / "two.zip"], out, batch=Batch(keep_names=True))
    assert [facts["output"] for facts in found["translated"]] == ["two/a.dcm", "two/b.dcm"]
    assert [facts["frames"] for facts in found["translated"]] == [6, 6]
    said = capsys.readouterr().out
    assert "2 of the sources name no frame rate: 30 per second was assumed (--fps" in said
    assert "in 1 of them pictures were taken for one clip although numbers are missing" in said
    assert said.splitlines()[-1] == (
        f"look: {out / 'index.html'}; which is which: {out}.map.csv; keep {out}.key: names stay the same"
    )
    first, second = (pydicom.dcmread(out / "two" / name).PatientID for name in ("a.dcm", "b.dcm"))
    assert first != second and "SYNTHETIC" not in (first, second)
    again = translate_files(
        translator, [tmp_path / "made" / "a"], tmp_path / "again.dcm", key_file=tmp_path / "out.key", whole_frame=True
    )
    assert again["translated"] and pydicom.dcmread(tmp_path / "again.dcm").PatientID == first
    assert "made by someone\nwho knows" in (out / "DATA_CARD.md").read_text()


def test_several_clips_do_not_go_into_one_file(pair, tmp_path, capsys):
    for name in "abcd":
        np.save(tmp_path / f"{name}.npy", pair.cfd)
    assert cli.main(["translate", str(tmp_path), "-o", str(tmp_path / "grey.mp4")]) == 2
    said = capsys.readouterr()
    assert "holds 4 clips (a.npy, b.npy, c.npy, ...)" in said.err and "/grey --format .mp4" in said.err
    assert said.out == ""


def test_what_was_kept_is_said_once_something_was_written(translator, pair, tmp_path, capsys):
    assert cli.main(["translate", str(tmp_path / "none.dcm"), "-o", str(tmp_path / "grey.dcm")]) == 2
    assert capsys.readouterr().out == ""
    np.save(tmp_path / "clip.npy", pair.cfd)
    translate_files(translator, [tmp_path / "clip.npy"], tmp_path / "a.mkv", format=".mkv")
    assert "screen around it and text made black (--keep-screen" in capsys.readouterr().out
    translate_files(translator, [tmp_path / "clip.npy"], tmp_path / "b.mkv", clean=False)
    assert "the whole screen was kept" in capsys.readouterr().out


def test_text_that_may_be_left_is_in_the_closing_lines(translator, pair, tmp_path, capsys):
    np.save(tmp_path / "clip.npy", pair.cfd)
    np.save(tmp_path / "cut.npy", pair.cfd[:, 10:90, :60])  # without the edges that tell the sector from the screen
    found = translate_files(translator, [tmp_path / "clip.npy", tmp_path / "cut.npy"], tmp_path / "out")
    doubtful = [
        facts["output"]
        for facts in found["translated"]
        if pydicom.dcmread(tmp_path / "out" / facts["output"]).BurnedInAnnotation == "YES"
    ]
    assert doubtful, "the sample must be one that is in doubt"
    assert f"{len(doubtful)} may still hold text: see {doubtful[0]}" in capsys.readouterr().out


def test_a_rate_can_be_said_where_the_source_names_none(pair, tmp_path, capsys):
    folder = pictures(tmp_path / "frames", pair.cfd, range(6))
    command = ["translate", str(folder), "-o", str(tmp_path / "a.dcm"), "--json", str(tmp_path / "a.json")]
    assert cli.main([*command, "--fps", "12.5"]) == 0
    assert float(pydicom.dcmread(tmp_path / "a.dcm").FrameTime) == 80.0
    (facts,) = json.loads((tmp_path / "a.json").read_text())["translated"]
    assert (facts["fps"], facts["fps_source"]) == (12.5, "given") and "assumed_fps" not in facts["input_flags"]
    said = capsys.readouterr().out
    assert "assumed" not in said and "cfd2gray view" not in said
    samples.save(samples.header(pair.cfd, FrameTime="40"), tmp_path / "b.dcm")
    known = ["translate", str(tmp_path / "b.dcm"), "-o", str(tmp_path / "c.dcm")]
    assert (
        cli.main([*known, "--fps", "12.5"]) == 2
        and "name no frame rate, this one says 25 (FrameTime)" in capsys.readouterr().err
    )
    assert cli.main([*known, "--fps", "1000"]) == 2 and "1 to 400" in capsys.readouterr().err
    assert cli.main(known) == 0 and f"side by side: cfd2gray view {tmp_path / 'b.dcm'}" in capsys.readouterr().out


@pytest.mark.parametrize("browser", ["true", "false"])
def test_a_page_that_was_shown_says_that_it_stays(tmp_path, browser):
    code = (
        "import numpy as np; from cfd2gray.pages.player import clip_player; a = np.zeros((2, 32, 32), np.uint8); "
        "clip_player({'x': a}, outline=a > 0, fps=9, name='n', numbers={}, max_frames=2, max_side=32).open()"
    )
    environment = os.environ | {"BROWSER": f"/bin/{browser} %s", "TMPDIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    (page,) = tmp_path.iterdir()
    assert f"{page}: it shows the clip and stays there; delete it" in said.stdout
    assert ("no web browser here; open" in said.stdout) == (browser == "false")


def test_nobody_reading_on_is_no_error():
    code = (
        "import os, sys; from cfd2gray import cli; read, write = os.pipe(); os.close(read); os.dup2(write, 1); "
        "sys.exit(cli.main([{}]))"
    )
    for argv, options in (("'doctor'", []), ("'doctor'", ["-u"]), ("'translate', '--help'", [])):
        command = [sys.executable, *options, "-c", code.format(argv)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        assert done.stderr == "" and done.returncode == (0 if "help" in argv else 141), (argv, options)
