"""The folder of a run: whose it is, and which of its settings may change when it is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import ml_collections
from jax.experimental import multihost_utils

from cfd2gray.config import flatten, from_json, to_json
from cfd2gray.run_folder import run_folder, write_text
from data_pipeline.mistakes import Mistake

if TYPE_CHECKING:
    from cfd2gray.run_folder import RunFolder

RESUMABLE = (
    "train.steps",
    "log.",
    "checkpoint.",
    "eval.",
    "translate.",
    "data.dir",
    "data.num_",
    "data.prefetch",
    "mesh.",
)
"""Keys that may differ when a run is continued."""


def claim_workdir(workdir: RunFolder, config: ml_collections.ConfigDict) -> None:
    """Make ``workdir`` this run's, or check that it already is.

    Raises:
      Mistake: When it belongs to a run with other settings, naming them, or holds files of something else.
    """
    workdir = run_folder(workdir)
    path = workdir / "config.json"
    if path.is_file():
        old, new = flatten(from_json(path.read_text())), flatten(config)
        fixed = [key for key in new if not key.startswith(RESUMABLE) and old.get(key) != new[key]]
        if fixed:
            listed = "; ".join(f"{key}: then {old.get(key)!r}, now {new[key]!r}" for key in fixed)
            raise Mistake(f"{workdir} holds a run with other settings ({listed}); use a new --workdir")
    elif workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise Mistake(f"{workdir} exists and is not a training run; nothing there is touched, use a new --workdir")
    multihost_utils.sync_global_devices("workdir checked")  # nobody looks any more when the first process writes
    if jax.process_index() == 0:
        write_text(path, to_json(config))
    multihost_utils.sync_global_devices("workdir claimed")
