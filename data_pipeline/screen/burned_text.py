"""Text that a scanner or a person burned into the sector: names are among it."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.pixels import brightest
from data_pipeline.schema import check_frames


def find_burned_text(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """bool ``[H, W]``: what looks like text inside the sector: a row of four or more bright, thin, static glyphs.

    Args:
      frames: uint8 ``[T, H, W, 3]``; with several frames only what never moves counts.
      sector: bool ``[H, W]``.

    Glyphs are 5..22 px tall at 480 rows. Text on bright tissue or in fewer than four glyphs escapes: look at the clips.
    """
    check_frames(frames, channels=3)
    level = brightest(frames[0])
    for frame in frames[1 :: max(len(frames) // 24, 1)]:
        level = np.minimum(level, brightest(frame))
    scale = frames.shape[1] / 480
    size = 2 * max(int(round(4 * scale)), 2) + 1
    hat = cv2.morphologyEx(level, cv2.MORPH_TOPHAT, np.ones((size, size), np.uint8))
    bright = ((hat > 50) & (level > 90)).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(bright, connectivity=8)
    low, high = max(4.0, 5 * scale), max(22 * scale, 12.0)
    tall, wide = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
    fill = stats[:, cv2.CC_STAT_AREA] / np.maximum(tall * wide, 1)
    glyph = (tall >= low) & (tall <= high) & (wide <= 12 * tall) & (fill > 0.15) & (fill < 0.95)
    glyph[0] = False
    letters = np.array([_letters(labels, stats, i) if glyph[i] else 0 for i in range(count)])
    found = np.zeros(sector.shape, np.uint8)
    candidates = np.nonzero(letters)[0]
    for row in _text_rows(candidates, stats, centres):
        if letters[row].sum() < 4:
            continue
        x0, y0 = stats[row, cv2.CC_STAT_LEFT].min(), stats[row, cv2.CC_STAT_TOP].min()
        x1 = (stats[row, cv2.CC_STAT_LEFT] + wide[row]).max()
        y1 = (stats[row, cv2.CC_STAT_TOP] + tall[row]).max()
        pad = max(int(0.3 * (y1 - y0)), 2)
        found[max(y0 - pad, 0) : y1 + pad, max(x0 - 2 * pad, 0) : x1 + 2 * pad] = 1
    return found.astype(bool) & sector


def _letters(labels: np.ndarray, stats: np.ndarray, index: int) -> int:
    """How many letters a component is: touching ones form a word, which has a stroke or two per letter on every line."""
    x, y, wide, tall = stats[index, :4]
    expected = max(int(round(wide / (0.9 * tall))), 1)
    if expected == 1:
        return 1
    part = (labels[y : y + tall, x : x + wide] == index).astype(np.int8)
    strokes = (np.diff(part, axis=1, prepend=0) > 0).sum(axis=1)
    return expected if np.median(strokes) >= 0.9 * expected else 0


def _text_rows(candidates: np.ndarray, stats: np.ndarray, centres: np.ndarray) -> list[np.ndarray]:
    """Groups of glyphs of one height on one base line with gaps of at most two heights."""
    rows: list[list[int]] = []
    for index in candidates[np.argsort(centres[candidates, 0])]:
        base = stats[index, cv2.CC_STAT_TOP] + stats[index, cv2.CC_STAT_HEIGHT]
        for row in rows:
            last = row[-1]
            height = stats[last, cv2.CC_STAT_HEIGHT]
            last_base = stats[last, cv2.CC_STAT_TOP] + height
            gap = stats[index, cv2.CC_STAT_LEFT] - stats[last, cv2.CC_STAT_LEFT] - stats[last, cv2.CC_STAT_WIDTH]
            near = abs(base - last_base) <= max(0.35 * height, 2) and -3 <= gap <= max(2 * height, 8)
            if near and 0.45 <= stats[index, cv2.CC_STAT_HEIGHT] / height <= 2.2:
                row.append(int(index))
                break
        else:
            rows.append([int(index)])
    return [np.array(row) for row in rows]
