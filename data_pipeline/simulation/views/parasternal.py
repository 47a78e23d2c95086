"""Parasternal views: long axis (PLAX), where the beam crosses the septum at right angles, and short axis (PSAX).

Heart coordinates of the long axis: x to the image's right (towards the base), y down from the front of the right
ventricle; of the short axis: from the middle of the left ventricle.
"""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.flow_fields import FlowTerm, envelope, filling, jet, ragged_window, vortex
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, Motion, Noise, ViewSpec, uniform
from data_pipeline.simulation.views.findings import apply_findings, finding_flows, heart_anatomy
from data_pipeline.simulation.views.heart import (
    Heart,
    Pose,
    chamber_labels,
    heart_echo,
    place_heart,
    surroundings_db,
    trabeculae,
    union,
)
from data_pipeline.simulation.views.heart_flow import Speeds, Stream, regurgitation, stream_terms
from data_pipeline.simulation.views.heart_motion import leaflet_pair, reach, sway, valve_opening, whole

PLAX_OUTLINES = {
    "RV": ((-4.6, 0.9), (-3.0, 0.35), (-0.8, 0.15), (1.6, 0.2), (3.6, 0.6), (3.3, 1.6), (1.4, 1.95), (-1.0, 2.0),
           (-3.2, 1.7)),
    "LV": ((-6.6, 4.3), (-5.0, 3.3), (-2.6, 2.95), (-0.2, 2.95), (0.8, 3.2), (1.0, 5.2), (1.0, 7.5), (-0.4, 7.85),
           (-2.6, 7.6), (-5.0, 6.5)),
    "AO": ((1.2, 3.0), (2.2, 2.55), (3.4, 2.35), (5.2, 2.1), (6.6, 1.9), (6.5, 4.5), (5.0, 4.9), (3.3, 5.2),
           (2.2, 5.35), (1.3, 5.1)),
    "LA": ((1.35, 5.9), (2.6, 5.75), (4.4, 5.7), (5.5, 6.6), (5.4, 8.2), (4.2, 9.2), (2.6, 9.3), (1.45, 8.2)),
}  # fmt: skip
PLAX_MITRAL = ((1.2, 5.5), (1.15, 8.0))
PLAX_AORTIC = ((1.05, 3.0), (1.2, 5.25))


def build_plax(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Parasternal long axis: right ventricle on top, septum, left ventricle, aortic root and left atrium."""
    pose = Pose(uniform(rng, -1.2, 0.4), uniform(rng, 1.6, 2.6), uniform(rng, -0.16, 0.14), uniform(rng, 0.9, 1.12))
    walls = {"LV": uniform(rng, 0.85, 1.1), "RV": 0.4, "AO": 0.22, "LA": 0.28}
    rings = {"mitral": PLAX_MITRAL, "aortic": PLAX_AORTIC}
    heart = place_heart(rng, fan, PLAX_OUTLINES, pose=pose, walls=walls, orifices=rings, jitter=0.10)
    heart, found = apply_findings(rng, heart, pathology)
    background = _behind(rng, heart)
    echo, blood = heart_echo(rng, heart, background, bright=[hinge for ring in rings.values() for hinge in ring])
    septum = steady.exp(-(((heart.y - 2.5 + 0.02 * heart.x) / 0.4) ** 2)) * (1 - smoothstep(heart.x, 0.6, 1.2))
    echo = echo + uniform(rng, 1, 5) * septum * (1 - blood)
    echo = np.maximum(echo, trabeculae(rng, heart, [(-5.0, -3.0, 5.6, 6.8)] * int(rng.integers(0, 3))))
    labels = chamber_labels(heart, {"RV": 3, "LV": 1, "AO": 7, "LA": 2})
    echo, blood, labels = found.paint(echo, blood, labels)
    ef = uniform(rng, 0.2, 0.36) * found.ejection
    level, metal = uniform(rng, -24, -17), found.name == "prosthesis"
    inflow, outflow = valve_opening(kinematics, "inflow"), valve_opening(kinematics, "outflow")
    leaflets = leaflet_pair(
        rng, heart.rings["mitral"], inflow, shares=(0.85, 0.45), towards=(-1.0, 0.0), level_db=level, metal=metal
    ) + leaflet_pair(
        rng, heart.rings["aortic"], outflow, shares=(0.5, 0.5), towards=(1.0, 0.0), level_db=level, closed_deg=(15, 30)
    )
    return heart_anatomy(
        heart,
        found,
        tissue=(echo, blood, labels),
        motions=(_plax_contraction(rng, heart, ef), *sway(rng, heart, breath=uniform(rng, 0.3, 1.0))),
        flows=_plax_flow(rng, heart, blood, kinematics) + finding_flows(rng, heart, found, blood, kinematics),
        focus=((0.6, 4.6), (0.8, 6.4), (1.8, 4.2), (2.8, 7.0), (0.4, 5.4)),
        leaflets=leaflets,
        ef_radial=ef,
    )


def _behind(rng: np.random.Generator, heart: Heart) -> np.ndarray:
    """Chest wall above, bright pericardium and lung with the descending aorta behind the left heart, dB."""
    noise, echo = Noise(rng, heart.fan), surroundings_db(rng, heart.fan, heart.outer)
    back = heart.y - uniform(rng, 8.9, 9.3) - 0.12 * heart.x + 0.012 * heart.x**2 + 0.15 * noise(6, 16)
    reach_x = steady.exp(-(((heart.x + 0.5) / uniform(rng, 4.5, 7)) ** 2))
    echo = echo + uniform(rng, 12, 22) * steady.exp(-((back / 0.3) ** 2)) * reach_x
    echo = echo + uniform(rng, 7, 14) * steady.exp(-np.clip(back, 0, 9) / 1.8) * smoothstep(back, 0, 0.3) * reach_x
    descending = 1.0 - steady.hypot(heart.x - uniform(rng, 1.4, 2.6), heart.y - uniform(rng, 10.6, 11.4))
    if rng.random() < 0.7:
        echo = echo + smoothstep(descending, -0.1, 0.15) * (-46 - echo)
    return echo


def _plax_contraction(rng: np.random.Generator, heart: Heart, ef: float) -> Motion:
    """Walls thicken towards the cavity's long axis; the root moves forward and the base towards the apex by 0.8 cm."""
    inside, near = reach(heart.cavity["LV"], 0.85), whole(heart)
    uy = -ef * (heart.y - 5.4) * inside
    base = smoothstep(heart.x, -2.5, 1.5) * near
    shift = 0.8 * uniform(rng, 0.7, 1.3) * min(1.0, ef / 0.25)
    uy = uy - 0.45 * shift * base * (1 - 0.8 * smoothstep(heart.y, 6.5, 9.5))
    right = 0.2 * reach(heart.cavity["RV"], 0.4) * (heart.y - 1.9) * (1 - inside)
    fixed_roof = 1 - smoothstep(heart.x, 4.0, 7.0)
    return Motion("contraction", *heart.motion(-0.8 * shift * base * fixed_roof, uy - right))


def _plax_flow(rng: np.random.Generator, heart: Heart, blood: np.ndarray, kin: Kinematics) -> tuple[FlowTerm, ...]:
    """Outflow into the root, inflow from the atrium, swirl, right ventricle; mitral and aortic leaks."""
    fan, x, y, cavity = heart.fan, heart.x, heart.y, heart.cavity
    speeds = Speeds(mitral=(35, 75), lvot=(45, 95), atria=(15, 40), rvot=(20, 50))
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    right_up, left = 0.5 * math.pi, -0.5 * math.pi
    out = jet(x, y, origin=(0.6, u(4.0, 4.4)), angle=right_up - u(0.02, 0.35), half_width=u(0.7, 1.0), spread=0.03,
              length=u(4, 6), back=u(2, 3.5))  # fmt: skip
    fill = jet(x, y, origin=(1.6, u(6.4, 7.0)), angle=left + u(-0.5, 0.35), half_width=u(0.7, 1.0), length=u(3.5, 5.5),
               back=2.5)  # fmt: skip
    veins = jet(x, y, origin=(4.6, u(7.2, 8.4)), angle=left + u(-0.2, 0.9), half_width=u(0.6, 0.9), length=u(2.5, 4))
    lv, rv, la = (ragged_window(rng, fan, cavity[name], width=0.6) for name in ("LV", "RV", "LA"))
    root = ragged_window(rng, fan, union(cavity["LV"], cavity["AO"], cavity["aortic"]), width=0.6)
    inlet = ragged_window(rng, fan, union(cavity["LV"], cavity["LA"], cavity["mitral"]), width=0.6)
    atrial = 0.8 * envelope(kin.phase, "S") + 0.7 * envelope(kin.phase, "D")
    swirl = 0.3 + 0.7 * envelope(kin.phase, "vortex")
    streams = [
        Stream(out, root, envelope(kin.phase, "S"), speeds.lvot),
        Stream(fill, inlet, filling(kin, u(0.5, 1.1)), speeds.mitral),
        Stream(vortex(x, y, centre=(u(-2.8, -1.0), u(4.6, 6.2)), radius=u(1.1, 1.7)), lv, swirl, speeds.swirl),
        Stream(veins, la, atrial, speeds.atria),
        Stream(vortex(x, y, centre=(u(-1.5, 1.5), 1.1), radius=u(0.8, 1.3)), rv, 0.4 + envelope(kin.phase, "late_S"),
               speeds.rvot),
    ]  # fmt: skip
    leaks = regurgitation(
        rng, heart, blood, kin, chance=0.35, chamber="LA", origin=(1.3, u(6.4, 7.2)),
        angle=(right_up - 0.4, right_up + 0.7), speed=(150, 400),
    ) + regurgitation(
        rng, heart, blood, kin, chance=0.2, chamber="LV", origin=(0.9, u(3.8, 4.6)), angle=(left - 0.5, left + 0.2),
        speed=(150, 400), event="AR",
    )  # fmt: skip
    return stream_terms(rng, heart, blood, kin, streams, speeds=speeds) + leaks


def build_psax(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Parasternal short axis at the papillary muscles or the mitral valve: a ring, a crescent beside it."""
    radius, mitral_level = uniform(rng, 2.2, 2.6), rng.random() < 0.3
    outlines = _ring_and_crescent(rng, radius)
    pose = Pose(uniform(rng, -0.3, 1.3), uniform(rng, 6.4, 7.6), uniform(rng, -0.3, 0.3), uniform(rng, 0.9, 1.1))
    walls = {"LV": uniform(rng, 0.85, 1.15), "RV": 0.4}
    heart = place_heart(rng, fan, outlines, pose=pose, walls=walls, jitter=0.08)
    heart, found = apply_findings(rng, heart, pathology)
    background = surroundings_db(rng, fan, heart.outer)
    back = steady.hypot(heart.x, heart.y) - radius - 1.15 + 0.1 * Noise(rng, fan)(6, 12)
    lower = smoothstep(heart.y, 0.5, 2.5)
    background = background + lower * (
        uniform(rng, 9, 18) * steady.exp(-((back / 0.3) ** 2))
        + uniform(rng, 5, 12) * steady.exp(-np.clip(back, 0, 9) / 1.8) * smoothstep(back, 0, 0.3)
    )
    echo, blood = heart_echo(rng, heart, background)
    leaflets, swirl_radius = (), uniform(rng, 0.9, 1.5)
    if mitral_level:
        mouth = ((-0.62 * radius, 0.35), (0.62 * radius, 0.35))
        leaflets = leaflet_pair(
            rng, mouth, valve_opening(kinematics, "inflow"), shares=(0.52, 0.5), level_db=-22, closed_deg=(2, 8),
            opened_deg=(28, 42),
        )  # fmt: skip
    else:
        echo, blood = _papillary(rng, heart, echo, blood, radius)
    labels = chamber_labels(heart, {"LV": 1, "RV": 3})
    labels[(blood < 0.5) & (labels == 1)] = 5
    echo, blood, labels = found.paint(echo, blood, labels)
    ef, twist = uniform(rng, 0.2, 0.35) * found.ejection, math.radians(uniform(rng, 6, 12))
    near = reach(heart.cavity["LV"], 0.9)
    right = 0.35 * reach(heart.cavity["RV"], 0.5) * (1 - near)
    squeeze = Motion("contraction", *heart.motion(-ef * heart.x * (near + right), -ef * heart.y * (near + right)))
    turn = Motion("early", *heart.motion(-twist * heart.y * near, twist * heart.x * near))
    centre = (uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5))
    lv, rv = (ragged_window(rng, fan, heart.cavity[name]) for name in ("LV", "RV"))
    phase = kinematics.phase
    swirl = vortex(heart.x, heart.y, centre=centre, radius=swirl_radius)
    second = vortex(heart.x, heart.y, centre=(centre[0] + 0.9, centre[1]), radius=1.2)
    right_swirl = vortex(heart.x, heart.y, centre=(-2.6, -2.6), radius=1.0)
    streams = [
        Stream(swirl, lv, 0.3 + envelope(phase, "E"), (10, 35)),
        Stream(second, lv, envelope(phase, "S"), (10, 35)),
        Stream(right_swirl, rv, 0.3 + envelope(phase, "late_S"), (10, 40)),
    ]
    return heart_anatomy(
        heart,
        found,
        tissue=(echo, blood, labels),
        motions=(squeeze, turn, *sway(rng, heart, breath=uniform(rng, 0.3, 1.0))),
        flows=stream_terms(rng, heart, blood, kinematics, streams, speeds=Speeds(eddy=(10, 26)))
        + finding_flows(rng, heart, found, blood, kinematics),
        focus=((0, 0), (0.5, 0.3), (-1.8, -1.8), (-2.6, -2.4)),
        leaflets=leaflets,
        ef_radial=ef,
        twist_rad=twist,
        mitral_level=bool(mitral_level),
    )


def _ring_and_crescent(rng: np.random.Generator, radius: float) -> dict[str, np.ndarray]:
    """Outlines of the left ventricle and of the right one that lies round a part of it, cm."""
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = np.stack([radius * steady.cos(angles), uniform(rng, 0.9, 1.05) * radius * steady.sin(angles)], -1)
    edge, bulge = radius + 1.05, uniform(rng, 1.0, 2.1)
    span = np.radians(np.linspace(uniform(rng, 165, 185), uniform(rng, 285, 310), 6))
    inner = np.stack([edge * steady.cos(span), edge * steady.sin(span)], -1)
    swell = edge + 0.15 + bulge * steady.sin(np.linspace(0.25, np.pi - 0.25, 6))
    outer = np.stack([swell * steady.cos(span), swell * steady.sin(span)], -1)[::-1]
    return {"LV": ring, "RV": np.concatenate([inner, outer])}


def _papillary(
    rng: np.random.Generator, heart: Heart, echo: np.ndarray, blood: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Papillary muscles at 4 and 8 o'clock of the cavity."""
    for clock in (4, 8):
        angle, size = math.radians(30 * clock - 90 + uniform(rng, -12, 12)), uniform(rng, 0.4, 0.65)
        away = (radius - 0.45) * np.array([math.cos(angle), math.sin(angle)])
        gap = steady.hypot(heart.x - np.float32(away[0]), heart.y - np.float32(away[1])) - size
        muscle = 1 - smoothstep(gap + 0.08 * Noise(rng, heart.fan)(4, 5), -0.1, 0.14)
        echo = echo + muscle * (np.maximum(echo, uniform(rng, -26, -20)) - echo)
        blood = blood * (1 - muscle)
    return echo, blood


PLAX = ViewSpec(
    name="PLAX", build=build_plax, kind="phased", depth_cm=(13.0, 17.0),
    pathologies=("mass", "effusion", "prosthesis", "small_chambers"),
)  # fmt: skip
PSAX = ViewSpec(
    name="PSAX", build=build_psax, kind="phased", depth_cm=(12.5, 16.0),
    pathologies=("mass", "effusion", "small_chambers"),
)  # fmt: skip
