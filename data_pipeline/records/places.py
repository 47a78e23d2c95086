"""Where a packing lies: a folder of this machine, or a bucket that fsspec reaches. Names are relative to it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_pipeline import storage
from data_pipeline.files import atomic_path, write_atomically
from data_pipeline.records.lease import held

FOLDER = "batches"
"""The folder inside a packing where parts of it lie until it is finished."""
AT_ONCE = 16
"""Requests to a bucket at one time."""


def place_of(root: str | os.PathLike[str]) -> Folder:
    """The place of a packing; a text with ``://`` is a bucket."""
    return Bucket(str(root)) if storage.is_remote(root) else Folder(root)


class Folder:
    """A place that holds a packing. This one is a folder of this machine."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = str(root)

    def names(self) -> dict[str, int]:
        """Every file here and in ``batches/``, with its size."""
        found = {}
        for inside in ("", f"{FOLDER}/"):
            path = os.path.join(self.root, inside)
            if os.path.isdir(path):
                with os.scandir(path) as entries:
                    found |= {f"{inside}{entry.name}": entry.stat().st_size for entry in entries if entry.is_file()}
        return found

    def empty(self) -> bool:
        return not os.path.isdir(self.root) or not os.listdir(self.root)

    def path(self, name: str) -> str:
        """Where a file is, as `storage` knows it."""
        return os.path.join(self.root, name)

    def sizes(self, wanted: Sequence[str]) -> dict[str, int]:
        """Sizes of those of the files that are here."""
        with os.scandir(self.root or ".") as entries:
            here = {entry.name: entry.path for entry in entries}
        return {name: os.stat(here[name]).st_size for name in wanted if name in here}

    def read(self, name: str) -> bytes:
        return Path(self.root, name).read_bytes()

    def read_some(self, name: str, offset: int, length: int) -> bytes:
        """A range of a file's bytes; fewer where the file ends before."""
        with open(os.path.join(self.root, name), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, name: str, text: str) -> None:
        """Write a text file by renaming, flushed to the disk together with all renames before it."""
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._flush(path.parent)
        write_atomically(path, text)
        self._flush(path.parent)

    def take(self, local: Path, name: str) -> None:
        """Move a file of this machine here, by renaming; its bytes reach the disk first."""
        target = Path(self.root, name)
        with open(local, "rb") as file:
            os.fsync(file.fileno())
        try:
            os.replace(local, target)
        except OSError:  # another disk
            with atomic_path(target) as temporary:
                shutil.move(local, temporary)
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())

    def rename(self, names: Iterable[tuple[str, str]]) -> None:
        """Give files other names, ``(old, new)``."""
        for old, new in names:
            os.replace(os.path.join(self.root, old), os.path.join(self.root, new))

    def remove(self, name: str) -> None:
        Path(self.root, name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, part: tuple[int, int] | None) -> Iterator[Path]:
        """Hold the packing, parts beside other parts, the whole alone; gives an empty folder of this machine to write in.

        The kernel lets go, however this process ends; what it left in its folder is removed by the next.

        Raises:
            ValueError: when another process holds it.
        """
        directory, name = Path(self.root, FOLDER), "all" if part is None else f"{part[0]}-of-{part[1]}"
        with open(directory / ".lock", "w") as all_of_it, open(directory / f".lock-{name}", "w") as own:
            try:
                fcntl.flock(all_of_it, (fcntl.LOCK_SH if part else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"another process is packing into {self.root}; wait for it, or choose another"
                ) from None
            scratch = directory / f".scratch-{name}"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    @staticmethod
    def _flush(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Bucket(Folder):
    """A place in an object store: an object is there whole or not at all, and its name is changed by a copy in the store."""

    def __init__(self, root: str) -> None:
        super().__init__(root.rstrip("/"))

    def names(self) -> dict[str, int]:
        fs, top = storage.file_system(self.root)
        fs.invalidate_cache()
        found = {}
        for inside in ("", f"{FOLDER}/"):
            with contextlib.suppress(FileNotFoundError):
                for entry in fs.ls(f"{top}/{inside}".rstrip("/"), detail=True):
                    if entry["type"] == "file":
                        found[f"{inside}{entry['name'].rpartition('/')[2]}"] = int(entry["size"])
        return found

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def sizes(self, wanted: Sequence[str]) -> dict[str, int]:
        fs, top = storage.file_system(self.root)
        fs.invalidate_cache()
        here = {
            entry["name"].rpartition("/")[2]: int(entry["size"])
            for entry in fs.ls(top, detail=True)
            if entry["type"] == "file"
        }
        return {name: here[name] for name in wanted if name in here}

    def empty(self) -> bool:
        fs, top = storage.file_system(self.root)
        fs.invalidate_cache()
        try:
            return not fs.ls(top)
        except FileNotFoundError:
            return True

    def read(self, name: str) -> bytes:
        fs, top = storage.file_system(self.root)
        return fs.cat_file(f"{top}/{name}")

    def read_some(self, name: str, offset: int, length: int) -> bytes:
        fs, top = storage.file_system(self.root)
        return fs.cat_file(f"{top}/{name}", start=offset, end=offset + length)

    def write(self, name: str, text: str) -> None:
        fs, top = storage.file_system(self.root)
        fs.makedirs(f"{top}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{top}/{name}", text.encode())

    def take(self, local: Path, name: str) -> None:
        fs, top = storage.file_system(self.root)
        fs.put_file(str(local), f"{top}/{name}")
        os.unlink(local)

    def rename(self, names: Iterable[tuple[str, str]]) -> None:
        fs, top = storage.file_system(self.root)

        def move(pair: tuple[str, str]) -> None:
            fs.cp_file(f"{top}/{pair[0]}", f"{top}/{pair[1]}")  # by the store itself
            fs.rm_file(f"{top}/{pair[0]}")

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(move, names))

    @contextlib.contextmanager
    def alone(self, part: tuple[int, int] | None) -> Iterator[Path]:
        with held(self.path(FOLDER), part), tempfile.TemporaryDirectory(prefix="cfd2gray-") as scratch:
            yield Path(scratch)

    def remove(self, name: str) -> None:
        fs, top = storage.file_system(self.root)
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(f"{top}/{name}")
