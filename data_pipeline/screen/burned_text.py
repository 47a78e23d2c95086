"""Text that a scanner or a person burned into the sector: names are among it.

A small network (`parser/burned_text.onnx`, learned by `cfd2gray.parsing.text_train` from names drawn over simulated clips)
says where lines of text stand; what it finds is grown to whole boxes, so that no part of a letter is left at their rim.
"""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

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
SURE, PERHAPS = 0.5, 0.2
"""Probability from which a place is text, and from which it is together with such a place."""
LEAST_PX = 12
"""Least area of a piece of text on half the grid."""
_MULTIPLE = 8


def text_features(frames: np.ndarray) -> np.ndarray:
    """uint8 [H, W, CHANNELS] of frames uint8 [T, H, W, 3]: what stands still is not what moves under it."""
    high, low = frames.max(axis=3), frames.min(axis=3)
    least, most = high.min(axis=0), high.max(axis=0)
    seen = np.full(least.shape, 255 if len(frames) > 1 else 0, np.uint8)
    spread = np.minimum((most - least).astype(np.uint16) * 2, 255).astype(np.uint8)
    return np.stack([least, high[len(high) // 2], spread, low.min(axis=0), seen], axis=-1)


def find_burned_text(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """bool ``[H, W]``: boxes around what looks like text inside the sector.

    Args:
      frames: uint8 ``[T, H, W, 3]``; of several what stands still is told from what moves.
      sector: bool ``[H, W]``.

    Found whole: see docs/deidentification.md for how often; look at the clips before they are shared.
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
    """bool [H, W]: pieces of ``text`` with a sure place in them, filled to their boxes and grown by a fifth of their height."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((text > PERHAPS).astype(np.uint8), connectivity=8)
    sure = np.bincount(labels[text > SURE], minlength=count)
    found = np.zeros(text.shape, bool)
    for index in range(1, count):
        x, y, wide, tall, area = stats[index]
        if sure[index] < 4 * LEAST_PX:
            continue
        pad = max(round(0.2 * tall), 2)
        box = (slice(max(y - pad, 0), y + tall + pad), slice(max(x - pad, 0), x + wide + pad))
        if area > 0.6 * wide * tall:
            found[box] = True
        else:  # several lines that touch: each keeps its own shape
            grown = np.pad((labels[y : y + tall, x : x + wide] == index).astype(np.uint8), pad)
            grown = cv2.dilate(grown, np.ones((2 * pad + 1, 2 * pad + 1), np.uint8))[
                pad - min(pad, y) : grown.shape[0], pad - min(pad, x) : grown.shape[1]
            ]
            found[box] |= grown[: found[box].shape[0], : found[box].shape[1]].astype(bool)
    return found


_NETS = Nets(WEIGHTS)
