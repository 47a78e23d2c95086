"""What a view hands to the scene: tissue in its reference configuration, what moves it, and what flows in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import noise_field, ridge_noise
from data_pipeline.simulation.flow_fields import FlowTerm
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology
from data_pipeline.simulation.scan_grid import ScanGrid


@dataclasses.dataclass(frozen=True)
class Motion:
    """A displacement field in grid samples, float32 [n_r, n_t] each, times the drive of that name."""

    drive: str
    columns: np.ndarray
    rows: np.ndarray
    gain: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaflet:
    """A thin curved plate on a hinge, in the coordinates of ``Anatomy.leaflet_frame`` (cm, angles in rad).

    It points along ``closed`` where ``opening`` [T] is 0 and along ``opened`` where it is 1. ``bow`` is its sag in
    parts of its length.
    """

    hinge: tuple[float, float]
    length: float
    closed: float
    opened: float
    opening: np.ndarray
    bow: float = 0.1
    thickness: float = 0.11
    level_db: float = -17.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One draw of a view. All maps are [n_r, n_t], float32 unless said otherwise, at end-diastole."""

    echo_db: np.ndarray
    """Echogenicity in dB of full scale; blood about -50, myocardium about -23, bright interfaces about -10."""
    blood: np.ndarray
    """0..1: where scatterers are blood (they do not stay from frame to frame)."""
    labels: np.ndarray
    """uint8, indices into ``schema.LABELS``."""
    motions: tuple[Motion, ...]
    flows: tuple[FlowTerm, ...]
    focus: tuple[tuple[float, float], ...]
    """Where a sonographer would centre the colour box: ``(r px, t)``."""
    fixed_db: np.ndarray | None = None
    """Shadows and enhancement that stay with the beam."""
    leaflets: tuple[Leaflet, ...] = ()
    leaflet_frame: tuple[np.ndarray, np.ndarray] | None = None
    leaflet_tilt: float = 0.0
    """Angle (rad) from the leaflet frame to the image."""
    leaflet_flip: int = 1
    """-1 where the leaflet frame is mirrored."""
    leaflet_scale: float = 1.0
    """cm in the image per cm of the leaflet frame."""
    twinkle: np.ndarray | None = None
    """0..1: calcification that shows random colour."""
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """How a view is acquired and who builds it. Ranges are (low, high)."""

    name: str
    build: Callable[[np.random.Generator, ScanGrid, Kinematics, Pathology], Anatomy]
    kind: str
    depth_cm: tuple[float, float]
    half_angle_deg: tuple[float, float] = (36.0, 48.0)
    surface_cm: tuple[float, float] = (4.0, 6.0)
    heart_rate: tuple[float, float] = (45.0, 140.0)
    nyquist_cm_s: tuple[float, float] = (45.0, 75.0)
    pathologies: tuple[str, ...] = ()
    """Names in ``pathology.PATHOLOGIES`` that make sense here."""


class Noise:
    """Smooth unit noise on a fan's grid with widths in millimetres."""

    def __init__(self, rng: np.random.Generator, fan: ScanGrid) -> None:
        self.rng, self.fan = rng, fan

    def __call__(self, axial_mm: float, lateral_mm: float) -> np.ndarray:
        """float32 [n_r, n_t]; the lateral width holds at half depth (it grows with the fan, as speckle does)."""
        return noise_field(self.rng, self.fan.shape, self.fan.axial_px(axial_mm), self.fan.lateral_px(lateral_mm))

    def ridges(self, axial_mm: float, lateral_mm: float, *, width: float = 0.12) -> np.ndarray:
        """Thin winding ridges, 0..1."""
        axial, lateral = self.fan.axial_px(axial_mm), self.fan.lateral_px(lateral_mm)
        return ridge_noise(self.rng, self.fan.shape, axial, lateral, width=width)


def displacement(fan: ScanGrid, ux: np.ndarray, uy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacements in cm (x right, y down) as ``(columns, rows)`` in grid samples, float32."""
    bx, by = fan.beam
    rows = (ux * bx + uy * by) / np.float32(fan.axial_step_cm)
    columns = (ux * by - uy * bx) / np.maximum(fan.lateral_step_cm, np.float32(0.03))
    return columns.astype(np.float32), rows.astype(np.float32)


def facing(distance: np.ndarray, fan: ScanGrid) -> np.ndarray:
    """|normal . beam| of the level lines of a signed distance: 1 where an interface is perpendicular to the beam."""
    gy, gx = np.gradient(distance)
    gx, gy = gx / fan.lateral_step_cm, gy / np.float32(fan.axial_step_cm)
    return (np.abs(gy) / (steady.hypot(gx, gy) + np.float32(1e-4))).astype(np.float32)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A Python float, so that float32 maps stay float32."""
    return float(rng.uniform(low, high))
