"""Pixels that are not square: a fan is a circle in centimetres, so it is looked for where pixels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from data_pipeline.schema import Clip, Region

NEARLY = 0.02
"""Deviation from square that changes nothing."""


def square_size(height: int, width: int, aspect: float) -> tuple[int, int]:
    """Rows and columns of the frame with square pixels; the coarser axis is refined.

    Args:
      aspect: height of a pixel over its width.
    """
    if abs(aspect - 1) < NEARLY:
        return height, width
    return (round(height * aspect), width) if aspect > 1 else (height, round(width / aspect))


def resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [H, W] or [H, W, 3] at another size ``(rows, columns)``."""
    return cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=cv2.INTER_LINEAR)


def scaled_regions(regions: Iterable[Region], y: float, x: float) -> tuple[Region, ...]:
    """Regions of a frame whose rows and columns became ``y`` and ``x`` times as many."""
    return tuple(
        dataclasses.replace(
            region,
            x0=round(region.x0 * x),
            x1=round(region.x1 * x),
            y0=round(region.y0 * y),
            y1=round(region.y1 * y),
            cm_per_px_x=region.cm_per_px_x and region.cm_per_px_x / x,
            cm_per_px_y=region.cm_per_px_y and region.cm_per_px_y / y,
        )
        for region in regions
    )


def square_clip(clip: Clip) -> Clip:
    """The clip with square pixels; the clip itself where they are."""
    height, width = clip.frames.shape[1:3]
    size = square_size(height, width, clip.info.pixel_aspect)
    if size == (height, width):
        return clip
    y, x = size[0] / height, size[1] / width
    info = dataclasses.replace(
        clip.info,
        height=size[0],
        width=size[1],
        pixel_aspect=1.0,
        cm_per_px=clip.info.cm_per_px and clip.info.cm_per_px / x,
        regions=scaled_regions(clip.info.regions, y, x),
    )
    frames = np.stack([resized(frame, size) for frame in clip.frames])
    return dataclasses.replace(clip, frames=frames, info=info)
