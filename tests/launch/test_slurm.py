"""The batch file on a real SLURM of one node: real sbatch, srun and scontrol, two tasks with a (pretended) GPU each."""

import os
import pathlib
import sys

import pytest
from cfd2gray.launch import sweep, sweep_table

from tests.launch import runs, slurm

WHY = slurm.missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)
FILE = pathlib.Path(__file__).parents[2] / "launch" / "slurm.sbatch"
WIDE = ("--ntasks-per-node=2", "--gpus-per-node=2", "--cpus-per-task=1")


@pytest.fixture(scope="module")
def cluster(machine, tmp_path_factory):
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as found:
        # What users have from their virtual environment; no GPU is here, so the batch file's first choice is left out.
        found.environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{found.environment['PATH']}"
        found.environment |= {"JAX_PLATFORMS": "cpu", "CFD2GRAY_CACHE": os.environ["CFD2GRAY_CACHE"]}
        yield found


def submit(cluster, folder, *arguments, options=()):
    return cluster.call("sbatch", "--parsable", *WIDE, *options, str(FILE), *arguments, cwd=folder)


def train(data, workdir, *overrides):
    return runs.command(data, workdir, *overrides)[4:]


def test_a_mistake_of_one_task_ends_the_job_with_2_and_it_is_not_queued_again(cluster, tmp_path):
    job = submit(cluster, tmp_path, "--config", "tiny", "--config.data.dir=missing", "--workdir", "run")
    facts = cluster.wait(job, ["FAILED", "COMPLETED", "CANCELLED"], 240)
    log = (tmp_path / f"cfd2gray-{job}.log").read_text()
    assert facts["ExitCode"] == "2:0" and facts["Restarts"] == "0", log
    assert "no such folder" in log and "queueing again" not in log


def test_a_job_asked_to_stop_saves_is_queued_again_and_ends_as_an_unbroken_run(cluster, data, plain, tmp_path):
    """``scancel --signal`` is what a time limit with ``--signal`` does: SIGTERM to the job's tasks."""
    workdir = tmp_path / "run"
    slow = ("checkpoint.every=1000", "train.steps=6", "log.every=1")
    job = submit(cluster, tmp_path, *train(data, workdir, *slow))
    cluster.wait(job, ["RUNNING"], 60)
    log = tmp_path / f"cfd2gray-{job}.log"
    _when(lambda: (workdir / "metrics.jsonl").exists(), 400)
    cluster.call("scancel", "--signal=TERM", job)
    facts = cluster.wait(job, ["COMPLETED", "FAILED"], 400)
    assert facts["ExitCode"] == "0:0", log.read_text()
    if "exit code 75" in log.read_text():  # six steps may be over before the signal comes
        assert facts["Restarts"] == "1" and "resuming" in log.read_text()
    runs.assert_same_losses(workdir, plain)


def test_a_killed_task_takes_the_others_with_it_and_the_job_goes_on(cluster, data, plain, tmp_path):
    workdir = tmp_path / "run"
    job = submit(cluster, tmp_path, *train(data, workdir, "checkpoint.every=1", "log.every=1"))
    log = tmp_path / f"cfd2gray-{job}.log"
    _when(lambda: (workdir / "metrics.jsonl").exists(), 400)
    cluster.call("scancel", "--signal=KILL", f"{job}.0")
    facts = cluster.wait(job, ["COMPLETED", "FAILED"], 600)
    assert facts["ExitCode"] == "0:0", log.read_text()
    runs.assert_same_losses(workdir, plain)


def test_a_sweep_is_one_array(cluster, data, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    settings = runs.flatten(runs.tiny_config(f"data.dir={data}", *runs.SETTINGS, "train.steps=2"))
    path, workdir = tmp_path / "two.py", tmp_path / "sweep"
    path.write_text(
        f"CONFIG = 'default'\nSETTINGS = {settings!r}\n"
        "def get_runs():\n    return [SETTINGS | {'seed': seed} for seed in (1, 2)]\n"
    )
    for name in ("PATH", "SLURM_CONF", "JAX_PLATFORMS"):
        monkeypatch.setenv(name, cluster.environment[name])
    options = [f"--slurm-option={text}" for text in ("cpus-per-task=1", "time=60", "comment=from-a-test")]
    assert sweep.main([str(path), "--workdir", str(workdir), "--slurm", "--jobs", "2", *options]) == 0
    _when(lambda: len(list(workdir.glob("*/sweep_result.json"))) == 2, 600)
    assert [row["state"] for row in sweep_table.rows_of(workdir)[2]] == ["done", "done"]


def _when(true, seconds):
    import time

    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)
