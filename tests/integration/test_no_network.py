"""Nothing leaves the machine: no import, no translation opens a connection or leaves a process behind that could."""

import subprocess
import sys

PROGRAM = """
import sys
reached = []
def watch(event, details):
    if event == "os.fork" or event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(details[1], tuple)):
        reached.append((event, details))
sys.addaudithook(watch)
from cfd2gray import cli
assert cli.main(["translate", "--example", "--runtime", sys.argv[1]]) == 0
sys.stdout.write(f"reached: {reached}")
"""


def test_translating_reaches_nobody(tmp_path):
    for runtime in ("openvino", "onnxruntime"):  # OpenVINO as it comes reports its import to an analytics service
        folder = tmp_path / runtime
        folder.mkdir()
        words = [sys.executable, "-c", PROGRAM, runtime]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("reached: []"), done.stdout
