"""Greyscale clips as DICOM files, frame by frame: temporary name, read back, rename."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import secrets
import struct
import uuid
from collections.abc import Callable, Iterator

import numpy as np
from pydicom import uid as uids
from pydicom.dataset import Dataset
from pydicom.pixels import get_encoder

from cfd2gray.translation.output.dicom_modules import Statement, header
from data_pipeline.readers import Limits, open_clip
from data_pipeline.readers.dicom.header import get
from data_pipeline.screen.deidentify import KeyedHasher

ENCODINGS = {
    "explicit": (uids.ExplicitVRLittleEndian, ""),
    "rle": (uids.RLELossless, "pydicom"),  # GDCM's encoder aborts the process on frames of odd length
    "jpegls": (uids.JPEGLSLossless, "pyjpegls"),
    "j2k": (uids.JPEG2000Lossless, "pylibjpeg"),
}
"""Name -> transfer syntax and pydicom's encoder; all are lossless."""
_LONGEST = (1 << 32) - 2
"""Bytes that a native Pixel Data element can have."""
_ANY_SIZE = Limits(min_side=1, max_side=1 << 16, max_frames=1 << 30, max_decoded_bytes=1 << 50, max_file_bytes=1 << 50)


@contextlib.contextmanager
def growing_dicom(
    path: str | os.PathLike[str],
    *,
    source: Dataset | None,
    said: Statement,
    n_frames: int,
    shape: tuple[int, int],
    sector: np.ndarray | None = None,
    encoding: str = "explicit",
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """A DICOM file that is written frame by frame: yields ``add(frame)``, uint8 ``[H, W]``.

    The file appears when all ``n_frames`` frames were added and read back as they were. Native pixel data longer than the
    format allows (4 GiB) is written with RLE.

    Args:
      source, said, sector: see `dicom_modules.header`.
      tell: is given a line on what could not be carried over.

    Raises:
      ValueError: a wrong argument or number of frames. FileExistsError. OSError.
    """
    path = pathlib.Path(path)
    _check(path, said, source, encoding=encoding, overwrite=overwrite)
    native = encoding == "explicit" and n_frames * shape[0] * shape[1] <= _LONGEST
    syntax, plugin = ENCODINGS[encoding if native or encoding != "explicit" else "rle"]
    if said.hasher is None:
        said = dataclasses.replace(said, hasher=KeyedHasher(secrets.token_bytes(32)))
    ds, lost = header(source, said, n_frames=n_frames, shape=shape, sector=sector)
    ds.file_meta.TransferSyntaxUID = syntax
    if lost:
        tell(lost)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}.partial")
    written, total = hashlib.sha256(), 0
    encode = None if native else _encoder(syntax, plugin, shape)
    try:
        with _plain_errors(path):
            ds.save_as(partial, enforce_file_format=True, overwrite=False)
            with partial.open("ab") as file:
                length = n_frames * shape[0] * shape[1]
                padded = length + length % 2 if native else 0xFFFFFFFF
                file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, padded))
                if not native:
                    file.write(struct.pack("<HHI", 0xFFFE, 0xE000, 0))  # an empty offset table

                def add(frame: np.ndarray) -> None:
                    nonlocal total
                    if frame.shape != tuple(shape) or frame.dtype != np.uint8:
                        raise ValueError(f"frames must be uint8 {list(shape)}, got {frame.dtype} {list(frame.shape)}")
                    data = np.ascontiguousarray(frame).tobytes()
                    written.update(data)
                    total += 1
                    if encode is not None:
                        data = encode(frame)
                        data += b"\0" * (len(data) % 2)
                        file.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(data)))
                    file.write(data)

                yield add
                file.write(b"\0" * (length % 2) if native else struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
            if total != n_frames:
                raise ValueError(f"{n_frames} frames were announced and {total} came")
            _read_back(partial, written.hexdigest(), said)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _encoder(syntax: uids.UID, plugin: str, shape: tuple[int, int]) -> Callable[[np.ndarray], bytes]:
    options = {
        "rows": shape[0], "columns": shape[1], "samples_per_pixel": 1, "bits_allocated": 8, "bits_stored": 8,
        "pixel_representation": 0, "photometric_interpretation": "MONOCHROME2", "number_of_frames": 1,
    }  # fmt: skip
    encoder = get_encoder(syntax)
    return lambda frame: encoder.encode(np.ascontiguousarray(frame), encoding_plugin=plugin, **options)


@contextlib.contextmanager
def _plain_errors(path: pathlib.Path) -> Iterator[None]:
    """What the disk says, in one line with the file's name: pydicom puts a traceback into the message."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _check(
    path: str | os.PathLike[str], said: Statement, source: Dataset | None, *, encoding: str, overwrite: bool
) -> None:
    if not (np.isfinite(said.fps) and said.fps > 0):
        raise ValueError(f"fps must be positive, got {said.fps}")
    if said.mode not in ("research", "clinical"):
        raise ValueError(f"mode must be 'research' or 'clinical', got {said.mode!r}")
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {sorted(ENCODINGS)}, got {encoding!r}")
    if said.mode == "clinical" and (source is None or not get(source, "StudyInstanceUID")):
        raise ValueError("clinical mode files the clip beside its source and needs a DICOM source; use mode='research'")
    if pathlib.Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or allow overwriting")


def _read_back(path: pathlib.Path, digest: str, said: Statement) -> None:
    """Raise ``OSError`` unless the file says what was meant."""
    found = hashlib.sha256()
    with open_clip(path, limits=_ANY_SIZE, digest=False) as stream:
        for frame in stream:
            found.update(np.ascontiguousarray(frame[..., 0]).tobytes())
        ds = stream.header
    wanted = "YES" if said.synthetic else "NO"
    if ds.SyntheticData != wanted or list(ds.ImageType[:2]) != ["DERIVED", "SECONDARY"]:
        raise OSError(f"{path} lost its marking on the way to disk; nothing was kept")
    if found.hexdigest() != digest:
        raise OSError(f"{path} does not read back as written (disk full or faulty?); nothing was kept")
