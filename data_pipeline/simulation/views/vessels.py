"""Trees of vessel segments: their lumen, their walls and the flow along them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.flow_fields import along
from data_pipeline.simulation.scan_grid import ScanGrid


@dataclasses.dataclass(frozen=True)
class Segment:
    """A vessel from ``a`` to ``b`` (cm) with flow that way at ``speed`` (relative).

    Its lumen narrows from ``radius`` to ``taper * radius``; ``bend`` cm is how far its middle bows to its left.
    """

    a: tuple[float, float]
    b: tuple[float, float]
    radius: float
    speed: float = 1.0
    taper: float = 0.8
    bend: float = 0.0

    def beside(self, offset: float, *, radius: float, speed: float) -> Segment:
        """A parallel vessel ``offset`` cm to its left."""
        dx, dy = self.b[0] - self.a[0], self.b[1] - self.a[1]
        length = math.hypot(dx, dy) + 1e-9
        sx, sy = -dy / length * offset, dx / length * offset
        a, b = (self.a[0] + sx, self.a[1] + sy), (self.b[0] + sx, self.b[1] + sy)
        return dataclasses.replace(self, a=a, b=b, radius=radius, speed=speed)

    def lumen(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(signed distance in cm, positive inside; the same in parts of the local radius)``, float32."""
        dx, dy = self.b[0] - self.a[0], self.b[1] - self.a[1]
        square = dx * dx + dy * dy + 1e-9
        px, py = x - np.float32(self.a[0]), y - np.float32(self.a[1])
        u = np.clip((px * np.float32(dx) + py * np.float32(dy)) * np.float32(1 / square), 0, 1)
        if self.bend:
            bow = np.float32(4 * self.bend / math.sqrt(square)) * u * (1 - u)
            px, py = px + bow * np.float32(dy), py - bow * np.float32(dx)
        radius = np.float32(self.radius) * (1 + np.float32(self.taper - 1) * u)
        distance = radius - steady.hypot(px - u * np.float32(dx), py - u * np.float32(dy))
        return distance, distance / radius


_REACH_CM = 0.6
"""How far outside its lumen a vessel is still looked at: nothing that it changes lies further away."""


def tree(
    segments: Sequence[Segment], x: np.ndarray, y: np.ndarray, fan: ScanGrid, *,
    turn: Callable[[float, float], tuple[float, float]],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """``(distance, flow)`` of all segments together, float32 [n_r, n_t].

    ``distance``: signed, cm, positive inside, no less than about ``-_REACH_CM``. ``flow``: velocity towards the probe
    relative to ``speed``, parabolic over each lumen, 0 outside.

    ``x, y`` may be warped and vessels bowed; directions are those of the straight segments, which ``turn`` takes
    from their frame to the image (right, down).
    """
    distance = np.full(fan.shape, -_REACH_CM, np.float32)
    total, weight = np.zeros(fan.shape, np.float32), np.full(fan.shape, 1e-3, np.float32)
    for s in segments:
        at = _window(s, x, y)
        if at is None:
            continue
        own, depth = s.lumen(x[at], y[at])
        np.maximum(distance[at], own, out=distance[at])
        depth = np.clip(depth, 0, 1)
        dx, dy = s.b[0] - s.a[0], s.b[1] - s.a[1]
        length = math.hypot(dx, dy) + 1e-9
        direction = tuple(np.full((1, 1), c, np.float32) for c in turn(dx / length, dy / length))
        profile = depth * (2 - depth)  # 1 - (1 - depth)^2: a parabola over the radius
        towards = np.broadcast_to(along(direction, fan), fan.shape)[at]
        total[at] += depth * profile * towards * np.float32(s.speed)
        weight[at] += depth
    return distance, total / weight


def _window(s: Segment, x: np.ndarray, y: np.ndarray) -> tuple[slice, slice] | None:
    """The part of the grid that a vessel may change, found on every fourth sample; ``None`` when it has none."""
    pad, step = _REACH_CM + s.radius + abs(s.bend), 4
    coarse_x, coarse_y = x[::step, ::step], y[::step, ::step]
    near = (coarse_x > min(s.a[0], s.b[0]) - pad) & (coarse_x < max(s.a[0], s.b[0]) + pad)
    near &= (coarse_y > min(s.a[1], s.b[1]) - pad) & (coarse_y < max(s.a[1], s.b[1]) + pad)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return None
    return tuple(slice(max(0, step * int(i[0] - 1)), step * int(i[-1] + 2)) for i in (rows, columns))


def lumen_mask(distance: np.ndarray, *, soft_cm: float) -> np.ndarray:
    """0..1 from a signed distance with an edge of ``soft_cm``, float32."""
    return smoothstep(distance, -0.5 * soft_cm, soft_cm)
