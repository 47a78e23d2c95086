"""NumPy files: ``.npy`` or ``.npz`` holding ``[H, W]``, ``[T, H, W]``, ``[H, W, 3]`` or ``[T, H, W, 1 | 3]``."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from data_pipeline.readers.arrays.clip import array_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream

_NAMES = ("frames", "cfd", "clip", "video", "grey")


def open_numpy(path: str | os.PathLike[str], *, limits: Limits, format: str, digest: str = "") -> ClipStream:
    """Open a NumPy file as a `ClipStream`.

    In an ``.npz`` the frames are the array called ``frames``, ``cfd``, ``clip``, ``video`` or ``grey``, or the only one
    with more than one axis; a scalar ``fps`` is honoured. Pickled objects are never loaded. Raises `IngestError`.
    """
    with Guard(path, doing="reading the array's header"):
        member, fps = None, None
        if format == "npz":
            member, fps = _choose_member(path, limits=limits)
        with _opened(path, member) as (file, size):
            shape, dtype, fortran = _array_header(file)
            _check_dtype(path, dtype)
            if size - file.tell() < dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise IngestError("truncated", path, f"shape {shape} needs more bytes than the file has; copy it again")
        layout = _layout(path, shape)
        limits.check_clip(path, height=layout[1], width=layout[2], n_frames=layout[0])

    def planes() -> Iterator[np.ndarray]:
        """One frame at a time: a packed array is never unpacked as a whole."""
        frame_shape = layout[1:]
        with _opened(path, member) as (file, _):
            _array_header(file)
            if fortran:
                array = np.frombuffer(file.read(), dtype).reshape(shape, order="F").reshape(layout)
                yield from (np.ascontiguousarray(frame) for frame in array)
                return
            needed = int(np.prod(frame_shape)) * dtype.itemsize
            for _ in range(layout[0]):
                frame = np.frombuffer(file.read(needed), dtype).reshape(frame_shape)
                yield frame.astype(dtype.newbyteorder("="))

    return array_clip(path, planes, layout[:3], format="numpy", limits=limits, digest=digest, fps=(fps, "fps"))


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], member: str | None) -> Iterator[tuple[IO[bytes], int]]:
    """The bytes of an array's file and how many there are."""
    if member is None:
        with open(path, "rb") as file:
            yield file, os.path.getsize(path)
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        yield file, archive.getinfo(member).file_size


def _array_header(file) -> tuple[tuple[int, ...], np.dtype, bool]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file, max_header_size=10_000)
    return shape, dtype, fortran


def _choose_member(path: str | os.PathLike[str], *, limits: Limits) -> tuple[str, float | None]:
    """Member that holds the frames, and the value of ``fps``, from headers only."""
    found: dict[str, str] = {}
    fps = None
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if entry.file_size > limits.max_decoded_bytes:
                raise IngestError("too_large", path, f"array {name!r} unpacks to {entry.file_size >> 20} MiB")
            with archive.open(entry) as file:
                shape, dtype, _ = _array_header(file)
            if name == "fps" and shape == () and dtype.kind in "fiu":
                with np.load(path, allow_pickle=False) as arrays:
                    fps = float(arrays["fps"])
            elif len(shape) >= 2 and (name in _NAMES or dtype == np.uint8):
                found[name] = entry.filename
    for name in _NAMES:
        if name in found:
            return found[name], fps
    if len(found) == 1:
        return next(iter(found.values())), fps
    raise IngestError(
        "unknown_format", path, f"needs an array named one of {_NAMES}, or only one image array; has {sorted(found)}"
    )


def _check_dtype(path: str | os.PathLike[str], dtype: np.dtype) -> None:
    if dtype.kind not in "bfiu":
        raise IngestError("unsupported_pixels", path, f"frames must be numbers, the array is {dtype}; convert it")


def _layout(path: str | os.PathLike[str], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """``(T, H, W, C)``."""
    if len(shape) == 2:
        return 1, *shape, 1
    if len(shape) == 3:
        return (1, *shape) if shape[2] in (3, 4) else (*shape, 1)
    if len(shape) == 4 and shape[3] in (1, 3, 4):
        return shape
    raise IngestError(
        "unsupported_layout",
        path,
        f"shape must be [T, H, W, 3], [T, H, W] or one image, got {list(shape)}; transpose it",
    )
