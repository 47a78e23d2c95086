"""A dropped file on its way to the disk: piece by piece, never held in memory, never more than is allowed."""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator, Iterable, Iterator

import anyio.to_thread

PIECE = 4 << 20
"""Bytes that are written at once."""


class TooLarge(ValueError):
    """More bytes than the person who started the viewer allows."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"larger than the {most >> 20} MiB that this page takes; start it with a larger --max-upload, "
            "or name the file: cfd2gray view CLIP"
        )


async def keep(pieces: AsyncIterator[bytes], target: pathlib.Path, *, most: int, announced: int | None) -> None:
    """Write what comes to the new file ``target``, which its owner alone may read; it is gone again after a failure.

    Raises:
      TooLarge: For more than ``most`` bytes, at once where ``announced`` says so.
      ValueError: For an empty file, and where the disk is full.
    """
    if announced is not None and announced > most:
        raise TooLarge(most)
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        total, waiting = 0, bytearray()
        async for piece in pieces:
            total += len(piece)
            if total > most:
                raise TooLarge(most)
            waiting += piece
            if len(waiting) >= PIECE:
                await anyio.to_thread.run_sync(_write, file, bytes(waiting))
                waiting.clear()
        _write(file, bytes(waiting))
        if not total:
            raise ValueError("the file is empty; export the clip again")
    except OSError as error:
        target.unlink(missing_ok=True)
        raise ValueError(f"could not be kept for now: {error.strerror}; make room in {target.parent.parent}") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def keep_stream(pieces: Iterable[bytes] | Iterator[bytes], target: pathlib.Path, *, most: int) -> None:
    """`keep` for what comes in at standard input."""
    total = 0
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for piece in pieces:
            total += len(piece)
            if total > most:
                raise TooLarge(most)
            file.write(piece)
    if not total:
        raise ValueError("nothing came in at standard input; pipe a clip into it: cat clip.dcm | cfd2gray view -")


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
