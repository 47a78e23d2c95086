"""A still image, or a folder or zip of images that are the frames of one clip, in natural order of their names."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import re
import stat
import warnings
import zipfile
from collections.abc import Callable, Generator, Iterator

import cv2
import numpy as np
from PIL import Image, ImageOps

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.levels import Levels
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.numbered import have_gaps
from data_pipeline.readers.sniff import IMAGE_FORMATS, sniff_bytes
from data_pipeline.readers.stream import ClipStream, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo

_PILLOW = ("PNG", "JPEG", "BMP", "TIFF", "GIF")
_ORIENTATION = 0x0112
"""EXIF tag: 5 to 8 are a quarter turn."""
_IGNORED = (".json", ".txt", ".csv", ".xml", ".md", ".db", ".ini")
"""Files beside the frames that are no frames."""

GAPS = "gaps_in_numbers"
"""Flag of a clip of numbered frames some of whose numbers are missing."""


def open_images(
    path: str | os.PathLike[str], *, limits: Limits, format: str, digest: str = "", fps: float | None = None
) -> ClipStream:
    """Open an image, a folder or a zip of images as a `ClipStream`.

    Pages of one TIFF (or GIF) are frames too. Members of a zip are read in memory, never extracted; symbolic links and names
    that leave the archive are refused. So are images in several folders of a zip, which are several clips, and images of
    different size. Transparency is shown over black, a camera's orientation is followed, and deeper samples are scaled
    alike in the whole clip (`levels.Levels`).

    Raises `IngestError`.
    """
    with Guard(path, doing="listing the images"):
        if format == "folder":
            members, read = _folder(pathlib.Path(path), limits)
        elif format == "zip":
            members, read = _zip(path, limits)
        else:
            members, read = [os.fspath(path)], _read_file
        if not members:
            raise IngestError("unknown_format", path, "no PNG, JPEG, BMP or TIFF image in it; give the clip itself")
        first = read(members[0])
        height, width, pages = _header(path, first, limits)
        if len(members) > 1 or format in ("folder", "zip"):
            n_frames = len(members)
        else:
            n_frames = pages
        limits.check_clip(path, height=height, width=width, n_frames=n_frames)
        if not digest:
            digest = _digest(members, read)

    def planes() -> Iterator[np.ndarray]:
        for name in members:
            data = read(name)
            size = _header(path, data, limits)[:2]
            if len(members) > 1 and size != (height, width):
                raise IngestError(
                    "unsupported_layout", path,
                    f"pictures of {width}x{height} and {size[1]}x{size[0]} are not one clip; sort them into folders by size, "
                    "or take each by itself (--no-sequences)",
                )  # fmt: skip
            with Image.open(io.BytesIO(data), formats=_PILLOW) as image:
                for page in range(n_frames if len(members) == 1 else 1):
                    if page:
                        image.seek(page)
                    yield _deep_colour(data, page) if _is_deep_colour(image) else _samples(image)

    levels = Levels(planes)

    def frames() -> Generator[np.ndarray, None, tuple[str, ...]]:
        yield from map(levels.to_rgb, planes())
        return levels.flags

    rate, source = sane_fps(fps, "given")
    flags = ("still",) if n_frames == 1 else ()
    if have_gaps(name.replace("\\", "/").rpartition("/")[2] for name in members):
        flags += (GAPS,)
    info = ClipInfo(
        format="gif" if format == "gif" else "images",
        height=height,
        width=width,
        n_frames=n_frames,
        fps=rate,
        fps_source=source,
        lossy=first.startswith(b"\xff\xd8"),
        flags=with_rate_flags(flags, source),
        source_digest=digest,
    )
    return ClipStream(path, info, frames, limits=limits)


def natural_key(name: str) -> list:
    """Sort key under which ``frame_10`` follows ``frame_9``."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", name)]


def _read_file(name: str) -> bytes:
    return pathlib.Path(name).read_bytes()


def _folder(path: pathlib.Path, limits: Limits) -> tuple[list[str], Callable[[str], bytes]]:
    members, total = [], 0
    for entry in sorted(path.iterdir(), key=lambda entry: natural_key(entry.name)):
        if entry.name.startswith(".") or entry.suffix.lower() in _IGNORED or entry.is_dir():
            continue
        if entry.is_symlink() and not limits.follow_symlinks:
            raise IngestError("unsafe_path", path, "holds a symbolic link; copy the images, or --follow-links")
        with entry.open("rb") as file:
            found = sniff_bytes(file.read(1024))
        if found in IMAGE_FORMATS:
            members.append(os.fspath(entry))
            total += entry.stat().st_size
        elif found is not None:
            raise IngestError(
                "unknown_format", path, f"a folder of {found} files is not one clip; give the files one by one"
            )
    if total > limits.max_file_bytes:
        raise IngestError("too_large", path, f"the images have {total >> 20} MiB; cut the clip (in Python: limits=)")
    return members, _read_file


def _zip(path: str | os.PathLike[str], limits: Limits) -> tuple[list[str], Callable[[str], bytes]]:
    members, folders, total = [], set(), 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            parts = pathlib.PurePosixPath(entry.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", entry.filename):
                raise IngestError("unsafe_path", path, "a member's name leaves the archive; make the archive again")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise IngestError("unsafe_path", path, "holds a symbolic link; make the archive again without")
            total += entry.file_size
            if total > limits.max_decoded_bytes or len(members) > limits.max_frames:
                raise IngestError("too_large", path, f"unpacks to more than {limits.max_decoded_bytes >> 20} MiB")
            if entry.is_dir() or parts.name.startswith(".") or parts.suffix.lower() in _IGNORED:
                continue
            with archive.open(entry) as file:
                found = sniff_bytes(file.read(1024))
            if found in IMAGE_FORMATS:
                members.append(entry.filename)
                folders.add(parts.parent)
            elif found is not None:
                raise IngestError(
                    "unknown_format", path, f"a zip with {found} in it is not one clip; unpack it and name the file"
                )
    if len(folders) > 1:
        raise IngestError(
            "unsupported_layout", path,
            f"holds pictures in {len(folders)} folders, which are {len(folders)} clips; unpack it and name one folder",
        )  # fmt: skip

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)

    return sorted(members, key=natural_key), read


def _header(path: str | os.PathLike[str], data: bytes, limits: Limits) -> tuple[int, int, int]:
    """``(height, width, pages)`` without decoding; checks the size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=_PILLOW) as image:
            width, height = image.size
            limits.check_size(path, height=height, width=width)
            pages = min(getattr(image, "n_frames", 1), limits.max_frames + 1)
            if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
                width, height = height, width
    return height, width, pages


def _samples(image: Image.Image) -> np.ndarray:
    """``[H, W]`` of any type, or uint8 ``[H, W, 3 | 4]``, the way up that the camera says."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.asarray(image)
    clear = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    return np.array(ImageOps.exif_transpose(image.convert("RGBA" if clear else "RGB")))


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether colours of 16 bits are meant, which Pillow cuts to their high bytes."""
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in image.tile)


def _deep_colour(data: bytes, page: int) -> np.ndarray:
    """uint16 ``[H, W, 3]``, transparency over black."""
    found, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(page, page + 1))
    if not found or pages[0].ndim != 3:
        raise ValueError(f"page {page + 1} of 16-bit colour cannot be decoded")
    colour = pages[0][..., 2::-1]
    if pages[0].shape[2] == 4:
        colour = (colour.astype(np.uint32) * pages[0][..., 3:] // 65535).astype(np.uint16)
    return np.ascontiguousarray(colour)


def _digest(members: list[str], read: Callable[[str], bytes]) -> str:
    """SHA-256 over the contents in order; names are identifiers and stay out."""
    total = hashlib.sha256()
    for name in members:
        total.update(hashlib.sha256(read(name)).digest())
    return total.hexdigest()
