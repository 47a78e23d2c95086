"""Colours that consoles draw in: a few that most use, and any other."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np

Rgb = tuple[int, int, int]

OUTLINES: Mapping[str, Rgb | None] = {
    "white": (255, 255, 255), "grey": (150, 150, 150), "yellow": (240, 220, 60), "green": (80, 220, 90),
    "cyan": (80, 210, 230), "orange": (240, 150, 50), "other": None,
}  # fmt: skip
TEXTS: Mapping[str, Rgb | None] = {
    "white": (240, 240, 240), "grey": (150, 150, 150), "yellow": (240, 230, 80), "green": (90, 230, 110),
    "cyan": (90, 220, 240), "orange": (250, 160, 60), "red": (240, 70, 60), "magenta": (230, 90, 220), "other": None,
}  # fmt: skip

_NOT_OTHER_DEG = ((14, 44), (168, 204), (290, 330), (345, 360), (0, 8))
"""Hues of cyan, orange, red and magenta, which are judged on: no "other" colour comes near them."""


def text_ink(rng: np.random.Generator, names: Sequence[str] = tuple(TEXTS)[:-1]) -> Rgb:
    """The colour of one of the names of `TEXTS`."""
    return rgb_of(rng, TEXTS[str(rng.choice(list(names)))])


def rgb_of(rng: np.random.Generator, known: Rgb | None) -> Rgb:
    """``known``, or any hue, pale to pure, where that is ``None``."""
    if known is not None:
        return known
    hue = rng.uniform(0, 360)
    while any(low <= hue <= high for low, high in _NOT_OTHER_DEG):
        hue = rng.uniform(0, 360)
    red, green, blue = colorsys.hsv_to_rgb(hue / 360, rng.uniform(0.25, 1.0), rng.uniform(0.5, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)
