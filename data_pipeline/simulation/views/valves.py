"""Draws valve leaflets at their momentary angle into the fields of a frame."""

from __future__ import annotations

import math

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy

VALVE = 6


class Valves:
    """The leaflets of an anatomy, evaluated only in the window of beam space that they can reach."""

    def __init__(self, body: Anatomy, fan: ScanGrid, *, fps: float) -> None:
        self._leaflets, self._tilt, self._flip = body.leaflets, body.leaflet_tilt, body.leaflet_flip
        self._rates = [
            np.gradient(leaf.opening) * fps * (leaf.opened - leaf.closed) * body.leaflet_scale
            if len(leaf.opening) > 1 else np.zeros(1)
            for leaf in body.leaflets
        ]  # fmt: skip
        if not body.leaflets:
            return
        x, y = body.leaflet_frame
        near = np.zeros(fan.shape, bool)
        for leaf in body.leaflets:
            near |= steady.hypot(x - leaf.hinge[0], y - leaf.hinge[1]) < leaf.length + 0.4
        if not near.any():
            self._leaflets = ()
            return
        (ys, xs), pad = np.nonzero(near), 12
        self._window = (slice(max(0, ys.min() - pad), ys.max() + pad), slice(max(0, xs.min() - pad), xs.max() + pad))
        self._frame = np.dstack([x, y]).astype(np.float32)
        self._angle = np.zeros((1, 1), np.float32) if fan.linear else fan.t[self._window[1]][None]

    def draw(
        self, k: int, at: tuple[np.ndarray, np.ndarray], *, echo: np.ndarray, blood: np.ndarray, labels: np.ndarray,
        tissue: np.ndarray,
    ) -> None:  # fmt: skip
        """Draw frame ``k`` in place.

        Args:
            k: frame number.
            at: material position ``(columns, rows)`` of each sample, float32 [n_r, n_t].
            echo, blood, labels, tissue: as in `scene.FrameFields` (``echo`` in dB); changed where a leaflet lies.
        """
        if not self._leaflets:
            return
        w = self._window
        place = cv2.remap(self._frame, at[0][w], at[1][w], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = place[..., 0], place[..., 1]
        level, shape = np.full(x.shape, -90, np.float32), np.zeros(x.shape, np.float32)
        speed = np.zeros(x.shape, np.float32)
        for leaf, rate in zip(self._leaflets, self._rates):
            angle = leaf.closed + float(leaf.opening[k]) * (leaf.opened - leaf.closed)
            ex, ey = np.float32(math.cos(angle)), np.float32(math.sin(angle))
            px, py = x - np.float32(leaf.hinge[0]), y - np.float32(leaf.hinge[1])
            u = np.clip((px * ex + py * ey) * np.float32(1 / leaf.length), 0, 1)
            sag = np.float32(leaf.bow * leaf.length * 4) * u * (1 - u)
            reach = u * np.float32(leaf.length)
            gap = (px - reach * ex + sag * ey) ** 2 + (py - reach * ey - sag * ex) ** 2
            body = cv2.exp(-gap / (np.float32(leaf.thickness) * (1 - np.float32(0.35) * u)) ** 2)
            # a plate is bright where its normal points to the probe, and what moves along that normal is seen
            normal = steady.cos(np.float32(self._flip * angle + self._tilt) + self._angle)
            brightness = np.float32(leaf.level_db - 5) + 8 * normal**2 - 3 * u
            level = np.maximum(level, brightness + np.float32(8.7) * steady.log(np.maximum(body, np.float32(1e-3))))
            speed = np.where(body > shape, np.float32(-rate[k]) * reach * normal, speed)
            shape = np.maximum(shape, body)
        echo[w] = np.maximum(echo[w], level)
        blood[w] *= 1 - np.float32(0.9) * shape
        tissue[w] += shape * speed
        labels[w][shape > 0.45] = VALVE
