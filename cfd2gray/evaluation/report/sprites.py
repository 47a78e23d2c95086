"""Clips as sprite sheets: all frames of one panel in one image, as a data URI.

A page that draws several sheets with the same frame number plays them in lock-step, frame by frame, without any file
beside it and without a video codec.
"""

from __future__ import annotations

import base64
import math

import cv2
import numpy as np

from cfd2gray.evaluation.report.gallery import ReportClip
from data_pipeline.schema import FLOW

_JPEG_QUALITY = 92
ERROR_FULL_SCALE = 64
"""Grey levels of error that reach the end of the error panel's colour map."""


def clip_panels(clip: ReportClip, *, max_frames: int = 64, max_side: int = 320) -> dict:
    """JSON-ready description of a clip: size, frames shown, grid, and one sheet per panel."""
    t = min(clip.cfd.shape[0], max_frames)
    scale = min(1.0, max_side / max(clip.cfd.shape[1:3]))
    panels = {"colour flow": clip.cfd[:t]}
    if clip.anatomy is not None:
        panels["anatomy"] = clip.anatomy[:t]
    panels["translation"] = clip.grey[:t]
    if clip.truth is not None:
        panels["truth"] = clip.truth[:t]
        panels["error"] = error_colours(clip.grey[:t], clip.truth[:t])
    resized = {name: _resize(frames, scale) for name, frames in panels.items()}
    height, width = resized["colour flow"].shape[1:3]
    flow = _resize(((clip.strata[:t] & FLOW) > 0).astype(np.uint8) * 255, scale)
    columns = math.ceil(math.sqrt(t))
    return {
        "name": clip.name,
        "tag": clip.tag,
        "metrics": dict(clip.metrics),
        "fps": clip.fps,
        "frames": t,
        "total": int(clip.cfd.shape[0]),
        "width": width,
        "height": height,
        "columns": columns,
        "panels": [
            {"name": name, "sheet": sheet(frames, columns=columns, quality=_JPEG_QUALITY)}
            for name, frames in resized.items()
        ],
        "outline": sheet(outline_pixels(flow > 127), columns=columns, quality=None),
    }


def error_colours(grey: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute error of uint8 ``[T, H, W]`` clips as RGB uint8 ``[T, H, W, 3]``."""
    error = np.abs(grey.astype(np.int16) - truth) * (255 / ERROR_FULL_SCALE)
    levels = np.clip(error, 0, 255).astype(np.uint8)
    return np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_INFERNO)[..., ::-1] for frame in levels])


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


def _resize(frames: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return frames
    size = (max(1, round(frames.shape[2] * scale)), max(1, round(frames.shape[1] * scale)))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
