"""Where compiled programs are kept between processes, so that the second start of the same work skips the compiler."""

from __future__ import annotations

import contextlib
import os
import pathlib


def cache_folder(part: str) -> pathlib.Path | None:
    """``part`` of ``$CFD2GRAY_CACHE`` (default: ``cfd2gray`` in the user's cache folder); None where it cannot be made."""
    base = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    folder = pathlib.Path(os.environ.get("CFD2GRAY_CACHE") or pathlib.Path(base) / "cfd2gray") / part
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def keep_newest(folder: pathlib.Path, *, most_bytes: int) -> None:
    """Remove the files used longest ago until ``folder`` holds no more than ``most_bytes``; another process may do so too."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            facts = path.stat()
            found.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > most_bytes:
            with contextlib.suppress(OSError):
                path.unlink()
