"""DICOM ultrasound: any photometric interpretation, any transfer syntax, frame by frame."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator

import numpy as np
from pydicom import uid as uids

from data_pipeline.readers.dicom import header, pixels, video
from data_pipeline.readers.dicom.codestream import syntax_of
from data_pipeline.readers.dicom.decoders import decode_compressed
from data_pipeline.readers.dicom.file import DicomFile, group_fragments, join, read_header
from data_pipeline.readers.dicom.layout import PixelLayout, pixel_layout
from data_pipeline.readers.dicom.terms import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream


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
        header.check_kind(ds, path, has_pixels=file.span is not None, any_modality=any_modality)
        flags = ("truncated",) if file.span.truncated else ()
        if file.transfer_syntax in video.VIDEO_SYNTAXES:
            if file.span.truncated and not salvage:
                raise _torn(path)
            stream = video.open_video(file, limits=limits, digest=digest, flags=flags, salvage=salvage)
        else:
            stream = _open_frames(file, limits=limits, digest=digest, salvage=salvage)
        stream.header = ds
        return stream


def _torn(path: str) -> IngestError:
    return IngestError(
        "truncated", path, "the file ends inside its pixel data; copy it again, or read its start with --salvage"
    )


def _open_frames(file: DicomFile, *, limits: Limits, digest: str, salvage: bool) -> ClipStream:
    path, span, ds = file.path, file.span, file.dataset
    syntax, flags = _true_syntax(file)
    native = span.fragments is None
    layout, more = pixel_layout(
        ds, path, limits=limits, native_bytes=span.length if native else None, little_endian=file.little_endian
    )
    flags += more
    if native:
        n_frames = span.length // layout.native_frame_bytes
        frames = None
    else:
        rle = syntax == uids.RLELossless
        whole = syntax in (DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED)
        with file.open_bytes() as data:
            frames = group_fragments(data, span, start_codes=not rle and not whole, rle=rle)
        n_frames = len(frames)
    told = header.integer(ds, "NumberOfFrames") or 1
    if span.truncated or not span.delimited:  # torn only where a frame is missing: the end may lack a few bytes
        if n_frames < told or (span.truncated and not native):
            if not salvage:
                raise _torn(path)
            flags += ("truncated",)
        else:
            flags += ("loose_end",)
    if n_frames == 0:
        code = "truncated" if frames is None and span.length else "no_frames"
        raise IngestError(code, path, "the pixel data holds not one whole frame; copy or export the file again")
    limits.check_clip(path, height=layout.rows, width=layout.columns, n_frames=n_frames)
    convert = pixels.to_rgb(ds, layout)

    def samples() -> Iterator[np.ndarray]:
        if frames is None:
            yield from _native(file, layout, n_frames)
            return
        with file.open_bytes() as data:
            for frame in frames:
                yield decode_compressed(join(data, frame), layout, syntax, path, limits=limits)

    def decode() -> Generator[np.ndarray, None, tuple[str, ...]]:
        fix, late = None, ()
        for index, frame in enumerate(samples()):
            rgb = convert(frame)
            if index == 0 and layout.samples == 3:
                fix, bad = pixels.repair_colour(rgb)
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

    info = header.clip_info(
        file, height=layout.rows, width=layout.columns, n_frames=n_frames, digest=digest, flags=flags
    )
    return ClipStream(path, info, decode, limits=limits)


def _true_syntax(file: DicomFile) -> tuple[uids.UID, tuple[str, ...]]:
    """The transfer syntax that the pixel data shows, and a flag where the header says another.

    Code streams of another family than the label's are read as what they are; pixels that are as long as uncompressed
    frames are uncompressed.

    Raises ``corrupt`` when label and data contradict each other and neither explains the other.
    """
    syntax, span = file.transfer_syntax, file.span
    whole = syntax in (DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED)
    compressed = syntax.is_compressed if not whole else True
    if span.fragments is None:
        if not compressed:
            return syntax, ()
        if span.length // max(_frame_bytes(file), 1) == (header.integer(file.dataset, "NumberOfFrames") or 1):
            return uids.ExplicitVRLittleEndian, ("syntax_corrected",)
        raise _contradiction(file)
    if whole or syntax == uids.RLELossless or not span.fragments:
        found = None
    else:
        with file.open_bytes() as data:
            found = syntax_of(join(data, span.fragments[:4]))
    if found is not None:
        same = compressed and _FAMILY.get(syntax) == _FAMILY[found]
        return (syntax, ()) if same else (found, ("syntax_corrected",))
    if compressed:
        return syntax, ()
    if all(length >= _frame_bytes(file) for _, length in span.fragments):
        return ENCAPSULATED_UNCOMPRESSED, ("syntax_corrected",)
    raise _contradiction(file)


_FAMILY = {
    uids.JPEGBaseline8Bit: "jpeg",
    uids.JPEGExtended12Bit: "jpeg",
    uids.JPEGLossless: "lossless jpeg",
    uids.JPEGLosslessSV1: "lossless jpeg",
    uids.JPEGLSLossless: "jpeg-ls",
    uids.JPEGLSNearLossless: "jpeg-ls",
    uids.JPEG2000: "jpeg 2000",
    uids.JPEG2000Lossless: "jpeg 2000",
    uids.HTJ2K: "htj2k",
    uids.HTJ2KLossless: "htj2k",
    uids.HTJ2KLosslessRPCL: "htj2k",
}
"""Transfer syntaxes whose code streams one decoder reads."""


def _frame_bytes(file: DicomFile) -> int:
    numbers = [header.integer(file.dataset, name) or 0 for name in ("Rows", "Columns", "SamplesPerPixel")]
    bits = header.integer(file.dataset, "BitsAllocated") or 0
    return numbers[0] * numbers[1] * numbers[2] * bits // 8


def _contradiction(file: DicomFile) -> IngestError:
    return IngestError(
        "corrupt",
        file.path,
        f"transfer syntax {file.transfer_syntax.name} and the form of its pixel data contradict each other; export it "
        "again",
    )


def _native(file: DicomFile, layout: PixelLayout, n_frames: int) -> Iterator[np.ndarray]:
    swapped = layout.bits_allocated <= 8 and not file.little_endian and _is_word_data(file)
    size, offset = layout.native_frame_bytes, file.span.offset
    with file.open_bytes() as data:
        for index in range(n_frames):
            start, stop = index * size, (index + 1) * size
            if swapped:  # whole words: an odd frame shares one with its neighbour
                low, high = start - start % 2, stop + stop % 2
                data.seek(offset + low)
                words = np.frombuffer(data.read(high - low).ljust(high - low, b"\0"), np.uint16).byteswap()
                chunk = words.tobytes()[start - low : stop - low]
            else:
                data.seek(offset + start)
                chunk = data.read(size)
            yield layout.decode_native(chunk)


def _is_word_data(file: DicomFile) -> bool:
    """Whether big-endian pixel data has VR OW (words, to be swapped) rather than OB (bytes)."""
    with file.open_bytes() as data:
        data.seek(max(file.span.offset - 8, 0))
        return data.read(2) != b"OB"
