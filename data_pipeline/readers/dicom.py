"""DICOM ultrasound: any photometric interpretation, any transfer syntax, frame by frame."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator

import numpy as np
from pydicom import uid as uids

from data_pipeline.readers import dicom_header, dicom_pixels, dicom_video
from data_pipeline.readers.dicom_file import DicomFile, group_fragments, join, read_header
from data_pipeline.readers.dicom_terms import image_type_terms, vendor_name
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, with_rate_flags
from data_pipeline.schema import ClipInfo


def open_dicom(
    path: str | os.PathLike[str],
    *,
    limits: Limits,
    digest: str = "",
    salvage: bool = False,
    any_modality: bool = False,
    bare: bool = False,
) -> ClipStream:
    """Open a DICOM file as a `ClipStream`.

    Args:
      salvage: read the whole frames of a truncated file instead of refusing it (flag ``truncated``).
      any_modality: accept other modalities than US (screen captures stored as XA, ES or OT exist).
      bare: the file has no preamble.

    Raises `IngestError`.
    """
    file = read_header(path, limits=limits, bare=bare)
    with Guard(path, doing="reading the DICOM header"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom parses lazily, and its warnings quote header values
        ds = file.dataset
        dicom_header.check_kind(ds, path, has_pixels=file.span is not None, any_modality=any_modality)
        if file.span.truncated and not salvage:
            raise IngestError(
                "truncated", path, "the file ends inside its pixel data; copy it again or read it with salvage"
            )
        flags = ("truncated",) if file.span.truncated else ()
        if file.transfer_syntax in dicom_video.VIDEO_SYNTAXES:
            return dicom_video.open_video(file, limits=limits, digest=digest, flags=flags, salvage=salvage)
        if file.transfer_syntax.is_compressed != (file.span.fragments is not None):
            raise IngestError(
                "corrupt",
                path,
                f"transfer syntax {file.transfer_syntax.name} and the form of its pixel data contradict each other",
            )
        return _open_frames(file, limits=limits, digest=digest, flags=flags)


def clip_info(
    file: DicomFile, *, height: int, width: int, n_frames: int | None, digest: str, flags: tuple[str, ...]
) -> ClipInfo:
    """`ClipInfo` from the header of ``file``."""
    ds = file.dataset
    regions, region_flags = dicom_header.regions(ds, height=height, width=width)
    fps, fps_source = dicom_header.frame_rate(ds)
    image_type = dicom_header.get(ds, "ImageType", ())
    image_type = (image_type,) if isinstance(image_type, str) else tuple(str(value) for value in image_type)
    flags += region_flags
    if n_frames == 1:
        flags += ("still",)
    elif n_frames is not None and dicom_header.integer(ds, "NumberOfFrames") != n_frames:
        flags += ("frame_count_mismatch",)
    return ClipInfo(
        format="dicom",
        height=height,
        width=width,
        n_frames=n_frames,
        fps=fps,
        fps_source=fps_source,
        cm_per_px=dicom_header.pixel_size(regions),
        regions=regions,
        view=dicom_header.view(ds),
        vendor=vendor_name(str(dicom_header.get(ds, "Manufacturer", ""))),
        lossy=str(dicom_header.get(ds, "LossyImageCompression", "")) == "01" or _is_lossy(file.transfer_syntax),
        image_type=image_type_terms(image_type),
        flags=with_rate_flags(flags, fps_source),
        identity=dicom_header.identity(ds),
        source_digest=digest,
    )


def _is_lossy(syntax: uids.UID) -> bool:
    lossless = (uids.JPEGLossless, uids.JPEGLosslessSV1, uids.JPEGLSLossless, uids.JPEG2000Lossless, uids.RLELossless)
    return syntax.is_compressed and syntax not in (*lossless, uids.HTJ2KLossless, uids.HTJ2KLosslessRPCL)


def _open_frames(file: DicomFile, *, limits: Limits, digest: str, flags: tuple[str, ...]) -> ClipStream:
    path, span, syntax = file.path, file.span, file.transfer_syntax
    layout = dicom_pixels.pixel_layout(file.dataset, path, limits=limits, native=span.fragments is None)
    if span.fragments is None:
        n_frames = span.length // layout.native_frame_bytes
        frames = None
    else:
        with file.open_bytes() as data:
            frames = group_fragments(data, span.fragments, one_per_fragment=syntax == uids.RLELossless)
        n_frames = len(frames)
    if n_frames == 0:
        code = "truncated" if frames is None and span.length else "no_frames"
        raise IngestError(code, path, "the pixel data holds not one whole frame; copy or export the file again")
    limits.check_clip(path, height=layout.rows, width=layout.columns, n_frames=n_frames)
    convert = dicom_pixels.to_rgb(file.dataset, layout)

    def native() -> Iterator[np.ndarray]:
        swapped = layout.bits_allocated == 8 and not file.little_endian and _is_word_data(file)
        size = layout.native_frame_bytes
        with file.open_bytes() as data:
            for index in range(n_frames):
                start, stop = index * size, (index + 1) * size
                if swapped:  # whole words: an odd frame shares one with its neighbour
                    low, high = start - start % 2, stop + stop % 2
                    data.seek(span.offset + low)
                    words = np.frombuffer(data.read(high - low).ljust(high - low, b"\0"), np.uint16).byteswap()
                    chunk = words.tobytes()[start - low : stop - low]
                else:
                    data.seek(span.offset + start)
                    chunk = data.read(size)
                yield dicom_pixels.decode_native(chunk, layout, little_endian=file.little_endian)

    def compressed() -> Iterator[np.ndarray]:
        with file.open_bytes() as data:
            for frame in frames:
                yield dicom_pixels.decode_compressed(join(data, frame), layout, syntax, path, limits=limits)

    def decode() -> Generator[np.ndarray, None, tuple[str, ...]]:
        fix, late = None, ()
        for index, frame in enumerate(native() if frames is None else compressed()):
            rgb = convert(frame)
            if index == 0 and layout.samples == 3:
                fix, bad = dicom_pixels.repair_colour(rgb)
                if bad:
                    raise IngestError(
                        "bad_colour",
                        path,
                        f"green or magenta all over with {layout.photometric}: the colour space tag is wrong in a way "
                        "that cannot be undone; export the clip again",
                    )
                late = ("colour_space_corrected",) if fix else ()
            yield fix(rgb) if fix else rgb
        return late

    info = clip_info(file, height=layout.rows, width=layout.columns, n_frames=n_frames, digest=digest, flags=flags)
    return ClipStream(path, info, decode, limits=limits)


def _is_word_data(file: DicomFile) -> bool:
    """Whether big-endian pixel data has VR OW (words, to be swapped) rather than OB (bytes)."""
    with file.open_bytes() as data:
        data.seek(max(file.span.offset - 8, 0))
        return data.read(2) != b"OB"
