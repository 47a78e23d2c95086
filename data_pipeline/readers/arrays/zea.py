"""zea's HDF5: the scan-converted picture, with the colour-Doppler group painted over it. Needs the extra ``h5``.

A picture is ``data/image_sc`` or ``data/image``: an array ``[T, H, W]`` or ``[T, H, W, 3]``, or a group that holds one as
``values`` (``pixels`` in earlier drafts of the format). ``data/color_doppler`` holds velocities in m/s, positive towards the
probe, on the same grid; zero and not-a-number are no flow. A colour-Doppler group may instead hold a picture of its own,
which is then the clip.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.readers.arrays.clip import array_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, rate_of_times

_PICTURES, _VELOCITIES = ("image_sc", "image"), ("color_doppler", "colour_doppler")
_VALUES = ("values", "pixels")
_TOWARDS = np.array([[90, 0, 0], [230, 40, 0], [255, 220, 80]], np.float32)
_AWAY = np.array([[0, 0, 100], [0, 70, 230], [100, 230, 255]], np.float32)
"""Colours of no, half and full speed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Found:
    """Names of the arrays in the file, and what it says of them."""

    picture: str
    shape: tuple[int, ...]
    velocity: str = ""
    fastest: float = 0.0
    fps: float | None = None
    times: tuple[float, ...] = ()
    aspect: float = 1.0


def open_zea(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open an HDF5 file of zea as a `ClipStream`. Raises `IngestError`."""
    try:
        import h5py
    except ImportError as error:
        raise IngestError("missing_dependency", path, "HDF5 needs h5py; pip install 'cfd2gray[h5]'") from error
    with Guard(path, doing="reading the HDF5 groups"), h5py.File(path, "r") as file:
        found = _look(path, file, limits)
    n_frames, height, width = found.shape[:3]

    def planes() -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            data = file[found.picture]
            for number in range(n_frames):
                yield np.asarray(data[number] if data.ndim > 2 else data[()])

    def painted(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            for number, frame in enumerate(frames):
                yield _painted(frame, file[found.velocity][number] / found.fastest)

    return array_clip(
        path, planes, found.shape[:3], format="hdf5", limits=limits, digest=digest, fps=(found.fps, "container"),
        times=found.times, aspect=found.aspect, painted=painted if found.velocity else iter,
    )  # fmt: skip


def _look(path: str | os.PathLike[str], file: Any, limits: Limits) -> _Found:
    import h5py

    pictures: list[str] = []
    velocities: list[str] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
            return
        *above, last = name.split("/")
        own = above[-1] if last in _VALUES and above else last
        if own in _PICTURES:
            pictures.append(name)
        elif own in _VELOCITIES:
            velocities.append(name)

    file.visititems(visit)
    pictures.sort(key=lambda name: ("doppler" not in name.lower(), "image_sc" not in name, name))
    if not pictures:
        raise IngestError("unknown_format", path, "no picture in it (image_sc or image); scan-convert it first")
    name, shape = pictures[0], tuple(int(n) for n in file[pictures[0]].shape)
    if len(shape) == 2:
        shape = (1, *shape)
    if not (len(shape) == 3 or len(shape) == 4 and shape[3] in (1, 3, 4)):
        raise IngestError("unsupported_layout", path, f"{name} must be [T, H, W] or [T, H, W, 3], got {list(shape)}")
    limits.check_clip(path, height=shape[1], width=shape[2], n_frames=shape[0])
    fps, times = _rate(file, file[name].parent, shape[0])
    found = _Found(picture=name, shape=shape, fps=fps, times=times, aspect=_aspect(file[name].parent, shape))
    if not velocities or "doppler" in name.lower():
        return found
    velocity = file[velocities[0]]
    if velocity.shape != shape[:3]:
        raise IngestError(
            "unsupported_layout",
            path,
            f"colour Doppler must be on the picture's grid {list(shape[:3])}, got {list(velocity.shape)}; "
            "scan-convert both alike",
        )
    fastest = max((float(np.nanmax(np.abs(velocity[i]), initial=0.0)) for i in range(shape[0])), default=0.0)
    return dataclasses.replace(found, velocity=velocities[0], fastest=fastest) if fastest > 0 else found


def _painted(frame: np.ndarray, share: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] with colour where something flows; ``share`` [H, W]: velocity over the fastest, positive towards."""
    share = np.nan_to_num(share.astype(np.float32))
    level = 2 * np.abs(share)[..., None]
    out = frame.astype(np.float32)
    for colours, here in ((_TOWARDS, share > 0), (_AWAY, share < 0)):
        slow, fast = np.minimum(level[here], 1), np.maximum(level[here] - 1, 0)
        out[here] = colours[0] + slow * (colours[1] - colours[0]) + fast * (colours[2] - colours[1])
    return np.rint(out).astype(np.uint8)


def _rate(file: Any, group: Any, n_frames: int) -> tuple[float | None, tuple[float, ...]]:
    """``(fps, times where they vary)`` by the picture's own times, an ``fps``, or `scan`'s time between transmits."""
    if "timestamps" in group and group["timestamps"].shape == (n_frames,):
        times = tuple(np.round(np.asarray(group["timestamps"], float), 6).tolist())
        if n_frames > 1 and (np.diff(times) > 0).all():
            return rate_of_times(times)
    for name in ("fps", "scan/fps", "scan/frame_rate", "settings/fps"):
        if name in file and file[name].shape == ():
            return float(file[name][()]), ()
    times = file.get("scan/time_to_next_transmit")
    if times is not None and times.ndim == 2 and float(times[0].sum()) > 0:
        return 1.0 / float(times[0].sum()), ()
    return None, ()


def _aspect(group: Any, shape: tuple[int, ...]) -> float:
    """Height of a pixel over its width by the ``coordinates`` (metres, ``[..., H, W, 3]``: x, y, z) of an even grid."""
    if "coordinates" not in group or group["coordinates"].shape[-3:] != (*shape[1:3], 3) or min(shape[1:3]) < 2:
        return 1.0
    grid = np.asarray(group["coordinates"][(0,) * (group["coordinates"].ndim - 3)], float)
    down, right = np.diff(grid[..., 2], axis=0), np.diff(grid[..., 0], axis=1)
    aspect = float(abs(down.mean() / right.mean())) if right.mean() else 0.0
    even = np.ptp(down) < 0.02 * abs(down.mean()) and np.ptp(right) < 0.02 * abs(right.mean())
    return aspect if even and 0.2 < aspect < 5 else 1.0
