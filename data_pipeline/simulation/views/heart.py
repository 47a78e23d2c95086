"""A heart as cavities with walls: outlines to signed distances on the beam-space grid, and the echoes of its tissue.

Outlines are closed splines in heart coordinates (cm for an adult heart; the apex at the origin, the base at y about 8),
rastered at 0.7 mm; a pose puts them under the probe, and a random smooth warp keeps any two hearts apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import gaussian_blur, smoothstep
from data_pipeline.simulation.pathology import capsule
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Noise, displacement, facing, uniform

Points = Sequence[tuple[float, float]]
Ring = tuple[tuple[float, float], tuple[float, float]]
_CELL = 0.07
"""cm per cell of the raster that outlines are drawn on."""
_MARGIN = 2.5
WALL = 5
"""Label of muscle between a cavity and the outer border."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the heart's origin lies (cm below the probe), its tilt (rad), its size and whether it is mirrored (-1)."""

    x: float
    y: float
    tilt: float
    scale: float
    flip: int = 1

    def from_fan(self, fan: ScanGrid) -> tuple[np.ndarray, np.ndarray]:
        """Heart coordinates of the fan's samples, float32 [n_r, n_t] each."""
        c, s = np.float32(math.cos(self.tilt) / self.scale), np.float32(math.sin(self.tilt) / self.scale)
        dx, dy = fan.X - np.float32(self.x), fan.Y - np.float32(self.y)
        return np.float32(self.flip) * (c * dx + s * dy), c * dy - s * dx

    def vector(self, ux: np.ndarray, uy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A displacement in heart coordinates as cm right and down in the image."""
        c, s = np.float32(math.cos(self.tilt) * self.scale), np.float32(math.sin(self.tilt) * self.scale)
        ux = np.float32(self.flip) * ux
        return c * ux - s * uy, s * ux + c * uy

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A point in heart coordinates as cm under the probe."""
        c, s = math.cos(self.tilt) * self.scale, math.sin(self.tilt) * self.scale
        return self.x + self.flip * c * x - s * y, self.y + self.flip * s * x + c * y


def spline(points: Points | np.ndarray) -> np.ndarray:
    """Closed Catmull-Rom curve through ``points``: ten points a segment, float64 [10 * n, 2]."""
    p = np.asarray(points, np.float64)
    u = np.linspace(0, 1, 10, endpoint=False)[None, :, None]
    a, b, c, d = (np.roll(p, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    curve = b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))
    return curve.reshape(-1, 2)


def outline_distance(points: Points | np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance (cm, positive inside, about -2.5 far outside) of a closed spline at ``x, y``, float32."""
    curve = spline(points)
    low, high = curve.min(0) - _MARGIN, curve.max(0) + _MARGIN
    width, height = (np.ceil((high - low) / _CELL).astype(int) + 1).tolist()
    raster = np.zeros((height, width), np.uint8)
    cv2.fillPoly(raster, [np.round((curve - low) / _CELL * 16).astype(np.int32)], 1, shift=4)
    inside, outside = (cv2.distanceTransform(r, cv2.DIST_L2, 5) for r in (raster, 1 - raster))
    signed = gaussian_blur((inside - outside) * np.float32(_CELL), 1, 1)
    columns, rows = (x - np.float32(low[0])) * np.float32(1 / _CELL), (y - np.float32(low[1])) * np.float32(1 / _CELL)
    return cv2.remap(signed, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heart:
    """Cavities and outer border of a heart on a fan's grid.

    Distances are float32 [n_r, n_t] in heart cm, positive inside.
    """

    fan: ScanGrid
    pose: Pose
    x: np.ndarray
    y: np.ndarray
    cavity: dict[str, np.ndarray]
    """Chambers, and the orifices that join them."""
    outer: np.ndarray
    rings: dict[str, Ring]
    """Hinge points of each valve."""

    @property
    def lumen(self) -> np.ndarray:
        """Distance to the wall of the nearest cavity."""
        return union(*self.cavity.values())

    def motion(self, ux: np.ndarray, uy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A displacement in heart coordinates as grid samples (columns, rows)."""
        return displacement(self.fan, *self.pose.vector(ux, uy))

    def focus(self, *points: tuple[float, float]) -> tuple[tuple[float, float], ...]:
        """Points in heart coordinates as ``(r px, t)``."""
        return tuple(self.fan.index_of(*self.pose.point(*p)) for p in points)


def union(*distances: np.ndarray) -> np.ndarray:
    return np.maximum.reduce(distances)


def place_heart(
    rng: np.random.Generator,
    fan: ScanGrid,
    outlines: Mapping[str, Points],
    *,
    pose: Pose,
    walls: Mapping[str, float],
    orifices: Mapping[str, Ring] | None = None,
    jitter: float = 0.12,
) -> Heart:
    """Jitter the outlines, warp the coordinates, and measure distances.

    ``walls``: thickness (cm) around each cavity; ``orifices``: hinge points of each valve, between which two cavities
    are one; ``jitter``: standard deviation (cm) of every outline point.
    """  # fmt: skip
    x, y = pose.from_fan(fan)
    noise, size = Noise(rng, fan), pose.scale
    wide, fine = uniform(rng, 0.10, 0.24), 0.05
    x, y = (a + wide * noise(14 * size, 19 * size) + fine * noise(4.5 * size, 6 * size) for a in (x, y))
    shift = rng.normal(0, 0.1, 2)
    cavity = {
        name: outline_distance(np.asarray(points) + rng.normal(0, jitter, (len(points), 2)) + shift, x, y)
        for name, points in outlines.items()
    }
    for name, (a, b) in (orifices or {}).items():
        inset = 0.3 / math.dist(a, b)
        ends = [(p[0] + inset * (q[0] - p[0]), p[1] + inset * (q[1] - p[1])) for p, q in ((a, b), (b, a))]
        cavity[name] = capsule(x, y, a=ends[0], b=ends[1], radius=0.32)
    outer = union(*(cavity[name] + np.float32(thickness) for name, thickness in walls.items()))
    outer = outer + np.float32(0.1) * noise(7 * size, 8 * size)
    return Heart(fan=fan, pose=pose, x=x, y=y, cavity=cavity, outer=outer, rings=dict(orifices or {}))


def surroundings_db(rng: np.random.Generator, fan: ScanGrid, outer: np.ndarray) -> np.ndarray:
    """Tissue and lung around the heart, dB, float32: smooth clouds with ridges of fascia, fat and pleura."""
    noise = Noise(rng, fan)
    echo = uniform(rng, -39, -31) + 5 * noise(12, 20) + 3 * noise(3.2, 11)
    for axial, lateral, width, amplitude in ((3.8, 24, 0.15, 8), (2.7, 18, 0.14, 7), (8.5, 15, 0.10, 5)):
        patches = smoothstep(noise(14, 26), -0.2, 1.4)
        strength = amplitude * uniform(rng, 0.3, 1.2)
        echo += strength * noise.ridges(axial, lateral, width=width) * patches
    return echo + 7 * smoothstep(noise(16, 24), 0.2, 1.5) * smoothstep(outer, -2.5, -0.2)


def heart_echo(
    rng: np.random.Generator, heart: Heart, background: np.ndarray, *, bright: Sequence[tuple[float, float]] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Echogenicity of the heart over its surroundings and the blood fraction: ``(echo dB, blood 0..1)``, float32.

    Interfaces are bright only where they face the beam, and patchy: side walls drop out. ``bright`` are fibrous points
    (annulus, crux) in heart coordinates.
    """
    fan, size = heart.fan, heart.pose.scale
    noise, lumen = Noise(rng, fan), heart.lumen
    to_cm = min(1.0, size)  # interfaces are as thin as the pulse allows, whatever the size of the heart
    muscle = smoothstep(heart.outer, -0.10, 0.16)
    front = facing(gaussian_blur(heart.outer, fan.axial_px(1.2 * to_cm), fan.lateral_px(2 * to_cm)), fan)
    inner = facing(gaussian_blur(lumen, fan.axial_px(1.2 * to_cm), fan.lateral_px(2 * to_cm)), fan)
    texture = (
        3.4 * noise(7 * to_cm, 11 * to_cm) + 2.4 * noise(1.7 * to_cm, 7 * to_cm) + 3 * noise(13 * to_cm, 22 * to_cm)
    )
    wall = uniform(rng, -28, -22) + uniform(rng, 5, 9) * front + texture
    patch = smoothstep(noise(9 * to_cm, 12 * to_cm), -1.2, 0.6)
    echo = background + muscle * (wall - background)
    pericardium = steady.exp(-(((heart.outer + 0.03) / 0.15) ** 2))
    echo += uniform(rng, 7, 14) * pericardium * (0.05 + 0.95 * front * np.sqrt(front)) * (0.35 + 0.65 * patch)
    edge = steady.exp(-(((lumen + 0.1) / 0.16) ** 2))
    echo += uniform(rng, 2, 7) * edge * inner**2 * patch
    for px, py in bright:
        square = (heart.x - np.float32(px)) ** 2 + (heart.y - np.float32(py)) ** 2
        echo += uniform(rng, 4, 8) * steady.exp(-square / np.float32(uniform(rng, 0.3, 0.5) ** 2))
    blood = smoothstep(lumen, -0.06, 0.2)
    pool = uniform(rng, -57, -49) + 3 * noise(11, 14)
    return echo + blood * (pool - echo), blood


def trabeculae(
    rng: np.random.Generator, heart: Heart, places: Sequence[tuple[float, float, float, float]]
) -> np.ndarray:
    """Papillary muscles, bands and trabeculae, dB (-90 where none): one soft bar per place ``(x0, x1, y0, y1)``."""
    echo = np.full(heart.fan.shape, -90, np.float32)
    for x0, x1, y0, y1 in places:
        angle, length, thick = float(rng.normal(0, 0.45)), uniform(rng, 0.2, 1.0), uniform(rng, 0.12, 0.3)
        dx, dy = heart.x - np.float32(uniform(rng, x0, x1)), heart.y - np.float32(uniform(rng, y0, y1))
        u = dx * np.float32(math.cos(angle)) + dy * np.float32(math.sin(angle))
        v = dy * np.float32(math.cos(angle)) - dx * np.float32(math.sin(angle))
        gap = steady.hypot(u / np.float32(thick), v / np.float32(length))
        echo = np.maximum(echo, uniform(rng, -27, -19) - 24 * np.clip(gap - 0.7, 0, 1.4))
    return echo


def chamber_labels(heart: Heart, ids: Mapping[str, int]) -> np.ndarray:
    """uint8 [n_r, n_t]: the id of each chamber, `WALL` between cavity and outer border.

    Orifices and holes go to the nearer chamber.
    """
    nearest = np.argmax([heart.cavity[name] for name in ids], axis=0)
    chamber = np.array(list(ids.values()), np.uint8)[nearest]
    return np.where(heart.lumen > 0, chamber, np.where(heart.outer > 0, np.uint8(WALL), np.uint8(0)))
