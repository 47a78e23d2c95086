"""NRRD: ``[X, Y]``, ``[X, Y, T]``, ``[3, X, Y, T]`` or, of a list, ``[T, X, Y]``, named from the fastest axis.

Needs the extra ``nrrd``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipeline.readers.arrays.clip import array_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream
from data_pipeline.readers.unpacked import GZIP, inflate

Source = Callable[[], contextlib.AbstractContextManager[Any]]
"""Opens something that gives a frame ``[H, W]`` or ``[H, W, C]`` by its number."""
_COLOURS = ("rgb-color", "rgba-color", "vector", "3-color", "4-color")


def open_nrrd(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open an NRRD file as a `ClipStream`. Raises `IngestError`."""
    source, shape, aspect = _located(path, limits)
    n_frames, height, width = shape[:3]
    limits.check_clip(path, height=height, width=width, n_frames=n_frames)

    def planes() -> Iterator[np.ndarray]:
        with source() as array:
            for number in range(n_frames):
                yield np.asarray(array[number])

    return array_clip(path, planes, shape[:3], format="nrrd", limits=limits, digest=digest, aspect=aspect)


def _located(path: str | os.PathLike[str], limits: Limits) -> tuple[Source, tuple[int, ...], float]:
    """Where the numbers lie, ``(T, H, W[, C])``, and height over width of a pixel."""
    try:
        import nrrd
    except ImportError as error:
        raise IngestError("missing_dependency", path, "NRRD needs pynrrd; pip install 'cfd2gray[nrrd]'") from error
    with Guard(path, doing="reading the NRRD header"):
        with open(path, "rb") as file:
            header = nrrd.read_header(file)
            start = file.tell()
        sizes = [int(n) for n in header["sizes"]]
        if header["type"] == "block" or len(sizes) > 5 or ("data file" in header or "datafile" in header):
            raise IngestError("unsupported_layout", path, "needs one block of numbers in the file; write it as .nrrd")
        dtype = np.dtype(nrrd.reader._determine_datatype(header))
        listed = _kind(header) in ("list", "time") and len(sizes) > 2  # sequences of 3D Slicer: frames are nearest
        channels_last = not listed and (len(sizes) > 3 and sizes[0] in (3, 4) or _kind(header) in _COLOURS)
        shape = tuple(reversed(sizes))  # slowest first: [T, Y, X], [T, Y, X, C] or, of sequences, [Y, X, T]
        planar = 3 if channels_last or listed else 2
        frames = int(np.prod(shape[:-planar], dtype=object)) if len(shape) > planar else 1
        if listed and frames != 1:
            raise IngestError("unsupported_layout", path, "a sequence of volumes; export 2-D clips instead")
        full = (frames, *shape[-planar:])
        bytes_needed = int(np.prod(full, dtype=object)) * dtype.itemsize
        if bytes_needed > limits.max_decoded_bytes:
            raise IngestError("too_large", path, f"holds {bytes_needed >> 20} MiB; cut the clip (in Python: limits=)")
        dx, dy = _spacing(header, 1 if channels_last or listed else 0)

    @contextlib.contextmanager
    def source() -> Iterator[np.ndarray]:
        if header["encoding"] == "raw" and not header.get("line skip", 0) and not header.get("byte skip", 0):
            data = np.memmap(path, dtype, "r", offset=start, shape=full)
        elif header["encoding"] in ("gzip", "gz") and not header.get("byte skip", 0):
            with open(path, "rb") as file:
                file.seek(start)
                inflated = inflate(file, wrapped=GZIP, most=bytes_needed, path=path)
            data = np.memmap(inflated.name, dtype, "r", shape=full)
        else:
            with open(path, "rb") as file:
                head = nrrd.read_header(file)
                data = nrrd.read_data(head, file, os.fspath(path), index_order="C").reshape(full)
        yield np.moveaxis(data[0], -1, 0) if listed else data

    layout = (full[3], *full[1:3]) if listed else full
    return source, layout, dy / dx if 0.2 < dy / dx < 5 else 1.0


def _kind(header: dict[str, Any]) -> str:
    """What the fastest axis is."""
    kinds = header.get("kinds") or [""]
    return str(kinds[0]).lower()


def _spacing(header: dict[str, Any], first: int) -> tuple[float, float]:
    """Size of a pixel in the first two axes of the picture."""
    if "spacings" in header:
        found = [float(value) for value in header["spacings"][first : first + 2]]
    elif "space directions" in header:
        rows = np.asarray(header["space directions"], float)[first : first + 2]
        found = [float(np.linalg.norm(row)) for row in rows]
    else:
        found = []
    sound = len(found) == 2 and all(np.isfinite(value) and value > 0 for value in found)
    return (found[0], found[1]) if sound else (1.0, 1.0)
