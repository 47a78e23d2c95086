"""Generator weights as files: safetensors with the network's shape and settings in the header, checked by digest."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cfd2gray.models.spec import GeneratorSpec
from data_pipeline.files import atomic_path, file_digest

ASSETS = pathlib.Path(__file__).parent / "assets"
FORMAT = "cfd2gray-generator-3"


@dataclasses.dataclass(frozen=True)
class GeneratorWeights:
    """Parameters with everything needed to use them.

    Attributes:
      params: Nested dict of float32 arrays.
      spec: Shape of the network.
      settings: ``config.translate`` and ``augment``-independent facts: working size, feather, window.
      name: What to call the model in outputs.
      digest: SHA-256 of the file they came from (of the checkpoint's parameters where there is no file).
      file: The file they came from, if any.
    """

    params: Any
    spec: GeneratorSpec
    settings: dict[str, int]
    name: str
    digest: str
    file: pathlib.Path | None = None


def flat_params(params: Any) -> dict[str, np.ndarray]:
    """``{"anatomy.stem.conv.kernel": array}``, sorted."""
    flat: dict[str, np.ndarray] = {}
    for name, value in sorted(params.items()):
        inner = flat_params(value) if isinstance(value, Mapping) else {"": np.asarray(value)}
        flat |= {f"{name}.{rest}".removesuffix("."): array for rest, array in inner.items()}
    return flat


def _nested(flat: dict[str, np.ndarray]) -> Any:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


def save_weights(path: pathlib.Path, weights: GeneratorWeights, *, dtype: str = "float32") -> str:
    """Write ``path`` (must not exist) and return its SHA-256. ``dtype``: ``float32`` or ``bfloat16`` (half the size)."""
    import jax.numpy as jnp
    from safetensors.flax import save_file

    path = pathlib.Path(path)
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten; remove it or name another file")
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype must be float32 or bfloat16, got {dtype!r}")
    header = {
        "format": FORMAT,
        "name": weights.name,
        "spec": json.dumps(dataclasses.asdict(weights.spec)),
        "settings": json.dumps(weights.settings),
    }
    tensors = {name: jnp.asarray(value, dtype) for name, value in flat_params(weights.params).items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=header)
    return file_digest(path)


def load_weights(path: pathlib.Path, *, expected_digest: str | None = None) -> GeneratorWeights:
    """Read a file of `save_weights`.

    Raises:
      ValueError: For a missing or foreign file, or one whose digest is not the expected one.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file; give a .safetensors file exported by cfd2gray")
    digest = file_digest(path)
    if expected_digest is not None and digest != expected_digest:
        raise ValueError(f"{path} is damaged: SHA-256 {digest}, expected {expected_digest}; install the package again")
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
        tensors = {name: _float32(tensor) for name, tensor in deserialize(path.read_bytes())}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: not generator weights (format {header.get('format')!r}, expected {FORMAT!r})")
    return GeneratorWeights(
        params=_nested(tensors),
        spec=GeneratorSpec(**json.loads(header["spec"])),
        settings=json.loads(header["settings"]),
        name=header["name"],
        digest=digest,
        file=path,
    )


def _float32(tensor: dict[str, Any]) -> np.ndarray:
    """A tensor of `safetensors.deserialize`; NumPy has no bfloat16, which is the upper half of a float32."""
    if tensor["dtype"] == "BF16":
        upper = np.frombuffer(tensor["data"], np.uint16).astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(tensor["shape"])
    return np.frombuffer(tensor["data"], np.float32).reshape(tensor["shape"])


def mean_weights(a: GeneratorWeights, b: GeneratorWeights) -> GeneratorWeights:
    """The mean of two legs of one training, named after both (Wortsman et al. 2022, model soups).

    Raises:
      ValueError: When they are weights of different networks.
    """
    first, second = flat_params(a.params), flat_params(b.params)
    if {n: x.shape for n, x in first.items()} != {
        n: x.shape for n, x in second.items()
    } or a.spec.causal != b.spec.causal:
        raise ValueError(
            f"{a.name} and {b.name} are weights of different networks, which have no mean: {a.spec}, {b.spec}"
        )
    params = {name: (np.float32(x) + np.float32(second[name])) / np.float32(2.0) for name, x in first.items()}
    return dataclasses.replace(a, params=_nested(params), name=f"{a.name}+{b.name}", digest="", file=None)


def available() -> dict[str, dict[str, Any]]:
    """The weights inside the package: ``{name: {"file", "sha256", "about"}}``."""
    index = ASSETS / "pretrained.json"
    return json.loads(index.read_text()) if index.is_file() else {}


def load_pretrained(name: str = "default") -> GeneratorWeights:
    """Weights that ship with the package, checked against their recorded digest.

    Raises:
      ValueError: For an unknown name, listing the known ones, or a damaged file.
    """
    known = available()
    if name not in known:
        listed = ", ".join(known) or "none in this build: train with `cfd2gray train` and use --checkpoint"
        raise ValueError(f"no pretrained weights named {name!r}; known: {listed}")
    return load_weights(ASSETS / known[name]["file"], expected_digest=known[name]["sha256"])
