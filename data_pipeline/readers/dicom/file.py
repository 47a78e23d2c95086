"""A DICOM file opened without its pixels: header, where the pixel data lies, and its frames as byte ranges.

Number of Frames is not believed: native frames are counted by bytes, compressed ones by fragments and start codes, so
that a wrong tag can neither lose frames nor make a decoder run past the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import struct
import warnings
from collections.abc import Iterator
from typing import IO, BinaryIO

import pydicom
from pydicom import uid as uids

from data_pipeline.readers.dicom.terms import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED, NEW_SYNTAXES
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.unpacked import RAW, inflate
from data_pipeline.storage import open_binary, size_of

UNDEFINED = 0xFFFFFFFF
_START_CODES = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")  # JPEG and JPEG-LS, J2K code stream, JP2 box
_PIXEL_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD")
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"})


class ClampedFile:
    """A binary file whose ``read(n)`` never asks for more than is left: a length field cannot reserve memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, n: int = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if n is None or n < 0 else min(n, left))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelSpan:
    """Where the value of Pixel Data lies in the (inflated) file."""

    offset: int
    length: int
    """Bytes really there."""
    truncated: bool
    """The file ends before the declared length, or inside a fragment."""
    fragments: tuple[tuple[int, int], ...] | None
    """Offset and length of each fragment, without the Basic Offset Table; ``None`` for native pixels."""
    delimited: bool = True
    """The fragments end with their delimiter."""
    offsets: tuple[int, ...] = ()
    """The Basic Offset Table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DicomFile:
    """Header and pixel span of one file; `open_bytes` gives the bytes again."""

    path: str
    dataset: pydicom.Dataset
    transfer_syntax: uids.UID
    little_endian: bool
    span: PixelSpan | None
    inflated: IO[bytes] | None
    """Temporary file of the inflated data set of the deflated transfer syntax; ``None`` otherwise."""

    @contextlib.contextmanager
    def open_bytes(self) -> Iterator[BinaryIO]:
        """The bytes that ``span`` refers to."""
        with open_binary(self.inflated.name if self.inflated is not None else self.path) as file:
            yield file


def read_header(path: str | os.PathLike[str], *, limits: Limits, bare: bool = False) -> DicomFile:
    """Open ``path`` up to its pixel data and locate that.

    Args:
      bare: the file has no preamble: accepted only if it names its SOP class and image size and has pixel data.

    Raises `IngestError`.
    """
    path = os.fspath(path)
    with Guard(path, doing="reading the DICOM header"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about every odd value; tolerance is this module's job
        size = size_of(path)
        with open_binary(path) as raw:
            file = ClampedFile(raw, size)
            declared, meta_end = _meta(file)
            if declared == uids.DeflatedExplicitVRLittleEndian:  # before pydicom inflates it without a bound
                return _inflate(path, file, meta_end, limits=limits)
            try:
                ds = pydicom.dcmread(file, stop_before_pixels=True, force=bare, defer_size=None)
            except pydicom.errors.InvalidDicomError as error:
                raise IngestError("not_dicom", path, f"{error}; not a DICOM file") from None
            syntax = _transfer_syntax(ds)
            if bare and not (ds.get("SOPClassUID") and ds.get("Rows")):
                raise IngestError("not_dicom", path, "no preamble and no image data set behind it; not a DICOM file")
            _check_syntax(syntax, path)
            implicit, little = _encoding(ds, syntax)
            span = locate_pixels(file, size=size, implicit=implicit, little=little)
        return DicomFile(path=path, dataset=ds, transfer_syntax=syntax, little_endian=little, span=span, inflated=None)


def _check_syntax(syntax: uids.UID, path: str) -> None:
    name = NEW_SYNTAXES.get(syntax)
    if name is None and (syntax.is_private or not syntax.is_transfer_syntax):
        raise IngestError(
            "encrypted", path, f"transfer syntax {syntax} is not of the standard: encrypted or proprietary"
        )
    if name is not None and syntax not in (DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED):
        raise IngestError(
            "unsupported_codec", path, f"compressed as {name}, which has no decoder here; export as JPEG 2000 or JPEG"
        )


def _transfer_syntax(ds: pydicom.Dataset) -> uids.UID:
    meta = getattr(ds, "file_meta", None)
    named = meta.get("TransferSyntaxUID") if meta is not None else None
    if named:
        return uids.UID(str(named))
    implicit, little = ds.original_encoding
    if implicit:
        return uids.ImplicitVRLittleEndian
    return uids.ExplicitVRLittleEndian if little else uids.ExplicitVRBigEndian


def _encoding(ds: pydicom.Dataset, syntax: uids.UID) -> tuple[bool, bool]:
    implicit, little = ds.original_encoding
    if implicit is None or little is None:
        implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    return bool(implicit), bool(little)


def _meta(file: ClampedFile) -> tuple[uids.UID | None, int]:
    """Transfer syntax and end of the file meta information (always Explicit VR Little Endian), read by hand."""
    file.seek(128)
    head = file.read(16384)
    file.seek(0)
    syntax, position = None, 4
    if not head.startswith(b"DICM"):
        return None, 0
    while position + 8 <= len(head) and head[position : position + 2] == b"\x02\x00":
        element = head[position + 2 : position + 4]
        if head[position + 4 : position + 6] in _LONG_VRS:
            value, length = position + 12, int.from_bytes(head[position + 8 : position + 12], "little")
        else:
            value, length = position + 8, int.from_bytes(head[position + 6 : position + 8], "little")
        if element == b"\x10\x00":
            syntax = uids.UID(head[value : value + length].rstrip(b"\x00 ").decode("ascii", "replace"))
        position = value + length
    return syntax, 128 + position


def _inflate(path: str, file: ClampedFile, start: int, *, limits: Limits) -> DicomFile:
    """Deflated Explicit VR Little Endian (PS3.5 A.5), with a bound on what it may inflate to."""
    file.seek(start)
    inflated = inflate(file, wrapped=RAW, most=limits.max_decoded_bytes, path=path)
    size = inflated.tell()
    with open_binary(inflated.name) as raw:
        body = ClampedFile(raw, size)
        inner = pydicom.filereader.read_dataset(
            body, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag >= 0x7FE00008
        )
        span = locate_pixels(body, size=size, implicit=False, little=True)
    return DicomFile(
        path=path,
        dataset=inner,
        transfer_syntax=uids.ExplicitVRLittleEndian,
        little_endian=True,
        span=span,
        inflated=inflated,
    )


def locate_pixels(file: BinaryIO | ClampedFile, *, size: int, implicit: bool, little: bool) -> PixelSpan | None:
    """The span of Pixel Data, whose element starts where ``file`` stands; ``None`` when there is none."""
    order = "<" if little else ">"
    head = file.read(12)
    if len(head) < 8 or struct.unpack_from(order + "HH", head) != (0x7FE0, 0x0010):
        return None
    start = file.tell() - len(head)
    if head[4:6] in _PIXEL_VRS and head[6:8] == b"\0\0":  # what is there decides, not what the header says
        if len(head) < 12:
            return None
        length, offset = struct.unpack_from(order + "I", head, 8)[0], start + 12
    elif not implicit and head[4:6] not in _LONG_VRS and head[4:6].isalpha():
        length, offset = struct.unpack_from(order + "H", head, 6)[0], start + 8
    else:
        length, offset = struct.unpack_from(order + "I", head, 4)[0], start + 8
    left = max(size - offset, 0)
    if length != UNDEFINED:
        return PixelSpan(offset=offset, length=min(length, left), truncated=length > left, fragments=None)
    items, torn, delimited = _items(file, offset, size=size, order=order)
    return PixelSpan(
        offset=offset,
        length=left,
        truncated=torn,
        fragments=items[1:],
        delimited=delimited,
        offsets=_offset_table(file, items, order),
    )


def _items(
    file: BinaryIO | ClampedFile, offset: int, *, size: int, order: str
) -> tuple[tuple[tuple[int, int], ...], bool, bool]:
    """``(items, torn, delimited)`` of an encapsulated value; an item that the file does not complete is left out."""
    items: list[tuple[int, int]] = []
    position = offset
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return tuple(items), bool(head), False
        group, element, length = struct.unpack(order + "HHI", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            return tuple(items), False, True
        if (group, element) != (0xFFFE, 0xE000):
            return tuple(items), False, False
        if length == UNDEFINED or position + 8 + length > size:
            return tuple(items), True, False
        items.append((position + 8, length))
        position += 8 + length


def _offset_table(file: BinaryIO | ClampedFile, items: tuple[tuple[int, int], ...], order: str) -> tuple[int, ...]:
    if not items or items[0][1] < 4 or items[0][1] % 4:
        return ()
    file.seek(items[0][0])
    data = file.read(items[0][1])
    return struct.unpack(f"{order}{len(data) // 4}I", data)


def group_fragments(file: BinaryIO, span: PixelSpan, *, start_codes: bool, rle: bool) -> list[list[tuple[int, int]]]:
    """Fragments grouped into frames.

    A frame begins at every fragment that opens with a start code; RLE opens with its header (PS3.5 G.5). Without
    start codes the Basic Offset Table says where frames begin, where it fits the fragments, and else every fragment is one.
    """
    begins = _table_starts(span)
    frames: list[list[tuple[int, int]]] = []
    for offset, length in span.fragments:
        if not length:
            continue
        file.seek(offset)
        head = file.read(min(length, 8))
        if start_codes:
            first = head.startswith(_START_CODES)
        elif begins:
            first = offset in begins
        else:
            first = not rle or _is_rle_header(head)
        if not frames or first:
            frames.append([])
        frames[-1].append((offset, length))
    return frames


def _table_starts(span: PixelSpan) -> frozenset[int]:
    """Where frames start by the Basic Offset Table; empty unless every entry is the start of a fragment."""
    if not span.offsets or not span.fragments:
        return frozenset()
    base = span.fragments[0][0]
    starts = [base + offset for offset in span.offsets]
    known = {offset for offset, _ in span.fragments}
    sound = starts[0] == base and starts == sorted(set(starts)) and known.issuperset(starts)
    return frozenset(starts) if sound else frozenset()


def _is_rle_header(head: bytes) -> bool:
    return len(head) == 8 and 1 <= int.from_bytes(head[:4], "little") <= 15 and head[4:8] == b"\x40\0\0\0"


def join(file: BinaryIO, frame: list[tuple[int, int]]) -> bytes:
    """The bytes of one frame."""
    parts = []
    for offset, length in frame:
        file.seek(offset)
        parts.append(file.read(length))
    return b"".join(parts)
