"""``features.json`` and ``dataset_info.json``: with them TensorFlow Datasets reads a packed directory as its own.

    builder = tfds.builder_from_directory("packed")
    dataset = builder.as_dataset(split="train")

With the encoding ``raw`` the arrays come out as ``uint8`` tensors of the record's shape. With ``zstd`` they come out as
``{"shape", "value"}``, the values still compressed, one of every `example.CHUNK` pictures:

    data = b"".join(zstandard.decompress(piece) for piece in row["cfd"]["value"])
    frames = np.frombuffer(data, np.uint8).reshape(row["cfd"]["shape"])

Both files are written here in the form that TFDS gives them: its package is not needed to pack.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from data_pipeline.files import write_atomically
from data_pipeline.records.example import ARRAYS, CHUNK, TEXTS
from data_pipeline.records.manifest import Manifest
from data_pipeline.schema import SCHEMA_VERSION

VERSION = f"{SCHEMA_VERSION}.0.0"
_CORE = "tensorflow_datasets.core.features"
_TEXTS = (*TEXTS, "geometry", "params", "encoding")
_NUMBERS = {"shared": "int64", "schema_version": "int64", "fps": "float32", "score": "float32"}
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


def shard_name(name: str, split: str, number: int) -> str:
    """File name of a shard. It does not hold the number of shards, which nobody knows while packing."""
    return f"{name}-{split}.tfrecord-{number:05d}"


def features(*, encoding: str) -> dict[str, Any]:
    """``features.json`` of the records, as ``FeaturesDict.save_config`` of TFDS writes it."""
    tensors = {}
    for name in ARRAYS:
        channels = {"cfd": [3], "grey": [1]}.get(name, [])
        if encoding == "raw":
            tensors[name] = _tensor("uint8", [-1, -1, -1, *channels], encoding="bytes")
        else:
            frames = {**_scalar("string"), "description": f"Zstandard frames, each of {CHUNK} pictures"}
            sequence = {"feature": frames, "length": "-1"}
            value = {"pythonClassName": f"{_CORE}.sequence_feature.Sequence", "sequence": sequence}
            tensors[name] = _dictionary({"shape": _tensor("int64", [3 + len(channels)]), "value": value})
    texts = {name: {"pythonClassName": f"{_CORE}.text_feature.Text", "text": {}} for name in _TEXTS}
    numbers = {name: _scalar(dtype) for name, dtype in _NUMBERS.items()}
    return _dictionary({**tensors, **texts, **numbers})


def _dictionary(inside: dict[str, Any]) -> dict[str, Any]:
    return {"pythonClassName": f"{_CORE}.features_dict.FeaturesDict", "featuresDict": {"features": inside}}


def _tensor(dtype: str, shape: list[int], *, encoding: str = "none") -> dict[str, Any]:
    told = {"dtype": dtype, "encoding": encoding, "shape": {"dimensions": [str(size) for size in shape]}}
    return {"pythonClassName": f"{_CORE}.tensor_feature.Tensor", "tensor": told}


def _scalar(dtype: str) -> dict[str, Any]:
    return {"pythonClassName": f"{_CORE}.scalar.Scalar", "tensor": {"dtype": dtype, "encoding": "none", "shape": {}}}


def write(directory: str | os.PathLike, manifest: Manifest) -> None:
    """Write both files for the shards that a manifest lists."""
    directory = Path(directory)
    told = json.dumps(features(encoding=manifest.encoding), indent=4, sort_keys=True)
    write_atomically(directory / "features.json", told)
    info = {
        "name": manifest.name,
        "version": VERSION,
        "description": "Colour-flow-Doppler clips with their greyscale counterparts, packed by cfd2gray.",
        "fileFormat": "tfrecord",
        "moduleName": "data_pipeline.records.tfds",
        "releaseNotes": {VERSION: "schema version of the records"},
        "splits": [
            {
                "name": split,
                "filepathTemplate": _TEMPLATE,
                "shardLengths": [str(shard.n_clips) for shard in manifest.shards if shard.split == split],
                "numBytes": str(sum(shard.n_bytes for shard in manifest.shards if shard.split == split)),
            }
            for split in manifest.splits
        ],
    }
    write_atomically(directory / "dataset_info.json", json.dumps(info, indent=1, sort_keys=True) + "\n")
