"""What the exit codes of real commands say, and that a URL never becomes a local folder."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from cfd2gray.exit_codes import EXIT_IO, EXIT_MISTAKE, EXIT_STOPPED, exit_code
from data_pipeline.files import write_atomically
from data_pipeline.mistakes import Mistake, named_mistakes
from data_pipeline.storage import only_here

CLI = [sys.executable, "-m", "cfd2gray.cli"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config", "tiny", "--workdir", "s3://bucket/run"],
        ["evaluate", "--config", "tiny", "--checkpoint", "az://bucket/run", "-o", "out"],
        ["evaluate", "--config", "tiny", "-o", "gs://bucket/out"],
        ["simulate", "--clips", "1", "-o", "az://box/records"],
        ["demo", "--workdir", "gs://bucket/demo"],
    ],
)
def test_a_bucket_is_refused_in_words_and_nothing_is_written(tmp_path, arguments):
    done = subprocess.run([*CLI, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_MISTAKE, done.stderr
    assert "://b" in done.stderr and ("mount the bucket" in done.stderr or "shared file system" in done.stderr)
    assert not list(tmp_path.iterdir())


def test_a_sweep_into_a_bucket_is_refused(tmp_path):
    command = [sys.executable, "-m", "cfd2gray.launch.sweep", "rates", "--workdir", "gs://bucket/sweep"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_MISTAKE and "mount the bucket" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_url_is_a_path_and_other_urls_are_none(tmp_path):
    assert only_here(f"file://{tmp_path}/a") == only_here(tmp_path / "a") == tmp_path / "a"
    assert str(only_here("C:/data")) == "C:/data" and str(only_here("odd:name/x")) == "odd:name/x"
    for url in ("gs://bucket/a", pathlib.Path("gs://bucket/a"), "memory://a"):
        with pytest.raises(Mistake, match="mount the bucket"):
            write_atomically(url, "text")


def test_only_a_named_mistake_says_that_starting_again_is_useless():
    assert exit_code(Mistake("size must be 8")) == EXIT_MISTAKE
    assert exit_code(ValueError("from inside a library")) == 1
    for number in (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.ETIMEDOUT, errno.ECONNRESET):
        with pytest.raises(OSError) as raised, named_mistakes():
            raise OSError(number, os.strerror(number))
        assert exit_code(raised.value) == EXIT_IO
    with pytest.raises(Mistake, match="nowhere"), named_mistakes():
        pathlib.Path("nowhere").read_text()


def test_a_full_disk_ends_a_training_with_the_code_that_is_started_again(tmp_path):
    """A real full disk: every write to /dev/full fails with ENOSPC."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").symlink_to("/dev/full")
    code = (
        "import argparse, sys; from cfd2gray import cli; from cfd2gray.commands import learn\n"
        "from cfd2gray.training.writer import Writer; import pathlib\n"
        "def run(args):\n"
        "    with Writer(args.workdir, tensorboard=False, active=True) as writer: writer.scalars(1, {'loss': 1.0})\n"
        "learn.run_train = run\n"
        "sys.exit(cli.main(['train', '--workdir', 'run']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_IO and "No space left" in done.stderr, done.stderr


BUSY = """
import os, sys, time
from cfd2gray.training.stop import StopRequest
def leave():
    os.write(1, b"left\\n")
    os._exit(75)
with StopRequest(leave) as stop:
    with stop.may_leave(lambda: os.write(1, b"saved\\n")):
        print("ready", flush=True)
        import hashlib
        hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # like a compiler: in C for minutes, Python's lock released
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_heard_while_the_main_thread_is_away_in_c(number):
    child = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    asked = time.monotonic()
    child.send_signal(number)
    rest = child.communicate(timeout=60)[0]
    assert (child.returncode, rest) == (EXIT_STOPPED, "saved\nleft\n") and time.monotonic() - asked < 10


WAITING = """
import os, signal, time
from cfd2gray.training.stop import StopRequest
with StopRequest(lambda: os._exit(9)) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
    print(stop.requested)
"""


def test_outside_of_safe_stretches_a_request_waits_for_the_step():
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
