"""MetaImage (``.mhd`` with its data file, or ``.mha``): ``[X, Y]``, ``[X, Y, T]`` or ``[X, Y, 1, T]``, grey or colour.

Every field that changes how the data lie is honoured, or the file is refused.
"""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Iterator

import numpy as np

from data_pipeline.readers.arrays.clip import array_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, rate_of_times

_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2", "MET_UINT": "u4", "MET_INT": "i4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_HEADER = 1 << 24
"""Bytes that a header may have: recorders of tracked probes (PLUS, 3D Slicer) write several lines per frame."""


def open_metaimage(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open a MetaImage as a `ClipStream`; a data file must lie beside its header. Raises `IngestError`."""
    path = pathlib.Path(path)
    with Guard(path, doing="reading the MetaImage header"):
        fields, end = _fields(path)
        size = [int(n) for n in fields["DimSize"].split()]
        kind = _TYPES.get(fields.get("ElementType", "").upper())
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        if kind is None or channels not in (1, 3, 4):
            raise IngestError(
                "unsupported_pixels",
                path,
                f"needs numbers in 1, 3 or 4 channels, got {fields.get('ElementType')} in {channels}",
            )
        if len(size) == 4 and 1 in size[2:]:
            size = [*size[:2], size[2] * size[3]]
        if len(size) not in (2, 3) or fields.get("BinaryData", "True").lower() != "true":
            raise IngestError(
                "unsupported_layout", path, f"needs binary data of one clip, [X, Y] or [X, Y, T], got {size}"
            )
        width, height, n_frames = (*size, 1)[:3]
        limits.check_clip(path, height=height, width=width, n_frames=n_frames)
        big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
        dtype = np.dtype((">" if big else "<") + kind)
        needed = width * height * channels * dtype.itemsize
        file, start = _data(path, fields, end, needed * n_frames, limits)
        compressed = fields.get("CompressedData", "False").lower() == "true"
        aspect, times = _aspect(fields), _times(fields, n_frames)
        fps, varying = rate_of_times(times)

    def planes() -> Iterator[np.ndarray]:
        inflater = zlib.decompressobj() if compressed else None
        with file.open("rb") as data:
            data.seek(start)
            for number in range(n_frames):
                block = _read(data, needed, inflater)
                if len(block) < needed:
                    raise IngestError(
                        "truncated", path, f"the pixels end in frame {number + 1} of {n_frames}; copy it again"
                    )
                frame = np.frombuffer(block, dtype).astype(dtype.newbyteorder("="))
                yield frame.reshape(height, width, channels) if channels > 1 else frame.reshape(height, width)

    return array_clip(
        path, planes, (n_frames, height, width), format="metaimage", limits=limits, digest=digest, fps=(fps, "container"),
        times=varying, aspect=aspect,
    )  # fmt: skip


def _fields(path: pathlib.Path) -> tuple[dict[str, str], int]:
    """The header's fields and where it ends: ElementDataFile is the last."""
    fields, position = {}, 0
    with path.open("rb") as file:
        while position < _HEADER and (line := file.readline(_HEADER)):
            position += len(line)
            key, _, value = line.decode("latin-1").partition("=")
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
    return fields, position


def _times(fields: dict[str, str], n_frames: int) -> tuple[float, ...]:
    """Seconds of each frame from the first, as recorders of sequences write them; empty where one is missing."""
    try:
        told = [float(fields[f"Seq_Frame{number:04d}_Timestamp"]) for number in range(n_frames)]
    except (KeyError, ValueError):
        return ()
    rising = len(told) > 1 and all(np.isfinite(told)) and bool((np.diff(told) > 0).all())
    return tuple(round(time - told[0], 6) for time in told) if rising else ()


def _data(
    path: pathlib.Path, fields: dict[str, str], end: int, length: int, limits: Limits
) -> tuple[pathlib.Path, int]:
    """The file that holds the pixels, and where they begin in it."""
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, end
    if name.upper().startswith("LIST") or "%" in name:
        raise IngestError("unsupported_layout", path, "its pixels are spread over several files; write it as one .mha")
    file = path.parent / name
    if len(pathlib.PurePath(name).parts) != 1 or name == ".." or (file.is_symlink() and not limits.follow_symlinks):
        raise IngestError("unsafe_path", path, "its data file must lie beside it; put it there")
    skip = int(fields.get("HeaderSize", "0"))
    if skip < -1 or (skip == -1 and fields.get("CompressedData", "False").lower() == "true"):
        raise IngestError("corrupt", path, f"HeaderSize {skip} says nothing of compressed data; write it again")
    return file, max(file.stat().st_size - length, 0) if skip == -1 else skip


def _read(data, needed: int, inflater) -> bytes:
    if inflater is None:
        return data.read(needed)
    parts, left = [], needed
    while left:
        source = inflater.unconsumed_tail or data.read(1 << 16)
        part = inflater.decompress(source, left)
        if not part and (not source or inflater.eof):
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _aspect(fields: dict[str, str]) -> float:
    """Height of a pixel over its width by ElementSpacing (or ElementSize)."""
    try:
        dx, dy = [float(n) for n in fields.get("ElementSpacing", fields.get("ElementSize", "1 1")).split()][:2]
        aspect = abs(dy / dx)
    except (ValueError, ZeroDivisionError):
        return 1.0
    return aspect if 0.2 < aspect < 5 else 1.0
