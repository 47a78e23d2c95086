"""``multipart/related`` on the disk: taken apart and put together without holding an instance in memory."""

from __future__ import annotations

import mmap
import pathlib
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message

DICOM = "application/dicom"
PIECE = 1 << 20
"""Bytes that are copied at once."""


def boundary_of(content_type: str) -> str:
    """What stands between the parts of ``multipart/related; type="application/dicom"; boundary=...``.

    Raises:
      ValueError: For any other type of content.
    """
    said = Message()
    said["Content-Type"] = content_type
    boundary = said.get_boundary("")  # 70 characters in RFC 2046; Orthanc takes more
    if said.get_content_type() != "multipart/related" or str(said.get_param("type", DICOM)).lower() != DICOM:
        raise ValueError(f'STOW-RS is multipart/related; type="{DICOM}", got {content_type[:80]!r}')
    if not re.fullmatch(r"[\x20-\x7e]{1,250}", boundary):
        raise ValueError("the boundary of multipart/related has 1 to 250 plain characters")
    return boundary


def split(body: pathlib.Path, boundary: str, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write each part of ``body`` that is DICOM into ``folder``, one after the other; another part is an empty file.

    Raises:
      ValueError: For a body that ends before its last boundary.
    """
    mark = b"--" + boundary.encode("ascii")
    with body.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, number = data.find(mark), 0
        while at >= 0:
            at += len(mark)
            if data[at : at + 2] == b"--":
                return
            begin = data.find(b"\r\n\r\n", at) + 4
            end = data.find(b"\r\n" + mark, begin)
            if begin < 4 or end < 0:
                break
            number += 1
            part = folder / f"{number}.dcm"
            kind = re.search(rb"(?im)^content-type:\s*([\w/+.-]+)", data[at:begin])
            with part.open("xb") as out:
                if kind is not None and kind[1].decode("ascii").lower() == DICOM:
                    for start in range(begin, end, PIECE):
                        out.write(data[start : min(start + PIECE, end)])
            yield part
            part.unlink(missing_ok=True)
            at = end + 2
    raise ValueError("the body ends before its last boundary; send it again")


def joined(paths: Sequence[pathlib.Path]) -> tuple[str, int, Iterable[bytes]]:
    """Content type, length in bytes, and the body piece by piece, of instances that are sent together."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    tail = f"--{boundary}--\r\n".encode()
    length = sum(len(head) + path.stat().st_size + 2 for path in paths) + len(tail)

    def pieces() -> Iterator[bytes]:
        for path in paths:
            yield head
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
            yield b"\r\n"
        yield tail

    return f'multipart/related; type="{DICOM}"; boundary={boundary}', length, pieces()
