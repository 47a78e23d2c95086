"""Clips as sprite sheets: all frames of one panel in one image, as a data URI.

A page that draws several sheets with the same frame number plays them in lock-step, frame by frame, without any file
beside it and without a video codec.
"""

from __future__ import annotations

import base64
import math

import cv2
import numpy as np

JPEG_QUALITY = 92


def outline_pixels(mask: np.ndarray) -> np.ndarray:
    """Inner border of a bool ``[T, H, W]`` mask as white RGBA uint8 ``[T, H, W, 4]``, transparent elsewhere."""
    inner = np.stack([cv2.erode(frame.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for frame in mask])
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[mask & ~inner] = 255
    return rgba


def sheet(frames: np.ndarray, *, columns: int, quality: int | None) -> str:
    """Data URI of frames (grey, RGB or RGBA) laid out row by row: JPEG of ``quality``, or PNG when it is ``None``."""
    t, height, width = frames.shape[:3]
    canvas = np.zeros((math.ceil(t / columns) * height, columns * width, *frames.shape[3:]), np.uint8)
    for i, frame in enumerate(frames):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + height, x : x + width] = frame
    if canvas.ndim == 3:
        canvas = canvas[..., [2, 1, 0, 3][: canvas.shape[2]]]  # OpenCV encodes BGR(A)
    if quality is None:
        _, encoded = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        kind = "png"
    else:
        parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
        parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        _, encoded = cv2.imencode(".jpg", canvas, parameters)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def resized_clip(frames: np.ndarray, scale: float) -> np.ndarray:
    """uint8 ``[T, H, W, ...]`` made smaller by ``scale``; unchanged from 1 on."""
    if scale >= 1:
        return frames
    size = (max(1, round(frames.shape[2] * scale)), max(1, round(frames.shape[1] * scale)))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
