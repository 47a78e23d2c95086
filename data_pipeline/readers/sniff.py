"""What a file is, from its first bytes. Names and extensions are hearsay."""

from __future__ import annotations

import os
import pathlib
import stat
import struct
import zlib

from data_pipeline import storage
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits

IMAGE_FORMATS = ("png", "jpeg", "bmp", "tiff")
VIDEO_FORMATS = ("avi", "mp4", "mkv", "gif", "asf", "mpegts", "mpeg")
READ = (
    "DICOM, AVI, MP4, MOV, MKV, WebM, WMV, MPEG, GIF, PNG, JPEG, BMP, TIFF, NumPy, NIfTI, Analyze, MetaImage, NRRD, zea HDF5 "
    "or a folder or zip of images"
)
"""What a person may give."""
_META_KEYS = (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")
"""What a MetaImage header begins with."""
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", "")
_VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf")
_FOREIGN = (
    (0, b"%PDF", "a PDF"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it"),
    (0, b"\xd0\xcf\x11\xe0", "an Office document or Windows thumbnails"),
    (0, b"KRETZFILE", "a Voluson volume; export 2-D clips instead"),
    (0, b"\xff\x0a", "a JPEG XL picture; export PNG or JPEG"),
    (4, b"JXL ", "a JPEG XL picture; export PNG or JPEG"),
    (8, b"WEBP", "a WebP picture; export PNG, GIF or MP4"),
    (0, b"FLV\x01", "a Flash video; export MP4"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself (git lfs pull)"),
    (0, b"/annex/objects/", "a pointer of git-annex; fetch the file itself (git annex get)"),
    (0, b"<", "text (HTML or XML)"),
)  # fmt: skip
"""``(where, bytes, what it is)`` of files that people have beside clips and that are none we read."""
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
"""Still pictures in the container of MP4."""


def sniff(path: str | os.PathLike[str], *, limits: Limits | None = None) -> str:
    """Name of the format of ``path``, by content.

    Returns one of ``dicom``, ``dicom_raw`` (a data set without preamble), ``avi``, ``mp4`` (MOV too), ``mkv``, ``gif``,
    ``asf`` (WMV), ``mpegts``, ``mpeg``, ``png``, ``jpeg``, ``bmp``, ``tiff``, ``npy``, ``npz``, ``zip``, ``nifti`` (Analyze
    too), ``nifti_gz``, ``metaimage``, ``nrrd``, ``hdf5``, ``folder``, ``zarr``.

    Raises `IngestError`: ``not_found``, ``unsafe_path``, ``too_large``, ``not_dicom``, ``unknown_format``.
    """
    limits = limits or Limits()
    if storage.is_remote(path):
        return _named_right(path, pathlib.PurePosixPath(path).suffix.lower(), *_remote_head(path, limits))
    path = pathlib.Path(path)
    with Guard(path, doing="opening the file", code="not_found"):
        if path.is_symlink() and not limits.follow_symlinks:
            raise IngestError("unsafe_path", path, "a symbolic link; give the file itself, or --follow-links")
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "zarr" if (path / ".zgroup").exists() or (path / "zarr.json").exists() else "folder"
        if not stat.S_ISREG(status.st_mode):
            raise IngestError("unsafe_path", path, "neither a regular file nor a folder (a device, pipe or socket)")
        _check_size(path, status.st_size, limits)
        with path.open("rb") as file:
            head = file.read(1024)
    return _named_right(path, path.suffix.lower(), sniff_bytes(head), head)


def _remote_head(path: str, limits: Limits) -> tuple[str | None, bytes]:
    """Format and first bytes of a file in a bucket; a name that is no file but holds some is a folder."""
    with Guard(path, doing="opening the file", code="not_found"):
        fs, name = storage.file_system(path)
        if fs.isdir(name):
            return "folder", b""
        size = storage.size_of(path)
        _check_size(path, size, limits)
        with storage.open_binary(path) as file:
            head = file.read(1024)
    return sniff_bytes(head), head


def _check_size(path: str | os.PathLike[str], size: int, limits: Limits) -> None:
    if size > limits.max_file_bytes:
        raise IngestError(
            "too_large",
            path,
            f"at most {limits.max_file_bytes >> 20} MiB, the file has {size >> 20} MiB; cut the clip (in Python: limits=)",
        )


def _named_right(path: str | os.PathLike[str], suffix: str, found: str | None, head: bytes) -> str:
    """The format, unless the file's name says something else."""
    if found == "folder":
        return found
    if found is None:
        foreign = next((what for at, mark, what in _FOREIGN if head[at:].startswith(mark)), "")
        code = "not_dicom" if suffix in _DICOM_SUFFIXES else "unknown_format"
        if head[4:8] == b"ftyp":
            foreign = "a HEIF or AVIF picture; export PNG or JPEG"
        if foreign:
            raise IngestError(code, path, foreign)
        what = "no known signature in its first bytes" if head else "an empty file"
        raise IngestError(code, path, f"{what}; expected {READ}")
    if suffix in (".dcm", ".dicom", ".ima") and not found.startswith("dicom"):
        raise IngestError("not_dicom", path, f"named like DICOM but holds {found}; rename it if that is meant")
    if suffix in _VIDEO_SUFFIXES and found not in VIDEO_FORMATS:
        raise IngestError("unknown_format", path, f"named like a video but holds {found}; rename it if that is meant")
    return found


def sniff_bytes(head: bytes) -> str | None:
    """The format that starts with ``head`` (up to 1024 bytes of it), or ``None``."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return None
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free"):
        return "mp4"
    for magic, name in (
        (b"\x1a\x45\xdf\xa3", "mkv"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x00\x00\x01\xb3", "mpeg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"BM", "bmp"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"\x93NUMPY", "npy"),
        (b"NRRD000", "nrrd"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
    ):
        if head.startswith(magic):
            return name
    if any(line.split(b"=")[0].strip() in _META_KEYS for line in head.split(b"\n", 1)[:1]):
        return "metaimage"
    if head.startswith(b"PK\x03\x04"):
        name_length = struct.unpack_from("<H", head, 26)[0] if len(head) >= 30 else 0
        return "npz" if head[30 : 30 + name_length].endswith(b".npy") else "zip"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "mpegts"
    if _is_nifti(head):
        return "nifti"
    if head.startswith(b"\x1f\x8b"):
        try:
            inner = zlib.decompressobj(31).decompress(head, 512)
        except zlib.error:
            return None
        return "nifti_gz" if _is_nifti(inner) else None
    if _is_bare_dataset(head):
        return "dicom_raw"
    return None


def _is_nifti(head: bytes) -> bool:
    if head[344:348] in (b"n+1\x00", b"ni1\x00"):
        return True
    if head[4:12] == b"n+2\x00\r\n\x1a\n":
        return True
    order = {b"\x5c\x01\x00\x00": "<h", b"\x00\x00\x01\x5c": ">h"}.get(head[:4])  # Analyze: the size of its header
    return order is not None and len(head) == 348 and 1 <= struct.unpack_from(order, head, 40)[0] <= 7


def _is_bare_dataset(head: bytes) -> bool:
    """A DICOM data set without preamble: starts with a low even group and a plausible element."""
    if len(head) < 16:
        return False
    for order in ("<", ">"):
        group, element = struct.unpack_from(order + "HH", head)
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        if head[4:6].isalpha() and head[4:6].isupper():
            return True
        if struct.unpack_from(order + "I", head, 4)[0] < 1024:
            return True
    return False
