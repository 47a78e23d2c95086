"""Disk full, a path that cannot be, a path too long: one line, an exit code that says whose it is, nothing half-written."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from cfd2gray import cli
from cfd2gray.exit_codes import EXIT_IO
from data_pipeline.simulation.simulator import simulate_pair
from tests.data_pipeline import dicom_samples as samples

ROOM = 24_000
"""Bytes that a file may have: less than any result, more than a key."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    top = tmp_path_factory.mktemp("archive")
    pair = simulate_pair("A4C", 3, height=112, width=112, frames=4)
    samples.save(samples.header(np.repeat(pair.grey, 3, axis=3), PatientID="P1"), top / "a.dcm")
    samples.save(samples.header(pair.cfd, PatientID="P2"), top / "b.dcm")
    return top


COMMANDS = {
    "simulate": "simulate --view A4C --clips 1 --size 112 --frames 4 --format dicom --workers 0 -o {out}",
    "simulate records": "simulate --view A4C --clips 1 --size 112 --frames 4 --workers 0 -o {out}",
    "census": "census {archive} --workers 0 -o {out}",
    "pack": "pack {archive} --paint 1 --workers 0 -o {out}",
    "pair": "pair {archive} --paint 1 --workers 0 --contact-sheet {out}.png",
    "paint": "paint {archive}/a.dcm -o {out}",
    "contact-sheet": "contact-sheet --view A4C --size 64 -o {out}.png",
    "translate": "translate {archive}/b.dcm -o {out}.dcm",
}
RESULTS = (".dcm", ".png", ".mkv", ".mp4", ".html", ".csv", ".tfrecord")


def words(name, archive, out):
    return COMMANDS[name].format(archive=archive, out=out).split()


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["simulate", "simulate records", "census", "pack"])
def test_a_full_disk(name, archive, tmp_path):
    room = 4000 if name == "census" else ROOM
    found = subprocess.run(
        [sys.executable, "-m", "cfd2gray.cli", *words(name, archive, tmp_path / "out")], capture_output=True, text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert found.returncode == EXIT_IO, found.stderr
    lines = [line for line in found.stderr.splitlines() if line.startswith("cfd2gray")]
    assert len(lines) == 1 and len(lines[0]) < 300 and "Traceback" not in found.stderr
    assert not [file for file in left(tmp_path) if file.endswith(RESULTS) or "partial" in file]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("where", ["below a file", "too long"])
def test_a_path_that_cannot_be(name, where, archive, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / ("file/out" if where == "below a file" else "x" * 300)
    assert cli.main(words(name, archive, out)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert [line.startswith("cfd2gray") for line in said].count(True) == 1
    assert left(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"
