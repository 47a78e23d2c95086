"""How a heart moves: ventricles shrink, the base descends, leaflets swing, and everything sways a little."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.views.anatomy import Leaflet, Motion, uniform
from data_pipeline.simulation.views.heart import Heart, Ring


def reach(distance: np.ndarray, fold_cm: float) -> np.ndarray:
    """1 inside a cavity, falling off outwards with e-fold ``fold_cm``, float32."""
    return steady.exp(-steady.power(np.clip(-distance, 0, None) * np.float32(1 / fold_cm), np.float32(1.4)))


def long_axis_motion(rng: np.random.Generator, heart: Heart, ef: float, *, right_axis: float | None) -> Motion:
    """Contraction in a long-axis view: radial fraction ``ef`` at the endocardium and descent of the base by 0.9-1.5 cm.

    The atrial roof stays where it is, so the atria fill while the ventricles empty. ``right_axis``: x of the right
    ventricle, None without one.
    """
    left = reach(heart.cavity["LV"], 0.85)
    ux = -ef * heart.x * left
    if right_axis is not None:
        right = 0.6 * reach(heart.cavity["RV"], 0.6)
        ux = ux - 0.8 * ef * (heart.x - np.float32(right_axis)) * right * (1 - 0.7 * left)
    descent = uniform(rng, 0.9, 1.5) * min(1.0, ef / 0.22)
    lower = smoothstep(heart.y, -0.5, 8.0) * (1 - smoothstep(heart.y, 8.6, 12.8))
    return Motion("contraction", *heart.motion(ux, -descent * lower * whole(heart)))


def whole(heart: Heart) -> np.ndarray:
    """1 in the heart, falling off around it, float32."""
    return steady.exp(-((np.clip(-heart.outer, 0, None) / 1.2) ** 2))


def sway(rng: np.random.Generator, heart: Heart, *, breath: float) -> tuple[Motion, ...]:
    """Swing of the whole heart in every beat, respiration (1.4 x 2.2 mm times ``breath``) and the operator's hand."""
    near, ones = whole(heart), np.ones(heart.fan.shape, np.float32)
    columns, rows = heart.motion(0.14 * near, 0.22 * near)
    still_columns, still_rows = heart.motion(0.1 * ones, 0.1 * ones)
    return (
        Motion("swing_x", columns, 0 * rows, 0.35), Motion("swing_y", 0 * columns, rows, 0.3),
        Motion("respiration", columns, rows, breath),
        Motion("hand_x", still_columns, 0 * still_rows, uniform(rng, 0, 1.5)),
        Motion("hand_y", 0 * still_columns, still_rows, uniform(rng, 0, 1.5)),
    )  # fmt: skip


def valve_opening(kin: Kinematics, kind: str) -> np.ndarray:
    """How far a valve is open, 0..1, float32 [T]: ``inflow`` (diastole, wide at E and A) or ``outflow`` (systole)."""
    p = kin.phase.astype(np.float64)
    if kind == "outflow":
        return smoothstep(p, 0.03, 0.08) * (1 - smoothstep(p, 0.33, 0.40))
    held = smoothstep(p, 0.40, 0.45) * (1 - smoothstep(p, 0.97, 1.0))
    swell = np.maximum(steady.exp(-(((p - 0.48) / 0.09) ** 2)), kin.kick * steady.exp(-(((p - 0.90) / 0.08) ** 2)))
    return (held * (0.55 + 0.45 * swell) * np.minimum(kin.beat, 1)).astype(np.float32)


def leaflet_pair(
    rng: np.random.Generator, ring: Ring, opening: np.ndarray, *, shares: Sequence[float] = (0.58, 0.44),
    towards: tuple[float, float] = (0.0, -1.0), level_db: float, metal: bool = False,
    closed_deg: tuple[float, float] = (8, 20), opened_deg: tuple[float, float] = (64, 84),
) -> tuple[Leaflet, Leaflet]:  # fmt: skip
    """Two leaflets hinged at the ends of a ring that open ``towards`` a direction, 14 degrees from the ring to 76.

    ``shares``: their lengths in parts of the ring.
    """
    out = []
    for (start, end), share in zip((ring, ring[::-1]), shares):
        dx, dy = end[0] - start[0], end[1] - start[1]
        turn = 1.0 if dx * towards[1] - dy * towards[0] > 0 else -1.0
        base = math.atan2(dy, dx)
        out.append(Leaflet(
            hinge=start, length=share * math.hypot(dx, dy) * uniform(rng, 0.9, 1.08),
            closed=base + turn * math.radians(uniform(rng, *closed_deg)),
            opened=base + turn * math.radians(uniform(rng, *opened_deg)), opening=opening,
            bow=-turn * uniform(rng, 0.04, 0.16), thickness=0.2 if metal else uniform(rng, 0.09, 0.15),
            level_db=level_db + (8 if metal else uniform(rng, -2, 2)),
        ))  # fmt: skip
    return tuple(out)
