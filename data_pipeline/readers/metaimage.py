"""MetaImage (``.mhd`` with its ``.raw`` or ``.zraw``): unsigned bytes ``[X, Y]`` or ``[X, Y, T]``, as older CAMUS has it."""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Generator

import numpy as np

from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits
from data_pipeline.readers.stream import ClipStream, sane_fps, with_rate_flags
from data_pipeline.schema import ClipInfo


def open_metaimage(path: str | os.PathLike[str], *, limits: Limits, digest: str = "") -> ClipStream:
    """Open a MetaImage header as a `ClipStream`; the data file must lie beside it. Raises `IngestError`."""
    path = pathlib.Path(path)
    with Guard(path, doing="reading the MetaImage header"):
        fields = {}
        for line in path.read_text("latin-1").splitlines()[:200]:
            key, _, value = line.partition("=")
            fields[key.strip()] = value.strip()
        size = [int(n) for n in fields["DimSize"].split()]
        if fields.get("ElementType") != "MET_UCHAR" or len(size) not in (2, 3):
            raise IngestError(
                "unsupported_pixels",
                path,
                f"needs MET_UCHAR in 2 or 3 dimensions, got {fields.get('ElementType')} {size}",
            )
        width, height, n_frames = (*size, 1)[:3]
        limits.check_clip(path, height=height, width=width, n_frames=n_frames)
        name = fields["ElementDataFile"]
        data_file = path.parent / name
        if pathlib.PurePath(name).name != name or (data_file.is_symlink() and not limits.follow_symlinks):
            raise IngestError("unsafe_path", path, "its data file must lie beside it; put it there")
        compressed = fields.get("CompressedData", "False").lower() == "true"

    def frames() -> Generator[np.ndarray, None, tuple[str, ...]]:
        needed = width * height * n_frames
        data = data_file.read_bytes()
        data = zlib.decompressobj().decompress(data, needed) if compressed else data
        if len(data) < needed:
            raise IngestError("truncated", path, f"needs {needed} bytes of pixels, its data file has {len(data)}")
        for frame in np.frombuffer(data, np.uint8, needed).reshape(n_frames, height, width):
            yield np.repeat(frame[..., None], 3, axis=2)
        return ()

    rate, source = sane_fps(None, "assumed")
    info = ClipInfo(
        format="metaimage",
        height=height,
        width=width,
        n_frames=n_frames,
        fps=rate,
        fps_source=source,
        flags=with_rate_flags(("still",) if n_frames == 1 else (), source),
        source_digest=digest,
    )
    return ClipStream(path, info, frames, limits=limits)
