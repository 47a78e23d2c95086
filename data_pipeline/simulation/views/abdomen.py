"""Abdominal views with a curvilinear probe: a kidney with its vessel tree, the liver with portal and hepatic veins."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import gaussian_blur, smoothstep
from data_pipeline.simulation.flow_fields import (
    AMPLITUDE,
    FlowTerm,
    course,
    eddies,
    envelope,
    normalised,
    wander,
    windowed,
)
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology, blob, effusion_layer
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, Motion, Noise, ViewSpec, displacement, facing, uniform
from data_pipeline.simulation.views.heart import Pose, outline_distance
from data_pipeline.simulation.views.vessels import Segment, lumen_mask, tree

VESSEL, ORGAN, OTHER = 7, 8, 9


def build_kidney(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Kidney in long axis: capsule, cortex, pyramids, bright sinus, arteries and veins from the hilum."""
    u, noise = lambda low, high: uniform(rng, low, high), Noise(rng, fan)
    depth = float(fan.depth_cm[-1])
    half = 0.5 * min(u(9, 12), 0.95 * depth)
    thick = half * u(0.42, 0.52)
    pose = Pose(u(-1, 1), u(0.42, 0.55) * depth, math.radians(u(-30, 30)), 1.0, 1 if rng.random() < 0.5 else -1)
    x, y = pose.from_fan(fan)
    x, y = (a + u(0.06, 0.16) * noise(16, 18) + u(0.03, 0.08) * noise(6, 7) for a in (x, y))
    bean = [(half * math.cos(a), thick * math.sin(a) * (0.55 if abs(a - math.pi / 2) < 0.35 else 1.0))
            for a in np.linspace(0, 2 * math.pi, 14, endpoint=False)]  # fmt: skip
    body = outline_distance(np.array(bean) + rng.normal(0, 0.1, (14, 2)), x, y)
    sinus = 0.52 * thick - steady.hypot(x * np.float32(thick / half * 0.95), y - 0.12 * thick) + 0.14 * noise(5, 7)
    arteries, veins = _renal_tree(rng, half, thick)
    (lumen, arterial), (vein_lumen, venous) = (tree(t, x, y, fan, turn=pose.vector) for t in (arteries, veins))
    vessels = np.maximum(lumen, vein_lumen)

    echo = _abdominal_wall(rng, fan)
    front = facing(gaussian_blur(body, 1.5, 1.5), fan)
    front = front * np.sqrt(front)
    inside = smoothstep(body, -0.08, 0.08)
    tissue = u(-36, -31) + 2.2 * noise(2.2, 4) + 1.5 * noise(9, 12)
    pyramids = smoothstep(
        steady.sin(u(7, 10) * steady.arctan2(y * np.float32(half / thick), x) + u(0, 6)) + 0.4 * noise(6, 7), 0.1, 0.7
    )
    ring = smoothstep(body, 0.45, 0.75) * smoothstep(-sinus, 0.0, 0.2)
    tissue = tissue - u(3, 8) * pyramids * ring
    fat = smoothstep(sinus, -0.1, 0.35)
    tissue = tissue + fat * (u(-23, -17) + 4 * noise(2.5, 4) - tissue)
    echo = echo + inside * (tissue - echo)
    capsule_line = steady.exp(-(((body + 0.02) / 0.1) ** 2)) * (0.1 + 0.9 * front) * smoothstep(noise(7, 9), -1.3, 0.4)
    echo = echo + u(9, 15) * capsule_line + u(2, 8) * steady.exp(-(((body + 0.4) / 0.4) ** 2)) * (1 - inside)
    blood = lumen_mask(vessels, soft_cm=0.09)
    # thin vessels are seen by their colour more than by their lumen
    seen = u(0.75, 0.95) - u(0.3, 0.6) * smoothstep(body, 0.2, 0.9)
    echo = echo + blood * seen * (np.minimum(echo, u(-52, -46)) - echo)
    labels = np.where(body > 0, np.uint8(ORGAN), np.uint8(0))
    echo, blood, labels = _findings(rng, fan, pathology, echo, blood, labels, body, x, y, (0.3 * half, -0.4 * thick))
    labels[blood > 0.5] = VESSEL

    p = kinematics.phase
    systole = steady.exp(-(((p - 0.15) / 0.08) ** 2)) + 0.5 * steady.exp(-(((p - 0.3) / 0.12) ** 2))
    run_off = 0.35 + 0.3 * steady.exp(-np.clip(p - 0.4, 0, 1) / 0.5)
    even = 0.8 + 0.2 * kinematics.drives["respiration"] + 0.1 * steady.cos(2 * np.pi * p)
    flows = (
        FlowTerm(arterial * blood, course(rng, kinematics, systole + run_off, u(30, 65))),
        FlowTerm(venous * blood, course(rng, kinematics, even, u(14, 32))),
        _mottle(rng, fan, kinematics, blood, (1.5, 5)),
    )
    hilum = [pose.point(*s.a) for s in arteries[:1]] + [pose.point(*s.b) for s in arteries[1:4]] + [pose.point(0, 0)]
    return Anatomy(
        echo_db=echo.astype(np.float32), blood=blood.astype(np.float32), labels=labels,
        motions=_motions(rng, fan, body, pulse=0.02), flows=flows, focus=tuple(fan.index_of(*q) for q in hilum),
        params={"half_length_cm": half, "half_width_cm": thick, "arteries": len(arteries), "veins": len(veins)},
    )  # fmt: skip


def _renal_tree(rng: np.random.Generator, half: float, thick: float) -> tuple[list[Segment], list[Segment]]:
    """Renal artery, segmental, interlobar and arcuate branches from the hilum outwards; veins beside, the other way."""
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    hilum, core = (u(-0.3, 0.3), 0.75 * thick), (u(-0.3, 0.3), 0.25 * thick)
    arteries = [Segment((hilum[0] + u(-0.4, 0.4), thick + u(0.4, 1.4)), hilum, u(0.26, 0.38), 1.0, 0.8, u(-0.3, 0.3)),
                Segment(hilum, core, u(0.22, 0.32), 1.0, 0.75, u(-0.15, 0.15))]  # fmt: skip
    for a in np.linspace(math.pi + 0.2, 2 * math.pi - 0.2, int(rng.integers(4, 8))):
        a = a + u(-0.12, 0.12)
        knee = (core[0] + 0.32 * half * math.cos(a), core[1] + 0.30 * thick * math.sin(a))
        arteries.append(Segment(core, knee, u(0.16, 0.23), 0.9, 0.8, u(-0.15, 0.15)))
        for turn in (-1, 1) if rng.random() < 0.7 else (0,):
            b = a + turn * u(0.14, 0.30)
            arch = (0.72 * half * math.cos(b), 0.72 * thick * math.sin(b))  # where cortex begins
            arteries.append(Segment(knee, arch, u(0.12, 0.17), 0.75, 0.7, u(-0.2, 0.2)))
            c = b + (turn or (1 if rng.random() < 0.5 else -1)) * u(0.10, 0.24)
            over = (0.78 * half * math.cos(c), 0.78 * thick * math.sin(c))
            arteries.append(Segment(arch, over, u(0.08, 0.12), 0.55, 0.6, u(-0.1, 0.1)))  # arcuate
            if rng.random() < 0.6:
                tip = (0.92 * half * math.cos(b), 0.92 * thick * math.sin(b))
                arteries.append(Segment(arch, tip, u(0.07, 0.1), 0.5, 0.5))  # interlobular
    side = 1 if rng.random() < 0.5 else -1
    veins = [
        s.beside(side * (1.6 * s.radius + 0.05), radius=s.radius * u(0.9, 1.3), speed=-s.speed)
        for s in arteries
        if s.radius > 0.12 or rng.random() < 0.6
    ]
    return arteries, veins


def build_liver(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Liver: homogeneous texture, portal vein with bright walls, hepatic veins without, diaphragm, gall bladder."""
    u, noise = lambda low, high: uniform(rng, low, high), Noise(rng, fan)
    depth, flip = float(fan.depth_cm[-1]), 1.0 if rng.random() < 0.5 else -1.0
    x, y = (a + u(0.1, 0.25) * noise(20, 22) + u(0.04, 0.1) * noise(7, 8) for a in (flip * fan.X, fan.Y))
    wall, floor = u(1.2, 2.4), u(0.74, 0.95) * depth
    dome = floor - 0.035 * (x - u(-2, 2)) ** 2 - y  # > 0 in the liver
    organ = smoothstep(y + 0.1 * noise(10, 20), wall - 0.1, wall + 0.1) * smoothstep(dome, -0.05, 0.1)
    portal, hepatic = _hepatic_tree(rng, wall, floor)
    turn = lambda dx, dy: (flip * dx, dy)  # noqa: E731
    (portal_lumen, into_liver), (hepatic_lumen, out_of_liver) = (
        tree(t, x, y, fan, turn=turn) for t in (portal, hepatic)
    )
    vessels = np.maximum(portal_lumen, hepatic_lumen)

    echo = _abdominal_wall(rng, fan)
    tissue = u(-30, -25) + 1.6 * noise(1.8, 3) + 1.2 * noise(12, 14) - u(0, 0.3) * np.maximum(fan.Y - 0.4 * depth, 0)
    echo = echo + organ * (tissue - echo)
    mirror = smoothstep(-dome, 0.0, 0.15)
    echo = echo + mirror * (tissue - u(3, 10) - 2 * np.clip(-dome, 0, 9) - echo)
    front = facing(gaussian_blur(dome, 1.5, 1.5), fan)
    front = front * np.sqrt(front)
    echo = echo + u(12, 20) * steady.exp(-((dome / 0.14) ** 2)) * front * smoothstep(noise(9, 12), -1.5, 0.3)
    line = steady.exp(-(((fan.Y + 0.1 * noise(10, 20) - wall) / 0.1) ** 2))
    echo = echo + u(5, 10) * line * smoothstep(noise(6, 9), -1.2, 0.6)
    sheath = steady.exp(-(((portal_lumen + 0.05) / 0.07) ** 2)) * (0.3 + 0.7 * facing(portal_lumen, fan))
    echo = echo + u(6, 12) * sheath * smoothstep(noise(4, 6), -1.2, 0.4)
    blood = lumen_mask(vessels, soft_cm=0.1) * smoothstep(dome, 0.0, 0.1) * smoothstep(fan.Y, wall, wall + 0.2)
    echo = echo + blood * np.float32(u(0.85, 1)) * (u(-52, -45) + 2 * noise(6, 8) - echo)
    labels = np.where(organ > 0.5, np.uint8(ORGAN), np.uint8(0))
    fixed = np.zeros(fan.shape, np.float32)
    if rng.random() < 0.5:
        echo, labels, fixed = _gall_bladder(rng, fan, echo, labels, x, y, wall, floor, vessels)
    echo, blood, labels = _findings(
        rng, fan, pathology, echo, blood, labels, dome, x, y, (u(-2, 2), 0.5 * (wall + floor))
    )
    labels[blood > 0.5] = VESSEL

    p, breath = kinematics.phase, kinematics.drives["respiration"]
    even = 0.85 + 0.12 * breath + 0.08 * steady.cos(2 * np.pi * (p - 0.2))
    triphasic = envelope(p, "S") + 0.75 * envelope(p, "D") - 0.45 * kinematics.kick * envelope(p, "A") + 0.1
    flows = (
        FlowTerm(into_liver * blood, course(rng, kinematics, even, u(12, 30))),
        FlowTerm(out_of_liver * blood, course(rng, kinematics, triphasic, u(18, 45))),
        _mottle(rng, fan, kinematics, blood, (1, 4)),
    )
    spots = [s.b for s in portal[:2]] + [s.a for s in hepatic[:2]] + [portal[0].a]
    near_heart = smoothstep(flip * fan.X, 0.5, 4.0) * organ
    return Anatomy(
        echo_db=echo.astype(np.float32), blood=blood.astype(np.float32), labels=labels,
        motions=(*_motions(rng, fan, dome, pulse=0.0),
                 Motion("swing_y", *displacement(fan, 0 * near_heart, u(0, 0.15) * near_heart))),
        flows=flows, focus=tuple(fan.index_of(flip * q[0], q[1]) for q in spots), fixed_db=fixed,
        params={"portal_segments": len(portal), "hepatic_segments": len(hepatic), "floor_cm": floor},
    )  # fmt: skip


def _hepatic_tree(rng: np.random.Generator, wall: float, floor: float) -> tuple[list[Segment], list[Segment]]:
    """Portal vein with branches (flow into the liver) and 2-3 hepatic veins that run to the cava at the dome."""
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    span = floor - wall
    start, hub = (u(2, 4), wall + u(0.55, 0.75) * span), (u(-0.5, 1.5), wall + u(0.35, 0.6) * span)
    trunk = 0.5 * u(0.9, 1.4)
    portal = [Segment(start, hub, trunk, 1.0, 0.8, u(-0.5, 0.5))]
    for a in (u(-2.9, -2.2), u(-2.0, -1.2), u(2.4, 3.1))[: int(rng.integers(2, 4))]:
        end = (hub[0] + u(2, 4) * math.cos(a), hub[1] + u(1.2, 2.4) * math.sin(a))
        portal.append(Segment(hub, end, trunk * u(0.5, 0.8), 0.85, 0.65, u(-0.6, 0.6)))
        for side in (-1, 1) if rng.random() < 0.6 else (0,):
            b = a + side * u(0.3, 0.8)
            tip = (end[0] + 1.8 * math.cos(b), end[1] + 1.3 * math.sin(b))
            portal.append(Segment(end, tip, trunk * u(0.3, 0.45), 0.65, 0.5, u(-0.3, 0.3)))
    cava = (u(-4, -1), floor - u(0.2, 0.8))
    hepatic = []
    for _ in range(int(rng.integers(2, 4))):
        a = u(-2.4, -0.5)
        far = (cava[0] + u(3, 6) * math.cos(a), cava[1] + u(0.5, 0.85) * span * math.sin(a))
        middle = (0.5 * (far[0] + cava[0]) + u(-0.4, 0.4), 0.5 * (far[1] + cava[1]) + u(-0.3, 0.3))
        radius = 0.5 * u(0.5, 1.1)
        hepatic += [
            Segment(far, middle, 0.5 * radius, 0.8, 1.6, u(-0.3, 0.3)),
            Segment(middle, cava, 0.8 * radius, 1.0, 1.3),
        ]
        if rng.random() < 0.6:
            side = (middle[0] + u(1, 2.2), middle[1] - u(0.8, 1.8))
            hepatic.append(Segment(side, middle, 0.35 * radius, 0.7, 1.5, u(-0.3, 0.3)))
    return portal, hepatic


def _gall_bladder(
    rng: np.random.Generator, fan: ScanGrid, echo: np.ndarray, labels: np.ndarray, x: np.ndarray, y: np.ndarray, wall: float,
    floor: float, vessels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """A pear of bile: black without flow, a thin bright wall, enhancement behind; sometimes a stone with its shadow."""
    u, noise = lambda low, high: uniform(rng, low, high), Noise(rng, fan)
    centre = (u(2.0, 4.5), wall + u(0.25, 0.5) * (floor - wall))
    pear = blob(rng, fan, x, y, centre=centre, radius=u(0.8, 1.5)) + 0.02 * noise(3, 3)
    pear = np.minimum(pear, -vessels - 0.15)
    bile = smoothstep(pear, -0.05, 0.06)
    echo = echo + bile * (u(-60, -54) - echo)
    echo = echo + u(5, 10) * steady.exp(-(((pear + 0.05) / 0.07) ** 2)) * (0.2 + 0.8 * facing(pear, fan))
    path = np.clip(np.cumsum(bile, axis=0) / max(1.0, fan.axial_px(15)), 0, 1)
    fixed = u(3, 7) * path * (1 - bile)
    if rng.random() < 0.3:
        stone = smoothstep(0.25 - steady.hypot(x - centre[0] + 0.2, y - centre[1] - 0.4), -0.05, 0.05) * bile
        echo = echo + stone * (-12 - echo)
        fixed = fixed - 18 * np.clip(np.cumsum(stone, axis=0) / max(1.0, fan.axial_px(2)), 0, 1) * (1 - stone)
    return echo, np.where(bile > 0.5, np.uint8(OTHER), labels), fixed.astype(np.float32)


def _findings(
    rng: np.random.Generator, fan: ScanGrid, pathology: Pathology, echo: np.ndarray, blood: np.ndarray, labels: np.ndarray,
    organ: np.ndarray, x: np.ndarray, y: np.ndarray, site: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """A lesion in the organ (mass: cystic, dark or bright) or free fluid around it (effusion)."""
    if pathology.name == "mass":
        lump = smoothstep(blob(rng, fan, x, y, centre=site, radius=0.5 + 1.3 * pathology.severity), -0.05, 0.15)
        level = uniform(rng, -58, -50) if pathology.place < 0.35 else uniform(rng, -36, -20) + 3 * Noise(rng, fan)(3, 4)
        lump = lump * smoothstep(organ, 0, 0.2)
        return echo + lump * (level - echo), blood * (1 - lump), np.where(lump > 0.5, np.uint8(OTHER), labels)
    if pathology.name == "effusion":
        fluid = effusion_layer(organ, rng, fan, thickness=0.3 + pathology.severity)
        return echo + fluid * (-57 - echo), blood * (1 - fluid), np.where(fluid > 0.5, np.uint8(OTHER), labels)
    return echo, blood, labels


def _abdominal_wall(rng: np.random.Generator, fan: ScanGrid) -> np.ndarray:
    """Skin, fat, muscle, and gut or fat around the organs, dB."""
    u, noise = lambda low, high: uniform(rng, low, high), Noise(rng, fan)
    wave = 0.1 * noise(10, 22)
    echo = u(-34, -29) + 4 * noise(10, 16) + 2.5 * noise(2.2, 6) + 7 * noise.ridges(4, 24, width=0.14)
    layers = (0.25, u(0.6, 1.0), u(1.2, 1.8))
    for top, bottom, level in zip(layers, layers[1:], (u(-34, -30), u(-32, -27))):
        band = smoothstep(fan.Y + wave, top - 0.05, top + 0.05) * (
            1 - smoothstep(fan.Y + wave, bottom - 0.05, bottom + 0.05)
        )
        echo = echo + band * (level + 2 * noise(1.5, 6) + 6 * noise.ridges(1.6, 22, width=0.2) - echo)
        echo = echo + u(6, 12) * steady.exp(-(((fan.Y + wave - bottom) / 0.07) ** 2)) * smoothstep(
            noise(5, 9), -1.2, 0.5
        )
    return echo.astype(np.float32)


def _motions(rng: np.random.Generator, fan: ScanGrid, organ: np.ndarray, *, pulse: float) -> tuple[Motion, ...]:
    """Respiration of 0.5-1.5 cm (slides along the probe more than along the beam), a trace of pulse, the hand."""
    travel, tilt = 0.5 * uniform(rng, 0.5, 1.5), uniform(rng, 0.2, 0.9)
    side = 1 if rng.random() < 0.5 else -1
    deep = smoothstep(fan.Y, 0.8, 2.6)
    near = steady.exp(-((np.clip(-organ, 0, None) / 2.5) ** 2)) * deep
    ones = np.ones(fan.shape, np.float32)
    hand = uniform(rng, 0, 0.12)
    return (
        Motion(
            "respiration", *displacement(fan, side * travel * math.cos(tilt) * near, travel * math.sin(tilt) * near)
        ),
        Motion("pulse", *displacement(fan, 0 * near, pulse * near)),
        Motion("hand_x", *displacement(fan, hand * ones, 0 * ones)),
        Motion("hand_y", *displacement(fan, 0 * ones, 0.5 * hand * ones)),
    )


def _mottle(
    rng: np.random.Generator, fan: ScanGrid, kin: Kinematics, blood: np.ndarray, speed: tuple[float, float]
) -> FlowTerm:
    """Small random flow inside vessels."""
    basis = normalised(windowed(eddies(rng, fan, scale_cm=0.3), blood, fan), blood)
    return FlowTerm(basis, np.float32(AMPLITUDE * uniform(rng, *speed)) * wander(rng, kin, seconds=0.08))


KIDNEY = ViewSpec(
    name="KIDNEY", build=build_kidney, kind="curvilinear", depth_cm=(9.0, 15.0), half_angle_deg=(28, 40),
    heart_rate=(50, 110), nyquist_cm_s=(12, 40), pathologies=("mass", "effusion"),
)  # fmt: skip
LIVER = ViewSpec(
    name="LIVER", build=build_liver, kind="curvilinear", depth_cm=(10.0, 18.0), half_angle_deg=(28, 40),
    heart_rate=(50, 110), nyquist_cm_s=(15, 40), pathologies=("mass", "effusion"),
)  # fmt: skip
