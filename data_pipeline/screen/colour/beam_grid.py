"""The picture in beam coordinates, where the sides of a colour box are rows and columns, and what lines it shows."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BeamGrid:
    """How to resample an image to beam coordinates, about one sample per pixel.

    Sample ``[i, j]`` lies at depth ``depth0 + i * d_depth`` and lateral ``lateral0 + j * d_lateral`` (px, or px and rad).
    """

    depth0: float
    lateral0: float
    d_depth: float
    d_lateral: float
    map_x: np.ndarray
    map_y: np.ndarray

    def sample(self, image: np.ndarray) -> np.ndarray:
        """``image`` [H, W] as [depth, lateral], bilinear, 0 outside the frame."""
        return cv2.remap(image, self.map_x, self.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def beam_grid(geometry: Geometry) -> BeamGrid:
    """The grid of a sector; those of linear probes reach as far sideways as their lean needs."""
    near, far = geometry.depth
    first, last = geometry.lateral
    if isinstance(geometry, Fan):
        d_lateral = 1.0 / max(0.5 * (near + far), 1.0)
        n_depth = max(int(round(far - near)) + 5, 8)
        n_lateral = max(int(round((last - first) / d_lateral)) + 5, 8)
        depth = (near - 2 + np.arange(n_depth)).astype(np.float32)
        lateral = (first - 2 * d_lateral + np.arange(n_lateral) * d_lateral).astype(np.float32)
    else:
        d_lateral = 1.0
        shift = abs(math.tan(geometry.steer)) * (far - near)
        depth = np.arange(near, far, dtype=np.float32)
        lateral = np.arange(first - shift, last + shift, dtype=np.float32)
    map_x, map_y = geometry.points(depth, lateral)
    return BeamGrid(
        depth0=float(depth[0]), lateral0=float(lateral[0]), d_depth=1.0, d_lateral=d_lateral, map_x=map_x, map_y=map_y
    )


def extent(profile: np.ndarray, *, tail: float = 0.003) -> tuple[float, float]:
    """First and last index of ``profile`` [n] after cutting ``tail`` of its sum from both ends."""
    total = np.cumsum(profile)
    if total[-1] <= 0:
        return 0.0, float(len(profile) - 1)
    total = total / total[-1]
    return float(np.searchsorted(total, tail)), float(np.searchsorted(total, 1 - tail))


def line_reach(short_side: int) -> int:
    """Distance of the neighbours a line must outshine, px."""
    return 2 if short_side < 240 else 3 if short_side < 500 else 4


def line_contrast(level: np.ndarray, axis: int, reach: int) -> np.ndarray:
    """int16: how far each sample outshines both neighbours ``reach`` away along ``axis``; 0 at the borders."""
    wide = level.astype(np.int16)
    contrast = wide - np.maximum(np.roll(wide, reach, axis), np.roll(wide, -reach, axis))
    edge = [slice(None), slice(None)]
    for part in (slice(0, reach), slice(-reach, None)):
        edge[axis] = part
        contrast[tuple(edge)] = 0
    return contrast


def line_map(level: np.ndarray, axis: int, reach: int, *, faint: int, bright: int) -> np.ndarray:
    """uint8 0/1: samples on a line across ``axis``.

    A line may wander by one sample (the fan is fitted, not known). Gaps of dashed lines are bridged only where the line
    is far brighter than speckle can be for long.
    """
    contrast = line_contrast(level, axis, reach)
    along = 4 * reach + 1
    wander, bridge = ((3, 1), (3, along)) if axis == 0 else ((1, 3), (along, 3))
    thin = (contrast > faint).astype(np.uint8)
    strong = (contrast > bright).astype(np.uint8)
    return cv2.dilate(thin, np.ones(wander, np.uint8)) | cv2.dilate(strong, np.ones(bridge, np.uint8))


def side_profile(level: np.ndarray, axis: int, inner: slice) -> np.ndarray:
    """Median of ``level`` [depth, lateral] along sides across ``axis``, over the part ``inner`` of them."""
    return np.median(level[:, inner] if axis == 0 else level[inner].T, axis=1)
