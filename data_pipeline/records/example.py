"""`PairRecord` to a serialised ``tf.train.Example`` and back, without loss.

The layout is the one TensorFlow Datasets gives a ``Tensor`` feature with several unknown dimensions: ``NAME/shape`` and
``NAME/value``. With the encoding ``raw`` the value is the array's bytes in C order, so TensorFlow reads it with
``tf.io.decode_raw`` and we read it without a copy. With ``zstd`` the values are Zstandard frames (level 1: smaller files
for little CPU), each of the next `CHUNK` pictures, so that a window in time is decompressed alone; each says its size
itself. Releases before wrote one for the whole clip: a list of one, read the same way.

=====================================================  ========================================================
feature                                                content
=====================================================  ========================================================
``cfd``, ``grey``, ``strata``, ``labels``              ``/shape`` int64 list, ``/value`` list of bytes
``clip_id patient_id view kind vendor source_digest``  UTF-8 text
``shared``, ``schema_version``                         int64
``fps``, ``score``                                     float32
``geometry``, ``params``                               JSON text with sorted keys
``encoding``                                           ``raw`` or ``zstd``
=====================================================  ========================================================
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator

import numpy as np
import zstandard

from data_pipeline.geometry import from_fields
from data_pipeline.records import proto as example_proto
from data_pipeline.schema import SCHEMA_VERSION, PairRecord

ENCODINGS = ("raw", "zstd")
ARRAYS = ("cfd", "grey", "strata", "labels")
TEXTS = ("clip_id", "patient_id", "view", "kind", "vendor", "source_digest")
ZSTD_LEVEL = 1
CHUNK = 16
"""Pictures of a Zstandard frame: eight cost 0.3 % more space, and a window of 32 a tenth less time."""


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
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)  # one a call: threads must not share it
    for name in ARRAYS:
        array = np.ascontiguousarray(getattr(record, name))
        step = len(array) if encoding == "raw" else CHUNK
        pieces = [array[first : first + step].reshape(-1).data for first in range(0, len(array), step)]
        features[f"{name}/shape"] = list(array.shape)
        features[f"{name}/value"] = pieces if encoding == "raw" else [compressor.compress(piece) for piece in pieces]
    return example_proto.serialize(features)


def decode(serialized: bytes | memoryview) -> PairRecord:
    """The record that `encode` was given. With ``raw`` its arrays are read-only views of ``serialized``.

    Raises:
        ValueError: when the bytes are no record, are damaged, or come from another schema version.
    """
    return StoredPair.parsed(serialized).at(slice(None))


@dataclasses.dataclass(frozen=True)
class StoredPair:
    """A serialised record of which the pictures that are asked for are decompressed, and no others."""

    features: dict[str, list]
    encoding: str

    @staticmethod
    def parsed(serialized: bytes | memoryview) -> StoredPair:
        """``ValueError`` when the bytes are no record, or come from another schema version."""
        features = example_proto.parse(serialized)
        with _no_pair_record():
            version = features["schema_version"][0]
            if version != SCHEMA_VERSION:
                raise ValueError(
                    f"records of schema version {SCHEMA_VERSION} can be read, got version {version}; "
                    "pack the data again with this release, or read them with the release that packed them"
                )
            encoding = _text(features["encoding"])
            check_encoding(encoding)
            return StoredPair(features, encoding)

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height and width of the whole."""
        return tuple(self.features["strata/shape"])

    def at(self, time: slice | np.ndarray) -> PairRecord:
        """The record with the pictures at ``time`` alone, a slice that runs forwards or places; ``ValueError`` for damage."""
        features = self.features
        with _no_pair_record():
            return PairRecord(
                **{name: self._array(name, time) for name in ARRAYS},  # pyright: ignore[reportArgumentType]
                **{name: _text(features[name]) for name in TEXTS},
                shared=bool(features["shared"][0]),
                fps=features["fps"][0],
                score=features["score"][0],
                geometry=from_fields(json.loads(_text(features["geometry"]))),
                params=json.loads(_text(features["params"])),
            )

    def _array(self, name: str, time: slice | np.ndarray) -> np.ndarray:
        shape, pieces = self.features[f"{name}/shape"], self.features[f"{name}/value"]
        size = math.prod(shape[1:])
        sizes = [len(piece) if self.encoding == "raw" else zstandard.frame_content_size(piece) for piece in pieces]
        if min(shape) < 1 or sum(sizes) != shape[0] * size or any(n <= 0 or n % size for n in sizes):
            raise ValueError(f"{name} of shape {shape} needs {math.prod(shape)} bytes, the record holds {sum(sizes)}")
        if self.encoding == "raw":
            return np.frombuffer(pieces[0], np.uint8).reshape(shape)[time]
        wanted = np.arange(shape[0])[time]
        ends = np.cumsum(sizes) // size
        one = int(np.searchsorted(ends, wanted.min(), side="right"))
        last = int(np.searchsorted(ends, wanted.max(), side="right"))
        before = int(ends[one - 1]) if one else 0
        array = np.empty((int(ends[last]) - before, *shape[1:]), np.uint8)
        _decompress(pieces[one : last + 1], sizes[one : last + 1], array.reshape(-1).data)
        array.flags.writeable = False
        if isinstance(time, slice):
            return array[wanted[0] - before : wanted[-1] - before + 1 : time.step]
        return array[wanted - before]


def clip_id(serialized: bytes | memoryview) -> str:
    """The id in a serialised record; nothing is decoded."""
    return _text(example_proto.parse(serialized).get("clip_id") or [b""])


def check_encoding(encoding: str) -> None:
    """Raise ``ValueError`` for an unknown encoding."""
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {ENCODINGS}, got {encoding!r}")


@contextlib.contextmanager
def _no_pair_record() -> Iterator[None]:
    try:
        yield
    except (KeyError, IndexError, TypeError, json.JSONDecodeError, zstandard.ZstdError) as error:
        raise ValueError(f"these bytes are an Example but no pair record: {type(error).__name__} {error}") from None


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


def _decompress(pieces: list[memoryview], sizes: list[int], target: memoryview) -> None:
    """Into memory that is there: a damaged size never asks for more."""
    at = 0
    for piece, size in zip(pieces, sizes):
        with zstandard.ZstdDecompressor().stream_reader(piece) as reader:
            if reader.readinto(target[at : at + size]) != size:
                raise ValueError("a piece of the record ends early")
        at += size
