"""One walk over whatever people give: files, folders, numbered frames, zip archives, DICOMDIR, links by choice."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pydicom

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.numbered import are_frames, numbered

_BESIDE = frozenset({
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx",
    ".ini", ".inf", ".log", ".db", ".lnk", ".url", ".py", ".sh", ".exe", ".dll", ".key", ".sha256", ".md5", ".yaml", ".yml",
})  # fmt: skip
_BESIDE_NAMES = frozenset({"dicomdir", "readme", "license", "lockfile", "version", "autorun.inf", "thumbs.db"})
_DATA_OF = {".raw": (".mhd",), ".zraw": (".mhd",), ".img": (".hdr",)}
"""Suffixes of pixels whose header lies beside them under another suffix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One clip: a file, a folder of frames, or what of a zip archive is one."""

    path: Path
    name: PurePosixPath
    """Where it lies below what was given."""
    member: str = ""
    """Name inside the archive at ``path``; that of a folder of frames ends in a slash."""

    @contextlib.contextmanager
    def local(self) -> Iterator[Path]:
        """A path that can be read; a member of an archive is unpacked for as long as it is needed."""
        if not self.member:
            yield self.path
            return
        frames = self.member.endswith("/")
        with tempfile.TemporaryDirectory(prefix="cfd2gray-") as folder:
            target = Path(folder, "clip" + ("" if frames else PurePosixPath(self.member).suffix))
            with Guard(self.path, doing="unpacking the archive"), zipfile.ZipFile(self.path) as archive:
                unpacked = {target: self.member}
                if frames:
                    target.mkdir()
                    own = _folders(self.path, archive)[PurePosixPath(self.member)]
                    unpacked = {target / name: member for name, member in own.items()}
                for file, member in unpacked.items():
                    with archive.open(member) as packed, file.open("wb") as copy:
                        shutil.copyfileobj(packed, copy)
            yield target

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found, in a fixed order, and how much was passed over and why."""

    sources: tuple[Source, ...]
    passed_over: collections.Counter[str]

    def told(self) -> str:
        """One line of what was passed over, or nothing."""
        parts = [f"{count} {_REMEDIES[why]}" for why, count in sorted(self.passed_over.items())]
        return f"passed over: {'; '.join(parts)}" if parts else ""


_REMEDIES = {
    "link": "symbolic links (--follow-links reads those that lead somewhere)",
    "unreadable_folder": "folders that cannot be opened (check their permissions)",
    "vanished": "folders that are gone by now",
}


def find_sources(inputs: Sequence[Path], *, follow_links: bool = False, sequences: bool = True) -> Found:
    """The clips in files and folders.

    Args:
      inputs: what a person named. A DICOMDIR stands for the files it lists, a zip for the clips in it.
      follow_links: symbolic links too, as DataLad and git-annex archives are made of.
      sequences: a folder of numbered images of one kind, here or in a zip, is one clip (`numbered.are_frames`).

    Raises:
      ValueError: for a folder without a file.
    """
    passed_over: collections.Counter[str] = collections.Counter()
    found: list[Source] = []
    for path in inputs:
        if path.is_dir() and not _is_store(path):
            if sequences and is_sequence(path):
                found.append(Source(path=path, name=PurePosixPath(path.name)))
                continue
            files, over = files_below(path, follow_links=follow_links, sequences=sequences)
            passed_over.update(why for why, _ in over)
            for file in map(Path, files):
                found += opened(file, PurePosixPath(file.relative_to(path).as_posix()), sequences=sequences)
        elif path.name.upper() == "DICOMDIR" and path.is_file():
            found += [Source(path=file, name=PurePosixPath(name)) for file, name in _listed(path)]
        else:
            found += opened(path, PurePosixPath(path.name), sequences=sequences)
    return Found(tuple(found), passed_over)


def files_below(
    archive: Path,
    *,
    leave_out: str | os.PathLike | None = None,
    follow_links: bool = False,
    sequences: bool = True,
) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Clips below a folder, sorted, and ``(why, path)`` of what is passed over.

    Hidden files and what only lies beside clips (`is_beside`) are no clips; a folder of numbered frames is one.

    Args:
        leave_out: a folder of ours inside the archive, and what lies beside it under its name and a suffix.
        follow_links: symbolic links too; a folder that is met again is not entered twice.
        sequences: see `find_sources`.

    Raises:
        ValueError: when there is no file.
    """
    found: list[str] = []
    passed_over: list[tuple[str, str]] = []
    own = os.path.abspath(leave_out) if leave_out is not None else None
    waiting, seen = [os.fspath(archive)], {os.path.realpath(archive)}
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except FileNotFoundError:
            passed_over.append(("vanished", folder))
            continue
        except OSError:
            passed_over.append(("unreadable_folder", folder))
            continue
        below = []
        for entry in entries:
            ours = own is not None and f"{os.path.abspath(entry.path)}.".startswith(f"{own}.")
            if ours or entry.name.startswith("."):
                continue
            if entry.is_symlink() and not (follow_links and os.path.exists(entry.path)):
                passed_over.append(("link", entry.path))
            elif entry.is_dir(follow_symlinks=follow_links):
                place = os.path.realpath(entry.path)
                if _is_store(Path(entry.path)) or (sequences and is_sequence(Path(entry.path))):
                    found.append(entry.path)
                elif place not in seen:
                    seen.add(place)
                    below.append(entry.path)
            elif entry.is_file(follow_symlinks=follow_links) and not is_beside(Path(entry.path)):
                found.append(entry.path)
        waiting += reversed(below)  # a folder's files before those of its folders, both by name
    if not found:
        why = collections.Counter(why for why, _ in passed_over)
        told = f"; passed over: {dict(why)}" if why else ""
        raise ValueError(f"{archive} holds no file{told}; give the top folder of the archive")
    return found, tuple(passed_over)


def is_beside(path: Path) -> bool:
    """Whether a file lies beside clips and is none: notes, tables, a DICOMDIR, the pixels of a header beside it."""
    suffix = path.suffix.lower()
    if suffix in _BESIDE or path.name.lower() in _BESIDE_NAMES or path.stem.lower() in ("readme", "license"):
        return True
    return any(path.with_suffix(header).is_file() for header in _DATA_OF.get(suffix, ()))


def is_sequence(folder: Path) -> bool:
    """Whether a folder's clips are the frames of one: numbered pictures of one kind."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or is_beside(Path(entry.path)):
                    continue
                if not numbered(entry.name) or not entry.is_file():
                    return False
                names.append(entry.name)
        return are_frames(names, lambda name: open(folder / name, "rb"))
    except OSError:
        return False


def _is_store(folder: Path) -> bool:
    return any(os.path.exists(folder / name) for name in (".zgroup", "zarr.json"))  # false where it may not be entered


def opened(path: Path, name: PurePosixPath, *, sequences: bool = True) -> Iterator[Source]:
    """The clip, or those in a zip archive: its files, and its folders of frames; see `find_sources`."""
    members = _members(path, sequences) if path.suffix.lower() == ".zip" else []
    if not members:
        yield Source(path=path, name=name)
    for member in members:
        yield Source(path=path, name=name.with_suffix("") / PurePosixPath(member), member=member)


def _members(path: Path, sequences: bool) -> list[str]:
    """Names of the clips in a zip archive; empty where it is one of frames, or no archive after all."""
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            folders = _folders(path, archive)
            for folder, members in folders.items():
                if sequences and are_frames(list(members), lambda name, members=members: archive.open(members[name])):
                    if len(folders) == 1:
                        return []
                    found.append(f"{folder}/")
                else:
                    found += members.values()
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
        return []  # what is wrong with it shows when it is read
    return sorted(found)


def _folders(path: Path, archive: zipfile.ZipFile) -> dict[PurePosixPath, dict[str, str]]:
    """Folder in a zip archive -> name -> member, of what may be a clip. Raises ``unsafe_path``."""
    found: dict[PurePosixPath, dict[str, str]] = {}
    for entry in archive.infolist():
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or not parts.parts:
            continue
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            raise IngestError("unsafe_path", path, "a member's name leaves the archive; make the archive again")
        hidden = any(part.startswith((".", "__MACOSX")) for part in parts.parts)
        if not hidden and not stat.S_ISLNK(entry.external_attr >> 16) and not is_beside(Path(parts)):
            found.setdefault(parts.parent, {})[parts.name] = entry.filename
    return found


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
