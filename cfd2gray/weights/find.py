"""Where weights come from: the package, a file, or a training run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import jax

from cfd2gray.config import from_json
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.pure import fresh_params
from cfd2gray.run_folder import in_bucket, run_folder
from cfd2gray.weights.pretrained import GeneratorWeights, flat_params, load_pretrained, load_weights

if TYPE_CHECKING:
    from cfd2gray.run_folder import RunFolder


def find_weights(where: str) -> GeneratorWeights:
    """``"pretrained"``, a weights file, or the folder of a training run.

    Raises:
      ValueError: When there is nothing usable there.
    """
    if where == "pretrained":
        return load_pretrained()
    path = run_folder(where, "weights")
    return checkpoint_weights(path) if in_bucket(path) or path.is_dir() else load_weights(path)


def checkpoint_weights(folder: RunFolder) -> GeneratorWeights:
    """The averaged generator of a run's newest checkpoint, with the settings of its config."""
    step_folder = find_checkpoint(folder)
    config_file = step_folder.parent.parent / "config.json"
    if not config_file.is_file():
        raise ValueError(
            f"{folder}: there is no config.json beside the checkpoints; give the --workdir of a training run"
        )
    config = from_json(config_file.read_text())
    try:
        spec = GeneratorSpec(**read_run(step_folder)["model"])
    except (KeyError, TypeError, FileNotFoundError) as error:
        raise ValueError(f"{step_folder}: not a checkpoint of cfd2gray ({error})") from error
    abstract = jax.eval_shape(lambda: fresh_params(Generator, spec, 0))
    params = jax.device_get(restore_average(step_folder, abstract))
    digest = hashlib.sha256()
    for name, value in sorted(flat_params(params).items()):
        digest.update(name.encode() + value.tobytes())
    return GeneratorWeights(
        params=params,
        spec=spec,
        settings=dict(config.translate),
        name=f"{config_file.parent.name}-step{step_folder.name}",
        digest=digest.hexdigest(),
    )


def find_checkpoint(folder: RunFolder) -> RunFolder:
    """The newest checkpoint under a run folder, its ``checkpoints`` folder, or one checkpoint itself.

    Raises:
      ValueError: When there is none.
    """
    folder = run_folder(folder, "--checkpoint")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the --workdir of a training run")
    for candidate in (folder / "checkpoints", folder):
        steps = [p for p in candidate.iterdir() if p.name.isdigit() and _whole(p)] if candidate.is_dir() else []
        if steps:
            return max(steps, key=lambda p: int(p.name))
    if (folder / "state").is_dir():
        return folder
    raise ValueError(f"{folder}: holds no checkpoint; give the --workdir of a training run")


def _whole(step_folder: RunFolder) -> bool:
    """A folder is renamed when it is whole; in a bucket, where nothing can be, Orbax writes this file last."""
    return not in_bucket(step_folder) or (step_folder / "commit_success.txt").exists()


def read_run(step_folder: RunFolder) -> dict[str, Any]:
    """What `training.checkpoint.Checkpoints.save` was given as ``run``."""
    import orbax.checkpoint as ocp  # takes a quarter of a second, which a weights file need not wait for

    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(step_folder / "run")


def restore_average(step_folder: RunFolder, abstract: Any) -> Any:
    """Only the averaged generator of a checkpoint, on this process's first device.

    Args:
      step_folder: From `find_checkpoint`.
      abstract: Nested dict of shapes of the generator's parameters.

    Raises:
      ValueError: When the checkpoint holds another network, naming the parameters that differ.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        stored = reader.metadata(step_folder / "state").item_metadata.tree["ema"]
        _check_shapes(stored, abstract, where=step_folder)
        target = {"ema": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), abstract)}
        args = ocp.args.PyTreeRestore(
            item=target, restore_args=ocp.checkpoint_utils.construct_restore_args(target), partial_restore=True
        )
        return reader.restore(step_folder / "state", args=args)["ema"]


def _check_shapes(stored: Any, abstract: Any, *, where: RunFolder) -> None:
    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
        return {jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape) for path, leaf in leaves}

    old, new = shapes(stored), shapes(abstract)
    problems = [
        f"{k}: stored {old.get(k)}, expected {new.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)
    ]
    if problems:
        raise ValueError(f"{where} holds another network: " + "; ".join(problems[:8]))
