"""One walk over whatever people give: files, folders, numbered frames, zip archives, DICOMDIR, links by choice."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pydicom

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.sniff import IMAGE_FORMATS, sniff_bytes

_BESIDE = frozenset({
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx",
    ".ini", ".inf", ".log", ".db", ".lnk", ".url", ".py", ".sh", ".exe", ".dll", ".key", ".sha256", ".md5", ".yaml", ".yml",
})  # fmt: skip
_BESIDE_NAMES = frozenset({"dicomdir", "readme", "license", "lockfile", "version", "autorun.inf", "thumbs.db"})
_DATA_OF = {".raw": (".mhd",), ".zraw": (".mhd",), ".img": (".hdr",)}
"""Suffixes of pixels whose header lies beside them under another suffix."""
_FEWEST = 3
"""Numbered images of one size from which a folder is one clip."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One clip: a file, a folder of frames, or a member of a zip archive."""

    path: Path
    name: PurePosixPath
    """Where it lies below what was given."""
    member: str = ""
    """Name inside the archive at ``path``."""

    @contextlib.contextmanager
    def local(self) -> Iterator[Path]:
        """A path that can be read; a member of an archive is unpacked for as long as it is needed."""
        if not self.member:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="cfd2gray-") as folder:
            target = Path(folder, "clip" + PurePosixPath(self.member).suffix)
            with (
                Guard(self.path, doing="unpacking the archive"),
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.member) as packed,
                target.open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
            yield target

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a walk found, in a fixed order, and how much it left out and why."""

    sources: tuple[Source, ...]
    left_out: collections.Counter[str]

    def told(self) -> str:
        """One line of what was left out, or nothing."""
        parts = [f"{count} {what}" for what, count in self.left_out.items() if what in _REMEDIES]
        remedies = [_REMEDIES[what] for what in self.left_out if what in _REMEDIES]
        return f"left out: {', '.join(parts)} ({'; '.join(remedies)})" if parts else ""


_REMEDIES = {
    "symbolic links": "--follow-links reads them",
    "folders that cannot be opened": "check their permissions",
}


def find_sources(inputs: Sequence[Path], *, follow_links: bool = False, sequences: bool = True) -> Found:
    """The clips in files and folders.

    Args:
      inputs: what a person named. A DICOMDIR stands for the files it lists, a zip for its members (one of nothing but
        images is one clip).
      follow_links: symbolic links too, as DataLad and git-annex archives are made of; each target once a folder.
      sequences: a folder of at least three consecutively numbered images of one size is one clip.
    """
    left_out: collections.Counter[str] = collections.Counter()
    found: list[Source] = []
    for path in inputs:
        if path.is_dir() and not _is_store(path):
            if sequences and is_sequence(path):
                found.append(Source(path=path, name=PurePosixPath(path.name)))
                continue
            for file in walk(path, left_out, follow_links=follow_links, sequences=sequences):
                found += _opened(file, PurePosixPath(file.relative_to(path).as_posix()))
        elif path.name.upper() == "DICOMDIR" and path.is_file():
            found += [Source(path=file, name=PurePosixPath(name)) for file, name in _listed(path)]
        else:
            found += _opened(path, PurePosixPath(path.name))
    return Found(tuple(found), left_out)


def walk(
    folder: Path, left_out: collections.Counter[str], *, follow_links: bool = False, sequences: bool = True
) -> Iterator[Path]:
    """Files, and folders that are one clip, below ``folder``, sorted; counts in ``left_out`` what it passes over."""
    seen: set[tuple[int, int]] = set()

    def refused(_: OSError) -> None:
        left_out["folders that cannot be opened"] += 1

    for here, folders, files in os.walk(folder, onerror=refused, followlinks=follow_links):
        if follow_links:  # a link to a folder above would never end
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                folders[:] = []
                continue
            seen.add((status.st_dev, status.st_ino))
        stores = [name for name in folders if _is_store(Path(here, name))]
        if not follow_links:
            left_out["symbolic links"] += sum(Path(here, name).is_symlink() for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in stores)
        yield from (Path(here, name) for name in sorted(stores))
        if sequences and Path(here) != folder and is_sequence(Path(here)):
            yield Path(here)
            continue
        for name in sorted(files):
            path = Path(here, name)
            if name.startswith(".") or is_beside(path):
                left_out["other files"] += 1
            elif path.is_symlink() and not follow_links:
                left_out["symbolic links"] += 1
            elif path.is_file():
                yield path
            else:
                left_out["broken links" if path.is_symlink() else "special files"] += 1
    left_out += collections.Counter()  # without zeros


def is_beside(path: Path) -> bool:
    """Whether a file lies beside clips and is none: notes, tables, a DICOMDIR, the pixels of a header beside it."""
    suffix = path.suffix.lower()
    if suffix in _BESIDE or path.name.lower() in _BESIDE_NAMES or path.stem.lower() in ("readme", "license"):
        return True
    return any(path.with_suffix(header).is_file() for header in _DATA_OF.get(suffix, ()))


def is_sequence(folder: Path) -> bool:
    """Whether a folder's clips are nothing but consecutively numbered images of one kind."""
    numbers, shapes = [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or is_beside(Path(entry.path)):
                    continue
                match = re.fullmatch(r"(.*?)(\d+)(\.[A-Za-z]+)", entry.name)
                if not match or not entry.is_file():
                    return False
                numbers.append(int(match[2]))
                shapes.add((match[1], match[3].lower()))
                if len(shapes) > 1:
                    return False
        if len(numbers) < _FEWEST or max(numbers) - min(numbers) != len(numbers) - 1:
            return False
        first = next(p for p in folder.iterdir() if not p.name.startswith(".") and not is_beside(p))
        with first.open("rb") as file:
            return sniff_bytes(file.read(1024)) in IMAGE_FORMATS
    except OSError:
        return False


def _is_store(folder: Path) -> bool:
    return (folder / ".zgroup").exists() or (folder / "zarr.json").exists()


def _opened(path: Path, name: PurePosixPath) -> Iterator[Source]:
    """The clip, or those in a zip archive that is more than one clip of images."""
    members = _members(path) if path.suffix.lower() == ".zip" else []
    if not members:
        yield Source(path=path, name=name)
    for member in members:
        yield Source(path=path, name=name.with_suffix("") / PurePosixPath(member), member=member)


def _members(path: Path) -> list[str]:
    """Names of the clips in a zip archive; empty where it is one clip, or no archive after all."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            found = []
            for entry in entries:
                parts = PurePosixPath(entry.filename.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
                    raise IngestError("unsafe_path", path, "a member's name leaves the archive; make the archive again")
                hidden = any(part.startswith((".", "__MACOSX")) for part in parts.parts)
                if not hidden and not stat.S_ISLNK(entry.external_attr >> 16) and not is_beside(Path(parts)):
                    found.append(entry)
            kinds = set()
            for entry in found:
                with archive.open(entry) as file:
                    kinds.add(sniff_bytes(file.read(1024)))
                if not kinds <= set(IMAGE_FORMATS):
                    return sorted(entry.filename for entry in found)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
        return []  # what is wrong with it shows when it is read
    return []


def _listed(path: Path) -> Iterable[tuple[Path, str]]:
    """The files that a DICOMDIR lists and that are there."""
    with Guard(path, doing="reading the DICOMDIR"):
        records = pydicom.dcmread(path, force=True).get("DirectoryRecordSequence") or ()
        found = []
        for record in records:
            parts = record.get("ReferencedFileID")
            if parts is None or str(record.get("DirectoryRecordType", "")) != "IMAGE":
                continue
            name = PurePosixPath(*([parts] if isinstance(parts, str) else [str(part) for part in parts]))
            if name.is_absolute() or ".." in name.parts:
                raise IngestError("unsafe_path", path, "names a file outside its folder; give the folder itself")
            found.append((path.parent / name, str(name)))
    there = [(file, name) for file, name in found if file.is_file()]
    if not there:
        raise IngestError(
            "no_pixels", path, f"a DICOMDIR of {len(found)} images none of which is there; give the folder"
        )
    return there
