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

Value = Sequence[bytes] | Sequence[int] | Sequence[float]

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
        values = features[name]
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


def _fields(buffer: memoryview, at: int, end: int):
    """Yield ``(field number, start, end)`` of the length-delimited fields between ``at`` and ``end``."""
    while at < end:
        tag, at = _read_varint(buffer, at)
        if tag & 7 != 2:
            raise ValueError(f"wire type {tag & 7} where a length-delimited field was expected")
        length, at = _read_varint(buffer, at)
        if at + length > end:
            raise ValueError("a field is longer than the message that holds it")
        yield tag >> 3, at, at + length
        at += length


def _read_list(buffer: memoryview, kind: int, at: int, end: int) -> list:
    if kind == _BYTES:
        return [buffer[start:stop] for _, start, stop in _fields(buffer, at, end)]
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
                number, at = _read_varint(buffer, at)
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
    try:
        for _, at, end in _fields(view, 0, len(view)):
            for _, entry_at, entry_end in _fields(view, at, end):
                name, values = "", []
                for field, start, stop in _fields(view, entry_at, entry_end):
                    if field == 1:
                        name = bytes(view[start:stop]).decode()
                    else:
                        for kind, list_at, list_end in _fields(view, start, stop):
                            values = _read_list(view, kind, list_at, list_end)
                features[name] = values
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"these {len(view)} bytes are no tf.train.Example: {error}") from None
    return features
