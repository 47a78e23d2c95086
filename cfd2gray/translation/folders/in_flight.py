"""What is worked on at one time: so many decoded bytes, one run per folder; and how large and which a source is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

from cfd2gray.translation.files import HELD_BYTES, Output
from data_pipeline.files import file_digest
from data_pipeline.readers import IngestError
from data_pipeline.readers.errors import Guard

UNFINISHED = ".unfinished"
"""Below the folder of results: what is being written; cleared at every start."""


class ByteRoom:
    """How many decoded bytes are worked on at one time; one clip always fits."""

    def __init__(self, size: int) -> None:
        self._size, self._used, self._change = size, 0, threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        size = min(size, self._size)
        with self._change:
            self._change.wait_for(lambda: self._used + size <= self._size)
            self._used += size
        try:
            yield
        finally:
            with self._change:
                self._used -= size
                self._change.notify_all()


@contextlib.contextmanager
def only_one(out: pathlib.Path) -> Iterator[None]:
    """One run at a time in a folder; what an interrupted one left unfinished goes."""
    lock = out / ".lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another translation writes into {out}; wait for it or name another folder") from None
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def decoded_bytes(path: pathlib.Path, output: Output) -> int:
    """Decoded bytes that a clip keeps in memory."""
    with output.open(path, digest=False) as stream:
        info = stream.info
    whole = info.height * info.width * 3 * (info.n_frames or 1 << 20)
    return min(whole, HELD_BYTES)


def content_digest(path: pathlib.Path, output: Output) -> str:
    if path.is_dir():
        with output.open(path) as stream:
            return stream.info.source_digest or hashlib.sha256(os.fsencode(path)).hexdigest()
    if path.is_symlink() and not output.follow_links:
        raise IngestError("unsafe_path", path, "a symbolic link; --follow-links reads it")
    with Guard(path, doing="reading the file", code="not_found"):
        return file_digest(path)
