"""The page's words: layers and keys, as the template shows them."""

from __future__ import annotations

from typing import Any

import cfd2gray
from cfd2gray.pages.page import NOT_FOR_DIAGNOSIS, render

LAYERS = (
    ("confidence", "How far to trust it", "red: not"),
    ("synthesised", "What was synthesised", "the rest is the input's"),
    ("sector", "Sector", "as it was seen"),
    ("box", "Colour box", "as it was seen"),
    ("hidden", "Hidden", "flow, and marks drawn over it"),
)
"""Name (of `layers.LAYERS`), title, explanation; the keys 1 to 5 switch them."""
KEYS = (
    ("space", "play, pause"),
    ("← →", "one frame back, on"),
    ("Home End", "first, last frame"),
    (", .", "move the divider"),
    ("v", "swipe, side by side, colour, greyscale"),
    ("z", "zoom to the sector"),
    ("- +", "slower, faster"),
    ("l", "loop"),
    ("1 … 5", "layers"),
    ("k r", "keep, reject"),
    ("p n", "previous, next clip"),
    ("g", "all clips"),
    ("t", "light or dark"),
    ("?", "this list"),
)


def page(settings: dict[str, Any]) -> str:
    """The page as HTML; ``settings`` are for its script."""
    return render(
        "viewer.html", settings=settings, layers=LAYERS, keys=KEYS, note=NOT_FOR_DIAGNOSIS, version=cfd2gray.__version__
    )
