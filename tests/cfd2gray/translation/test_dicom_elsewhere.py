"""DICOM results judged by others: the standard's rules as dciodvfy knows them, and an Orthanc server."""

import json
import shutil
import subprocess
import urllib.request

import numpy as np
import pydicom
import pytest

from cfd2gray.translation.output.dicom import ENCODINGS, growing_dicom
from cfd2gray.translation.output.dicom_modules import Statement
from data_pipeline.readers import read_clip
from data_pipeline.screen.deidentify import KeyedHasher
from tests.cfd2gray.translation.orthanc_server import PLUGIN, orthanc_server
from tests.cfd2gray.translation.test_dicom_out import OPTIONS, grey, source
from tests.cfd2gray.translation.written_dicom import write_dicom


def written(path, *, encoding="explicit", synthetic=True, with_source=True, **said):
    frames = grey(4)
    statement = Statement(**OPTIONS, hasher=KeyedHasher(b"k" * 32), seed="ab", synthetic=synthetic, **said)
    with growing_dicom(
        path, source=source() if with_source else None, said=statement, n_frames=4, shape=frames.shape[1:],
        encoding=encoding,
    ) as add:  # fmt: skip
        for frame in frames:
            add(frame)
    return frames


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_every_encoding_is_exact_for_another_decoder(tmp_path, encoding):
    frames = written(tmp_path / "a.dcm", encoding=encoding)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert ds.file_meta.TransferSyntaxUID == ENCODINGS[encoding][0]
    np.testing.assert_array_equal(ds.pixel_array, frames)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.dcm").frames[..., 0], frames)


def test_the_same_source_gives_the_same_file(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        written(tmp_path / name)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_varying_times_and_unequal_pixels_come_back(tmp_path):
    times = (0.0, 0.04, 0.16, 0.2)
    written(tmp_path / "a.dcm", with_source=False, frame_times=times, pixel_aspect=1.5)
    info = read_clip(tmp_path / "a.dcm").info
    assert info.frame_times == times and info.pixel_aspect == 1.5 and "variable_rate" in info.flags


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize("synthetic", [True, False])
def test_an_independent_validator_finds_no_error(tmp_path, with_source, synthetic):
    written(tmp_path / "a.dcm", with_source=with_source, synthetic=synthetic)
    said = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True, check=False).stderr
    newer = "(0x0008,0x001c)"  # Synthetic Data: younger than this validator's dictionary
    errors = [line for line in said.splitlines() if line.startswith("Error") and newer not in line]
    assert not errors, errors


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as address:
        yield address


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_a_server_takes_it_and_gives_it_back(orthanc, tmp_path, encoding):
    path = tmp_path / "a.dcm"
    write_dicom(path, grey(3), source=source(), encoding=encoding, **OPTIONS)
    ds = pydicom.dcmread(path)
    request = urllib.request.Request(f"{orthanc}/instances", data=path.read_bytes(), method="POST")
    stored = json.loads(urllib.request.urlopen(request, timeout=30).read())
    assert stored["Status"] == "Success"
    if not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed")
    url = (
        f"{orthanc}/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    )
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    answer = urllib.request.urlopen(urllib.request.Request(url, headers=accept), timeout=30).read()
    start, end = answer.index(b"\r\n\r\n") + 4, answer.rindex(b"\r\n--")
    (tmp_path / "b.dcm").write_bytes(answer[start:end])
    back = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_clip(tmp_path / "b.dcm").frames, read_clip(path).frames)
    assert back.SOPInstanceUID == ds.SOPInstanceUID and back.SyntheticData == "YES"
