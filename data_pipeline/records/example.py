"""`PairRecord` to a serialised ``tf.train.Example`` and back, without loss.

The layout is the one TensorFlow Datasets gives a ``Tensor`` feature with several unknown dimensions: ``NAME/shape`` and
``NAME/value``. With the encoding ``raw`` the value is the array's bytes in C order, so TensorFlow reads it with
``tf.io.decode_raw`` and we read it without a copy; with ``zstd`` it is one Zstandard frame of them (level 1: smaller
files for little CPU, but only this package reads it).

=====================================================  ========================================================
feature                                                content
=====================================================  ========================================================
``cfd``, ``grey``, ``strata``, ``labels``              ``/shape`` int64 list, ``/value`` bytes
``clip_id patient_id view kind vendor source_digest``  UTF-8 text
``shared``, ``schema_version``                         int64
``fps``, ``score``                                     float32
``geometry``, ``params``                               JSON text with sorted keys
``encoding``                                           ``raw`` or ``zstd``
=====================================================  ========================================================
"""

from __future__ import annotations

import json
import math

import numpy as np
import zstandard

from data_pipeline.geometry import from_fields
from data_pipeline.records import proto as example_proto
from data_pipeline.schema import SCHEMA_VERSION, PairRecord

ENCODINGS = ("raw", "zstd")
ARRAYS = ("cfd", "grey", "strata", "labels")
TEXTS = ("clip_id", "patient_id", "view", "kind", "vendor", "source_digest")
ZSTD_LEVEL = 1


def encode(record: PairRecord, *, encoding: str = "raw") -> bytes:
    """Serialise a record; equal records give equal bytes.

    Args:
        record: the pair.
        encoding: how the arrays are stored, one of `ENCODINGS`; both are lossless.

    Raises:
        ValueError: for an unknown encoding, or ``params`` that JSON cannot hold.
    """
    check_encoding(encoding)
    features: dict[str, example_proto.Value] = {
        "encoding": [encoding.encode()],
        "schema_version": [SCHEMA_VERSION],
        "shared": [int(record.shared)],
        "fps": [float(record.fps)],
        "score": [float(record.score)],
        "geometry": [_json(record.geometry.fields(), what="geometry")],
        "params": [_json(record.params, what="params")],
    }
    for name in TEXTS:
        features[name] = [getattr(record, name).encode()]
    for name in ARRAYS:
        array = getattr(record, name)
        data = array.tobytes()
        features[f"{name}/shape"] = list(array.shape)
        features[f"{name}/value"] = [data if encoding == "raw" else _compress(data)]
    return example_proto.serialize(features)


def decode(serialized: bytes | memoryview) -> PairRecord:
    """The record that `encode` was given. With ``raw`` its arrays are read-only views of ``serialized``.

    Raises:
        ValueError: when the bytes are no record, are damaged, or come from another schema version.
    """
    features = example_proto.parse(serialized)
    try:
        version = features["schema_version"][0]
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"records of schema version {SCHEMA_VERSION} can be read, got version {version}; "
                "pack the data again with this release, or read them with the release that packed them"
            )
        encoding = _text(features["encoding"])
        check_encoding(encoding)
        return PairRecord(
            **{name: _array(features, name, encoding) for name in ARRAYS},  # pyright: ignore[reportArgumentType]
            **{name: _text(features[name]) for name in TEXTS},
            shared=bool(features["shared"][0]),
            fps=features["fps"][0],
            score=features["score"][0],
            geometry=from_fields(json.loads(_text(features["geometry"]))),
            params=json.loads(_text(features["params"])),
        )
    except (KeyError, IndexError, TypeError, json.JSONDecodeError, zstandard.ZstdError) as error:
        raise ValueError(f"these bytes are an Example but no pair record: {type(error).__name__} {error}") from None


def clip_id(serialized: bytes | memoryview) -> str:
    """The id in a serialised record; nothing is decoded."""
    return _text(example_proto.parse(serialized).get("clip_id") or [b""])


def check_encoding(encoding: str) -> None:
    """Raise ``ValueError`` for an unknown encoding."""
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {ENCODINGS}, got {encoding!r}")


def _json(value: object, *, what: str) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"PairRecord.{what} must be JSON-serialisable with finite numbers, got {value!r:.200} ({error}); "
            "convert arrays and NumPy scalars with .tolist()"
        ) from None


def _text(values: list) -> str:
    return str(values[0], "utf-8")


def _array(features: dict[str, list], name: str, encoding: str) -> np.ndarray:
    shape = features[f"{name}/shape"]
    data = features[f"{name}/value"][0]
    if encoding == "zstd":
        # No limit by trust: a damaged header must not ask for more than the shape says.
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=math.prod(shape))
    if len(data) != math.prod(shape):
        raise ValueError(f"{name} of shape {shape} needs {math.prod(shape)} bytes, the record holds {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _compress(data: bytes) -> bytes:
    # One compressor per call: the objects are not safe to share between threads and cost microseconds.
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data)
