"""The sector as two grids: the polar one where ultrasound is formed, and the image it is shown in.

Beam space is ``[n_r, n_t]``: rows are samples along a beam, columns are beams. For phased and curvilinear probes a
column is an angle; for a linear probe it is an image column, and rows are image rows. All maps are float32.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry, Hull, Rectangle
from data_pipeline.simulation import steady

KINDS = ("phased", "curvilinear", "linear")
_SIZE = ((128, 160, 80), (300, 288, 128))
"""(image side, samples per beam, beams): grids that just hold the speckle of an image of that size; between: linear."""


@dataclasses.dataclass(frozen=True)
class ScanGrid:
    """A sector of an image of ``height x width`` pixels and its beam-space grid of ``n_r x n_t`` samples.

    ``geometry.depth[0]`` is the probe's surface: depth 0 on the central beam.
    """

    geometry: Geometry
    height: int
    width: int
    n_r: int
    n_t: int

    def __post_init__(self) -> None:
        g = self.geometry
        if isinstance(g, Hull):
            raise ValueError(f"the geometry's kind must be one of {KINDS} to make a ScanGrid, got {g.kind!r}")
        for name, low, high in (("height", 16, 4096), ("width", 16, 4096), ("n_r", 16, 2048), ("n_t", 8, 2048)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"ScanGrid.{name} must be in {low}..{high}, got {getattr(self, name)}")
        if not g.cm_per_px > 0:
            raise ValueError(
                f"ScanGrid needs geometry.cm_per_px > 0, got {g.cm_per_px}; an assumed scale is better than none"
            )
        if not (0 <= g.depth[0] < g.depth[1] and g.lateral[0] < g.lateral[1]):
            raise ValueError(
                f"ScanGrid needs 0 <= r0 < r1 and an increasing lateral range, got r {g.depth} and {g.lateral}"
            )

    @classmethod
    def from_geometry(cls, geometry: Geometry, *, height: int, width: int) -> ScanGrid:
        """The fan of ``geometry`` in an image of ``height x width``, its grid chosen by the size of the image."""
        n_r, n_t = grid_for_size(height, width)
        return cls(geometry=geometry, height=int(height), width=int(width), n_r=n_r, n_t=n_t)

    @classmethod
    def for_size(
        cls,
        kind: str,
        height: int,
        width: int,
        *,
        depth_cm: float,
        half_angle: float = math.radians(42),
        surface_cm: float = 5.0,
        width_cm: float = 3.8,
        steer: float = 0.0,
        margin: float = 0.02,
        overfill: float = 1.0,
    ) -> ScanGrid:
        """A fan that fills an image of ``height x width`` pixels.

        Args:
            kind: ``phased``, ``curvilinear`` or ``linear``.
            depth_cm: from the probe to the deepest sample, 0.5..40 cm.
            half_angle: of phased and curvilinear sectors, 5..80 degrees, in radians.
            surface_cm: radius of a curvilinear probe's surface.
            width_cm: aperture of a linear probe.
            steer: lean of a linear probe's colour lines, +/-0.53 rad (positive: deeper is to the right).
            margin: free border as a fraction of the frame.
            overfill: above 1 the sector's lower corners leave the frame, as they do in square crops of real clips.

        Raises:
            ValueError: names the parameter, its value and the allowed range.
        """
        limits = (
            ("depth_cm", depth_cm, 0.5, 40.0), ("half_angle", half_angle, math.radians(5), math.radians(80)),
            ("surface_cm", surface_cm, 0.5, 20.0), ("width_cm", width_cm, 0.5, 40.0), ("steer", steer, -0.53, 0.53),
            ("margin", margin, 0.0, 0.3), ("overfill", overfill, 0.8, 1.5),
        )  # fmt: skip
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise ValueError(f"ScanGrid.for_size: {name} must be in {low:.3g}..{high:.3g}, got {value}")
        if kind not in KINDS:
            raise ValueError(f"ScanGrid.for_size: kind must be one of {KINDS}, got {kind!r}")
        pad = margin * min(height, width)
        inner_h, inner_w = height - 2 * pad, width - 2 * pad
        native = {"native_height": int(height), "native_width": int(width)}
        if kind == "linear":
            px_per_cm = min(inner_w / width_cm, inner_h / depth_cm)
            top, half = (height - depth_cm * px_per_cm) / 2, width_cm * px_per_cm / 2
            geometry: Geometry = Rectangle(
                **native, y0=top, y1=top + depth_cm * px_per_cm, x0=width / 2 - half, x1=width / 2 + half,
                steer=float(steer), cm_per_px=1 / px_per_cm,
            )  # fmt: skip
        else:
            r0_cm = surface_cm if kind == "curvilinear" else 0.025 * depth_cm
            r1_cm, sine, cosine = r0_cm + depth_cm, math.sin(half_angle), math.cos(min(half_angle, math.pi / 2))
            tall = r1_cm - r0_cm * cosine
            px_per_cm = min(overfill * inner_w / (2 * r1_cm * sine), inner_h / tall)
            top = pad + 0.5 * (inner_h - tall * px_per_cm)
            geometry = Fan(
                **native, kind=kind, apex_x=width / 2, apex_y=top - r0_cm * cosine * px_per_cm, r0=r0_cm * px_per_cm,
                r1=r1_cm * px_per_cm, t0=-float(half_angle), t1=float(half_angle), cm_per_px=1 / px_per_cm,
            )  # fmt: skip
        return cls.from_geometry(geometry, height=height, width=width)

    @property
    def linear(self) -> bool:
        return isinstance(self.geometry, Rectangle)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_r, n_t)``."""
        return self.n_r, self.n_t

    @property
    def cm_per_px(self) -> float:
        return float(self.geometry.cm_per_px)

    @property
    def steer(self) -> float:
        """Lean of the colour lines, rad; 0 on fans."""
        return self.geometry.steer

    @functools.cached_property
    def r(self) -> np.ndarray:
        """float32 [n_r], px: distance from the apex (image row for linear)."""
        return np.linspace(*self.geometry.depth, self.n_r, dtype=np.float32)

    @functools.cached_property
    def t(self) -> np.ndarray:
        """float32 [n_t]: beam angle in rad (image column for linear)."""
        return np.linspace(*self.geometry.lateral, self.n_t, dtype=np.float32)

    @property
    def dr(self) -> float:
        """Pixels between two samples of a beam."""
        return float((self.geometry.depth[1] - self.geometry.depth[0]) / (self.n_r - 1))

    @property
    def dt(self) -> float:
        """Between two beams: rad (pixels for linear)."""
        return float((self.t[-1] - self.t[0]) / (self.n_t - 1))

    @functools.cached_property
    def depth_cm(self) -> np.ndarray:
        """float32 [n_r]: depth below the probe's surface along a beam."""
        return ((self.r - self.r[0]) * self.cm_per_px).astype(np.float32)

    @functools.cached_property
    def X(self) -> np.ndarray:
        """float32 [n_r, n_t], cm: lateral position, 0 at the middle of the probe."""
        if self.linear:
            return np.repeat(
                (self.t[None] - np.float32(self.geometry.anchor[0])) * np.float32(self.cm_per_px), self.n_r, 0
            )
        return self.r[:, None] * steady.sin(self.t)[None] * np.float32(self.cm_per_px)

    @functools.cached_property
    def Y(self) -> np.ndarray:
        """float32 [n_r, n_t], cm: position below the probe's surface (of its central beam)."""
        if self.linear:
            return np.repeat(self.depth_cm[:, None], self.n_t, 1)
        return (self.r[:, None] * steady.cos(self.t)[None] - np.float32(self.geometry.r0)) * np.float32(self.cm_per_px)

    @functools.cached_property
    def beam(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vector along each beam, away from the probe: float32 ``(x [1, n_t], y [1, n_t])``."""
        angle = np.zeros((1, self.n_t), np.float32) if self.linear else self.t[None]
        return steady.sin(angle), steady.cos(angle)

    @functools.cached_property
    def lateral_step_cm(self) -> np.ndarray:
        """float32 [n_r, 1], cm between neighbouring beams at each depth, at least 0.2 mm."""
        step = np.full(self.n_r, self.dt, np.float32) if self.linear else self.r * np.float32(self.dt)
        return np.maximum(step * np.float32(self.cm_per_px), np.float32(0.02))[:, None]

    @property
    def axial_step_cm(self) -> float:
        """cm between two samples of a beam."""
        return self.dr * self.cm_per_px

    def axial_px(self, mm: float) -> float:
        """A length along the beam, in grid samples."""
        return float(mm) / 10 / self.axial_step_cm

    def lateral_px(self, mm: float, *, at_cm: float | None = None) -> float:
        """A length across the beams at a depth (default: half of the range), in grid samples."""
        row = self.n_r // 2 if at_cm is None else int(np.clip(np.searchsorted(self.depth_cm, at_cm), 0, self.n_r - 1))
        return float(mm) / 10 / float(self.lateral_step_cm[row, 0])

    def angle_px(self, degrees: float) -> float:
        """A width in beam angle, in grid samples; for linear probes a degree counts as at 60 mm (1.05 mm)."""
        return self.lateral_px(1.05 * degrees) if self.linear else math.radians(degrees) / self.dt

    @functools.cached_property
    def RT(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel lies: float32 [H, W] radius in px and beam angle in rad (row and column for linear)."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        return self.beam_place(x, y)

    def beam_place(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Radius and beam angle (row and column for linear) of float32 pixel coordinates that broadcast."""
        if self.linear:
            return tuple(np.broadcast_arrays(y, x))
        x, y = x - np.float32(self.geometry.apex_x), y - np.float32(self.geometry.apex_y)
        return steady.hypot(x, y), steady.arctan2(x, y)

    def image_place(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `beam_place`: pixel ``(x, y)``."""
        if self.linear:
            return t, r
        return self.geometry.apex_x + r * steady.sin(t), self.geometry.apex_y + r * steady.cos(t)

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """bool [H, W]: pixels inside the sector."""
        r, t = self.RT
        return (r >= self.r[0]) & (r <= self.r[-1]) & (t >= self.t[0]) & (t <= self.t[-1])

    @functools.cached_property
    def image_map(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 [H, W] ``(column, row)`` of each pixel in beam space (the scan-conversion map); -9 off the fan."""
        r, t = self.RT
        column, row = (t - self.t[0]) / np.float32(self.dt), (r - self.r[0]) / np.float32(self.dr)
        return np.where(self.mask, column, np.float32(-9)), np.where(self.mask, row, np.float32(-9))

    @functools.cached_property
    def polar_map(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 [n_r, n_t] image ``(x, y)`` of each beam-space sample."""
        if self.linear:
            return np.repeat(self.t[None], self.n_r, 0), np.repeat(self.r[:, None], self.n_t, 1)
        x = np.float32(self.geometry.apex_x) + self.r[:, None] * steady.sin(self.t)[None]
        return x, np.float32(self.geometry.apex_y) + self.r[:, None] * steady.cos(self.t)[None]

    def to_image(self, polar: np.ndarray, *, nearest: bool = False) -> np.ndarray:
        """Scan conversion ``[n_r, n_t(, C<=4)] -> [H, W(, C)]`` of the same dtype, 0 outside the sector."""
        if polar.shape[:2] != self.shape:
            raise ValueError(f"to_image needs an array of shape {self.shape} (+ channels), got {polar.shape}")
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        out = cv2.remap(
            polar, *(self._nearest_maps if nearest else self.image_map), how, borderMode=cv2.BORDER_REPLICATE
        )
        out[~self.mask] = 0
        return out

    def to_polar(self, image: np.ndarray) -> np.ndarray:
        """Inverse scan conversion ``[H, W(, C<=4)] -> [n_r, n_t(, C)]`` of the same dtype."""
        if image.shape[:2] != (self.height, self.width):
            raise ValueError(f"to_polar needs an image of shape {(self.height, self.width)}, got {image.shape}")
        return cv2.remap(image, *self.polar_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    @functools.cached_property
    def _nearest_maps(self) -> tuple[np.ndarray, np.ndarray]:
        column, row = self.image_map
        return np.rint(column), np.rint(row)

    def index_of(self, x_cm: float, y_cm: float) -> tuple[float, float]:
        """A point in cm (as in ``X``, ``Y``) as ``(r px, t)``, clipped into the sector."""
        px = 1 / self.cm_per_px
        if self.linear:
            r, t = self.geometry.depth[0] + y_cm * px, self.geometry.anchor[0] + x_cm * px
        else:
            x, y = x_cm * px, y_cm * px + self.geometry.depth[0]
            r, t = math.hypot(x, y), math.atan2(x, y)
        return float(np.clip(r, self.r[0], self.r[-1])), float(np.clip(t, self.t[0], self.t[-1]))


def grid_for_size(height: int, width: int) -> tuple[int, int]:
    """``(n_r, n_t)`` for an image: 160x80 up to 128 px, 288x128 from 300 px, rounded to multiples of 8 between."""
    (s0, r0, t0), (s1, r1, t1) = _SIZE
    u = min(max((min(height, width) - s0) / (s1 - s0), 0.0), 1.0)
    return int(round((r0 + u * (r1 - r0)) / 8) * 8), int(round((t0 + u * (t1 - t0)) / 8) * 8)
