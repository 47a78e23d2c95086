"""Which pictures of a folder are the frames of one clip: by their numbers and, where numbers are missing, by their size."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
FEWEST = 3
"""Consecutively numbered pictures from which a folder is one clip."""
FEWEST_WITH_GAPS = 5
"""The same where numbers are missing, as of frames that were thinned out: a few screenshots are none."""

Opened = Callable[[str], contextlib.AbstractContextManager[IO[bytes]]]
"""Opens a file of the folder by its name."""


def numbered(name: str) -> tuple[str, str, str] | None:
    """``(what stands before the number, its digits, suffix)`` of a picture's name; of any other None."""
    match = re.fullmatch(r"(.*?)(\d+)(\.[A-Za-z]+)", name)
    return (match[1], match[2], match[3].lower()) if match and match[3].lower() in IMAGE_SUFFIXES else None


def are_frames(names: Sequence[str], opened: Opened) -> bool:
    """Whether files, all of a folder, are frames of one clip: numbered pictures of one prefix and kind.

    Where numbers are missing they must have the same number of digits too, and the pictures one size; only then are they
    opened.
    """
    digits = _digits(names)
    if len(digits) < FEWEST:
        return False
    if not _gaps(digits):
        return True
    if len(digits) < FEWEST_WITH_GAPS or len(set(map(len, digits))) > 1:
        return False
    first = _size(names[0], opened)
    return first is not None and all(_size(name, opened) == first for name in names[1:])


def have_gaps(names: Iterable[str]) -> bool:
    """Whether numbers are missing between those of numbered pictures."""
    return _gaps(_digits(names))


def _digits(names: Iterable[str]) -> list[str]:
    """The numbers, or nothing where a name has none or the names are of several kinds."""
    parts = [numbered(name) for name in names]
    kinds = {part and (part[0], part[2]) for part in parts}
    return [part[1] for part in parts if part] if len(kinds) == 1 else []


def _gaps(digits: Sequence[str]) -> bool:
    numbers = [int(text) for text in digits]
    return bool(numbers) and max(numbers) - min(numbers) != len(numbers) - 1


def _size(name: str, opened: Opened) -> tuple[int, int] | None:
    """Size by the header; None of what is no picture, whatever the decoder says of it."""
    with contextlib.suppress(Exception), opened(name) as file, Image.open(file) as image:
        return image.size
    return None
