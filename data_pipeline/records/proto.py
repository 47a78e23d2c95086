"""The wire format of ``tf.train.Example``, written and read without TensorFlow or protobuf.

Reading copies nothing: byte strings come back as views of the buffer they lie in, which for a memory-mapped shard is
the page cache itself. That is what makes random access cheaper than tf.data (the generated protobuf class copies every
clip).

The message, from tensorflow/core/example/{example,feature}.proto (field numbers behind the names):
``Example{features 1}``, ``Features{map<string, Feature> feature 1}``, ``Feature{bytes_list 1 | float_list 2 |
int64_list 3}``, each list ``{repeated value 1}`` with numbers packed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

Value = Sequence[bytes] | Sequence[memoryview] | Sequence[int] | Sequence[float]

_BYTES, _FLOAT, _INT = 1, 2, 3


def _varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF  # negative int64 travel as two's complement
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _header(field: int, length: int) -> bytes:
    return bytes([field << 3 | 2]) + _varint(length)


def serialize(features: Mapping[str, Value]) -> bytes:
    """Serialise features, each a non-empty list of bytes-likes, of ints or of floats; keys in sorted order.

    Equal features give equal bytes, so that digests of shards can be compared.
    """
    pieces: list = []  # joined once at the end: a clip is copied a single time
    for name in sorted(features):
        values: Sequence[Any] = features[name]
        key = name.encode()
        if isinstance(values[0], float):
            kind, body = _FLOAT, [_header(1, 4 * len(values)), struct.pack(f"<{len(values)}f", *values)]
        elif isinstance(values[0], int):
            packed = b"".join(_varint(value) for value in values)
            kind, body = _INT, [_header(1, len(packed)), packed]
        else:
            kind, body = _BYTES, [piece for value in values for piece in (_header(1, len(value)), value)]
        list_size = sum(len(piece) for piece in body)
        feature = _header(kind, list_size)
        feature_size = len(feature) + list_size
        entry = _header(1, len(key)) + key + _header(2, feature_size)
        pieces += [_header(1, len(entry) + feature_size), entry, feature, *body]
    size = sum(len(piece) for piece in pieces)
    return b"".join([_header(1, size), *pieces])


def _read_varint(buffer: memoryview, at: int) -> tuple[int, int]:
    byte = buffer[at]
    if byte < 0x80:  # nearly always: tags and short lengths
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = buffer[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def _sized(buffer: memoryview, at: int, end: int) -> tuple[int, int, int]:
    """Field number, start and end of the length-delimited field at ``at``. Short lengths, the usual ones, cost no call."""
    tag, length, start = buffer[at], buffer[at + 1], at + 2
    if tag > 0x7F:
        tag, start = _read_varint(buffer, at)
        length, start = _read_varint(buffer, start)
    elif length > 0x7F:
        length, start = _read_varint(buffer, at + 1)
    if tag & 7 != 2:
        raise ValueError(f"wire type {tag & 7} where a length-delimited field was expected")
    if start + length > end:
        raise ValueError("a field is longer than the message that holds it")
    return tag >> 3, start, start + length


def _read_numbers(buffer: memoryview, kind: int, at: int, end: int) -> list:
    values: list = []
    while at < end:
        tag, at = _read_varint(buffer, at)
        if tag & 7 == 2:  # packed, as every current writer does
            length, at = _read_varint(buffer, at)
            stop = at + length
        else:  # one number, as older writers did
            stop = at + 1 if kind == _INT else at + 4
            while kind == _INT and buffer[stop - 1] > 0x7F:
                stop += 1
        if stop > end:
            raise ValueError("a list is longer than the feature that holds it")
        if kind == _FLOAT:
            values += struct.unpack_from(f"<{(stop - at) // 4}f", buffer, at)
        else:
            while at < stop:
                number, at = (buffer[at], at + 1) if buffer[at] < 0x80 else _read_varint(buffer, at)
                values.append(number - (1 << 64) if number >> 63 else number)
        at = stop
    return values


def parse(buffer: bytes | memoryview) -> dict[str, list]:
    """Parse a serialised Example into ``{name: [memoryview] | [int] | [float]}``; an unset feature gives ``[]``.

    Raises:
        ValueError: for bytes that are no Example.
    """
    view = memoryview(buffer)
    features: dict[str, list] = {}
    at, end = 0, len(view)
    try:
        while at < end:  # Example: its features
            _, entry, at = _sized(view, at, end)
            while entry < at:  # Features: entries of the map
                _, field, entry = _sized(view, entry, at)
                name, values = "", []
                while field < entry:  # the entry: its key, then its Feature
                    number, start, field = _sized(view, field, entry)
                    if number == 1:
                        name = str(view[start:field], "utf-8")
                        continue
                    while start < field:  # the Feature: one list, nearly always of one value
                        kind, own, start = _sized(view, start, field)
                        values = []
                        if kind == _BYTES:
                            while own < start:
                                _, value, own = _sized(view, own, start)
                                values.append(view[value:own])
                        else:
                            values = _read_numbers(view, kind, own, start)
                features[name] = values
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"these {len(view)} bytes are no tf.train.Example: {error}") from None
    return features
