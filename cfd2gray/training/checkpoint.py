"""Checkpoints: the whole state, the data iterator's place and a fingerprint of what must not change (Orbax)."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.state import TrainState
from data_pipeline.mistakes import Mistake
from data_pipeline.storage import only_here

FORMAT = 2


class Checkpoints:
    """The checkpoints of one run in ``workdir/checkpoints``; saving is asynchronous, restoring exact.

    Args:
      workdir: Folder of the run.
      keep: How many of the newest to keep. Only checkpoints of this run, made by this class, are ever removed.
    """

    def __init__(self, workdir: pathlib.Path, *, keep: int):
        self.folder = only_here(workdir, "workdir").absolute() / "checkpoints"
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def latest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, data: Any, run: dict[str, Any]) -> None:
        """Save at ``state.step``. ``data`` has ``get_state() -> JSON``; ``run`` is JSON: fingerprints and specs."""
        step = int(state.step)
        if step == self._manager.latest_step():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                data=ocp.args.JsonSave(data.get_state()),
                run=ocp.args.JsonSave({"format": FORMAT, **run}),
            ),
        )

    def wait(self) -> None:
        """Until the last save is on disk."""
        self._manager.wait_until_finished()

    def restore(self, target: TrainState, data: Any, run: dict[str, Any]) -> TrainState:
        """The newest state, laid out as ``target``; ``data`` is set to where it stood.

        Raises:
          Mistake: When the run's specs or the data's fingerprint differ, naming every difference.
        """
        step = self._manager.latest_step()
        found = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
        # What a run of an earlier version did not know yet has its default.
        found["model"] = dataclasses.asdict(GeneratorSpec(**found["model"]))
        check_same_run(found, {"format": FORMAT, **run}, where=self.folder / str(step))
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(target), data=ocp.args.JsonRestore()),
        )
        data.set_state(restored["data"])
        return restored["state"]

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for the last save, however the run has ended: what was begun is on disk."""
        self._manager.close()


def check_same_run(found: dict[str, Any], expected: dict[str, Any], *, where: pathlib.Path) -> None:
    """Raise `Mistake` that lists every key whose value differs between a checkpoint and this run."""
    old, new = flatten_dict(found, sep="."), flatten_dict(json.loads(json.dumps(expected)), sep=".")
    names = sorted(set(old) | set(new))
    differences = [f"{k}: checkpoint {old.get(k)!r}, now {new.get(k)!r}" for k in names if old.get(k) != new.get(k)]
    if differences:
        raise Mistake(
            f"{where} was made by a different run; resume it with the same settings or use a new --workdir. "
            + "; ".join(differences)
        )
