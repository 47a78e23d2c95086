"""Apical views without the right heart: two chambers (A2C), and three chambers with the outflow tract (A3C)."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.simulation.flow_fields import FlowTerm, envelope, filling, jet, ragged_window, vortex
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, ViewSpec, uniform
from data_pipeline.simulation.views.findings import apply_findings, heart_anatomy
from data_pipeline.simulation.views.four_chamber import MITRAL, OUTLINES, posterior_wall_db
from data_pipeline.simulation.views.heart import (
    Heart,
    Pose,
    chamber_labels,
    heart_echo,
    place_heart,
    trabeculae,
    union,
)
from data_pipeline.simulation.views.heart_flow import USUAL, Stream, gate, regurgitation, stream_terms
from data_pipeline.simulation.views.heart_motion import leaflet_pair, long_axis_motion, sway, valve_opening

A2C_OUTLINES = {
    "LV": ((0, 0), (1.35, 1.0), (2.1, 3.0), (2.35, 5.4), (2.05, 7.8), (0, 8.1), (-2.0, 7.9), (-2.3, 5.5), (-2.05, 3.1),
           (-1.25, 1.0)),
    "LA": OUTLINES["LA"],
}  # fmt: skip
A3C_OUTLINES = {
    "LV": ((0, 0), (1.3, 1.1), (2.0, 3.1), (2.15, 5.4), (2.2, 7.3), (1.2, 8.0), (-0.8, 8.1), (-1.9, 7.6), (-2.05, 5.5),
           (-1.8, 3.2), (-1.1, 1.1)),
    "LA": ((-2.2, 8.5), (-0.9, 8.35), (0.25, 8.5), (0.35, 9.8), (-0.2, 11.6), (-1.4, 12.3), (-2.7, 11.8), (-3.0, 10.0)),
    "AO": ((0.75, 8.1), (1.5, 7.7), (2.4, 7.5), (3.1, 8.4), (3.5, 9.9), (4.0, 11.4), (3.0, 12.0), (2.2, 11.6),
           (1.6, 10.0), (1.0, 9.1)),
}  # fmt: skip
A3C_MITRAL = ((-2.0, 8.05), (0.35, 8.2))
A3C_AORTIC = ((0.6, 8.15), (2.3, 7.45))


def build_a2c(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Apical two-chamber view: left ventricle and atrium, inferior wall on the left."""
    pose = Pose(uniform(rng, -0.5, 0.8), uniform(rng, 2.0, 3.2), uniform(rng, -0.15, 0.2), uniform(rng, 0.86, 1.08),
                1 if rng.random() < 0.8 else -1)  # fmt: skip
    walls = {"LV": uniform(rng, 0.8, 1.15), "LA": 0.3}
    heart = place_heart(rng, fan, A2C_OUTLINES, pose=pose, walls=walls, orifices={"mitral": MITRAL})
    return _left_heart(rng, heart, kinematics, pathology, {"LV": 1, "LA": 2})


def build_a3c(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Apical three-chamber (long-axis) view: left ventricle, atrium, outflow tract and aortic root."""
    pose = Pose(uniform(rng, -0.8, 0.4), uniform(rng, 2.0, 3.2), uniform(rng, -0.12, 0.25), uniform(rng, 0.86, 1.06))
    walls = {"LV": uniform(rng, 0.8, 1.15), "LA": 0.3, "AO": 0.22}
    rings = {"mitral": A3C_MITRAL, "aortic": A3C_AORTIC}
    heart = place_heart(rng, fan, A3C_OUTLINES, pose=pose, walls=walls, orifices=rings)
    return _left_heart(rng, heart, kinematics, pathology, {"LV": 1, "LA": 2, "AO": 7})


def _left_heart(
    rng: np.random.Generator, heart: Heart, kin: Kinematics, pathology: Pathology, ids: dict[str, int]
) -> Anatomy:
    aortic = "aortic" in heart.rings
    heart, found = apply_findings(rng, heart, pathology)
    hinges = [hinge for ring in heart.rings.values() for hinge in ring]
    echo, blood = heart_echo(rng, heart, posterior_wall_db(rng, heart), bright=hinges)
    bars = [(0.6, 1.8, 1.5, 5.0)] * int(rng.integers(0, 3)) + [(-1.8, -0.6, 2.0, 5.2)] * int(rng.integers(0, 2))
    echo = np.maximum(echo, trabeculae(rng, heart, bars))
    echo, blood, labels = found.paint(echo, blood, chamber_labels(heart, ids))
    ef = uniform(rng, 0.18, 0.34) * found.ejection
    level, metal = uniform(rng, -24, -17), found.name == "prosthesis"
    inflow, outflow = valve_opening(kin, "inflow"), valve_opening(kin, "outflow")
    leaflets = leaflet_pair(rng, heart.rings["mitral"], inflow, level_db=level, metal=metal)
    if aortic:
        leaflets += leaflet_pair(
            rng,
            heart.rings["aortic"],
            outflow,
            level_db=level,
            shares=(0.5, 0.5),
            towards=(0.4, 1.0),
            closed_deg=(15, 30),
        )
    return heart_anatomy(
        heart,
        found,
        tissue=(echo, blood, labels),
        motions=(long_axis_motion(rng, heart, ef, right_axis=None), *sway(rng, heart, breath=uniform(rng, 0.4, 1.2))),
        flows=_flows(rng, heart, blood, kin, aortic=aortic),
        focus=((0.1, 7.0), (0.0, 5.6), (0.0, 8.6), (0.1, 9.8)) + (((1.2, 7.2), (1.0, 8.2)) if aortic else ()),
        leaflets=leaflets,
        ef_radial=ef,
    )


def _flows(
    rng: np.random.Generator, heart: Heart, blood: np.ndarray, kin: Kinematics, *, aortic: bool
) -> tuple[FlowTerm, ...]:
    """Mitral inflow, vortex, pulmonary veins; outflow through the aortic root or, in two chambers, a trace of it."""
    fan, x, y, cavity, speeds = heart.fan, heart.x, heart.y, heart.cavity, USUAL
    (ax, ay), (bx, by) = heart.rings["mitral"]
    middle, half = 0.5 * (ax + bx), 0.42 * abs(bx - ax)
    inlet = ragged_window(rng, fan, union(cavity["LV"], cavity["LA"], gate(heart, (middle, 8.2), half)))
    lv, la = (ragged_window(rng, fan, cavity[name]) for name in ("LV", "LA"))
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    fill, swirl = filling(kin, u(0.5, 1.1)), 0.3 + 0.7 * envelope(kin.phase, "vortex")
    atrial = 0.8 * envelope(kin.phase, "S") + 0.7 * envelope(kin.phase, "D")
    inflow = jet(
        x, y, origin=(middle + u(-0.3, 0.3), 8.1), angle=u(-0.1, 0.14), half_width=u(0.7, 1.1), length=u(4.5, 7)
    )
    veins = jet(
        x, y, origin=(middle + u(-0.5, 0.5), 12.3), angle=u(-0.1, 0.1), half_width=u(0.7, 1.1), length=u(3.5, 5)
    )
    if aortic:
        path = ragged_window(rng, fan, union(cavity["LV"], cavity["AO"], gate(heart, (1.4, 7.9), 0.75)), width=0.5)
        # down and to the right, from mid-ventricle into the root
        out = jet(x, y, origin=(1.0, 6.8), angle=math.pi - 0.22, half_width=u(0.6, 0.85), spread=0.03, length=u(4, 6),
                  back=u(2, 3.5))  # fmt: skip
        outflow = Stream(out, path, envelope(kin.phase, "S"), speeds.lvot)
    else:
        out = jet(x, y, origin=(u(-1.2, -0.6), 6.5), angle=math.pi, half_width=0.9, length=2.5, back=3.0)
        outflow = Stream(out, lv, envelope(kin.phase, "S"), (15, 50))
    streams = [
        Stream(inflow, inlet, fill, speeds.mitral), outflow,
        Stream(vortex(x, y, centre=(u(-0.4, 0.6), u(3, 5)), radius=u(1.3, 1.9)), lv, swirl, speeds.swirl),
        Stream(veins, la, atrial, speeds.atria),
    ]  # fmt: skip
    leaks = regurgitation(
        rng, heart, blood, kin, chance=0.35, chamber="LA", origin=(middle + u(-0.4, 0.4), 8.35),
        angle=(math.pi - 0.35, math.pi + 0.35), speed=speeds.regurgitant,
    )  # fmt: skip
    if aortic:
        leaks += regurgitation(
            rng, heart, blood, kin, chance=0.2, chamber="LV", origin=(1.3, 7.8), angle=(-0.6, 0.1),
            speed=speeds.regurgitant, event="AR",
        )  # fmt: skip
    return stream_terms(rng, heart, blood, kin, streams, speeds=speeds) + leaks


_FINDINGS = ("mass", "effusion", "prosthesis", "small_chambers")
A2C = ViewSpec(name="A2C", build=build_a2c, kind="phased", depth_cm=(14.0, 17.5), pathologies=_FINDINGS)
A3C = ViewSpec(name="A3C", build=build_a3c, kind="phased", depth_cm=(14.0, 17.5), pathologies=_FINDINGS)
