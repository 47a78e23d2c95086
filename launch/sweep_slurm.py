"""A sweep on SLURM: submitit makes one array of its runs, and queues those again whose time is over or whose place is taken."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.mistakes import Mistake

SECONDS_TO_SAVE = 120
"""From the signal that a task's time is over to its end."""


class OneRun:
    """What a task does: the sweep's command for one run, in a process of its own. Pickled by submitit.

    Args:
      arguments: Of ``cfd2gray sweep``, without ``--only``.
      number: Of the run.
    """

    def __init__(self, arguments: Sequence[str], number: int):
        self.arguments, self.number = list(arguments), number
        self._child: subprocess.Popen | None = None

    def __call__(self) -> int:
        command = [sys.executable, "-m", "cfd2gray.cli", "sweep", *self.arguments, "--only", str(self.number)]
        # In a session of its own: it hears `checkpoint` alone, and saves once.
        self._child = subprocess.Popen(command, start_new_session=True)
        return self._child.wait()

    def checkpoint(self) -> Any:
        """Called by submitit when the task must end: the run saves, and the same call goes on from there later."""
        import submitit

        if self._child is not None:
            self._child.terminate()
            self._child.wait()
        return submitit.helpers.DelayedSubmission(OneRun(self.arguments, self.number))


def submit(
    arguments: Sequence[str], *, runs: int, at_once: int, logs: pathlib.Path, options: Mapping[str, str]
) -> list[str]:
    """Queue all runs. Returns the jobs' ids; their output goes to ``logs/submitit``.

    Args:
      arguments: Of ``cfd2gray sweep``, without ``--only``.
      runs: How many there are.
      at_once: How many may run at the same time.
      logs: Made when missing.
      options: Of sbatch, without dashes in front: ``{"partition": "gpu", "time": "600"}`` (minutes).

    Raises:
      Mistake: Where submitit or SLURM is missing.
    """
    try:
        import submitit
    except ImportError:
        raise Mistake("--slurm needs submitit; pip install 'cfd2gray[sweep]'") from None
    try:
        executor = submitit.SlurmExecutor(folder=logs / "submitit", max_num_timeout=20)
    except RuntimeError as error:
        raise Mistake(f"--slurm: {error}; start the sweep where sbatch is, or leave --slurm out") from error
    known = submitit.SlurmExecutor._valid_parameters()
    own = {name.replace("-", "_"): _value(text) for name, text in options.items()}
    defaults = {"job_name": "cfd2gray-sweep", "gpus_per_node": 1, "cpus_per_task": 8, "time": 24 * 60}
    settings = defaults | {name: value for name, value in own.items() if name in known}
    executor.update_parameters(
        array_parallelism=at_once,
        signal_delay_s=SECONDS_TO_SAVE,
        additional_parameters={name: value for name, value in own.items() if name not in known},
        **settings,
    )
    with executor.batch():
        jobs = [executor.submit(OneRun(arguments, number)) for number in range(runs)]
    return [job.job_id for job in jobs]


def _value(text: str) -> int | str:
    return int(text) if text.isdigit() else text
