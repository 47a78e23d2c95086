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
from cfd2gray.launch import sweep_jobs

from cfd2gray.config import load_config

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SCHEMA = json.loads((pathlib.Path(__file__).parent / "jobset_schema.json").read_text())


def test_the_batch_script_is_clean():
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    done = subprocess.run([shellcheck, "-s", "bash", LAUNCH / "slurm.sbatch"], capture_output=True, text=True)
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
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert any(arguments["workdir"].startswith(path) for path in mounted)


def test_the_schema_refuses_misspelt_fields():
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["parallelizm"] = job.pop("parallelism")
    with pytest.raises(jsonschema.ValidationError, match="parallelizm"):
        jsonschema.validate(manifest, SCHEMA)


def test_a_sweeps_jobset_fits_the_schema():
    jsonschema.validate(json.loads(sweep_jobs.jobset(["rates"], runs=24, at_once=4, image="image")), SCHEMA)


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


def test_the_container_file_copies_and_runs_what_exists():
    text = (LAUNCH / "Containerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\w+)", text, re.MULTILINE)
    assert [name for _, name in stages] == ["wheel", "base", "cuda", "tpu", "beam"]
    assert all(source in ("wheel", "base") or "/" in source for source, _ in stages)
    assert text.count('ENTRYPOINT ["cfd2gray"]') == 2
