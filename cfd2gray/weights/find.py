"""Where weights come from: the package, a file, or a training run."""

from __future__ import annotations

import hashlib
import pathlib

import jax

from cfd2gray.config import from_json
from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.state import generator_params
from cfd2gray.weights.pretrained import GeneratorWeights, flat_params, load_pretrained, load_weights


def find_weights(where: str) -> GeneratorWeights:
    """``"pretrained"``, a weights file, or the folder of a training run.

    Raises:
      ValueError: When there is nothing usable there.
    """
    if where == "pretrained":
        return load_pretrained()
    path = pathlib.Path(where)
    return checkpoint_weights(path) if path.is_dir() else load_weights(path)


def checkpoint_weights(folder: pathlib.Path) -> GeneratorWeights:
    """The averaged generator of a run's newest checkpoint, with the settings of its config."""
    # Orbax takes a quarter of a second to load, which translating with a weights file need not wait for.
    from cfd2gray.training.checkpoint import find_checkpoint, read_run, restore_average

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
    abstract = jax.eval_shape(lambda: generator_params(spec, 0))
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
