"""Checkpoints: the whole state, the data iterator's place and a fingerprint of what must not change (Orbax)."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.run_folder import run_folder
from cfd2gray.training.state import TrainState
from data_pipeline.mistakes import Mistake

if TYPE_CHECKING:
    from cfd2gray.run_folder import RunFolder

logger = logging.getLogger(__name__)

FORMAT = 2


class Checkpoints:
    """The checkpoints of one run in ``workdir/checkpoints``; saving is asynchronous, restoring exact.

    Attributes:
      best: Step whose checkpoint is kept beside the newest ones; None: no other.

    Args:
      workdir: Folder of the run, here or in a bucket (`run_folder.run_folder`).
      keep: How many of the newest to keep. Only checkpoints of this run, made by this class, are ever removed.
      seconds: That a save may take. Then it fails on every process: when one cannot finish (a store has lost what it took),
        the others would wait for it.
    """

    def __init__(self, workdir: RunFolder, *, keep: int, seconds: int = 600):
        self.folder = run_folder(workdir) / "checkpoints"
        self.best: int | None = None
        policies = ocp.checkpoint_managers
        kept = policies.AnyPreservationPolicy([policies.LatestN(keep), _Best(self)])
        limit = ocp.AsyncOptions(timeout_secs=seconds)
        options = ocp.CheckpointManagerOptions(preservation_policy=kept, create=True, async_options=limit)
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
        """The newest state that can be read, laid out as ``target``; ``data`` is set to where it stood.

        A checkpoint of which a part is missing or cut short (a store that lost what it had taken) is passed over, and removed
        once an older one is read.

        Raises:
          Mistake: When the run's specs or the data's fingerprint differ, naming every difference.
        """
        damaged: dict[int, Exception] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                state = self._restore(step, target, data, run)
            except Exception as error:
                if not _is_damage(error):
                    raise
                damaged[step] = error
                continue
            for broken, error in damaged.items():
                why = " ".join(str(error).split())[:200]
                logger.warning("checkpoint %d cannot be read and is removed; going on from %d (%s)", broken, step, why)
                self._manager.delete(broken)
            return state
        raise next(iter(damaged.values()))

    def _restore(self, step: int, target: TrainState, data: Any, run: dict[str, Any]) -> TrainState:
        found = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
        # What a run of an earlier version did not know yet has its default.
        found["model"] = dataclasses.asdict(GeneratorSpec(**found["model"]))
        check_same_run(found, {"format": FORMAT, **run}, where=f"{self.folder / str(step)}")
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


class _Best:
    """Preserves the checkpoint that validation liked best (an Orbax ``PreservationPolicy``)."""

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        return [checkpoint.step == self._checkpoints.best for checkpoint in checkpoints]


_NOT_ANSWERING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
"""Status words of TensorStore that say nothing of what is stored."""


def _is_damage(error: Exception) -> bool:
    """Whether a failed reading says that bytes are missing or wrong, and not that the store does not answer."""
    if isinstance(error, Mistake):
        return False
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    return not any(word in str(error) for word in _NOT_ANSWERING)


def check_same_run(found: dict[str, Any], expected: dict[str, Any], *, where: str) -> None:
    """Raise `Mistake` that lists every key whose value differs between a checkpoint and this run."""
    old, new = flatten_dict(found, sep="."), flatten_dict(json.loads(json.dumps(expected)), sep=".")
    names = sorted(set(old) | set(new))
    differences = [f"{k}: checkpoint {old.get(k)!r}, now {new.get(k)!r}" for k in names if old.get(k) != new.get(k)]
    if differences:
        raise Mistake(
            f"{where} was made by a different run; resume it with the same settings or use a new --workdir. "
            + "; ".join(differences)
        )
