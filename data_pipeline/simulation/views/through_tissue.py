"""The four-chamber heart seen through other organs: through the liver (subcostal), through the mother (fetal)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, Motion, Noise, ViewSpec, displacement, facing, uniform
from data_pipeline.simulation.views.four_chamber import four_chamber_anatomy, four_chambers
from data_pipeline.simulation.views.heart import Heart, Pose, surroundings_db
from data_pipeline.simulation.views.heart_flow import Speeds

ORGAN, OTHER = 8, 9


def build_subcostal(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Subcostal four-chamber view: liver in the near field, right heart next to it, apex to the image's right."""
    tilt, scale = math.radians(uniform(rng, 48, 72)), uniform(rng, 0.86, 1.04)
    middle = np.array([uniform(rng, -1.0, 1.0), uniform(rng, 8.6, 10.0)])
    pose = _centred(middle, (-1.2, 6.2), tilt, scale, 1)
    heart = four_chambers(rng, fan, pose)
    background, liver = _liver_window(rng, heart)
    body = four_chamber_anatomy(
        rng, heart, kinematics, pathology, background, speeds=Speeds(mitral=(35, 80), lvot=(30, 80)), breath=(1.0, 3.0)
    )
    labels = np.where((body.labels == 0) & (liver > 0.5), np.uint8(ORGAN), body.labels)
    return dataclasses.replace(body, labels=labels)


def _centred(at: np.ndarray, centre: tuple[float, float], tilt: float, scale: float, flip: int) -> Pose:
    """The pose that puts the heart point ``centre`` at ``at`` (cm under the probe)."""
    x, y = Pose(0.0, 0.0, tilt, scale, flip).point(*centre)
    return Pose(float(at[0] - x), float(at[1] - y), tilt, scale, flip)


def _liver_window(rng: np.random.Generator, heart: Heart) -> tuple[np.ndarray, np.ndarray]:
    """Liver above the heart with a few vessels and the diaphragm between them: ``(dB, liver 0..1)``."""
    fan, noise = heart.fan, Noise(rng, heart.fan)
    x, y = fan.X, fan.Y
    border = uniform(rng, 5.0, 6.6) + uniform(rng, -0.25, 0.05) * x - 0.02 * x * x + 0.25 * noise(25, 25)
    over = np.minimum(border - y, -heart.outer * heart.pose.scale - 0.15)
    liver = smoothstep(over, -0.05, 0.1)
    texture = uniform(rng, -31, -26) + 2.2 * noise(2.0, 3.5) + 1.5 * noise(9, 12)
    vessel = smoothstep(noise(9, 14), 1.35, 1.6)
    texture = texture - 14 * vessel
    around = surroundings_db(rng, fan, heart.outer)
    echo = around + liver * (texture - around)
    front = facing(over, fan)
    line = steady.exp(-((over / 0.16) ** 2)) * front * np.sqrt(front)
    echo = echo + uniform(rng, 8, 15) * line * smoothstep(noise(9, 12), -1.3, 0.3)
    wall = uniform(rng, 1.0, 1.8)  # skin and muscle under the probe
    echo = echo + uniform(rng, 2, 8) * (1 - smoothstep(y + 0.08 * noise(9, 14), wall - 0.2, wall + 0.2))
    echo = echo + 8 * steady.exp(-(((y - wall) / 0.12) ** 2)) * smoothstep(noise(6, 10), -0.8, 0.8)
    return echo.astype(np.float32), liver


def build_fetal(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Fetal four-chamber view: a small heart, turned anyhow, in a chest ring with spine, ribs and their shadows."""
    depth = float(fan.depth_cm[-1])
    size = min(max(depth * uniform(rng, 0.25, 0.42), 1.8), 3.5)
    scale, tilt, flip = size / 12.6, uniform(rng, -math.pi, math.pi), 1 if rng.random() < 0.5 else -1
    chest = size * uniform(rng, 0.82, 1.0)
    low, high = min(1.3 + chest, 0.6 * depth), max(0.62 * depth, depth - chest - 0.5)
    middle = np.array([uniform(rng, -0.1, 0.1) * depth, uniform(rng, low, max(high, low + 0.1))])
    offset = 0.22 * chest * np.array([math.sin(tilt), -math.cos(tilt)])  # the apex points away from the spine
    heart = four_chambers(rng, fan, _centred(middle + offset, (-1.6, 6.4), tilt, scale, flip), fetal=True)
    background, fixed, lungs = _fetal_body(rng, heart, middle, chest, tilt)
    body = four_chamber_anatomy(
        rng, heart, kinematics, pathology, background, fetal=True, breath=(0.1, 0.5),
        speeds=Speeds(mitral=(30, 60), tricuspid=(35, 65), lvot=(35, 75), rvot=(35, 70), atria=(15, 35), eddy=(4, 12)),
    )  # fmt: skip
    drift = np.ones(fan.shape, np.float32)
    mother = Motion("respiration", *displacement(fan, 0.05 * drift, 0.12 * drift), uniform(rng, 0.2, 1.0))
    fixed = fixed if body.fixed_db is None else fixed + body.fixed_db
    labels = np.where((body.labels == 0) & lungs, np.uint8(OTHER), body.labels)
    params = body.params | {"heart_cm": size, "chest_cm": chest}
    return dataclasses.replace(body, labels=labels, fixed_db=fixed, motions=(*body.motions, mother), params=params)


def _fetal_body(
    rng: np.random.Generator, heart: Heart, middle: np.ndarray, chest: float, tilt: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mother, fluid, placenta, chest wall, lungs, ribs and spine: ``(dB, shadows dB, inside of the chest bool)``."""
    fan, noise = heart.fan, Noise(rng, heart.fan)
    dx, dy = fan.X - np.float32(middle[0]), fan.Y - np.float32(middle[1])
    angle = steady.arctan2(dy, dx)
    ring = chest * (1 + 0.05 * steady.cos(2 * (angle - tilt))) - steady.hypot(dx, dy) + 0.08 * noise(9, 9)  # > 0 inside
    echo = uniform(rng, -36, -30) + 4 * noise(9, 16) + 2.5 * noise(2.2, 6)
    echo = echo + 6 * noise.ridges(3, 22, width=0.15) * smoothstep(noise(14, 18), -0.3, 1.2)
    fluid = smoothstep(noise(22, 26) - uniform(rng, -0.6, 0.9), 0, 0.25) * smoothstep(-ring, 0.0, 0.15)
    fluid = fluid * smoothstep(fan.Y + 0.3 * noise(12, 25), 1.5, 1.9)
    echo = echo + fluid * (uniform(rng, -58, -52) - echo)
    for layer in (uniform(rng, 0.5, 0.9), uniform(rng, 1.4, 2.2)):  # abdominal wall and uterus
        line = steady.exp(-(((fan.Y + 0.08 * noise(9, 20) - layer) / 0.1) ** 2))
        echo = echo + uniform(rng, 5, 11) * line * smoothstep(noise(7, 12), -1, 0.7)
    inside = smoothstep(ring, -0.08, 0.08)
    lung = uniform(rng, -31, -26) + 2.5 * noise(3, 4) + 1.5 * noise(8, 9)
    echo = echo + inside * (lung - echo)
    wall = steady.exp(-(((ring - 0.12) / 0.12) ** 2))
    echo = echo + wall * (uniform(rng, 3, 7) + 5 * facing(ring, fan) ** 2)
    bone = np.zeros(fan.shape, np.float32)
    spine = tilt + math.pi / 2 + uniform(rng, -0.3, 0.3)  # behind the atria
    for side, away in ((-0.13, 0.97), (0.13, 0.97), (0.0, 0.85)):
        px, py = (0.96 * away * chest * f(spine + side) for f in (math.cos, math.sin))
        gap = steady.hypot(dx - np.float32(px), dy - np.float32(py))
        bone = np.maximum(bone, steady.exp(-((gap / (0.07 * chest)) ** 2)))
    for _ in range(int(rng.integers(2, 6))):
        at, length = uniform(rng, -math.pi, math.pi), uniform(rng, 0.12, 0.35)
        turn = np.mod(angle - np.float32(at) + math.pi, 2 * math.pi) - math.pi
        bone = np.maximum(bone, steady.exp(-(((ring - 0.14) / 0.09) ** 2) - (turn / length) ** 4))
    echo = np.maximum(echo, -62 + 50 * bone + 2 * noise(2, 3))
    below = np.clip(np.cumsum(bone, axis=0) / max(1.0, fan.axial_px(2.0)), 0, 1) * (1 - bone)
    return echo.astype(np.float32), (-uniform(rng, 7, 16) * below).astype(np.float32), ring > 0


SUBCOSTAL = ViewSpec(
    name="SUBCOSTAL", build=build_subcostal, kind="phased", depth_cm=(15.0, 19.0),
    pathologies=("mass", "septal_defect", "effusion", "small_chambers"),
)  # fmt: skip
FETAL_4CH = ViewSpec(
    name="FETAL_4CH", build=build_fetal, kind="curvilinear", depth_cm=(6.0, 11.0), half_angle_deg=(28, 38),
    surface_cm=(4.0, 6.0), heart_rate=(110, 170), nyquist_cm_s=(30, 65),
    pathologies=("septal_defect", "effusion", "small_chambers"),
)  # fmt: skip
