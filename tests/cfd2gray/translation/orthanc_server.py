"""A real Orthanc (Debian: orthanc, orthanc-dicomweb) that lives as long as a test."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUGIN = pathlib.Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def orthanc_server(folder, *, port=0, **settings):
    """Its address."""
    if not ORTHANC:
        pytest.skip("Orthanc is not installed")
    port = port or free_port()
    settings = {
        "HttpPort": port, "DicomPort": free_port(), "StorageDirectory": str(folder / "db"), "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [], "DicomWeb": {"Enable": True},
        **settings,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([ORTHANC, str(folder / "orthanc.json")], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            if server.poll() is not None:
                pytest.skip("Orthanc does not start here")
            try:
                urllib.request.urlopen(f"{address}/system", timeout=5).read()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)
