"""Any clip in: `open_clip` finds out what a file is by its content and streams its frames as uint8 RGB.

Example::

    with open_clip("study/IM_0001.dcm") as stream:
        print(stream.info.fps, stream.info.height, stream.info.width)
        for frame in stream:  # uint8 [H, W, 3], one at a time
            ...
"""

from __future__ import annotations

import contextlib
import os

from data_pipeline.files import file_digest
from data_pipeline.readers.errors import CODES, Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.sniff import IMAGE_FORMATS, VIDEO_FORMATS, sniff
from data_pipeline.readers.stream import ClipStream
from data_pipeline.schema import Clip
from data_pipeline.storage import gives_ranges, is_remote, local_copy

__all__ = ["CODES", "Clip", "ClipStream", "IngestError", "Limits", "file_digest", "open_clip", "read_clip", "sniff"]

_DEFAULT_LIMITS = Limits()


def open_clip(
    path: str | os.PathLike[str],
    *,
    limits: Limits = _DEFAULT_LIMITS,
    salvage: bool = False,
    any_modality: bool = False,
    digest: bool = True,
) -> ClipStream:
    """Open one clip: a DICOM, video, GIF, still image, folder or zip of images, NumPy, NIfTI, Analyze,
    MetaImage, NRRD or zea HDF5 file.

    Args:
      path: file or folder, here or in a bucket (``s3://...``, see `storage`). What it is follows from its content, not
        its name. Of a DICOM or video in a bucket only what is read is fetched; of anything else, and where its digest is
        asked for, a copy is made for as long as the stream is open.
      limits: bounds that are checked before anything is decoded.
      salvage: return the whole frames of a truncated file (flag ``truncated``) instead of refusing it.
      any_modality: accept DICOM objects whose modality is not US.
      digest: compute ``info.source_digest`` (reads the file once more).

    Returns:
      A `ClipStream`: context manager, ``.info`` a `ClipInfo`, iterates uint8 ``[H, W, 3]`` RGB frames.

    Raises:
      IngestError: with one of `CODES`; iterating the stream raises it too.
    """
    found = sniff(path, limits=limits)
    if is_remote(path) and (
        digest or found not in ("dicom", "dicom_raw", *VIDEO_FORMATS) or not gives_ranges(str(path))
    ):
        return _open_copy(str(path), limits=limits, salvage=salvage, any_modality=any_modality, digest=digest)
    with Guard(path, doing="reading the file", code="not_found"):
        sha = file_digest(path) if digest and found not in ("folder", "zarr") else ""
    if found in ("dicom", "dicom_raw"):
        from data_pipeline.readers.dicom.clip import open_dicom

        return open_dicom(
            path,
            limits=limits,
            digest=sha,
            salvage=salvage,
            any_modality=any_modality,
            bare=found == "dicom_raw",
        )
    if found in VIDEO_FORMATS:
        from data_pipeline.readers.video import open_video

        stream = open_video(path, limits=limits, format=found, digest=sha, salvage=salvage)
        if found == "gif" and stream.info.n_frames == 1:
            return _gif_without_times(path, limits=limits, digest=sha) or stream
        return stream
    if found in ("npy", "npz"):
        from data_pipeline.readers.arrays.numpy_array import open_numpy

        return open_numpy(path, limits=limits, format=found, digest=sha)
    if found in IMAGE_FORMATS or found in ("folder", "zip"):
        from data_pipeline.readers.images import open_images

        return open_images(path, limits=limits, format=found, digest=sha)
    if found in ("nifti", "nifti_gz"):
        from data_pipeline.readers.arrays.nifti import open_nifti

        return open_nifti(path, limits=limits, digest=sha)
    if found == "metaimage":
        from data_pipeline.readers.arrays.metaimage import open_metaimage

        return open_metaimage(path, limits=limits, digest=sha)
    if found == "nrrd":
        from data_pipeline.readers.arrays.nrrd import open_nrrd

        return open_nrrd(path, limits=limits, digest=sha)
    if found == "hdf5":
        from data_pipeline.readers.arrays.zea import open_zea

        return open_zea(path, limits=limits, digest=sha)
    raise IngestError("unknown_format", path, f"{found} is not a single clip; use the reader of its data set")


def _gif_without_times(path: str | os.PathLike[str], *, limits: Limits, digest: str) -> ClipStream | None:
    """A GIF in which no picture says how long it stays: FFmpeg takes all for one, players show each for 100 ms."""
    from data_pipeline.readers.images import open_images

    with contextlib.suppress(IngestError):
        stream = open_images(path, limits=limits, format="gif", digest=digest, fps=10.0)
        return stream if (stream.info.n_frames or 1) > 1 else None
    return None


def _open_copy(path: str, *, limits: Limits, **options: bool) -> ClipStream:
    with contextlib.ExitStack() as held:
        with Guard(path, doing="copying the file", code="not_found"):
            copy = held.enter_context(local_copy(path))
        try:
            stream = open_clip(copy, limits=limits, **options)
        except IngestError as error:
            raise IngestError(error.code, path, error.detail) from error
        stream.path = path
        stream.held = held.pop_all()
        return stream


def read_clip(
    path: str | os.PathLike[str],
    *,
    limits: Limits = _DEFAULT_LIMITS,
    salvage: bool = False,
    any_modality: bool = False,
    digest: bool = True,
) -> Clip:
    """Decode a whole clip; arguments and errors of `open_clip`."""
    with open_clip(path, limits=limits, salvage=salvage, any_modality=any_modality, digest=digest) as stream:
        return stream.read()
