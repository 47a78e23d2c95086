"""The files for clusters: they parse, fit their schema, and do what they say with stand-ins for the clusters' commands."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest
import yaml

from cfd2gray.config import load_config
from cfd2gray.exit_codes import EXIT_IO, EXIT_MISTAKE, EXIT_STOPPED
from cfd2gray.run_folder import run_folder

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SCHEMA = json.loads((pathlib.Path(__file__).parent / "jobset_schema.json").read_text())


def shellcheck():
    return shutil.which("shellcheck") or shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))


def test_the_batch_script_is_clean():
    done = subprocess.run([shellcheck(), "-s", "bash", LAUNCH / "slurm.sbatch"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_jobset_fits_its_schema_and_its_slice():
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    jsonschema.validate(manifest, SCHEMA)
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    x, y = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert job["parallelism"] == job["completions"] == x * y // container["resources"]["limits"]["google.com/tpu"]
    arguments = dict(arg.removeprefix("--").split("=", 1) for arg in container["args"])
    assert load_config(arguments["config"]).data.batch_size % (x * y) == 0
    assert run_folder(arguments["workdir"]) and arguments["config.data.dir"].startswith("gs://")
    # A pod's 64 MB of shared memory do not hold one batch of a host.
    (shm,) = (volume["name"] for volume in pod["volumes"] if volume.get("emptyDir") == {"medium": "Memory"})
    assert {"name": shm, "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert pod["hostNetwork"] and pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert {port["containerPort"] for port in container["ports"]} == {8471, coordinator_port()}


def coordinator_port():
    """Where JAX's coordinator listens on TPUs, by the installed JAX itself."""
    from jax._src.clusters import cloud_tpu_cluster

    return int(cloud_tpu_cluster.coordinator_port)


@pytest.mark.parametrize(
    ("index", "action"),
    [(0, "FailJobSet"), (1, "RestartJobSetAndIgnoreMaxRestarts"), (2, "RestartJobSetAndIgnoreMaxRestarts")],
)
def test_the_jobset_gives_up_on_mistakes_alone_and_preemptions_do_not_count(index, action):
    """JobSet's rule matching, as its failure policy page describes it, on the messages that the Job controller writes."""
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    rules = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
    codes = [rule.get("onExitCodes", {}).get("values") for rule in rules]
    assert codes == [[EXIT_MISTAKE], [EXIT_STOPPED], None]
    message = f"Container train for pod default/train-slice-0-3 failed with exit code 1 matching FailJob rule at index {index}"

    def matches(rule):
        patterns = rule.get("onJobFailureMessagePatterns", [""])
        return "PodFailurePolicy" in rule["onJobFailureReasons"] and any(re.search(text, message) for text in patterns)

    assert next(rule["action"] for rule in manifest["spec"]["failurePolicy"]["rules"] if matches(rule)) == action


def test_the_skypilot_task_says_what_may_be_repeated_and_its_scripts_are_clean(tmp_path):
    task = yaml.safe_load((LAUNCH / "sky_tpu.yaml").read_text())
    assert set(task) == {"name", "resources", "envs", "setup", "run"}
    assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [EXIT_IO, EXIT_STOPPED]
    assert load_config(task["envs"]["CONFIG"])
    for name in ("setup", "run"):
        (tmp_path / name).write_text(f"#!/bin/bash\n{task[name]}")
        done = subprocess.run([shellcheck(), "-s", "bash", tmp_path / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    # A mistake ends the job; everything else is handed on.
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for code, told in ((0, 0), (EXIT_MISTAKE, 0), (1, 1), (EXIT_STOPPED, EXIT_STOPPED)):
        _stand_in(tmp_path / "venv" / "bin", "cfd2gray", f"exit {code}")
        done, _ = _run(["bash", tmp_path / "run"], tmp_path, HOME=str(tmp_path), BUCKET="gs://b", CONFIG="tiny")
        assert done.returncode == told, (code, done.stderr)


def test_the_schema_refuses_misspelt_fields():
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["parallelizm"] = job.pop("parallelism")
    with pytest.raises(jsonschema.ValidationError, match="parallelizm"):
        jsonschema.validate(manifest, SCHEMA)


def _stand_in(folder, name, script):
    path = folder / name
    path.write_text(f'#!/bin/bash\necho {name} "$@" >> {folder}/calls\n{script}\n')
    path.chmod(0o755)


def _run(command, folder, **env):
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **env}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)
    calls = folder / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    ("code", "restarts", "again"), [(0, 0, False), (75, 0, True), (1, 3, True), (2, 0, False), (1, 20, False)]
)
def test_slurm_queues_again_what_can_go_on(tmp_path, code, restarts, again):
    _stand_in(tmp_path, "srun", f"exit {code}")
    _stand_in(tmp_path, "scontrol", "")
    done, calls = _run(
        ["bash", LAUNCH / "slurm.sbatch", "--config", "tiny"],
        tmp_path,
        SLURM_JOB_ID="7",
        SLURM_RESTART_COUNT=str(restarts),
    )
    assert done.returncode == code
    assert calls[0] == "srun --kill-on-bad-exit=1 cfd2gray train --config tiny"
    assert calls[1:] == (["scontrol requeue 7"] if again else [])


@pytest.mark.parametrize("told", [143, 137])
def test_slurm_sees_a_mistake_behind_the_signal_that_ended_the_others(tmp_path, told):
    """The stand-in runs the real command, which is refused, and reports what srun reports: the signal of the others."""
    _stand_in(
        tmp_path,
        "srun",
        f'shift 2; {sys.executable} -m cfd2gray.cli "$@" >&2; echo exit $? >> {tmp_path}/calls; exit {told}',
    )
    _stand_in(tmp_path, "scontrol", "")
    refused = ["--config", "tiny", "--config.data.dir=missing", "--workdir", "run"]
    done, calls = _run(["bash", LAUNCH / "slurm.sbatch", *refused], tmp_path, SLURM_JOB_ID="7")
    assert done.returncode == 2 and "no such folder" in done.stderr, done.stderr
    assert calls[1:] == ["exit 2"] and not list(tmp_path.glob("*.mistake"))
