"""A sweep as one job array: text for SLURM's sbatch or for Kubernetes, where one task is one run."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any


def slurm_array(arguments: Sequence[str], *, runs: int, at_once: int, logs: pathlib.Path) -> str:
    """An sbatch script: run ``k`` of the sweep is task ``k``; a preempted task is queued again and resumes.

    Args:
      arguments: Of `launch.sweep`, without ``--only``.
      runs: How many there are.
      at_once: How many may run at the same time.
      logs: Folder of the tasks' output.
    """
    command = shlex.join(["python", "-m", "launch.sweep", *arguments])
    return f"""#!/bin/bash
#SBATCH --job-name=cfd2gray-sweep
#SBATCH --array=0-{runs - 1}%{at_once}
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --ntasks=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output={logs}/slurm-%A_%a.log
set -uo pipefail
srun {command} --only "$SLURM_ARRAY_TASK_ID"
code=$?
if [ "$code" = 75 ]; then  # asked to stop: saved, so queue it again
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


def jobset(arguments: Sequence[str], *, runs: int, at_once: int, image: str) -> str:
    """A JobSet manifest (JSON, which kubectl reads as it reads YAML): run ``k`` is the pod of completion index ``k``.

    Raises:
      ValueError: Without an image.
    """
    if not image:
        raise ValueError("--jobset needs --image, the container image made from launch/Containerfile")
    command = shlex.join(["python", "-m", "launch.sweep", *arguments]) + ' --only "$JOB_COMPLETION_INDEX"'
    container = {
        "name": "sweep",
        "image": image,
        "command": ["bash", "-c", command],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": "shared", "mountPath": "/mnt/shared"}],
    }
    pod = {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 120,
        "containers": [container],
        "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "cfd2gray"}}],
    }
    job = {
        "completionMode": "Indexed",
        "completions": runs,
        "parallelism": min(runs, at_once),
        "backoffLimit": 3 * runs,
        "template": {"spec": pod},
    }
    manifest: dict[str, Any] = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "cfd2gray-sweep"},
        "spec": {"replicatedJobs": [{"name": "runs", "replicas": 1, "template": {"spec": job}}]},
    }
    return json.dumps(manifest, indent=2) + "\n"


def submit(kind: str, text: str) -> int:
    """Hand ``text`` to ``sbatch`` or ``kubectl``. Returns its exit code; raises ``ValueError`` where it is missing."""
    command = {"slurm": ["sbatch"], "jobset": ["kubectl", "apply", "-f", "-"]}[kind]
    try:
        return subprocess.run(command, input=text, text=True, check=False).returncode
    except FileNotFoundError as error:
        raise ValueError(f"{command[0]} is not installed here; leave --submit out to see what it would get") from error
