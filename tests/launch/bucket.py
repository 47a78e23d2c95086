"""A Google Cloud Storage of this machine; the environment tells gcsfs, TensorStore and Google's client where it is."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from etils.epath import gpath

from cfd2gray.run_folder import _installed

SERVER = pathlib.Path(__file__).parent / "bucket_server.py"
MISSING = [name for name in ("gcsfs", "google.cloud.storage") if not _installed(name)]


def tell(**told: object) -> dict[str, object]:
    """What the server is to do wrong, and what it did; see its own documentation."""
    request = urllib.request.Request(f"{os.environ['STORAGE_EMULATOR_HOST']}/told", json.dumps(told).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The bucket's address; while it runs, this process and its children find the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    told = {
        "STORAGE_EMULATOR_HOST": address, "TENSORSTORE_GCS_HTTP_URL": address, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "test",
        "GOOGLE_CLOUD_PROJECT": "test", "NO_GCE_CHECK": "true",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false", "EPATH_USE_TF": "false", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    gpath._is_tf_installed.cache_clear()  # epath looks at EPATH_USE_TF once in a process
    child = subprocess.Popen([sys.executable, SERVER, str(port)])
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield "gs://hospital"
    finally:
        child.terminate()
        child.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def upload(folder: pathlib.Path, place: str) -> str:
    """The files of a folder as objects below ``place``."""
    import gcsfs

    fs = gcsfs.GCSFileSystem()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            fs.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}".removeprefix("gs://"), path.read_bytes())
    return place
