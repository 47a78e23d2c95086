"""Text that a scanner or a person burned into the sector: names are among it.

A small network (`parser/burned_text.onnx`, learned by `cfd2gray.parsing.text_train` from names drawn over simulated clips)
says where lines of text stand; what it finds is grown to whole boxes, so that no part of a letter is left at their rim.
"""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

from data_pipeline.pixels import extremes
from data_pipeline.schema import check_frames
from data_pipeline.screen.parser.network import Nets

WEIGHTS = pathlib.Path(__file__).parent / "parser" / "burned_text.onnx"
CHANNELS = 5
"""Of the greatest of red, green and blue: its least value over time, that of one frame, twice its range over time; the least
value over time of the smallest of red, green and blue; whether time was seen."""
MOMENTS = 12
"""Frames that are looked at, spread over the clip."""
LARGEST = 1280
"""px: larger frames are reduced to this, so that their letters are as large as those that were learned."""
SURE, PERHAPS, FAINT = 0.8, 0.3, 0.1
"""Probability from which a place is text, from which it is together with such a place, and from which it continues its line."""
REACH = 1.0
"""Gap in a line, in heights of it, that is bridged."""
TALLEST, STRICTEST = 80, 0.98
"""px: more than a line of text is tall, and the probability from which such a piece is taken for tissue."""
LEAST_PX = 48
"""Least sure area of a piece of text."""
_MULTIPLE = 8


def text_features(frames: np.ndarray) -> np.ndarray:
    """uint8 [H, W, CHANNELS] of frames uint8 [T, H, W, 3]: what stands still is not what moves under it."""
    high, low = extremes(frames)
    least, most = high.min(axis=0), high.max(axis=0)
    seen = np.full(least.shape, 255 if len(frames) > 1 else 0, np.uint8)
    spread = np.minimum((most - least).astype(np.uint16) * 2, 255).astype(np.uint8)
    return np.stack([least, high[len(high) // 2], spread, low.min(axis=0), seen], axis=-1)


def find_burned_text(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """bool ``[H, W]``: boxes around what looks like text inside the sector.

    Args:
      frames: uint8 ``[T, H, W, 3]``; of several what stands still is told from what moves.
      sector: bool ``[H, W]``.

    How often a name is found whole is told in docs/burned_text.md; a person looks at the clips before they are shared.
    """
    check_frames(frames, channels=3)
    found = np.zeros(sector.shape, bool)
    if not sector.any():
        return found
    part = _around(sector)
    moments = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOMENTS)).round().astype(int))
    cut = np.ascontiguousarray(frames[moments][(slice(None), *part)])
    found[part] = _boxes(text_probability(cut))
    return found & sector


def text_probability(frames: np.ndarray) -> np.ndarray:
    """float32 ``[H, W]`` in 0..1 for frames uint8 ``[T, H, W, 3]``: that a line of text runs over the pixel."""
    height, width = frames.shape[1:3]
    scale = min(1.0, LARGEST / max(height, width))
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    rows, columns = frames.shape[1:3]
    features = np.pad(text_features(frames), ((0, -rows % _MULTIPLE), (0, -columns % _MULTIPLE), (0, 0)))
    net = _NETS.own()
    net.setInput(np.ascontiguousarray(features.transpose(2, 0, 1)[None], np.float32) / 255, "features")
    half = net.forward("text")[0, 0]
    text = half.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]
    return text if scale == 1 else cv2.resize(text, (width, height), interpolation=cv2.INTER_NEAREST)


def _around(sector: np.ndarray) -> tuple[slice, slice]:
    """The bounding box of the sector."""
    ys, xs = np.flatnonzero(sector.any(axis=1)), np.flatnonzero(sector.any(axis=0))
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def _boxes(text: np.ndarray) -> np.ndarray:
    """bool [H, W]: a box over every sure piece of ``text``, along its line as far as there are faint pieces, and a rim."""
    found = np.zeros(text.shape, bool)
    for left, top, wide, tall in _pieces(text, PERHAPS):
        middle = slice(top + tall // 4, max(top + tall - tall // 4, top + tall // 4 + 1))
        start, stop = _along(left, left + wide, (text[middle] > FAINT).mean(axis=0) > 0.25, max(round(REACH * tall), 4))
        above, beside = max(round(0.2 * tall), 2), max(round(0.5 * tall), 2)
        found[max(top - above, 0) : top + tall + above, max(start - beside, 0) : stop + beside] = True
    return found


def _pieces(text: np.ndarray, least: float) -> list[tuple[int, int, int, int]]:
    """``(left, top, width, height)`` of pieces above ``least``; what is taller than a line is looked at more strictly."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((text > least).astype(np.uint8), connectivity=8)
    sure = np.bincount(labels[text > max(SURE, least)], minlength=count)
    found = []
    for index in range(1, count):
        left, top, wide, tall = (int(n) for n in stats[index, :4])
        if sure[index] < LEAST_PX:
            continue
        if tall <= TALLEST:
            found.append((left, top, wide, tall))
        elif least < STRICTEST:
            inside = np.where(labels == index, text, 0)[top : top + tall, left : left + wide]
            found += [(left + x, top + y, w, h) for x, y, w, h in _pieces(inside, 1 - (1 - least) / 2)]
    return found


def _along(start: int, stop: int, columns: np.ndarray, reach: int) -> tuple[int, int]:
    """``start..stop`` grown over every column of ``columns`` (bool [W]) that lies within ``reach`` px of it."""
    while True:
        before = np.flatnonzero(columns[max(start - reach, 0) : start])
        after = np.flatnonzero(columns[stop : stop + reach])
        longer = max(start - reach, 0) + int(before[0]) if len(before) else start
        further = stop + int(after[-1]) + 1 if len(after) else stop
        if (longer, further) == (start, stop):
            return start, stop
        start, stop = longer, further


_NETS = Nets(WEIGHTS)
