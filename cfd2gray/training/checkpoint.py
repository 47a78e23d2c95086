"""Checkpoints: the whole state, the data iterator's place and a fingerprint of what must not change (Orbax)."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.state import TrainState

FORMAT = 2


class Checkpoints:
    """The checkpoints of one run in ``workdir/checkpoints``; saving is asynchronous, restoring exact.

    Args:
      workdir: Folder of the run.
      keep: How many of the newest to keep. Only checkpoints of this run, made by this class, are ever removed.
    """

    def __init__(self, workdir: pathlib.Path, *, keep: int):
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
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

    def restore(self, target: TrainState, data: Any, run: dict[str, Any]) -> TrainState:
        """The newest state, laid out as ``target``; ``data`` is set to where it stood.

        Raises:
          ValueError: When the run's specs or the data's fingerprint differ, naming every difference.
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

    def wait(self) -> None:
        """Until the last save is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def check_same_run(found: dict[str, Any], expected: dict[str, Any], *, where: pathlib.Path) -> None:
    """Raise ``ValueError`` that lists every key whose value differs between a checkpoint and this run."""
    old, new = _flat(found), _flat(json.loads(json.dumps(expected)))
    names = sorted(set(old) | set(new))
    differences = [f"{k}: checkpoint {old.get(k)!r}, now {new.get(k)!r}" for k in names if old.get(k) != new.get(k)]
    if differences:
        raise ValueError(
            f"{where} was made by a different run; resume it with the same settings or use a new --workdir. "
            + "; ".join(differences)
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in _flat(item, f"{prefix}{name}.").items()}
    return {prefix.rstrip("."): value}


def find_checkpoint(folder: pathlib.Path) -> pathlib.Path:
    """The newest checkpoint under a run folder, its ``checkpoints`` folder, or one checkpoint itself.

    Raises:
      ValueError: When there is none.
    """
    folder = pathlib.Path(folder).absolute()
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the --workdir of a training run")
    for candidate in (folder / "checkpoints", folder):
        steps = [p for p in candidate.iterdir() if p.name.isdigit()] if candidate.is_dir() else []
        if steps:
            return max(steps, key=lambda p: int(p.name))
    if (folder / "state").is_dir():
        return folder
    raise ValueError(f"{folder}: holds no checkpoint; give the --workdir of a training run")


def read_run(step_folder: pathlib.Path) -> dict[str, Any]:
    """What `Checkpoints.save` was given as ``run``."""
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(step_folder / "run")


def restore_average(step_folder: pathlib.Path, abstract: Any) -> Any:
    """Only the averaged generator of a checkpoint, on this process's first device.

    Args:
      step_folder: From `find_checkpoint`.
      abstract: Nested dict of shapes of the generator's parameters.

    Raises:
      ValueError: When the checkpoint holds another network, naming the parameters that differ.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        stored = reader.metadata(step_folder / "state").item_metadata.tree["ema"]
        _check_shapes(stored, abstract, where=step_folder)
        target = {"ema": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), abstract)}
        args = ocp.args.PyTreeRestore(
            item=target, restore_args=ocp.checkpoint_utils.construct_restore_args(target), partial_restore=True
        )
        return reader.restore(step_folder / "state", args=args)["ema"]


def _check_shapes(stored: Any, abstract: Any, *, where: pathlib.Path) -> None:
    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
        return {jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape) for path, leaf in leaves}

    old, new = shapes(stored), shapes(abstract)
    problems = [
        f"{k}: stored {old.get(k)}, expected {new.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)
    ]
    if problems:
        raise ValueError(f"{where} holds another network: " + "; ".join(problems[:8]))
