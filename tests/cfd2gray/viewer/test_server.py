"""The server as a stranger meets it: tokens, hosts, origins, uploads, and what is left when it has ended."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from cfd2gray import cli
from cfd2gray.example import CLIP
from data_pipeline.readers import read_clip
from tests.cfd2gray.viewer.serving import served


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "short.npy"
    frames = read_clip(CLIP).frames[:4]
    np.save(path, np.stack([cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA) for frame in frames]))
    return path


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    with served(tmp_path_factory.mktemp("scratch"), "--max-upload", 64) as found:
        yield found


def test_it_listens_to_this_machine_alone(viewer):
    with socket.socket() as other, pytest.raises(OSError):
        address = socket.gethostbyname_ex(socket.gethostname())[2]
        other.settimeout(2)
        other.connect((next((a for a in address if not a.startswith("127.")), "127.0.0.2"), viewer.port))


@pytest.mark.parametrize("path", ["/", "/clips", "/wrong/", "/wrong/clips", "//", "/%00/", "/../", "*"])
def test_without_the_token_there_is_nothing(viewer, path):
    for method in ("GET", "POST", "OPTIONS"):
        status, headers, body = viewer.ask(path, method=method, absolute=True, body=b"")
        assert status in (400, 403, 404) and b"clip" not in body.replace(b"cfd2gray view", b"")
        assert not any(name.startswith("access-control") for name in headers)


def test_a_token_that_is_nearly_right_is_wrong(viewer):
    token = viewer.base.strip("/")
    assert len(token) >= 32
    for near in (token[:-1], token + "x", token.swapcase(), token[:-1] + "%00"):
        assert viewer.ask(f"/{near}/", absolute=True)[0] == 403


def test_other_names_of_this_machine_are_refused(viewer):
    assert viewer.ask(host=f"localhost:{viewer.port}")[0] == 200
    for host in (
        f"evil.example:{viewer.port}",
        "127.0.0.1",
        f"127.0.0.1:{viewer.port + 1}",
        f"127.0.0.1.evil.example:{viewer.port}",
    ):
        status, _, body = viewer.ask(host=host)
        assert status == 403 and b"this computer" in body


def test_pages_of_others_can_ask_nothing(viewer):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert viewer.post("example", headers=headers)[0] == 403
        assert viewer.ask("clips", headers=headers)[0] == 403
    assert json.loads(viewer.ask("clips")[2])["clips"] == []
    assert viewer.ask(headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200


def test_headers_of_every_answer_shut_everything_else_out(viewer):
    for path in ("", "clips", "static/main.js", "page.css", "nothing", "clips/none/picture"):
        _, headers, _ = viewer.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_page_names_nothing_from_elsewhere(viewer):
    pages = [
        viewer.ask(path)[2].decode()
        for path in ("", "page.css", "static/viewer.css", "static/main.js", "static/stage.js")
    ]
    for page in pages:
        assert "https://" not in page and "//cdn" not in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "path",
    ["static/../server.py", "static/..%2fserver.py", "static/%2e%2e/guard.py", "static//etc/passwd", "static/.."],
)
def test_static_files_are_those_of_the_page(viewer, path):
    status, _, body = viewer.ask(path)
    assert status in (403, 404) and b"import" not in body


def test_hostile_names_reach_no_disk(viewer):
    names = [
        "../../../../etc/cron.d/x",
        "<script>alert(1)</script>",
        "a\x00b",
        "x" * 5000,
        "=cmd|' /C calc'!A0",
        "\u202egnp.exe",
        "C:\\con",
    ]
    before = {str(path) for path in viewer.scratch.rglob("*")}
    for name in names:
        id = viewer.upload(b"no clip" * 999, name)
        clip = viewer.finished(id)
        assert clip["state"] == "refused" and len(clip["name"]) <= 120 and "\x00" not in clip["name"]
        (new,) = {path for path in viewer.scratch.rglob("*") if str(path) not in before}
        assert stat.S_IMODE(new.stat().st_mode) == 0o600 and new.name.isalnum()
        assert viewer.ask(f"clips/{id}", method="DELETE")[0] == 204
        assert not new.exists()
    (folder,) = viewer.folders()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_is_dropped_is_translated_shown_corrected_and_saved(viewer, short):
    clip = viewer.finished(viewer.upload(short.read_bytes(), "short.npy"))
    one, version = f"clips/{clip['id']}", clip["version"]
    status, headers, png = viewer.ask(f"{one}/{version}/colour/0")
    assert status == 200 and headers["content-type"] == "image/png"
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], np.load(short)[0])
    assert viewer.ask(f"{one}/{version}/colour/99")[0] == 422 and viewer.ask(f"{one}/{version}/x/0")[0] == 422
    assert viewer.ask(f"{one}/{version + 1}/colour/0")[0] == 409
    for said, rule in (
        (b"{", b"no JSON"),
        (b"[" * 100_000, b"no JSON"),
        (b"[]", b"a correction"),
        (b'{"kind": "x"}', b"one of"),
    ):
        status, _, body = viewer.ask(f"{one}/correct", method="POST", body=said)
        assert status == 422 and rule in body
    assert viewer.ask(f"{one}/correct", method="POST", body=b" " * (5 << 20))[0] == 422
    assert viewer.post(f"{one}/mark", {"mark": "keep"})[0] == 422
    assert viewer.post(f"{one}/correct", {"box": [[40, 40], [90, 40], [90, 90], [40, 90]]})[0] == 204
    again = viewer.finished(clip["id"])
    assert again["version"] > version and again["said"]["box"][0] == [40, 40] and "--box" in again["command"]
    status, headers, data = viewer.ask(f"{one}/download/dcm")
    assert status == 200 and data[128:132] == b"DICM" and "short" not in headers["content-disposition"]
    assert viewer.ask(f"{one}/download/exe")[0] == 422 and viewer.ask(f"{one}/download/..%2fx")[0] in (404, 422)
    assert viewer.ask(f"{one}", method="DELETE")[0] == 204 and viewer.ask(one)[0] == 404


def test_an_empty_and_a_senseless_file_are_refused_in_words(viewer):
    status, _, body = viewer.ask("clips?name=x", method="POST", body=b"")
    assert status == 422 and b"empty" in body
    clip = viewer.finished(viewer.upload(b"\x00" * 4096, "zeros.dcm"))
    assert clip["state"] == "refused" and "expected DICOM" in clip["error"] and str(viewer.scratch) not in clip["error"]


def test_more_than_is_allowed_is_refused_with_the_option_to_change_it(viewer):
    status, _, body = viewer.ask("clips?name=x", method="POST", headers={"Content-Length": str(3 << 30)}, body=b"")
    assert status == 413 and b"64 MiB" in body and b"--max-upload" in body
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=60)
    pieces = iter([b"\x00" * (1 << 20)] * 80)  # without saying how much will come
    try:
        connection.request(
            "POST", viewer.base + "clips", body=pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # shut before all was sent: as good
    finally:
        connection.close()
    (folder,) = viewer.folders()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20


def test_a_broken_off_upload_leaves_nothing(viewer):
    with socket.create_connection(("127.0.0.1", viewer.port)) as plain:
        head = f"POST {viewer.base}clips?name=x HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\nContent-Length: 9000000\r\n\r\n"
        plain.sendall(head.encode() + b"\x00" * 1_000_000)
    (folder,) = viewer.folders()
    end = time.monotonic() + 10
    while any(path.stat().st_size > 8192 for path in folder.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_however_it_is_ended_its_copies_are_gone(tmp_path, short, how):
    with served(tmp_path, "-", stdin=short.open("rb")) as viewer:
        (id,) = [clip["id"] for clip in json.loads(viewer.ask("clips")[2])["clips"]]
        assert viewer.finished(id)["name"] == "standard input"
        (folder,) = viewer.folders()
        assert any(path.stat().st_size == short.stat().st_size for path in folder.iterdir())
        viewer.process.send_signal(how)
        assert viewer.process.wait(30) == 0
        assert viewer.folders() == [] and viewer.process.stderr.read() == ""


def test_the_file_that_was_named_is_left_alone(tmp_path, short):
    before = short.read_bytes()
    (tmp_path / "scratch").mkdir()
    with served(tmp_path / "scratch", short) as viewer:
        (clip,) = json.loads(viewer.ask("clips")[2])["clips"]
        viewer.finished(clip["id"])
        assert viewer.ask(f"clips/{clip['id']}", method="DELETE")[0] == 204
    assert short.read_bytes() == before


def test_mistakes_on_the_command_line_are_told_in_a_line(tmp_path, capsys):
    assert cli.main(["view", str(tmp_path / "none.dcm"), "--no-browser"]) == 2
    assert "is not there" in capsys.readouterr().err
    assert cli.main(["view", "--port", "99999", "--no-browser"]) == 2
    assert re.search("--port 99999 .*cannot be had", capsys.readouterr().err)
    assert cli.main(["view", "--max-upload", "0"]) == 2
    done = subprocess.run([sys.executable, "-m", "cfd2gray.cli", "view", "-", "--no-browser"], input=b"", capture_output=True,
                          env={**os.environ, "TMPDIR": str(tmp_path)})  # fmt: skip
    assert done.returncode == 2 and b"nothing came in" in done.stderr and not list(tmp_path.iterdir())


def test_the_address_is_not_told_to_other_people_of_this_machine(tmp_path):
    """Command lines of programs can be read by all: the browser is given a private file that leads to the address."""
    program, told = tmp_path / "browser", tmp_path / "told"
    program.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {told}.part\nmv {told}.part {told}\nsleep 5\n')
    program.chmod(0o700)
    with served(tmp_path, browser=f"{program} %s &") as viewer:
        end = time.monotonic() + 20
        while not told.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        address = told.read_text()
        assert address.startswith("file://") and viewer.base.strip("/") not in address
        page = pathlib.Path(address.removeprefix("file://"))
        assert stat.S_IMODE(page.stat().st_mode) == 0o600 and viewer.url in page.read_text()
    assert not page.exists()
