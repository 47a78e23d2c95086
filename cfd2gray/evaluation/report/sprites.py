"""A clip of an evaluation as the panels of a player: input, result, truth and error."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cfd2gray.evaluation.report.gallery import ReportClip
from cfd2gray.pages.sprites import JPEG_QUALITY, outline_pixels, resized_clip, sheet
from data_pipeline.schema import FLOW

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
    resized = {name: resized_clip(frames, scale) for name, frames in panels.items()}
    height, width = resized["colour flow"].shape[1:3]
    flow = resized_clip(((clip.strata[:t] & FLOW) > 0).astype(np.uint8) * 255, scale)
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
            {"name": name, "sheet": sheet(frames, columns=columns, quality=JPEG_QUALITY)}
            for name, frames in resized.items()
        ],
        "outline": sheet(outline_pixels(flow > 127), columns=columns, quality=None),
    }


def error_colours(grey: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute error of uint8 ``[T, H, W]`` clips as RGB uint8 ``[T, H, W, 3]``."""
    error = np.abs(grey.astype(np.int16) - truth) * (255 / ERROR_FULL_SCALE)
    levels = np.clip(error, 0, 255).astype(np.uint8)
    return np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_INFERNO)[..., ::-1] for frame in levels])
