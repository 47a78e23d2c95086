"""A page over a folder of results: each before and after, the least certain first."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from urllib.parse import quote

import cv2
import numpy as np

from cfd2gray.pages.page import NOT_FOR_DIAGNOSIS, render
from cfd2gray.translation.files import Look
from cfd2gray.translation.folders.private_map import Row
from data_pipeline.files import atomic_path
from data_pipeline.screen.kind import CALLED, SURE, in_words

THUMBNAILS = ".thumbnails"
"""Folder of the pictures, below the results."""
_HEIGHT = 160
"""Rows of a picture."""


def save_thumbnail(path: pathlib.Path, look: Look) -> None:
    """Before beside after as one small JPEG."""
    pair = np.concatenate([look.before, np.repeat(look.after[..., None], 3, axis=2)], axis=1)
    width = max(round(pair.shape[1] * _HEIGHT / pair.shape[0]), 1)
    small = cv2.resize(pair, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
    path.write_bytes(cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def write_gallery(out: pathlib.Path, rows: Iterable[Row]) -> None:
    """``index.html``: no name and no identifier of a source, so it can go with the results."""
    shown: dict[str, Row] = {}
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.code or row.state] = counts.get(row.code or row.state, 0) + 1
        if row.output and row.state in ("translated", "copied"):
            shown.setdefault(row.output, row)
    cards = [_card(row) for row in sorted(shown.values(), key=lambda row: (row.certainty or "9", row.output))]
    page = render("gallery.html", cards=cards, counts=sorted(counts.items()), note=NOT_FOR_DIAGNOSIS)
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _card(row: Row) -> dict[str, object]:
    certainty = float(row.certainty or 0)
    return {
        "name": row.output,
        "link": quote(row.output),
        "picture": quote(f"{THUMBNAILS}/{row.output}.jpg"),
        "state": row.state,
        "kind": CALLED.get(row.kind, row.kind),
        "share": f"{100 * float(row.share or 0):.1f}",
        "sure": in_words(row.kind, certainty),
        "percent": f"{100 * certainty:.0f}",
        "unsure": certainty < SURE,
        "reason": row.reason,
    }
