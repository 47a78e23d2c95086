"""Real worker processes that fail, hang and die."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import parallel

ROOT = Path(__file__).parents[2]


class CodedError(ValueError):
    code = "truncated"


class AwkwardError(Exception):
    def __init__(self, one, two):  # its pickle cannot be read again
        super().__init__("two arguments")


def act(argument):
    """Does what the argument says."""
    if argument == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "hang":
        time.sleep(600)
    if argument == "memory":
        raise MemoryError
    if argument == "awkward":
        raise AwkwardError(1, 2)
    if argument == "defect":
        raise ZeroDivisionError
    if argument == "value":
        raise ValueError("bad")
    if argument == "coded":
        raise CodedError
    if argument == "disk":
        raise OSError(28, "No space left on device")
    return argument * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_job_costs_itself_only(workers):
    arguments = [0, "die", 1, "memory", 2, "hang", 3, "value", "coded", "disk", 4, "awkward", "die", 5, 6]
    seen = list(parallel.run_ordered(act, arguments, workers=workers, timeout=3))
    assert [argument for argument, _ in seen] == arguments
    codes = {argument: outcome.code for argument, outcome in seen if isinstance(argument, str)}
    assert codes == {
        "die": "worker_died", "memory": "memory", "hang": "timeout", "value": "ValueError",
        "coded": "truncated", "disk": "OSError",
        "awkward": "defect:AwkwardError",
    }  # fmt: skip
    assert [outcome.result for argument, outcome in seen if isinstance(argument, int)] == [0, 2, 4, 6, 8, 10, 12]


def test_here_and_in_workers_alike():
    arguments = [1, "memory", "value", 2]
    here, there = (list(parallel.run_ordered(act, arguments, workers=workers)) for workers in (0, 1))
    assert [(o.result, o.code) for _, o in here] == [(o.result, o.code) for _, o in there]


def test_many_defects_stop_the_run_and_few_do_not():
    few = [*range(300), *["defect"] * parallel.FEW_DEFECTS]
    assert sum(bool(outcome.code) for _, outcome in parallel.run_ordered(act, few)) == parallel.FEW_DEFECTS
    with pytest.raises(
        parallel.TooManyDefectsError, match="11 of 11 jobs failed by a defect.*ZeroDivisionError"
    ) as caught:
        list(parallel.run_ordered(act, ["defect"] * 50))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(list(parallel.run_ordered(act, ["value"] * 50))) == 50  # bad input never stops a run


def test_short_jobs_share_a_message_and_its_end_costs_none_of_them():
    arguments = [*range(100), "die", *range(100, 150), "hang", *range(150, 200)]
    seen = list(parallel.run_ordered(act, arguments, workers=1, timeout=3))
    assert [argument for argument, _ in seen] == arguments
    assert [outcome.code for _, outcome in seen if outcome.code] == ["worker_died", "timeout"]
    assert [outcome.result for argument, outcome in seen if isinstance(argument, int)] == [2 * n for n in range(200)]


@pytest.mark.parametrize("workers", [0, 2])
def test_arguments_are_drawn_a_few_ahead_only(workers):
    drawn = 0

    def arguments():
        nonlocal drawn
        for drawn in range(1, 101):  # noqa: UP028
            yield drawn

    for number, _ in enumerate(parallel.run_ordered(act, arguments(), workers=workers), 1):
        assert drawn <= number + parallel.IN_FLIGHT * workers * parallel.MOST


def busy_until(argument):
    """A file server that answers at the n-th call; the readers wrap what it says."""
    path, answers, number = argument
    with open(path, "a") as file:
        file.write(".")
    if os.path.getsize(path) < answers:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise CodedError("could not be read") from error
    return "read"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_busy_file_server_is_asked_again(tmp_path, workers):
    asked = [
        (tmp_path / "stale", 2, errno.ESTALE),
        (tmp_path / "absent", 9, errno.EIO),
        (tmp_path / "no", 2, errno.EACCES),
    ]
    codes = [outcome.code for _, outcome in parallel.run_ordered(busy_until, asked, workers=workers)]
    assert codes == ["", "OSError", "truncated"]
    assert [path.stat().st_size for path, _, _ in asked] == [2, 1 + len(parallel.PAUSES), 1]


def fill(megabytes):
    return len(np.ones(megabytes << 20, np.uint8))


def test_memory_is_bounded_for_each_job():
    codes = [outcome.code for _, outcome in parallel.run_ordered(fill, [10, 3000, 20], workers=1, memory=2 << 30)]
    assert codes == ["", "memory", ""]
    assert parallel.MEMORY in parallel.TRANSIENT  # another run, with more of it, may do it


def test_results_wait_in_files(tmp_path):
    long = b"%d" * parallel.SMALL
    waited = 0
    for number, outcome in parallel.run_ordered(act, [1, long, 2, long, 3, long, "value"], workers=1, spool=tmp_path):
        assert outcome.code == "ValueError" if number == "value" else outcome.result == 2 * number
        waited = max(waited, len(list(tmp_path.iterdir())))
    assert waited and not list(tmp_path.iterdir())


SCRIPT = """
import signal, time
from data_pipeline import parallel
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
def work(n):
    time.sleep(0.2)
    return n
if __name__ == "__main__":
    for n, outcome in parallel.run_ordered(work, range(1000), workers=2):
        print(n, outcome.code, flush=True)
"""


def test_ctrl_c_stops_quietly(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline().split() == ["0"]
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0 and said.count("Traceback") == 1 and "KeyboardInterrupt" in said
