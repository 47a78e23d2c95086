"""Writing files so that nothing of anybody's is ever lost: a temporary name first, then a rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def atomic_path(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path beside ``target`` with the same suffix, renamed to it on success and removed on failure."""
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private; the result should be as any other file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(target: pathlib.Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Raises ``ValueError`` for NaN or infinity, which JSON has no word for."""
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256(path: pathlib.Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
