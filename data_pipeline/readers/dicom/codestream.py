"""What a JPEG, JPEG-LS, JPEG 2000 or HTJ2K code stream says of itself, read before a decoder believes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom import uid as uids

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SYNTAX_OF_FRAME = {
    0xC0: uids.JPEGBaseline8Bit,
    0xC1: uids.JPEGExtended12Bit,
    0xC2: uids.JPEGBaseline8Bit,  # progressive: retired as a syntax, decoded alike
    0xC3: uids.JPEGLosslessSV1,
    0xF7: uids.JPEGLSNearLossless,
}
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
    for marker, position, _ in _segments(data):
        if marker in _START_OF_FRAME:
            if position + 8 > len(data):
                return None
            height, width = struct.unpack_from(">HH", data, position + 3)
            return height, width, data[position + 7]
    return None


def beyond_decoders(data: bytes) -> str:
    """What a JPEG or JPEG-LS code stream uses that no decoder here reads right, though some return a picture; or ``""``."""
    if not data.startswith(b"\xff\xd8"):
        return ""
    segments = list(_segments(data))
    lossless = any(marker == 0xC3 for marker, _, _ in segments)
    for marker, position, length in segments:
        if marker in (0xC0, 0xC1, 0xC2) and data[position + 2] > 8:
            return f"lossy JPEG of {data[position + 2]} bits"
        if lossless and marker == 0xC4 and 16 in _huffman_symbols(data[position + 2 : position + length]):
            return "lossless JPEG with differences of 32768 between pixels"
    return ""


def by_pixel(data: bytes) -> bool:
    """Whether the components of a JPEG-LS scan are interleaved pixel by pixel."""
    scan = data.find(b"\xff\xda")
    return 0 <= scan < len(data) - 5 and data[scan + 6 + 2 * data[scan + 4] : scan + 7 + 2 * data[scan + 4]] == b"\x02"


def _huffman_symbols(tables: bytes) -> set[int]:
    """Symbols of the tables of a DHT segment: in lossless JPEG the bits that differences need."""
    found, at = set(), 0
    while at + 17 <= len(tables):
        count = sum(tables[at + 1 : at + 17])
        found |= set(tables[at + 17 : at + 17 + count])
        at += 17 + count
    return found


def is_plain_rgb(data: bytes) -> bool:
    """Whether a JPEG names its components R, G, B and has no marker (JFIF, Adobe) that says otherwise."""
    if not data.startswith(b"\xff\xd8"):
        return False
    for marker, position, length in _segments(data):
        if marker in (0xE0, 0xEE) and data[position + 2 : position + 6] in (b"JFIF", b"Adob"):
            return False
        if marker in (0xC0, 0xC1, 0xC2):
            return data[position + 8 : position + 2 + length : 3][:3] == b"RGB"
    return False


def syntax_of(data: bytes) -> uids.UID | None:
    """The transfer syntax a code stream is of (the lossy one where both are possible); ``None`` for none of them."""
    if data.startswith(b"\xff\xd8"):
        for marker, _, _ in _segments(data):
            if marker in _SYNTAX_OF_FRAME:
                return _SYNTAX_OF_FRAME[marker]
        return None
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or not (start == 0 or data.startswith(b"\x00\x00\x00\x0cjP")):
        return None
    length = struct.unpack_from(">H", data, start + 4)[0] if len(data) > start + 6 else 0
    follows = data[start + 4 + length : start + 6 + length]
    return uids.HTJ2K if follows == b"\xff\x50" else uids.JPEG2000  # a CAP marker announces part 15


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """``(marker, where its length field lies, length)`` of the header segments up to the first scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        if marker in (0xD9, 0xDA) or length < 2:
            return
        yield marker, position + 2, length
        position += 2 + length
