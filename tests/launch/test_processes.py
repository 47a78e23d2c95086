"""Real processes: the same losses on any number of them, agreement on when to stop, and restoring on another number."""

import shutil
import signal
import threading
import time

from cfd2gray.exit_codes import EXIT_STOPPED
from tests.launch import runs


def checkpoints(workdir):
    return sorted(int(folder.name) for folder in (workdir / "checkpoints").iterdir() if folder.name.isdigit())


def test_two_processes_train_as_one(machine, data, plain, tmp_path):
    code, output = runs.run(data, tmp_path / "run", processes=2)
    assert code == 0, output
    runs.assert_same_losses(tmp_path / "run", plain)
    assert "[0] done at step 6" in output and "[1] done" not in output  # one process speaks for all
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 6  # and one writes
    assert checkpoints(tmp_path / "run") == checkpoints(plain)


def test_one_process_told_to_stop_stops_all_and_another_machine_goes_on(machine, data, plain, tmp_path):
    workdir = tmp_path / "run"

    def tell_the_second(children):
        def wait_and_tell():
            while not (workdir / "metrics.jsonl").exists() and children[1].poll() is None:
                time.sleep(0.02)
            children[1].send_signal(signal.SIGTERM)

        threading.Thread(target=wait_and_tell, daemon=True).start()

    long = ("train.steps=4000", "checkpoint.every=3000", "log.every=1")
    code, output = runs.run(data, workdir, *long, processes=2, started=tell_the_second)
    assert code == EXIT_STOPPED, output
    assert "[0] stopped at step" in output
    (step,) = checkpoints(workdir)
    assert step == max(runs.losses(workdir)) < 4000

    # What two processes left is continued by two again, and by one whose two devices split the parameters as well.
    shutil.copytree(workdir, tmp_path / "other")
    more = (f"train.steps={step + 3}", "checkpoint.every=3000", "log.every=1")
    code, output = runs.run(data, workdir, *more, processes=2)
    assert code == 0 and f"resuming {workdir} at step {step}" in output, output
    split = (*more, "mesh.fsdp=2", "mesh.fsdp_min_size=64", "data.num_workers=1")
    code, output = runs.run(data, tmp_path / "other", *split, devices=2)
    assert code == 0 and f"at step {step}" in output, output
    runs.assert_same_losses(tmp_path / "other", workdir)
    assert checkpoints(workdir) == checkpoints(tmp_path / "other") == [step, step + 3]
