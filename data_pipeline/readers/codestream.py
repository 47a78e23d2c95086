"""The size a JPEG, JPEG-LS, JPEG 2000 or HTJ2K code stream claims for itself, read before a decoder believes it."""

from __future__ import annotations

import struct

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


def frame_size(data: bytes) -> tuple[int, int, int] | None:
    """``(height, width, components)`` of the first frame header in ``data``, or ``None`` when there is none."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC then SIZ, possibly inside a JP2 box
    if start < 0 or len(data) < start + 42:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, start + 8)
    return y1 - y0, x1 - x0, struct.unpack_from(">H", data, start + 40)[0]


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        if marker in _START_OF_FRAME:
            if position + 10 > len(data):
                return None
            height, width = struct.unpack_from(">HH", data, position + 5)
            return height, width, data[position + 9]
        if marker in (0xD9, 0xDA) or length < 2:
            return None
        position += 2 + length
    return None
