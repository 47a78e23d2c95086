"""A picture of pairs for a person to look at before training: input, target, masks and difference, one row a pair."""

from __future__ import annotations

import os
from collections.abc import Iterable

import cv2
import numpy as np

from data_pipeline.files import atomic_path
from data_pipeline.pixels import luma
from data_pipeline.schema import BOX, FLOW, OUTLINE, PairRecord

HEADER = 16
"""Height of the line of text above each row, px."""
_TINTS = ((BOX, (60, 60, 0)), (FLOW, (0, 140, 0)), (OUTLINE, (180, 0, 180)))


def contact_sheet(pairs: Iterable[PairRecord], *, size: int = 160, limit: int = 60) -> np.ndarray:
    """Draw pairs: uint8 ``[rows * (size + HEADER), 4 * size, 3]`` RGB.

    Columns: the middle frame of the colour clip, its target, the masks over the input (box, flow, outline), and the
    difference of luma and target times 4, which is black outside the colour in a true pair.

    Raises:
        ValueError: when there is no pair.
    """
    rows = []
    for pair in pairs:
        if len(rows) == limit:
            break
        middle = len(pair.cfd) // 2
        cfd = np.ascontiguousarray(pair.cfd[middle])
        grey, strata = pair.grey[middle, ..., 0], pair.strata[middle]
        masks = (cfd // 2).astype(np.uint16)
        for flag, tint in _TINTS:
            masks[(strata & flag) != 0] += np.uint16(tint)
        difference = np.clip(cv2.absdiff(luma(cfd), np.ascontiguousarray(grey)).astype(np.uint16) * 4, 0, 255)
        tiles = (cfd, _rgb(grey), np.clip(masks, 0, 255), _rgb(difference))
        row = np.concatenate([_tile(tile.astype(np.uint8), size) for tile in tiles], axis=1)
        text = f"{pair.kind}  score {pair.score:.2f}  {pair.view}  {len(pair.cfd)} frames  {pair.clip_id[:8]}"
        head = np.zeros((HEADER, row.shape[1], 3), np.uint8)
        cv2.putText(head, text, (4, HEADER - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230, 230, 230), 1, cv2.LINE_AA)
        rows.append(np.concatenate([head, row]))
    if not rows:
        raise ValueError("a contact sheet needs at least one pair, got none")
    return np.concatenate(rows)


def write_contact_sheet(path: str | os.PathLike, pairs: Iterable[PairRecord], **options: int) -> None:
    """Write the sheet as PNG; by renaming."""
    _, data = cv2.imencode(".png", contact_sheet(pairs, **options)[..., ::-1])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)


def _tile(image: np.ndarray, size: int) -> np.ndarray:
    """Fit an image into a square of ``size`` px on black."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out = np.zeros((size, size, 3), np.uint8)
    y, x = (size - tall) // 2, (size - wide) // 2
    out[y : y + tall, x : x + wide] = cv2.resize(np.ascontiguousarray(image), (wide, tall), interpolation=method)
    return out
