"""``cfd2gray view`` as a process of its own, and a plain HTTP client that sends what a browser never would."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.parse


@dataclasses.dataclass
class Served:
    """A running viewer."""

    process: subprocess.Popen
    url: str
    scratch: pathlib.Path
    """Where its temporary folders are."""

    def __post_init__(self):
        parts = urllib.parse.urlsplit(self.url)
        self.port, self.base = parts.port, parts.path

    def ask(self, path="", *, method="GET", headers=None, body=None, absolute=False, host=None):
        """Status, headers (lower case) and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path if absolute else self.base + path, skip_host=True)
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in (headers or {}):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            if body is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                    connection.send(body)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, path, value=None, **options):
        return self.ask(path, method="POST", body=json.dumps(value or {}).encode(), **options)

    def clip(self, id):
        return json.loads(self.ask(f"clips/{id}")[2])

    def upload(self, data, name="clip"):
        status, _, body = self.ask(f"clips?name={urllib.parse.quote(name)}", method="POST", body=data)
        assert status == 200, body
        return json.loads(body)["id"]

    def finished(self, id, *, seconds=240):
        """The clip once nothing more is done to it."""
        end = time.monotonic() + seconds
        while True:
            clip = self.clip(id)
            if clip["state"] in ("ready", "refused"):
                return clip
            assert time.monotonic() < end, clip
            time.sleep(0.05)

    def folders(self):
        return list(self.scratch.glob("cfd2gray-view-*"))


@contextlib.contextmanager
def served(scratch, *words, stdin=None, browser=None):
    """A viewer whose temporary folders lie in ``scratch``; it is terminated at the end."""
    command = [sys.executable, "-m", "cfd2gray.cli", "view", *map(str, words), *([] if browser else ["--no-browser"])]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(scratch), "BROWSER": browser or ""},
    )  # fmt: skip
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        yield Served(process, url, pathlib.Path(scratch))
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)
