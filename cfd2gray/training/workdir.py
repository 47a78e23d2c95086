"""The folder of a run: whose it is, and which of its settings may change when it is continued."""

from __future__ import annotations

import pathlib

import jax
import ml_collections
from jax.experimental import multihost_utils

from cfd2gray.config import flatten, from_json, to_json
from data_pipeline.files import write_atomically
from data_pipeline.mistakes import Mistake
from data_pipeline.storage import only_here

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


def claim_workdir(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Make ``workdir`` this run's, or check that it already is.

    Raises:
      Mistake: When it belongs to a run with other settings, naming them, or holds files of something else.
    """
    workdir = only_here(workdir, "workdir")
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
        write_atomically(path, to_json(config))
    multihost_utils.sync_global_devices("workdir claimed")
