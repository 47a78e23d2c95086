"""Pathologies of the heart applied to a placed heart: what changes in its cavities, its echoes, its flow."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.flow_fields import FlowTerm, course, envelope, normalised, vortex, windowed
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology, blob, capsule, effusion_layer, prosthesis_shadow
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, Leaflet, Motion, Noise, uniform
from data_pipeline.simulation.views.heart import Heart, Ring

DEFECTS = (((-3.0, 7.0), (-1.2, 6.6)), ((-3.2, 10.0), (-1.2, 10.0)), ((-2.9, 4.5), (-1.4, 4.3)))
"""Ends of holes in the septa (heart coordinates): perimembranous, atrial, muscular."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What a finding adds; maps are float32 [n_r, n_t] or None."""

    name: str = ""
    solid: np.ndarray | None = None
    """0..1: a mass in a cavity, of ``solid_db``."""
    solid_db: np.ndarray | None = None
    fluid: np.ndarray | None = None
    """0..1: fluid that does not flow."""
    metal: np.ndarray | None = None
    metal_db: np.ndarray | None = None
    fixed_db: np.ndarray | None = None
    twinkle: np.ndarray | None = None
    shunt: tuple[tuple[float, float], tuple[float, float]] | None = None
    ejection: float = 1.0
    focus: tuple[tuple[float, float], ...] = ()
    """``(r px, t)``: a box is likely to be put there."""

    def paint(
        self, echo: np.ndarray, blood: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Echo (dB), blood and labels with the finding in them."""
        if self.solid is not None:
            echo, blood = echo + self.solid * (self.solid_db - echo), blood * (1 - self.solid)
            labels = np.where(self.solid > 0.5, np.uint8(9), labels)
        if self.fluid is not None:
            echo = echo + self.fluid * (np.minimum(echo, -52) - echo)
            labels = np.where((self.fluid > 0.5) & (labels == 0), np.uint8(9), labels)
        if self.metal is not None:
            echo = np.maximum(echo, self.metal_db)
            blood = blood * (1 - self.metal)
            labels = np.where(self.metal > 0.5, np.uint8(9), labels)
        return echo.astype(np.float32), blood.astype(np.float32), labels


def apply_findings(rng: np.random.Generator, heart: Heart, pathology: Pathology) -> tuple[Heart, Found]:
    """Change the cavities of a heart and describe the rest. A prosthesis replaces the mitral valve."""
    if not pathology:
        return heart, Found()
    fan, severity, place = heart.fan, pathology.severity, pathology.place
    noise = Noise(rng, fan)
    if pathology.name == "mass":
        names = [name for name in heart.cavity if name not in heart.rings]
        name = names[int(place * len(names)) % len(names)]
        depth, radius = heart.cavity[name], 0.45 + 0.85 * severity
        near_wall = np.flatnonzero((depth > 0.3 * radius) & (depth < 0.9 * radius))
        where = near_wall if near_wall.size else np.argmax(depth, axis=None, keepdims=True).ravel()
        row, column = np.unravel_index(int(where[int(rng.integers(where.size))]), fan.shape)
        site = float(heart.x[row, column]), float(heart.y[row, column])
        lump = blob(rng, fan, heart.x, heart.y, centre=site, radius=radius)
        solid = smoothstep(np.minimum(lump, depth + 0.25), -0.05, 0.2)
        level = uniform(rng, -32, -20) + 3 * noise(4, 6)
        spot = (float(fan.r[row]), float(fan.t[column]))
        return heart, Found(name="mass", solid=solid, solid_db=level, focus=(spot, spot))
    if pathology.name == "septal_defect":
        possible = [d for d in DEFECTS if "RV" in heart.cavity and ("RA" in heart.cavity or d[0][1] < 8)]
        if not possible:
            return heart, Found()
        a, b = possible[int(place * len(possible)) % len(possible)]
        hole = capsule(heart.x, heart.y, a=a, b=b, radius=0.22 + 0.55 * severity)
        cavity = heart.cavity | {"defect": hole}
        middle = (0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]))
        return dataclasses.replace(heart, cavity=cavity), Found(
            name="septal_defect", shunt=(a, b), focus=heart.focus(middle, middle)
        )
    if pathology.name == "effusion":
        thickness = (0.3 + 1.6 * severity) * min(1.0, heart.pose.scale * 1.5)
        return heart, Found(name="effusion", fluid=effusion_layer(heart.outer, rng, fan, thickness=thickness))
    if pathology.name == "prosthesis":
        return heart, _prosthesis(rng, heart, heart.rings["mitral"], severity)
    if pathology.name == "small_chambers":
        shrink = {name: 0.25 + 0.75 * severity for name in heart.cavity if name not in heart.rings}
        if place < 0.5:  # one side only: hypertrophy or collapse
            side = ("LV", "LA") if place < 0.25 else ("RV", "RA")
            shrink = {name: value for name, value in shrink.items() if name in side} or shrink
        orifice = np.maximum.reduce(
            [heart.cavity[name] for name in heart.rings] or [np.full(fan.shape, -9, np.float32)]
        )
        away = smoothstep(-orifice, 0.0, 1.2)  # the valves keep their place
        cavity = {name: d - np.float32(shrink.get(name, 0.0)) * away for name, d in heart.cavity.items()}
        return dataclasses.replace(heart, cavity=cavity), Found(name="small_chambers", ejection=1.15)
    raise ValueError(f"pathology {pathology.name!r} has no meaning in a heart")


def heart_anatomy(
    heart: Heart,
    found: Found,
    *,
    tissue: tuple[np.ndarray, np.ndarray, np.ndarray],
    motions: tuple[Motion, ...],
    flows: tuple[FlowTerm, ...],
    focus: tuple[tuple[float, float], ...],
    leaflets: tuple[Leaflet, ...],
    **params: Any,
) -> Anatomy:
    """What a view of a heart hands over: its ``tissue`` (echo, blood, labels), ``focus`` and valves in heart coordinates,
    and what a finding adds. ``params`` join the draw's."""
    echo, blood, labels = tissue
    return Anatomy(
        echo_db=echo, blood=blood, labels=labels, motions=motions, flows=flows, focus=heart.focus(*focus) + found.focus,
        fixed_db=found.fixed_db, leaflets=leaflets, leaflet_frame=(heart.x, heart.y), leaflet_tilt=heart.pose.tilt,
        leaflet_flip=heart.pose.flip, leaflet_scale=heart.pose.scale, twinkle=found.twinkle,
        params={**params, "pose": dataclasses.asdict(heart.pose)},
    )  # fmt: skip


def _prosthesis(rng: np.random.Generator, heart: Heart, ring: Ring, severity: float) -> Found:
    """A mechanical or stented valve: two bright struts or a bar across the annulus, shadow and repeats below."""
    fan, (a, b) = heart.fan, ring
    metal = np.zeros(fan.shape, np.float32)
    thick = 0.16 + 0.14 * severity
    struts = [(a, (a[0] + 0.1, a[1] - 0.7)), (b, (b[0] - 0.1, b[1] - 0.7))]
    if severity > 0.5:
        struts.append((a, b))
    for p, q in struts:
        metal = np.maximum(metal, smoothstep(capsule(heart.x, heart.y, a=p, b=q, radius=thick), -0.08, 0.06))
    shadow, repeats = prosthesis_shadow(fan, metal, rng, depth_db=uniform(rng, 12, 24))
    level = np.where(metal > 0, -90 + 84 * metal, np.float32(-90)) + uniform(rng, -6, 4)
    twinkle = metal * smoothstep(Noise(rng, fan)(3, 3), -0.3, 0.8) if rng.random() < 0.7 else None
    return Found(
        name="prosthesis", metal=metal, metal_db=level.astype(np.float32), fixed_db=shadow + 0.5 * repeats,
        twinkle=twinkle, focus=heart.focus((0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]))),
    )  # fmt: skip


def finding_flows(
    rng: np.random.Generator, heart: Heart, found: Found, blood: np.ndarray, kin: Kinematics
) -> tuple[FlowTerm, ...]:
    """The shunt through a septal defect: a short fast jet in systole (ventricles) or a slow one (atria)."""
    if found.shunt is None:
        return ()
    (ax, ay), (bx, by) = found.shunt
    fan: ScanGrid = heart.fan
    atrial = 0.5 * (ay + by) > 8
    turns = vortex(heart.x, heart.y, centre=(0.5 * (ax + bx), 0.5 * (ay + by) - 0.7), radius=0.8) - vortex(
        heart.x, heart.y, centre=(0.5 * (ax + bx), 0.5 * (ay + by) + 0.7), radius=0.8
    )
    window = smoothstep(heart.lumen, -0.05, 0.3)
    basis = normalised(windowed(turns, window, fan, return_flow=0.5), blood)
    speed = uniform(rng, 25, 60) if atrial else uniform(rng, 150, 400)
    shape = 0.4 + 0.6 * envelope(kin.phase, "D") if atrial else envelope(kin.phase, "S")
    return (FlowTerm(basis, course(rng, kin, shape, speed)),)
