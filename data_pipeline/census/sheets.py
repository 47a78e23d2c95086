"""Small pictures of clips, a sheet for each kind and one of those whose kind is not certain, for a person to look at.

What lies outside the sector is black, and what looks like text inside it, too; still a name may be legible, so the sheets
are for the person who asks and stay where the archive is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.files import private_path
from data_pipeline.screen.burned_text import find_burned_text

SIDE = 128
"""Longer side of a picture, px."""
_COLUMNS = 6
_LINE = 14
"""Height of the line below each picture, px."""


def thumbnail(frames: np.ndarray, sector: np.ndarray) -> bytes:
    """The middle frame of a clip as PNG, uint8 ``[SIDE, SIDE, 3]``: its sector (bool ``[H, W]``), if any, without text."""
    middle = frames[len(frames) // 2]
    if sector.any():
        middle = middle * (sector & ~find_burned_text(frames, sector))[..., None].astype(np.uint8)
        ys, xs = np.flatnonzero(sector.any(axis=1)), np.flatnonzero(sector.any(axis=0))
        middle = middle[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    else:
        middle = np.zeros_like(middle)
    scale = SIDE / max(middle.shape[:2])
    size = (max(1, round(middle.shape[1] * scale)), max(1, round(middle.shape[0] * scale)))
    small = cv2.resize(np.ascontiguousarray(middle), size, interpolation=cv2.INTER_AREA)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[: small.shape[0], : small.shape[1]] = small
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def write_sheets(
    thumbnails: Mapping[str, Sequence[tuple[str, bytes]]], lines: Mapping[str, str], folder: str | os.PathLike
) -> list[Path]:
    """Write ``census-KIND.png`` for every kind, readable by their owner alone; returns where.

    Args:
        thumbnails: kind -> clips and their pictures.
        lines: clip -> what stands below its picture.
    """
    written = []
    for kind, pictures in sorted(thumbnails.items()):
        tiles = [_tile(png, lines.get(clip, "")) for clip, png in pictures]
        rows = math.ceil(len(tiles) / _COLUMNS)
        tiles += [np.zeros_like(tiles[0])] * (rows * _COLUMNS - len(tiles))
        sheet = np.concatenate(
            [np.concatenate(tiles[n : n + _COLUMNS], axis=1) for n in range(0, len(tiles), _COLUMNS)]
        )
        path = Path(folder, f"census-{kind}.png")
        with private_path(path) as temporary:
            temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
        written.append(path)
    return written


def _tile(png: bytes, line: str) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8) if picture is None else picture
    below = np.zeros((_LINE, SIDE, 3), np.uint8)
    cv2.putText(below, line, (2, _LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (230, 230, 230), 1, cv2.LINE_AA)
    return np.concatenate([picture, below])
