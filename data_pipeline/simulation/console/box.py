"""The colour box: the part of the sector that is insonified for flow, and the line drawn round it.

A box is a rectangle in beam space: ``(r0, r1)`` in pixels from the apex and ``(t0, t1)`` in radians. On a linear probe
it is a parallelogram, rows ``r0..r1`` and columns ``t0..t1`` (at its middle row) leaning by ``steer``.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.scan_grid import ScanGrid

OUTLINE_COLOURS = {
    "white": (246, 246, 246), "yellow": (236, 222, 70), "cyan": (90, 226, 232), "green": (84, 226, 96),
    "grey": (170, 172, 176),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanBox:
    """See the module. ``steer`` is used by linear fans only, in radians, positive when deeper lies to the right."""

    r0: float
    r1: float
    t0: float
    t1: float
    steer: float = 0.0

    def shift(self, r: np.ndarray | float) -> np.ndarray | float:
        """How far the columns of a steered box have moved at depth ``r`` px."""
        return (r - 0.5 * (self.r0 + self.r1)) * math.tan(self.steer)

    def contains(self, r: np.ndarray, t: np.ndarray) -> np.ndarray:
        """bool, same shape: which beam-space points lie in the box."""
        if self.steer:
            t = t - self.shift(r)
        return (r >= self.r0) & (r <= self.r1) & (t >= self.t0) & (t <= self.t1)

    def check(self, fan: ScanGrid) -> None:
        """Raise ValueError unless the box has an area and lies inside ``fan``."""
        low, high = float(fan.t[0]), float(fan.t[-1])
        slack = 1e-3 * (high - low)
        if not (fan.r[0] - 0.5 <= self.r0 < self.r1 <= fan.r[-1] + 0.5):
            raise ValueError(
                f"box r0..r1 must increase inside the fan's {fan.r[0]:.1f}..{fan.r[-1]:.1f} px, "
                f"got {self.r0:.1f}..{self.r1:.1f}"
            )
        edges = [t + self.shift(r) for r in (self.r0, self.r1) for t in (self.t0, self.t1)]
        if not (self.t0 < self.t1 and min(edges) >= low - slack and max(edges) <= high + slack):
            raise ValueError(
                f"box t0..t1 must increase inside the fan's {low:.3f}..{high:.3f}, "
                f"got {min(edges):.3f}..{max(edges):.3f}"
            )

    def corners(self, fan: ScanGrid, *, samples: int = 32) -> np.ndarray:
        """The closed outline in image pixels, float32 ``[4 * samples, 2]`` (x, y)."""
        u = np.linspace(0, 1, samples)
        r, t = self.r0 + u * (self.r1 - self.r0), self.t0 + u * (self.t1 - self.t0)
        rr = np.concatenate([np.full(samples, self.r0), r, np.full(samples, self.r1), r[::-1]])
        tt = np.concatenate([t, np.full(samples, self.t1), t[::-1], np.full(samples, self.t0)]) + self.shift(rr)
        return np.stack(fan.image_place(rr, tt), -1).astype(np.float32)

    def moved(self, dr: float, dt: float) -> ScanBox:
        return dataclasses.replace(self, r0=self.r0 + dr, r1=self.r1 + dr, t0=self.t0 + dt, t1=self.t1 + dt)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxSize:
    """Ranges of a box: see `draw_box`."""

    depth_share: tuple[float, float] = (0.30, 0.56)
    angle_deg: tuple[float, float] = (24.0, 48.0)
    width_share: tuple[float, float] = (0.45, 0.8)


BOX_SIZES = {
    "heart": BoxSize(),
    "fetal": BoxSize(depth_share=(0.20, 0.36), angle_deg=(14.0, 28.0)),
    "vessel": BoxSize(depth_share=(0.26, 0.50)),
    "kidney": BoxSize(depth_share=(0.26, 0.46), angle_deg=(20.0, 40.0)),
    "liver": BoxSize(depth_share=(0.24, 0.44), angle_deg=(18.0, 36.0)),
}
"""What is usual for an organ: a box as small as what is to be seen in it, since its width costs frames."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutlineStyle:
    """How the box is drawn.

    ``colour``: a key of ``OUTLINE_COLOURS`` or ``none``; ``thickness``: pixels in a frame of 400 rows; ``dashed``;
    ``crisp``: 0 lets a line thinner than a pixel fade, as in a picture made smaller, 1 keeps it at full brightness.
    """

    colour: str = "white"
    thickness: float = 1.3
    dashed: bool = False
    crisp: float = 0.5

    def __post_init__(self) -> None:
        if self.colour != "none" and self.colour not in OUTLINE_COLOURS:
            raise ValueError(f"outline colour must be none or one of {tuple(OUTLINE_COLOURS)}, got {self.colour!r}")


def draw_outline_style(rng: np.random.Generator) -> OutlineStyle:
    """None 10 %, white 60 %, other colours 30 %; 5 % dashed."""
    names = ("none", "white", "yellow", "cyan", "green", "grey")
    name = names[int(rng.choice(6, p=(0.1, 0.6, 0.1, 0.08, 0.06, 0.06)))]
    return OutlineStyle(colour=name, thickness=round(float(rng.uniform(0.9, 1.8)), 2), dashed=bool(rng.random() < 0.05))


def draw_box(
    rng: np.random.Generator,
    fan: ScanGrid,
    centre: tuple[float, float],
    *,
    depth_share: tuple[float, float] = BoxSize.depth_share,
    angle_deg: tuple[float, float] = BoxSize.angle_deg,
    width_share: tuple[float, float] = BoxSize.width_share,
    steer: float = 0.0,
) -> ScanBox:
    """Draw a box round a point and push it inside the fan.

    Args:
      centre: ``(r px, t)`` as `ScanGrid.index_of` gives it.
      depth_share: height of the box over the fan's depth range.
      angle_deg: width of the box for sectors, in degrees; never more than 85 % of the fan.
      width_share: width over the aperture for linear probes.
      steer: lean for linear probes, radians; boxes too tall to lean inside the fan become narrower.
    """
    r_low, r_high = float(fan.r[0]), float(fan.r[-1])
    t_low, t_high = float(fan.t[0]), float(fan.t[-1])
    half_r = 0.5 * rng.uniform(*depth_share) * (r_high - r_low)
    if fan.linear:
        half_t = 0.5 * rng.uniform(*width_share) * (t_high - t_low)
    else:
        half_t = 0.5 * min(math.radians(rng.uniform(*angle_deg)), 0.85 * (t_high - t_low))
    r_pad, t_pad = 0.02 * (r_high - r_low), 0.02 * (t_high - t_low)
    # The near field of a phased probe is too narrow for colour lines; a box starts a little below the surface.
    top = r_low + (0.02 if fan.linear else 0.06) * (r_high - r_low)
    r = min(max(centre[0], top + half_r), r_high - r_pad - half_r)
    lean = abs(math.tan(steer)) * half_r if fan.linear else 0.0
    half_t = min(half_t, max(0.5 * (t_high - t_low) - t_pad - lean, 0.1 * (t_high - t_low)))
    reach = half_t + lean
    t = min(max(centre[1], t_low + t_pad + reach), t_high - t_pad - reach)
    box = ScanBox(
        r0=float(r - half_r), r1=float(r + half_r), t0=float(t - half_t), t1=float(t + half_t),
        steer=float(steer) if fan.linear else 0.0,
    )  # fmt: skip
    box.check(fan)
    return box


def draw_box_path(
    rng: np.random.Generator, fan: ScanGrid, box: ScanBox, frames: int, *, chance: float = 0.05
) -> tuple[ScanBox, ...]:
    """The box of every frame: still, or (``chance``) pulled to a new place for a while, as an operator does."""
    moves, size = rng.random() < chance, rng.uniform(-1, 1, 2)
    start, length = int(rng.integers(0, max(1, frames // 2))), int(rng.integers(3, 10))
    if not moves:
        return (box,) * frames
    r_low, r_high, t_low, t_high = (float(x) for x in (fan.r[0], fan.r[-1], fan.t[0], fan.t[-1]))
    lean = abs(box.shift(box.r1))
    dr = float(np.clip(size[0] * 0.12 * (r_high - r_low), r_low - box.r0, r_high - box.r1))
    dt = float(np.clip(size[1] * 0.15 * (t_high - t_low), t_low + lean - box.t0, t_high - lean - box.t1))
    steps = np.clip((np.arange(frames) - start) / length, 0, 1)
    return tuple(box.moved(float(dr * u), float(dt * u)) for u in steps)


def outline_coverage(
    box: ScanBox, fan: ScanGrid, style: OutlineStyle, *, window: tuple[slice, slice], supersample: int
) -> np.ndarray | None:
    """Share of each pixel of an image window under the outline: float32 ``[h, w]`` in 0..1, ``None`` without one."""
    if style.colour == "none":
        return None
    (y0, y1), (x0, x1) = ((s.start, s.stop) for s in window)
    canvas = np.zeros(((y1 - y0) * supersample, (x1 - x0) * supersample), np.uint8)
    points = (box.corners(fan) + 0.5 - (x0, y0)) * supersample - 0.5
    wanted = style.thickness * supersample * fan.height / 400
    thickness = max(1, int(round(wanted)))
    weight = min(1.0, wanted + (1 - wanted) * style.crisp)
    fixed = np.round(points * 16).astype(np.int32)
    if style.dashed:
        closed = np.concatenate([fixed, fixed[:1]])
        lengths = np.concatenate([[0], np.cumsum(steady.hypot(*np.diff(points, axis=0, append=points[:1]).T))])
        dash = max(3.0, 0.02 * fan.height) * supersample
        for k in range(int(lengths[-1] / dash / 2) + 1):
            ends = np.clip((2 * dash * k, 2 * dash * k + dash), 0, lengths[-1])
            line = np.stack([np.interp(ends, lengths, closed[:, i]) for i in (0, 1)], -1).astype(np.int32)
            cv2.line(canvas, line[0].tolist(), line[1].tolist(), 255, thickness, cv2.LINE_AA, 4)
    else:
        cv2.polylines(canvas, [fixed], True, 255, thickness, cv2.LINE_AA, 4)
    if supersample > 1:
        canvas = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return canvas * np.float32(weight / 255)
