"""Files that lie on this machine or anywhere fsspec reaches: ``s3://``, ``gs://``, ``az://``, ``https://``, ``memory://``.

A place is a path, or a text with ``://``. Who may read it, and under which endpoint, is said to fsspec's file systems in
their own way (environment variables, files of the cloud's tools), never here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from data_pipeline.mistakes import Mistake

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
"""Protocol -> the extra of this package that reads it."""


def is_remote(place: str | os.PathLike[str]) -> bool:
    """Whether a place is not a path of this machine."""
    return isinstance(place, str) and "://" in place


def local_or_remote(text: str) -> str:
    """A place as people write it: ``file://`` and ``~`` become a path, what is remote loses a slash at its end."""
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text.rstrip("/") if is_remote(text) else os.path.expanduser(text)


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # one letter is a drive


def only_here(place: str | os.PathLike[str], what: str = "this path") -> pathlib.Path:
    """``place`` as a path of this machine, for what cannot work elsewhere; ``file://`` is taken off.

    Raises:
        Mistake: for any other URL, also one that `pathlib` has squeezed to ``gs:/bucket``: it would name a local folder.
    """
    text = os.fspath(place)
    url = _URL.match(text)
    if url is None:
        return pathlib.Path(place)
    scheme, rest = url.groups()
    if scheme == "file":
        return pathlib.Path("/", rest)
    raise Mistake(
        f"{what} must be on this machine or on a mounted file system, got {scheme}://{rest}; mount the bucket (gcsfuse, "
        "mount-s3, blobfuse2) and give the path below the mount"
    )


def file_system(place: str) -> tuple[Any, str]:
    """fsspec's file system of a remote place, and the place's name there.

    Raises:
        ValueError: when nothing can read this kind of place; the message names the extra to install.
    """
    import fsspec

    protocol = place.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(place)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        what = f"pip install 'cfd2gray[{extra}]'" if extra else str(error)
        raise ValueError(f"{protocol}:// needs another package; {what}") from None
    except ValueError as error:
        raise ValueError(
            f"{place} cannot be reached ({error}); give a path, or s3://, gs://, az:// or https://"
        ) from None


def gives_ranges(place: str) -> bool:
    """Whether parts of a remote file can be fetched; some web servers only give the whole."""
    if not place.startswith(("http://", "https://")):
        return True
    fs, name = file_system(place)
    return bool(fs.info(name).get("partial"))


def open_binary(place: str | os.PathLike[str]) -> BinaryIO:
    """The bytes of a file; of a remote one only those that are read are fetched. Seekable where it `gives_ranges`."""
    if not is_remote(place):
        return open(place, "rb")
    fs, name = file_system(str(place))
    return fs.open(name, "rb", block_size=1 << 20 if gives_ranges(str(place)) else 0)


def size_of(place: str | os.PathLike[str]) -> int:
    """Bytes of a file."""
    if not is_remote(place):
        return os.path.getsize(place)
    fs, name = file_system(str(place))
    return int(fs.size(name) or 0)  # a web server need not say


@contextlib.contextmanager
def local_copy(place: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A path of this machine with the file (or folder) at ``place``; what is remote is copied for as long as it is needed."""
    if not is_remote(place):
        yield pathlib.Path(place)
        return
    fs, name = file_system(str(place))
    with tempfile.TemporaryDirectory(prefix="cfd2gray-") as folder:
        target = pathlib.Path(folder, pathlib.PurePosixPath(name).name)
        if fs.isdir(name):
            fs.get(name, str(target), recursive=True)
        else:
            with fs.open(name, "rb") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 22)
        yield target


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file of a remote folder."""

    place: str
    size: int
    version: str
    """Changes when the file does: its time, or what the store calls its version."""


def files_below(place: str) -> list[Remote]:
    """All files below a remote folder, sorted by name; empty where there is none."""
    fs, name = file_system(place)
    prefix = place[: len(place) - len(name.rstrip("/"))] if place.endswith(name.rstrip("/")) else ""
    found = fs.find(name, detail=True)
    return [
        Remote(f"{prefix}{path}" if prefix else fs.unstrip_protocol(path), int(entry.get("size") or 0), _version(entry))
        for path, entry in sorted(found.items())
    ]


def _version(entry: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created"):
        if entry.get(key) is not None:
            return str(entry[key])
    return ""
