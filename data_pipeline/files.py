"""Writing files so that nothing of anybody's is ever lost: a temporary name first, then a rename; lines and digests of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import sys
import uuid
from collections.abc import Iterator
from typing import Any

from data_pipeline.storage import only_here


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A free name beside ``target`` with the same suffix, to be written by the caller.

    The file is renamed to ``target`` on success and removed on failure; the folder is made where it is missing. The name is
    this call's own, so that neither threads nor machines that share a folder meet. A URL is refused (`storage.only_here`).
    """
    target = only_here(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}-{uuid.uuid4().hex[:12]}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def private_path(target: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """`atomic_path` for a file that its owner alone may read, from its first byte on."""
    with atomic_path(target) as temporary:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary


def write_atomically(target: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file: readers see the old file or the new, never half, even after a power cut."""
    with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Raises ``ValueError`` for NaN or infinity, which JSON has no word for."""
    write_atomically(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def json_line(line: str | bytes) -> dict[str, Any]:
    """What a line of JSON says, by name; equal texts in a million lines are held once."""
    return {name: sys.intern(value) if type(value) is str else value for name, value in json.loads(line).items()}


def file_digest(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, as ``sha256sum`` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
