"""Views that cut all four chambers: the heart itself, and its apical view (A4C).

The same heart is seen from below through the liver (subcostal) and from anywhere through the fetal chest.
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
from data_pipeline.simulation.views.anatomy import Anatomy, Noise, ViewSpec, uniform
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
from data_pipeline.simulation.views.heart_flow import USUAL, Speeds, Stream, gate, regurgitation, stream_terms
from data_pipeline.simulation.views.heart_motion import leaflet_pair, long_axis_motion, sway, valve_opening

OUTLINES = {
    "LV": ((0, 0), (1.3, 1.1), (1.95, 3.1), (2.2, 5.5), (1.95, 7.8), (0, 8.1), (-1.7, 7.8), (-1.9, 5.5), (-1.7, 3.2),
           (-1.05, 1.1)),
    "LA": ((-1.5, 8.45), (0, 8.3), (1.7, 8.45), (2.2, 10.1), (1.6, 12.0), (0, 12.6), (-1.45, 12.0), (-1.9, 10.2)),
    "RV": ((-2.35, 1.9), (-2.75, 3.6), (-2.95, 5.6), (-2.75, 7.4), (-4.0, 7.7), (-5.2, 7.3), (-5.2, 5.3), (-4.1, 3.1),
           (-3.0, 1.9)),
    "RA": ((-2.55, 8.0), (-4.0, 7.9), (-5.3, 8.1), (-5.85, 9.8), (-5.1, 11.4), (-3.6, 11.8), (-2.5, 11.1),
           (-2.35, 9.6)),
}  # fmt: skip
LABEL_IDS = {"LV": 1, "LA": 2, "RV": 3, "RA": 4}
MITRAL = ((-1.6, 8.05), (1.85, 8.0))
TRICUSPID = ((-2.75, 7.7), (-5.05, 7.6))


def build_a4c(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Apical four-chamber view: apex on top, left heart on the image's right."""
    pose = Pose(uniform(rng, 0.2, 1.6), uniform(rng, 2.0, 3.2), uniform(rng, -0.22, 0.12), uniform(rng, 0.86, 1.08))
    heart = four_chambers(rng, fan, pose)
    return four_chamber_anatomy(rng, heart, kinematics, pathology, posterior_wall_db(rng, heart))


def four_chambers(rng: np.random.Generator, fan: ScanGrid, pose: Pose, *, fetal: bool = False) -> Heart:
    """Draw a four-chamber heart in a pose; in a fetus the right ventricle is as large and as thick as the left."""
    right = uniform(rng, 0.95, 1.2) if fetal else uniform(rng, 0.75, 1.15)
    atria = uniform(rng, 0.82, 1.12)
    outlines = {}
    for name, points in OUTLINES.items():
        p = np.array(points, np.float64)
        if name in ("RV", "RA"):
            p[:, 0] = -2.35 + (p[:, 0] + 2.35) * right
        if name in ("LA", "RA"):
            p[:, 1] = 8.1 + (p[:, 1] - 8.1) * atria
        outlines[name] = p
    thick = (0.9, 0.8) if fetal else (uniform(rng, 0.8, 1.15), uniform(rng, 0.35, 0.5))
    walls = {"LV": thick[0], "RV": thick[1], "LA": 0.28, "RA": 0.28}
    tricuspid = tuple((-2.35 + (x + 2.35) * right, y) for x, y in TRICUSPID)
    orifices = {"mitral": MITRAL, "tricuspid": tricuspid}
    return place_heart(rng, fan, outlines, pose=pose, walls=walls, orifices=orifices)


def posterior_wall_db(rng: np.random.Generator, heart: Heart) -> np.ndarray:
    """Surroundings with the bright interface behind the atria and its smeared reverberation, dB, float32."""
    echo = surroundings_db(rng, heart.fan, heart.outer)
    roof = uniform(rng, 12.2, 12.9)
    below = heart.y - roof + 0.03 * (heart.x + 1.5) ** 2 + 0.15 * Noise(rng, heart.fan)(6, 14)
    across = steady.exp(-(((heart.x + 1) / uniform(rng, 3.2, 5.2)) ** 2))
    line = uniform(rng, 9, 20) * steady.exp(-((below / 0.3) ** 2)) * across
    tail = uniform(rng, 6, 13) * steady.exp(-np.clip(below, 0, 9) / 1.6) * smoothstep(below, 0, 0.3) * across
    return echo + line + tail


def four_chamber_anatomy(
    rng: np.random.Generator, heart: Heart, kinematics: Kinematics, pathology: Pathology, background: np.ndarray, *,
    speeds: Speeds = USUAL,
    fetal: bool = False, breath: tuple[float, float] = (0.4, 1.2),
) -> Anatomy:  # fmt: skip
    """Tissue, valves, motion and flow of a four-chamber heart over its ``background`` (dB)."""
    heart, found = apply_findings(rng, heart, pathology)
    echo, blood = heart_echo(rng, heart, background, bright=[hinge for ring in heart.rings.values() for hinge in ring])
    bars = [(0.7, 1.8, 1.2, 5.0)] * int(rng.integers(1, 4)) + [(-4.4, -3.0, 2.6, 6.0)] * int(rng.integers(0, 3))
    echo = np.maximum(echo, trabeculae(rng, heart, bars))
    septum = steady.exp(-(((heart.cavity["LV"] + 0.5) / 0.35) ** 2)) * (heart.x < -1.2) * smoothstep(heart.y, 0.3, 1.5)
    echo = echo + uniform(rng, 1, 4) * septum * (1 - smoothstep(heart.y, 7.8, 8.6))
    echo, blood, labels = found.paint(echo, blood, chamber_labels(heart, LABEL_IDS))
    ef = uniform(rng, 0.18, 0.34) * found.ejection
    level, opening = uniform(rng, -24, -17), valve_opening(kinematics, "inflow")
    leaflets = leaflet_pair(
        rng, heart.rings["mitral"], opening, level_db=level, metal=found.name == "prosthesis"
    ) + leaflet_pair(rng, heart.rings["tricuspid"], opening, level_db=level, shares=(0.55, 0.5))
    flows = _flows(rng, heart, blood, kinematics, speeds, fetal=fetal)
    return heart_anatomy(
        heart,
        found,
        tissue=(echo, blood, labels),
        motions=(long_axis_motion(rng, heart, ef, right_axis=-3.0), *sway(rng, heart, breath=uniform(rng, *breath))),
        flows=flows + finding_flows(rng, heart, found, blood, kinematics),
        focus=((0.2, 7.0), (0.1, 5.6), (-4.0, 7.4), (-1.0, 8.2), (0.2, 9.6)),
        leaflets=leaflets,
        ef_radial=ef,
    )


def _flows(
    rng: np.random.Generator, heart: Heart, blood: np.ndarray, kin: Kinematics, speeds: Speeds, *, fetal: bool
) -> tuple[FlowTerm, ...]:
    """Inflow, outflow, atrial filling, swirl, eddies; mitral (35 %) and tricuspid (20 %) leaks."""
    fan, x, y, cavity = heart.fan, heart.x, heart.y, heart.cavity
    left = ragged_window(rng, fan, union(cavity["LV"], cavity["LA"], gate(heart, (0.1, 8.2), 1.5)))
    right = ragged_window(rng, fan, union(cavity["RV"], cavity["RA"], gate(heart, (-4.0, 7.8), 1.0)))
    outlet = ragged_window(rng, fan, union(cavity["LV"], gate(heart, (-1.3, 8.3), 0.6)))
    lv, la, rv, ra = (ragged_window(rng, fan, cavity[name]) for name in ("LV", "LA", "RV", "RA"))
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    atrial = 0.8 * envelope(kin.phase, "S") + 0.7 * envelope(kin.phase, "D")
    fill, swirl = filling(kin, u(0.5, 1.1)), 0.3 + 0.7 * envelope(kin.phase, "vortex")
    inflow = jet(x, y, origin=(u(-0.1, 0.5), 8.1), angle=u(-0.08, 0.14), half_width=u(0.75, 1.1), length=u(4.5, 7))
    lvot = -jet(x, y, origin=(u(-1.3, -1.0), 8.6), angle=0.06, half_width=u(0.7, 0.9), spread=0.1, length=u(4, 6))
    tricuspid = jet(x, y, origin=(u(-4.2, -3.8), 7.8), angle=u(-0.1, 0.1), half_width=u(0.6, 0.9), length=u(3, 4.5))
    rvot = -jet(x, y, origin=(u(-3.9, -3.3), 8.0), half_width=0.8, spread=0.08, length=4.5)
    veins = jet(x, y, origin=(u(-0.6, 0.9), 12.4), angle=u(-0.1, 0.1), half_width=u(0.7, 1.1), length=u(3.5, 5))
    cava = jet(x, y, origin=(u(-4.5, -3.8), 11.6), angle=u(-0.1, 0.1), half_width=u(0.7, 1.0), length=u(3, 4.5))
    streams = [
        Stream(inflow, left, fill, speeds.mitral),
        Stream(lvot, outlet, envelope(kin.phase, "S"), speeds.lvot),
        Stream(vortex(x, y, centre=(u(-0.2, 0.6), u(3, 5)), radius=u(1.3, 1.9)), lv, swirl, speeds.swirl),
        Stream(tricuspid, right, filling(kin, 0.8), speeds.tricuspid),
        Stream(rvot, rv, envelope(kin.phase, "late_S"), speeds.rvot),
        Stream(veins, la, atrial, speeds.atria),
        Stream(cava, ra, atrial, speeds.atria),
    ]
    if fetal:  # foramen ovale, right to left
        hole = smoothstep(heart.lumen, -0.05, 0.4)
        streams.append(Stream(vortex(x, y, centre=(-2.2, 9.9), radius=0.8), hole, fill, (20, 45)))
    leaks = () if fetal else tuple(
        term
        for chance, chamber, origin in ((0.35, "LA", (u(-0.6, 0.9), 8.35)), (0.2, "RA", (u(-4.5, -3.6), 8.0)))
        for term in regurgitation(rng, heart, blood, kin, chance=chance, chamber=chamber, origin=origin,
                                  angle=(math.pi - 0.35, math.pi + 0.35), speed=speeds.regurgitant)
    )  # fmt: skip
    return stream_terms(rng, heart, blood, kin, streams, speeds=speeds) + leaks


A4C = ViewSpec(
    name="A4C", build=build_a4c, kind="phased", depth_cm=(14.0, 17.5),
    pathologies=("mass", "septal_defect", "effusion", "prosthesis", "small_chambers"),
)  # fmt: skip
