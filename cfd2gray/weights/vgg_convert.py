"""Any common file of VGG16 weights -> one safetensors file that carries the weights' own preprocessing."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from cfd2gray.models.vgg import LAYERS, VGG, Preprocessing
from data_pipeline.files import atomic_path

CAFFE = Preprocessing(order="BGR", scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
TORCHVISION = Preprocessing(order="RGB", scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PREPROCESSING = {"caffe": CAFFE, "torchvision": TORCHVISION}
"""The two trainings of this network in circulation; their inputs differ, so weights and preprocessing travel together."""

_TORCH_INDEX = dict(zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21), (name for name, _, _ in LAYERS)))


def canonical_name(name: str) -> tuple[str, str] | None:
    """``(layer, "kernel" | "bias")`` of a tensor's name in any of the known spellings, ``None`` for other tensors.

    Known: torchvision ``features.0.weight``, Keras ``block1_conv1/kernel:0``, ours ``conv1_1.kernel``, Caffe/ONNX
    ``conv1_1_w_0``, ``vgg0_conv0_weight``.
    """
    if match := re.search(r"features\.(\d+)\.(weight|bias)$", name):
        layer = _TORCH_INDEX.get(int(match[1]))
    elif match := re.search(r"block(\d)_conv(\d).*?(kernel|bias|weight)", name):
        layer = f"conv{match[1]}_{match[2]}"
        return (layer, "bias" if match[3] == "bias" else "kernel") if layer in _names() else None
    elif match := re.search(r"vgg\d*_conv(\d+)_(weight|bias)$", name):
        layer = LAYERS[int(match[1])][0] if int(match[1]) < len(LAYERS) else None
    elif match := re.search(r"(conv\d_\d)[._](kernel|weight|w|bias|b)(_\d+)?$", name):
        layer = match[1] if match[1] in _names() else None
    else:
        return None
    return (layer, "bias" if match[2].startswith("b") else "kernel") if layer else None


def _names() -> tuple[str, ...]:
    return tuple(name for name, _, _ in LAYERS)


def read_tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of a ``.safetensors``, ``.npz``, ``.h5``/``.keras`` weights, ``.onnx`` or ``.pth`` file, as they are.

    Raises:
      ValueError: For another suffix, an unreadable file or a missing optional library.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a VGG16 weights file")
    readers = {
        ".safetensors": _read_safetensors, ".npz": _read_npz, ".h5": _read_h5, ".hdf5": _read_h5,
        ".onnx": _read_onnx, ".pth": _read_torch, ".pt": _read_torch,
    }  # fmt: skip
    if suffix not in readers:
        raise ValueError(f"{path}: VGG weights come as {', '.join(readers)}, got {suffix or 'no suffix'}")
    try:
        return readers[suffix](path)
    except ImportError as error:
        raise ValueError(f"{path}: reading {suffix} needs the package {error.name!r}; install it or convert") from error
    except Exception as error:
        raise ValueError(f"{path}: not a readable {suffix} file ({type(error).__name__}: {error})") from error


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_h5(path: pathlib.Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: np.asarray(item)}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def _read_onnx(path: pathlib.Path) -> dict[str, np.ndarray]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)  # refuses arbitrary pickles
    return {name: tensor.numpy() for name, tensor in loaded.items()}


def to_canonical(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Kernels (HWIO) and biases by layer name, float32, every shape checked.

    Raises:
      ValueError: Naming every missing or mis-shaped tensor at once.
    """
    kernels, biases, problems = {}, {}, []
    by_name: dict[tuple[str, str], np.ndarray] = {}
    for name, value in tensors.items():
        key = canonical_name(name)
        if key is not None:
            by_name[key] = np.asarray(value, np.float32)
    for layer, c_in, c_out in LAYERS:
        kernel, bias = by_name.get((layer, "kernel")), by_name.get((layer, "bias"))
        if kernel is None or bias is None:
            problems.append(f"{layer} is missing")
            continue
        if kernel.shape == (c_out, c_in, 3, 3):  # OIHW -> HWIO
            kernel = kernel.transpose(2, 3, 1, 0)
        if kernel.shape != (3, 3, c_in, c_out) or bias.shape != (c_out,):
            problems.append(f"{layer} has kernel {by_name[layer, 'kernel'].shape} and bias {bias.shape}")
            continue
        kernels[layer], biases[layer] = np.ascontiguousarray(kernel), bias
    # A file that ends early (the embedded one ends at conv3_3) is fine; a gap or a wrong shape is not.
    present = [layer for layer in _names() if layer in kernels]
    if not present or present != list(_names()[: len(present)]) or any("has kernel" in p for p in problems):
        raise ValueError("these are not VGG16 weights: " + "; ".join(problems or ["no known tensor names"]))
    return kernels, biases


def convert(
    source: pathlib.Path, target: pathlib.Path, *, preprocessing: str, last: str = "conv4_3", dtype: str = "float32"
) -> dict[str, list[int]]:
    """Convert ``source`` to the project's safetensors file ``target`` (written under a temporary name, then renamed).

    Args:
      source: Any file `read_tensors` reads.
      target: ``.safetensors`` file to write; must not exist.
      preprocessing: ``"caffe"`` or ``"torchvision"``: which training of VGG16 the weights are.
      last: The last layer to keep.
      dtype: ``"float32"`` or ``"float16"``.

    Returns:
      ``{tensor name: shape}`` of what was written.
    """
    from safetensors.numpy import save_file

    if preprocessing not in PREPROCESSING:
        raise ValueError(f"preprocessing must be one of {sorted(PREPROCESSING)}, got {preprocessing!r}")
    if last not in _names():
        raise ValueError(f"last must be one of {_names()}, got {last!r}")
    if target.exists():
        raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
    kernels, biases = to_canonical(read_tensors(source))
    kept = [layer for layer in _names()[: _names().index(last) + 1] if layer in kernels]
    tensors = {f"{layer}.kernel": kernels[layer].astype(dtype) for layer in kept}
    tensors |= {f"{layer}.bias": biases[layer].astype(dtype) for layer in kept}
    metadata = {"preprocessing": json.dumps(dataclasses.asdict(PREPROCESSING[preprocessing])), "layout": "HWIO"}
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def load(path: pathlib.Path) -> VGG:
    """Load a file written by `convert`.

    Raises:
      ValueError: When the file is of another kind (run ``cfd2gray convert-vgg`` on it first).
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if "preprocessing" not in metadata:
        raise ValueError(
            f"{path}: carries no preprocessing; make it with `cfd2gray convert-vgg {path} -o vgg.safetensors`"
        )
    kernels, biases = to_canonical(tensors)
    fields = json.loads(metadata["preprocessing"])
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return VGG(kernels=kernels, biases=biases, preprocessing=Preprocessing(**fields))


def load_embedded() -> VGG:
    """The weights inside the package: conv1_1..conv3_3 of the Caffe training, stored as float16."""
    return load(pathlib.Path(__file__).parent / "assets" / "vgg16_conv3.safetensors")
