"""``features.json`` and ``dataset_info.json``: with them TensorFlow Datasets reads a packed directory as its own.

    builder = tfds.builder_from_directory("packed")
    dataset = builder.as_dataset(split="train")

With the encoding ``raw`` the arrays come out as ``uint8`` tensors of the record's shape. With ``zstd`` they come out as
``{"shape", "value"}``, the value still compressed. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from data_pipeline.files import write_atomically
from data_pipeline.records.example import ARRAYS, TEXTS
from data_pipeline.records.manifest import Manifest
from data_pipeline.schema import SCHEMA_VERSION

VERSION = f"{SCHEMA_VERSION}.0.0"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


def shard_name(name: str, split: str, number: int) -> str:
    """File name of a shard. It does not hold the number of shards, which nobody knows while packing."""
    return f"{name}-{split}.tfrecord-{number:05d}"


def features(*, encoding: str):
    """The records' ``tfds.features.FeaturesDict``."""
    # Imported late: it takes a second, and only packing and Beam need it.
    import tensorflow_datasets.public_api as tfds

    if encoding == "raw":
        arrays = {
            name: tfds.features.Tensor(
                shape=(None, None, None, *((3,) if name == "cfd" else (1,) if name == "grey" else ())),
                dtype=np.uint8,
                encoding=tfds.features.Encoding.BYTES,
            )
            for name in ARRAYS
        }
    else:
        arrays = {
            name: {
                "shape": tfds.features.Tensor(shape=(4 if name in ("cfd", "grey") else 3,), dtype=np.int64),
                "value": tfds.features.Scalar(dtype=np.object_, doc="one Zstandard frame of the array's bytes"),
            }
            for name in ARRAYS
        }
    return tfds.features.FeaturesDict(
        {
            **arrays,
            **{name: tfds.features.Text() for name in (*TEXTS, "geometry", "params", "encoding")},
            "shared": tfds.features.Scalar(dtype=np.int64),
            "schema_version": tfds.features.Scalar(dtype=np.int64),
            "fps": tfds.features.Scalar(dtype=np.float32),
            "score": tfds.features.Scalar(dtype=np.float32),
        }
    )


def write(directory: str | os.PathLike, manifest: Manifest) -> None:
    """Write both files for the shards that a manifest lists."""
    directory = Path(directory)
    features(encoding=manifest.encoding).save_config(str(directory))
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
