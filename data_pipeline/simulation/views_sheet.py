"""One picture that shows many pairs: a row per pair, colour flow, B-mode and labels at a few moments."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.schema import LABELS, PairRecord

LABEL_RGB = np.array(
    [
        (0, 0, 0), (214, 69, 65), (244, 179, 80), (65, 131, 215), (82, 179, 217), (150, 110, 160), (250, 250, 210),
        (224, 90, 140), (110, 170, 110), (120, 120, 130),
    ],
    np.uint8,
)  # fmt: skip
"""A colour for each of ``schema.LABELS``."""
_INK, _PAPER = (232, 232, 232), 14


def contact_sheet(
    pairs: Sequence[PairRecord], *, tile: int = 160, moments: int = 2, labels: bool = True, columns: int = 1
) -> np.ndarray:
    """Draw the sheet.

    Args:
      pairs: at least one.
      tile: side of a tile in pixels, 48..1024; frames keep their aspect inside it.
      moments: frames shown of each clip, spread over it, 1..16.
      labels: show the labels at the middle moment (black where the anatomy is unknown).
      columns: pairs beside each other, 1..8.

    Returns: uint8 ``[H, W, 3]`` RGB.
    """
    if not pairs:
        raise ValueError("contact_sheet needs at least one pair, got none")
    for name, value, low, high in (("tile", tile, 48, 1024), ("moments", moments, 1, 16), ("columns", columns, 1, 8)):
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low}..{high}, got {value}")
    rows = [_row(pair, tile, moments, labels) for pair in pairs]
    while len(rows) % columns:
        rows.append(np.full_like(rows[0], _PAPER))
    lines = [np.concatenate(rows[k : k + columns], axis=1) for k in range(0, len(rows), columns)]
    return np.concatenate(lines, axis=0)


def label_picture(labels: np.ndarray) -> np.ndarray:
    """uint8 ``[H, W]`` indices into ``schema.LABELS`` -> uint8 ``[H, W, 3]``."""
    return LABEL_RGB[np.minimum(labels, len(LABELS) - 1)]


def _row(pair: PairRecord, tile: int, moments: int, labels: bool) -> np.ndarray:
    count = len(pair.cfd)
    at = [round((i + 0.5) * count / moments - 0.5) for i in range(moments)]
    at = [min(max(k, 0), count - 1) for k in at]
    tiles = [pair.cfd[k] for k in at] + [pair.grey[k].repeat(3, 2) for k in at]
    smooth = [True] * len(tiles)
    if labels:
        tiles.append(label_picture(pair.labels[at[len(at) // 2]]))
        smooth.append(False)
    band = np.concatenate([_fit(t, tile, s) for t, s in zip(tiles, smooth)], axis=1)
    title = (
        f"{pair.view}   {pair.kind}   {pair.vendor}   {pair.fps:.0f} fps   {'shared' if pair.shared else 'restored'}"
    )
    head = np.full((18, band.shape[1], 3), _PAPER, np.uint8)
    cv2.putText(head, title, (5, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    return np.concatenate([head, band], axis=0)


def _fit(image: np.ndarray, tile: int, smooth: bool) -> np.ndarray:
    height, width = image.shape[:2]
    scale = (tile - 2) / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = (cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC) if smooth else cv2.INTER_NEAREST
    out = np.full((tile, tile, 3), _PAPER, np.uint8)
    y, x = (tile - size[1]) // 2, (tile - size[0]) // 2
    out[y : y + size[1], x : x + size[0]] = cv2.resize(image, size, interpolation=how)
    return out
