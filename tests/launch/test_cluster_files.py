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
TPU = [
    str(LAUNCH / "tpu_queued_resource.sh"), "--name", "paper", "--project", "p", "--zone", "z", "--accelerator",
    "v5litepod-256", "--source", "gs://b/cfd2gray.whl", "--mount", "b",
]  # fmt: skip
TRAIN = ["--", "--config", "paper_scale", "--workdir", "/mnt/shared/my runs"]


@pytest.mark.parametrize("name", ["slurm.sbatch", "tpu_queued_resource.sh"])
def test_shell_files_are_clean(name):
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    done = subprocess.run([shellcheck, "-s", "bash", LAUNCH / name], capture_output=True, text=True)
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


def test_tpu_dry_run_prints_the_commands_and_runs_none(tmp_path):
    _stand_in(tmp_path, "gcloud", "")
    done, calls = _run([*TPU, "--spot", "--dry-run", *TRAIN], tmp_path)
    assert done.returncode == 0 and not calls
    lines = done.stdout.splitlines()
    assert [re.search(r"(create|ssh|delete) ", line)[1] for line in lines] == ["create", "ssh", "ssh", "delete"]
    assert "--accelerator-type v5litepod-256 --runtime-version v2-alpha-tpuv5-lite --spot" in lines[0]
    # What a shell reads from the printed line is what the hosts' shells get: the folder's space survives both.
    words = subprocess.run(["bash", "-c", f'for w in {lines[2]}; do echo "$w"; done'], capture_output=True, text=True)
    command = words.stdout.splitlines()[-1]
    assert (
        command
        == "$HOME/cfd2gray/bin/cfd2gray train --distributed on --config paper_scale --workdir /mnt/shared/my\\ runs"
    )


def test_a_preempted_tpu_is_asked_for_again_and_training_goes_on(tmp_path):
    script = f"""
case "$*" in
  *describe*) [ -e {tmp_path}/lost ] && {{ rm {tmp_path}/lost; echo SUSPENDED; }} || echo ACTIVE ;;
  *"train --distributed"*) [ -e {tmp_path}/once ] || {{ touch {tmp_path}/once {tmp_path}/lost; exit 75; }} ;;
esac"""
    _stand_in(tmp_path, "gcloud", script)
    done, calls = _run([*TPU, *TRAIN], tmp_path)
    assert done.returncode == 0, done.stderr
    kinds = [re.search(r"[ /](create|describe|delete|pip install|train --distributed)", call)[1] for call in calls]
    once = ["create", "describe", "pip install", "train --distributed"]
    assert kinds == [*once, "describe", "delete", *once, "delete"]


def test_tpu_mistakes_are_named(tmp_path):
    for arguments, message in (
        (TPU[:-2], "--bucket is missing"),
        ([*TPU, "--what"], "unknown argument"),
        (TPU, "after --"),
    ):
        done, _ = _run(arguments, tmp_path)
        assert done.returncode == 2 and message in done.stderr


def test_the_container_file_copies_and_runs_what_exists():
    text = (LAUNCH / "Containerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\w+)", text, re.MULTILINE)
    assert [name for _, name in stages] == ["wheel", "base", "cuda", "tpu"]
    assert all(source in ("wheel", "base") or "/" in source for source, _ in stages)
    assert text.count('ENTRYPOINT ["cfd2gray"]') == 2
