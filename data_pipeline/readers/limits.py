"""How much a reader may swallow. Checked before anything is decoded, so that a lying header costs nothing."""

from __future__ import annotations

import dataclasses
import os

from data_pipeline.readers.errors import IngestError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one clip; a file beyond them is refused with ``bad_dimensions`` or ``too_large``."""

    min_side: int = 32
    """Smallest height or width, pixels."""
    max_side: int = 4096
    """Largest height or width, pixels."""
    max_frames: int = 2000
    max_decoded_bytes: int = 4 << 30
    """Of the whole clip as uint8 RGB, whether it is streamed or held."""
    max_file_bytes: int = 4 << 30
    follow_symlinks: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "follow_symlinks" and (not isinstance(value, int) or value < 1):
                raise ValueError(f"Limits.{field.name} must be a positive integer, got {value!r}")
        if self.min_side > self.max_side:
            raise ValueError(f"Limits.min_side must not exceed max_side, got {self.min_side} > {self.max_side}")

    def check_size(self, path: str | os.PathLike[str], *, height: int, width: int) -> None:
        """Raise ``bad_dimensions`` unless both sides are within the limits."""
        if not (self.min_side <= height <= self.max_side and self.min_side <= width <= self.max_side):
            raise IngestError(
                "bad_dimensions",
                path,
                f"height and width must be {self.min_side}..{self.max_side} px, the header says {height} x {width}; "
                "check the file (in Python: limits=)",
            )

    def check_clip(self, path: str | os.PathLike[str], *, height: int, width: int, n_frames: int) -> None:
        """Raise ``bad_dimensions`` unless a clip of this size is within all limits."""
        self.check_size(path, height=height, width=width)
        if n_frames > self.max_frames:
            raise IngestError(
                "bad_dimensions",
                path,
                f"at most {self.max_frames} frames, the file has {n_frames}; cut the clip (in Python: limits=)",
            )
        n_bytes = height * width * 3 * n_frames
        if n_bytes > self.max_decoded_bytes:
            raise IngestError(
                "bad_dimensions",
                path,
                f"decodes to {n_bytes >> 20} MiB, the limit is {self.max_decoded_bytes >> 20} MiB; cut the clip "
                "(in Python: limits=)",
            )
