"""NIfTI: ``[X, Y]``, ``[X, Y, T]`` or ``[X, Y, 1, T]``, grey or RGB. Needs the extra ``nifti``."""

from __future__ import annotations

import os
from collections.abc import Generator

import numpy as np

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo

_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""Unit code of the time axis (NIfTI-1 xyzt_units, bits 3..5) to seconds."""


def open_nifti(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open a NIfTI file as a `ClipStream`; the first axis becomes columns, the second rows.

    Values must be integers in 0..255 (as the public ultrasound sets store them); other ranges have no agreed window.

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
        fps = _rate(image, len(shape))

    def frames() -> Generator[np.ndarray, None, tuple[str, ...]]:
        data = load_nifti(path).dataobj
        for index in range(n_frames):
            part = data[:, :, 0, index] if len(shape) == 4 else data[:, :, index] if len(shape) == 3 else data[:, :]
            yield _frame(path, np.asarray(part))
        return ()

    rate, source = sane_fps(fps, "container")
    info = ClipInfo(
        format="nifti",
        height=int(height),
        width=int(width),
        n_frames=int(n_frames),
        fps=rate,
        fps_source=source,
        flags=with_rate_flags(("still",) if n_frames == 1 else (), source),
        source_digest=digest,
    )
    return ClipStream(path, info, frames, limits=limits)


def load_nifti(path: str | os.PathLike[str]):
    """A nibabel image whose data is not read yet. Raises `IngestError`."""
    try:
        import nibabel
    except ImportError as error:
        raise IngestError("missing_dependency", path, "NIfTI needs nibabel; pip install 'cfd2gray[nifti]'") from error
    with Guard(path, doing="opening the NIfTI file"):
        with open(path, "rb") as file:
            head = file.read(2)
        fileobj = nibabel.FileHolder(filename=os.fspath(path))
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
            try:
                if head == b"\x1f\x8b" and not os.fspath(path).endswith(".gz"):
                    raise IngestError(
                        "unknown_format", path, "a compressed NIfTI file must be named .nii.gz; rename it"
                    )
                return kind.from_file_map({"header": fileobj, "image": fileobj})
            except nibabel.filebasedimages.ImageFileError:
                continue
    raise IngestError("corrupt", path, "not a NIfTI header; export the file again")


def _rate(image, dimensions: int) -> float | None:
    zooms = image.header.get_zooms()
    unit = _SECONDS.get(int(image.header["xyzt_units"]) & 0x38)
    if dimensions < 4 or unit is None or len(zooms) < 4 or not zooms[3] > 0:
        return None
    return 1.0 / (float(zooms[3]) * unit)


def _frame(path: str | os.PathLike[str], part: np.ndarray) -> np.ndarray:
    if part.dtype.names:  # RGB24 and RGBA32 are structured
        return np.stack([part[name].T for name in part.dtype.names[:3]], axis=-1).astype(np.uint8)
    if part.dtype != np.uint8:
        if not np.isfinite(part).all() or part.min() < 0 or part.max() > 255:
            raise IngestError(
                "unsupported_pixels",
                path,
                f"values must lie in 0..255, got {part.min():g}..{part.max():g}; rescale the file to 8 bit",
            )
        part = np.rint(part).astype(np.uint8)
    return np.repeat(part.T[..., None], 3, axis=2)
