"""TFRecord files with random access: framing with CRC32C, one index of offsets a split, and the source Grain reads from.

The framing is TensorFlow's (tensorflow/core/lib/io/record_writer.h): ``uint64 length, uint32 masked crc of length,
data, uint32 masked crc of data``, little-endian; ``masked(c) = rotr(c, 15) + 0xa282ead8``. ``NAME-SPLIT.index.npy``
(int64 ``[N, 2]``: offset and length of each record's data, shard after shard) saves the walk over the headers; it can be
deleted at any time and is then computed again.
"""

from __future__ import annotations

import collections
import hashlib
import io
import mmap
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import google_crc32c
import numpy as np

from data_pipeline import storage
from data_pipeline.records import example as records
from data_pipeline.records import manifest as manifests
from data_pipeline.records.places import place_of
from data_pipeline.schema import PairRecord

HEADER, FOOTER = 12, 4
"""Bytes before and after the data of a record."""
MAX_MAPS = 128
"""Shards that a process holds open; each takes a descriptor, of which 1,024 are usual."""
VERIFY_CRC = ("once", "always", "never")
"""When checksums are checked: the first time a process reads a record (what the disk hands out is right), at every reading
(a quarter of the time on raw records), or not at all."""


class CorruptRecordError(ValueError):
    """A record's bytes are not those that were written. ``path`` and ``record`` say which (``record`` may be None)."""

    def __init__(self, path: str | os.PathLike, record: int | None, reason: str) -> None:
        where = f"{path}" if record is None else f"{path}, record {record}"
        super().__init__(
            f"{where}: {reason}. Copy the file again (its sha256 is in {manifests.MANIFEST_NAME}), or pack again"
        )
        self.path, self.record = str(path), record


def masked_crc(data: bytes | memoryview | np.ndarray) -> int:
    """TFRecord's masked CRC32C of ``data``."""
    if isinstance(data, memoryview):
        data = np.frombuffer(data, np.uint8)  # the C extension takes arrays of read-only memory, but no memoryview
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class ShardWriter:
    """Writes one shard under a temporary name; `close` renames it, `Folder.take` flushes it to the disk. A context manager.

    Args:
        path: final name. A file that is already there is never replaced.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise ValueError(f"{self.path} exists and is not overwritten; choose another directory or remove it")
        self._temporary = Path(f"{path}.part")
        self._hash = hashlib.sha256()
        self.n_bytes = 0
        self._file = open(self._temporary, "wb")  # noqa: SIM115

    @property
    def sha256(self) -> str:
        """Digest of what was written so far, hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> tuple[int, int]:
        """Append a record; returns ``(offset, length)`` of its data."""
        length = struct.pack("<Q", len(data))
        header = length + struct.pack("<I", masked_crc(length))
        footer = struct.pack("<I", masked_crc(data))
        for piece in (header, data, footer):
            self._file.write(piece)
            self._hash.update(piece)
        place = (self.n_bytes + HEADER, len(data))
        self.n_bytes += HEADER + len(data) + FOOTER
        return place

    def close(self) -> None:
        """Give the file its name."""
        self._file.close()
        os.replace(self._temporary, self.path)

    def abort(self) -> None:
        """Drop what was written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        self.close() if kind is None else self.abort()


def index_file(name: str, split: str) -> str:
    """File name of a split's index."""
    return f"{name}-{split}.index.npy"


def scan_index(path: str | os.PathLike) -> np.ndarray:
    """Walk over the headers of a shard: int64 ``[N, 2]``, offset and length of every record's data.

    Raises:
        CorruptRecordError: when a header's checksum is wrong or the file ends inside a record.
    """
    places: list[tuple[int, int]] = []
    size = storage.size_of(path)
    at = 0
    with storage.open_binary(path) as file:
        while at < size:
            file.seek(at)
            header = file.read(HEADER)
            if len(header) < HEADER:
                raise CorruptRecordError(path, len(places), "the file ends inside this record's header")
            length, crc = struct.unpack("<QI", header)
            if masked_crc(header[:8]) != crc:
                raise CorruptRecordError(path, len(places), "the checksum of its length is wrong")
            if at + HEADER + length + FOOTER > size:
                raise CorruptRecordError(path, len(places), "the file ends inside this record")
            places.append((at + HEADER, length))
            at += HEADER + length + FOOTER
    return np.array(places, np.int64).reshape(-1, 2)


class ShardSource:
    """Random access to the records of one split of a packed directory: a source for ``grain.MapDataset.source``.

    Files are memory-mapped when touched, the last `MAX_MAPS` of them, in each process for itself; the object pickles small.
    Arrays of records stored ``raw`` are read-only views of the page cache, and keep their own map open. In a bucket a
    record is one request for its range of bytes.

    Args:
        directory: the packed directory, here or in a bucket, its ``manifest.json``, or a loaded `manifest.Manifest`.
        split: ``train``, ``val`` or ``test``.
        verify_crc: when a record's checksum is checked, one of `VERIFY_CRC`.

    Raises:
        ValueError: when the directory is no complete data set, the split is empty, or a shard is missing or has
            another size than the manifest says.
    """

    def __init__(
        self, directory: str | os.PathLike | manifests.Manifest, split: str = "train", *, verify_crc: str = "once"
    ) -> None:
        if verify_crc not in VERIFY_CRC:
            raise ValueError(f"verify_crc must be one of {VERIFY_CRC}, got {verify_crc!r}")
        self.manifest = directory if isinstance(directory, manifests.Manifest) else manifests.load(directory)
        self.split, self.verify_crc = split, verify_crc
        shards = self.manifest.shards_of(split)
        self._place = place_of(self.manifest.directory)
        self._files = [shard.file for shard in shards]
        sizes = self._place.sizes(self._files)
        for shard in shards:
            size = sizes.get(shard.file)
            if size != shard.n_bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                reason = f"the shard {found}, the manifest says {shard.n_bytes} bytes"
                raise CorruptRecordError(self._place.path(shard.file), None, reason)
        self._starts = np.cumsum([0] + [shard.n_clips for shard in shards])
        stored = self._stored_index([shard.n_bytes for shard in shards])
        if stored is None:
            indices = [scan_index(self._place.path(file)) for file in self._files]
            for file, shard, index in zip(self._files, shards, indices):
                if len(index) != shard.n_clips:
                    reason = f"{len(index)} records, the manifest says {shard.n_clips}"
                    raise CorruptRecordError(self._place.path(file), None, reason)
            stored = np.concatenate(indices)
        self._index = stored
        self._reset()

    def _stored_index(self, sizes: Sequence[int]) -> np.ndarray | None:
        """The index beside the shards; None where it is missing or does not fit them."""
        try:
            data = self._place.read(index_file(self.manifest.name, self.split))
            index = np.load(io.BytesIO(data), allow_pickle=False).astype(np.int64, copy=False)
            last = index[self._starts[1:] - 1].sum(axis=1) + FOOTER
            return index if len(index) == self._starts[-1] and (last == sizes).all() else None
        except (OSError, ValueError, IndexError, EOFError):
            return None

    def _reset(self) -> None:
        self._maps: collections.OrderedDict[int, memoryview] = collections.OrderedDict()
        self._checked = bytearray(len(self._index))  # 1: this process has seen that its checksum is right
        self._rows: list[manifests.ClipRow] | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_maps", "_checked", "_rows", "_lock")
        }

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._reset()

    def __repr__(self) -> str:
        return f"ShardSource({self.manifest.name}, {self.split}, {len(self)} clips, {self.digest[:12]})"

    def __len__(self) -> int:
        return len(self._index)

    @property
    def digest(self) -> str:
        """Names the data and the split, wherever they lie."""
        return hashlib.sha256(f"{self.manifest.digest} {self.split}".encode()).hexdigest()

    def serialized(self, index: int) -> memoryview:
        """The bytes of a record as they lie in the file, checked as ``verify_crc`` says."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        offset, length = (int(value) for value in self._index[index])
        data = self._bytes(number, offset, length + FOOTER)
        record = data[:length]
        if self.verify_crc == "always" or (self.verify_crc == "once" and not self._checked[index]):
            if masked_crc(record) != int.from_bytes(data[length:], "little"):
                raise self._corrupt(index, "the checksum of its data is wrong")
            self._checked[index] = 1
        return record

    def __getitem__(self, index: int) -> PairRecord:
        stored = self.stored(index)
        try:
            return stored.at(slice(None))
        except ValueError as error:
            raise self._corrupt(index, str(error)) from None

    def stored(self, index: int) -> records.StoredPair:
        """A record whose pictures are decompressed as they are asked for."""
        record = self.serialized(index)
        try:
            return records.StoredPair.parsed(record)
        except ValueError as error:
            raise self._corrupt(index, str(error)) from None

    def _corrupt(self, index: int, reason: str) -> CorruptRecordError:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return CorruptRecordError(self._place.path(self._files[number]), int(index - self._starts[number]), reason)

    def ids(self, index: int) -> manifests.ClipRow:
        """What the manifest knows of a clip, without touching its record."""
        if self._rows is None:
            rows = manifests.load_rows(self.manifest, self.split)
            for own in {0, len(self) // 2, len(self) - 1}:  # another order would name another patient, silently
                if len(rows) != len(self) or records.clip_id(self.serialized(own)) != rows[own].clip_id:
                    raise CorruptRecordError(
                        self._place.path(self._files[0]),
                        None,
                        f"{manifests.CLIPS_NAME} and the shards do not hold the same clips in one order",
                    )
            self._rows = rows
        return self._rows[index]

    def _bytes(self, number: int, offset: int, length: int) -> memoryview:
        if storage.is_remote(self._place.root):
            return memoryview(self._place.read_some(self._files[number], offset, length))
        with self._lock:
            if number not in self._maps:
                with open(self._place.path(self._files[number]), "rb") as file:
                    self._maps[number] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                if len(self._maps) > MAX_MAPS:  # a map holds a descriptor; records that still use it keep it alive
                    self._maps.popitem(last=False)
            self._maps.move_to_end(number)
            return self._maps[number][offset : offset + length]
