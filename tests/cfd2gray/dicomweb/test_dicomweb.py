"""`cfd2gray serve --dicomweb` as a process of its own: what comes in, what goes out, who is refused, what the log says."""

import contextlib
import email
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

import pydicom
import pytest

from cfd2gray import cli
from cfd2gray.dicomweb.multipart import boundary_of, joined, split
from cfd2gray.dicomweb.station import Forward
from tests.cfd2gray.translation.orthanc_server import PLUGIN, free_port, orthanc_server
from tests.data_pipeline.tiny_archive import grey_screen, simulated, write_dicom

TOKEN = "a-token-of-this-test"
STOW = 'multipart/related; type="application/dicom"; boundary=b'
HOOK = pathlib.Path(__file__).parents[3] / "docs" / "examples" / "orthanc_colour_clips.lua"


@contextlib.contextmanager
def served(folder, *words, port=0):
    """Port of a service whose token is `TOKEN`, log ``folder/audit.jsonl`` and temporary folder ``folder/tmp``."""
    (folder / "token").write_text(TOKEN)
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "cfd2gray.cli", "serve", "--dicomweb", "--token-file", folder / "token", "--audit",
               folder / "audit.jsonl", "--port", port, *words]  # fmt: skip
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
    )
    try:
        said = process.stdout.readline()
        yield int(re.match(r"http://127\.0\.0\.1:(\d+)/studies", said)[1])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
    assert process.returncode == 0 and not list((folder / "tmp").iterdir())


def ask(port, body=b"--b--", *, token=TOKEN, kind=STOW, accept="*/*", path="/studies", method="POST"):
    """Status, content type and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers = {"Content-Type": kind, "Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, body, headers)
    with contextlib.closing(connection):
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def stow(*parts):
    return b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def audit(folder):
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A colour clip and a grey one of one patient."""
    folder, pair = tmp_path_factory.mktemp("clips"), simulated()
    write_dicom(folder / "colour.dcm", pair.cfd, patient="SECRET-A", study="1.2.77")
    write_dicom(folder / "grey.dcm", grey_screen(pair), patient="SECRET-A", study="1.2.77")
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    with served(folder) as port:
        yield port, folder


@pytest.mark.parametrize("boundary", ["b", "----x'()+_,-./:=? y"])
def test_parts_come_apart_as_they_were_put_together(tmp_path, boundary):
    files = [tmp_path / name for name in "ab"]
    for file, data in zip(files, (b"\r\n\r\n--c\r\n\x00", os.urandom(3_000_000))):
        file.write_bytes(data)
    kind, length, pieces = joined(files)
    body = b"".join(pieces)
    assert len(body) == length
    own = boundary_of(kind).encode()
    (tmp_path / "body").write_bytes(b"preamble\r\n" + body.replace(own, boundary.encode()))
    (tmp_path / "parts").mkdir()
    found = [part.read_bytes() for part in split(tmp_path / "body", boundary, tmp_path / "parts")]
    assert found == [file.read_bytes() for file in files] and not list((tmp_path / "parts").iterdir())


def test_parts_that_are_not_dicom_are_empty_and_cut_bodies_are_refused(tmp_path):
    (tmp_path / "body").write_bytes(b"--b\r\nContent-Type: text/html\r\n\r\n<script>\r\n" + stow(b"dicom"))
    assert [part.read_bytes() for part in split(tmp_path / "body", "b", tmp_path)] == [b"", b"dicom"]
    for cut in (stow(b"dicom")[:-6], b"nothing", b"--b\r\n"):
        (tmp_path / "body").write_bytes(cut)
        with pytest.raises(ValueError, match="last boundary"):
            list(split(tmp_path / "body", "b", tmp_path))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"token": ""}, 401),
        ({"token": TOKEN + "x"}, 401),
        ({"token": "tök"}, 401),
        ({"kind": "application/dicom"}, 415),
        ({"kind": 'multipart/related; type="application/dicom+xml"; boundary=b'}, 415),
        ({"kind": 'multipart/related; type="application/dicom"'}, 415),
        ({"accept": "application/dicom+json"}, 406),
        ({"path": "/../studies"}, 404),
        ({"method": "GET"}, 405),
        ({"body": b"no parts"}, 400),
        ({"body": b""}, 400),
    ],
)
def test_who_and_what_is_refused(service, asked, status):
    port, folder = service
    if asked.get("token") == "tök":
        asked = {"token": "t\xf6k"}
    found, _, body = ask(port, **asked)
    assert found == status and b"Traceback" not in body
    assert status != 401 or audit(folder)[-1]["event"] == "denied"


def test_a_colour_clip_comes_back_grey_and_the_log_names_nobody(service, clips):
    port, folder = service
    before = len(audit(folder))
    status, kind, body = ask(
        port, stow((clips / "colour.dcm").read_bytes(), b"no DICOM", (clips / "grey.dcm").read_bytes())
    )
    assert status == 202  # one was refused
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    (part,) = message.get_payload()
    (folder / "back.dcm").write_bytes(part.get_payload(decode=True))
    back, sent = pydicom.dcmread(folder / "back.dcm"), pydicom.dcmread(clips / "colour.dcm")
    assert back.SyntheticData == "YES" and back.PhotometricInterpretation == "MONOCHROME2"
    assert back.pixel_array.shape == sent.pixel_array.shape[:3] and "SECRET" not in str(back)
    lines = audit(folder)[before:]
    assert [line["event"] for line in lines] == ["translated", "failed", "no colour"]
    assert lines[0]["kind"] == "cfd" and lines[0]["seconds"] >= 0 and lines[1]["error"] == "not_dicom"
    text = json.dumps(lines)
    for name in ("SECRET", "Doe", sent.SOPInstanceUID, sent.StudyInstanceUID, str(folder)):
        assert name not in text
    assert (folder / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_only_failed_is_a_conflict_in_dicoms_own_words(service):
    status, kind, body = ask(service[0], stow(b"junk"))
    assert (status, kind) == (409, "application/dicom+json")
    (failed,) = json.loads(body)["00081198"]["Value"]
    assert failed["00081197"] == {"vr": "US", "Value": [0xC000]}


@pytest.mark.skipif(not PLUGIN.exists(), reason="Orthanc's DICOMweb plugin is not installed")
def test_orthanc_sends_colour_clips_and_gets_their_translation(clips, tmp_path):
    port, archive = free_port(), free_port()
    server = {"Url": f"http://127.0.0.1:{port}/", "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
    (tmp_path / "headers").write_text("X-Ours: yes\n")
    words = ["--mode", "clinical", "--forward", f"http://127.0.0.1:{archive}/dicom-web", "--forward-headers",
             tmp_path / "headers"]  # fmt: skip
    with (
        orthanc_server(
            tmp_path, port=archive, LuaScripts=[str(HOOK)], DicomWeb={"Enable": True, "Servers": {"cfd2gray": server}}
        ) as address,
        served(tmp_path, *words, port=port),
    ):

        def get(path):
            return json.loads(urllib.request.urlopen(address + path, timeout=30).read())

        for name in ("grey.dcm", "colour.dcm"):
            data = (clips / name).read_bytes()
            urllib.request.urlopen(urllib.request.Request(f"{address}/instances", data=data, method="POST"), timeout=30)
        end = time.monotonic() + 180
        while len(get("/instances")) < 3 or not all(
            job["State"] in ("Success", "Failure") for job in get("/jobs?expand")
        ):
            assert time.monotonic() < end, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.2)
        jobs = get("/jobs?expand")
        assert {job["State"] for job in jobs} == {"Success"} and len(jobs) == 2  # what came back is not sent again
        found = [get(f"/instances/{name}/simplified-tags") for name in get("/instances")]
    (ours,) = [tags for tags in found if tags["Manufacturer"] == "cfd2gray"]
    assert ours["StudyInstanceUID"] == "1.2.77" and ours["PatientID"] == "SECRET-A"
    assert sorted(line["event"] for line in audit(tmp_path)) == ["forwarded", "no colour"]


def test_an_archive_that_is_not_there_is_a_failure_that_is_told(clips, tmp_path):
    with served(tmp_path, "--forward", f"http://127.0.0.1:{free_port()}/dicom-web") as port:
        status, _, body = ask(port, stow((clips / "colour.dcm").read_bytes()), accept="application/dicom+json")
    assert status == 409 and json.loads(body)["00081198"]["Value"][0]["00081197"]["Value"] == [0x0110]
    assert audit(tmp_path)[-1]["event"] == "failed"


def test_settings_that_cannot_be_are_refused_in_one_line(tmp_path, capsys):
    serve = ["serve", "--dicomweb", "--token-file", str(tmp_path / "token")]
    (tmp_path / "token").write_text("short")
    assert cli.main(serve) == 2 and "token" in capsys.readouterr().err
    assert cli.main([*serve, "--forward", "ftp://x"]) == 2
    assert cli.main([*serve, "--forward-headers", str(tmp_path / "token")]) == 2
    with pytest.raises(SystemExit):
        cli.main(["serve", "--dicomweb"])  # no token, no service
    assert Forward(url="https://a/").headers == {}
