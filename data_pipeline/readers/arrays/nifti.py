"""NIfTI and Analyze (``.nii``, ``.nii.gz``, ``.hdr`` with ``.img``), grey or RGB. Needs the extra ``nifti``.

Axes are ``[X, Y]``, ``[X, Y, T]`` or ``[X, Y, 1, T]``.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipeline.readers.arrays.clip import array_clip
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream

_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""Unit code of the time axis (NIfTI-1 xyzt_units, bits 3..5) to seconds."""


def open_nifti(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open a NIfTI file as a `ClipStream`; the first axis becomes columns, the second rows.

    Values other than bytes are scaled alike in the whole clip (`levels.Levels`).

    Raises `IngestError`.
    """
    image = load_nifti(path)
    with Guard(path, doing="reading the NIfTI header"):
        shape = image.shape
        if len(shape) == 4 and shape[2] == 1:
            width, height, n_frames = shape[0], shape[1], shape[3]
        elif len(shape) in (2, 3):
            width, height = shape[:2]
            n_frames = shape[2] if len(shape) == 3 else 1
        else:
            raise IngestError(
                "unsupported_layout", path, f"shape must be [X, Y], [X, Y, T] or [X, Y, 1, T], got {list(shape)}"
            )
        limits.check_clip(path, height=height, width=width, n_frames=n_frames)
        fps, aspect = _rate(image, len(shape)), _aspect(image)

    def planes() -> Iterator[np.ndarray]:
        data = load_nifti(path).dataobj
        for index in range(n_frames):
            part = data[:, :, 0, index] if len(shape) == 4 else data[:, :, index] if len(shape) == 3 else data[:, :]
            yield _plane(np.asarray(part))

    return array_clip(
        path, planes, (n_frames, height, width), format="nifti", limits=limits, digest=digest, fps=(fps, "container"),
        aspect=aspect,
    )  # fmt: skip


def load_nifti(path: str | os.PathLike[str]):
    """A nibabel image whose data is not read yet. Raises `IngestError`."""
    try:
        import nibabel
    except ImportError as error:
        raise IngestError("missing_dependency", path, "NIfTI needs nibabel; pip install 'cfd2gray[nifti]'") from error
    path = pathlib.Path(path)
    with Guard(path, doing="opening the NIfTI file"):
        with path.open("rb") as file:
            head = file.read(352)
        if head.startswith(b"\x1f\x8b") and path.suffix != ".gz":
            raise IngestError("unknown_format", path, "a compressed NIfTI file must be named .nii.gz; rename it")
        pair = head[344:348] == b"ni1\0" or not head.startswith(b"\x1f\x8b") and b"n+" not in head[:8] + head[344:347]
        pixels = next((p for p in (path.with_suffix(".img"), path.with_suffix(".IMG")) if p.is_file()), None)
        if pair and pixels is None:
            raise IngestError("truncated", path, "a header whose .img is not beside it; put it there")
        files = {name: nibabel.FileHolder(filename=os.fspath(path)) for name in ("header", "image")}
        if pair:
            files["image"] = nibabel.FileHolder(filename=os.fspath(pixels))
        kinds = (
            (nibabel.Nifti1Pair, nibabel.Nifti2Pair, nibabel.AnalyzeImage)
            if pair
            else (
                nibabel.Nifti1Image,
                nibabel.Nifti2Image,
            )
        )
        for kind in kinds:
            try:
                return kind.from_file_map(files, keep_file_open=True)  # else each frame is unpacked from the start
            except (
                nibabel.filebasedimages.ImageFileError,
                nibabel.spatialimages.HeaderDataError,
                nibabel.wrapstruct.WrapStructError,
            ):
                continue
    raise IngestError("corrupt", path, "not a NIfTI header; export the file again")


def _rate(image, dimensions: int) -> float | None:
    zooms = image.header.get_zooms()
    unit = _SECONDS.get(int(image.header["xyzt_units"]) & 0x38) if "xyzt_units" in image.header else None
    if dimensions < 4 or unit is None or len(zooms) < 4 or not zooms[3] > 0:
        return None
    return 1.0 / (float(zooms[3]) * unit)


def _plane(part: np.ndarray) -> np.ndarray:
    if part.dtype.names:  # RGB24 and RGBA32 are structured
        return np.stack([part[name].T for name in part.dtype.names[:3]], axis=-1).astype(np.uint8)
    whole = part.dtype.kind == "f" and part.size and np.isfinite(part).all() and (part == np.rint(part)).all()
    if whole and part.min() >= 0 and part.max() <= 255:  # bytes that a scale factor of 1 made floats
        return part.T.astype(np.uint8)
    return np.ascontiguousarray(part.T)


def _aspect(image) -> float:
    dx, dy = (abs(float(zoom)) for zoom in image.header.get_zooms()[:2])
    aspect = dy / dx if dx > 0 and dy > 0 else 1.0
    return aspect if 0.2 < aspect < 5 else 1.0
