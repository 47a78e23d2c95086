"""Signals that reach a whole process group: readers keep reading, a dead trainer's readers end, a sweep saves each run once."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from cfd2gray.training.writer import read_history
from tests.launch import runs

READ = """
import sys
import grain
from data_pipeline.loading.loader import _start_worker
from absl import flags

class Numbers:
    def __len__(self): return 100000
    def __getitem__(self, index): return index

if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    data = grain.MapDataset.source(Numbers()).to_iter_dataset()
    batches = iter(data.mp_prefetch(grain.MultiprocessingOptions(num_workers=2), worker_init_fn=_start_worker))
    print(next(batches) + next(batches), flush=True)  # one from each: both have started
    for line in sys.stdin:
        print([next(batches) for _ in range(2000)][-1] > 0, flush=True)
"""


def _children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    pids = [pid for file in listed for pid in file.read_text().split()]  # a thread of Grain's starts them
    return [int(own) for own in pids if "spawn_main" in pathlib.Path(f"/proc/{own}/cmdline").read_text()]


def _gone(pids, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(os.path.exists(f"/proc/{pid}") for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_readers_pass_over_signals_of_the_group_and_end_with_their_trainer(tmp_path):
    (tmp_path / "read.py").write_text(READ)
    child = subprocess.Popen(
        [sys.executable, tmp_path / "read.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "1\n"
        readers = _children(child.pid)
        assert len(readers) >= 2
        for pid in readers:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        child.stdin.write("more\n")
        child.stdin.flush()
        assert child.stdout.readline() == "True\n"
    finally:
        child.kill()
        child.wait()
    assert _gone(readers, 20)


def test_a_stop_is_heard_while_a_training_compiles_and_while_it_evaluates(machine, data, plain, tmp_path):
    """Both times it leaves at once; started again it makes up for the evaluation and trains what nobody stopped."""
    workdir = tmp_path / "run"
    command = runs.command(data, workdir, "eval.every=2", "checkpoint.every=1000")
    for heard_at in ("compiling the step", "step 2/6"):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in child.stdout:
            if heard_at in line:
                child.send_signal(signal.SIGTERM)
                break
        rest = child.communicate(timeout=240)[0]
        assert child.returncode == 75 and "stopped" in rest, rest
        assert sorted(runs.losses(workdir)) == ([] if heard_at.startswith("compiling") else [1, 2])
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    history = read_history(workdir)
    assert [line["step"] for line in history if "val/clips" in line] == [2, 4, 6]
    runs.assert_same_losses(workdir, plain)


def test_ctrl_c_on_a_sweep_saves_the_run_once(machine, data, tmp_path):
    """To the whole group, as a terminal sends it: the run is in a session of its own and hears the sweep alone."""
    config = runs.flatten(
        runs.tiny_config(f"data.dir={data}", *runs.SETTINGS, "train.steps=4000", "checkpoint.every=3000")
    )
    (tmp_path / "one.py").write_text("CONFIG = 'default'\ndef get_runs():\n    return [{'seed': 1}]\n")
    keys = [f"--config.{key}={value!r}" for key, value in config.items() if key != "seed"]
    workdir = tmp_path / "sweep"
    command = [
        sys.executable,
        "-m",
        "cfd2gray.launch.sweep",
        str(tmp_path / "one.py"),
        "--workdir",
        str(workdir),
        *keys,
    ]
    child = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + 240
    while not list(workdir.glob("000-*/metrics.jsonl")) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)
    output = child.communicate(timeout=120)[0]
    (log,) = (workdir / "logs").glob("*.log")
    assert child.returncode == 75, output + log.read_text()[-2000:]
    assert log.read_text().count("stopped at step") == 1
    (run,) = workdir.glob("000-*")
    (saved,) = [int(folder.name) for folder in (run / "checkpoints").iterdir() if folder.name.isdigit()]
    assert saved == max(runs.losses(run)) < 4000
