"""What is compressed as one stream, unpacked into a temporary file, so that memory does not grow with a clip."""

from __future__ import annotations

import os
import tempfile
import zlib
from typing import IO, Protocol

from data_pipeline.readers.errors import IngestError

RAW, GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS
"""How the stream is wrapped: not at all, or as gzip."""
_CHUNK = 1 << 20


class _Readable(Protocol):
    def read(self, n: int = -1) -> bytes: ...


def inflate(source: _Readable, *, wrapped: int, most: int, path: str | os.PathLike[str]) -> IO[bytes]:
    """A named temporary file of its owner alone that goes when it is closed or no longer referred to.

    A stream that ends early gives what is there.

    Args:
      source: stands where the stream begins.
      wrapped: `RAW` or `GZIP`.
      most: bytes that it may unpack to.
      path: the file, for the error.

    Raises:
      IngestError: ``too_large``. zlib.error: for damage.
    """
    inflater, total = zlib.decompressobj(wrapped), 0
    target = tempfile.NamedTemporaryFile(prefix="cfd2gray-")  # noqa: SIM115
    while not inflater.eof:
        data = inflater.unconsumed_tail or source.read(_CHUNK)
        part = inflater.decompress(data, _CHUNK) if data else inflater.flush()
        total += len(part)
        if total > most:
            raise IngestError("too_large", path, f"inflates to more than {most >> 20} MiB; export it uncompressed")
        target.write(part)
        if not data:
            break
    target.flush()
    return target
