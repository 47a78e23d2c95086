"""The carotid artery along its length, seen with a linear probe: layers of the neck, double line of the wall, pulse."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.flow_fields import (
    AMPLITUDE,
    FlowTerm,
    along,
    course,
    eddies,
    normalised,
    vortex,
    wander,
    windowed,
)
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.pathology import Pathology
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.anatomy import Anatomy, Motion, Noise, ViewSpec, displacement, uniform

VESSEL, OTHER = 7, 9


def build_carotid(rng: np.random.Generator, fan: ScanGrid, kinematics: Kinematics, pathology: Pathology) -> Anatomy:
    """Common carotid in long axis, sometimes with the bulb at one end and the jugular vein above it."""
    x, y, noise = fan.X, fan.Y, Noise(rng, fan)
    depth, half = float(fan.depth_cm[-1]), float(np.abs(x).max())
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    flip = 1.0 if rng.random() < 0.5 else -1.0
    radius = 0.5 * u(0.55, 0.80)
    slope, bend, middle = math.tan(math.radians(u(-10, 10))), u(-0.02, 0.02), u(0.40, 0.58) * depth
    bulb = u(0.15, 0.6) if rng.random() < 0.4 else 0.0
    widening = 1 + bulb * smoothstep(flip * x, 0.1 * half, 0.8 * half)
    jugular = rng.random() < 0.6
    axis = np.float32(middle) + slope * x + bend * x * x + 0.015 * noise(30, 8)
    cosine = math.cos(math.atan(slope))
    across = (y - axis) * np.float32(cosine)
    lumen = radius * widening - np.abs(across) + 0.006 * noise(6, 3)  # > 0 inside
    lumen, plaque = _plaque(rng, fan, lumen, across, radius, pathology)
    blood = smoothstep(lumen, -0.012, 0.045)

    echo = _neck(rng, fan, axis - radius)
    echo = _wall(rng, fan, echo, lumen, across)
    fixed = np.zeros(fan.shape, np.float32)
    labels = np.where(lumen > 0, np.uint8(VESSEL), np.uint8(0))
    flows: list[FlowTerm] = []
    if jugular:
        vein_flows, echo, blood, labels = _jugular(rng, fan, kinematics, echo, blood, labels, axis - radius, flip)
        flows += vein_flows
    pool = u(-56, -50) + 2 * noise(2, 3) + 5 * steady.exp(-((lumen / 0.06) ** 2))
    inside = smoothstep(lumen, -0.012, 0.045)
    echo = echo + inside * (pool - echo)
    if plaque is not None:
        echo = echo + plaque["solid"] * (plaque["level"] - echo)
        fixed = fixed + plaque["shadow"]
        labels[plaque["solid"] > 0.5] = OTHER
    fixed += u(1, 4) * smoothstep(across, 0.8 * radius, 1.2 * radius)  # enhancement behind blood
    flows = _arterial_flow(rng, fan, kinematics, lumen, across, radius, blood, flip, slope, bulb, widening) + flows
    params = {"radius_cm": radius, "slope_deg": math.degrees(math.atan(slope)), "bulb": bulb, "jugular": bool(jugular)}
    spots = [fan.index_of(u(-0.3, 0.3) * half, middle) for _ in range(3)]
    return Anatomy(
        echo_db=echo.astype(np.float32), blood=blood, labels=labels, motions=_motions(rng, fan, across, radius, slope),
        flows=tuple(flows), focus=tuple(spots), fixed_db=fixed.astype(np.float32),
        twinkle=None if plaque is None else plaque["twinkle"], params=params,
    )  # fmt: skip


def _neck(rng: np.random.Generator, fan: ScanGrid, roof: np.ndarray) -> np.ndarray:
    """Skin, fat with septa, muscle above the vessel and around it, dB. ``roof``: depth of the vessel, cm."""
    y, noise, u = fan.Y, Noise(rng, fan), lambda low, high: uniform(rng, low, high)
    wave = 0.05 * noise(12, 12) + 0.02 * noise(4, 5)
    skin, fat = u(0.12, 0.22), u(0.4, 0.8)
    muscle = np.minimum(fat + u(0.5, 0.9), roof - 0.1)
    echo = u(-30, -25) + 3 * noise(2.2, 6) + 3 * noise(9, 16) + 7 * noise.ridges(2.2, 22, width=0.14)
    in_fat = smoothstep(y + wave, skin, skin + 0.05) * (1 - smoothstep(y + wave, fat - 0.05, fat + 0.05))
    fat_db = u(-33, -28) + 2.5 * noise(1.5, 4) + 8 * noise.ridges(1.6, 14, width=0.16)
    echo += in_fat * (fat_db - echo)
    in_muscle = smoothstep(y + wave, fat - 0.04, fat + 0.04) * (1 - smoothstep(y + wave - muscle, -0.05, 0.05))
    striae = u(-36, -31) + 2 * noise(1, 5) + u(4, 9) * noise.ridges(0.9, 16, width=0.25)
    echo += in_muscle * (striae - echo)
    for depth, level in ((skin, 13), (fat, 11)):
        echo += level * steady.exp(-(((y + wave - depth) / 0.035) ** 2)) * smoothstep(noise(3, 9), -1.4, 0.4)
    echo += 9 * steady.exp(-(((y + wave - muscle) / 0.04) ** 2)) * smoothstep(noise(4, 8), -0.8, 0.8)
    echo += u(4, 12) * (1 - smoothstep(y, 0.0, skin))
    deep = roof + u(1.2, 1.9) + 0.2 * noise(25, 14)  # prevertebral muscle and the spine
    echo += u(2, 11) * steady.exp(-(((y - deep) / 0.09) ** 2)) * smoothstep(noise(4, 7), -0.6, 0.8)
    return echo - u(2, 8) * smoothstep(y - deep, 0.0, 0.8)


def _wall(
    rng: np.random.Generator, fan: ScanGrid, echo: np.ndarray, lumen: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Lumen-intima line, dark media, bright adventitia: sharp at the far wall, blurred at the near one. dB."""
    noise, far = Noise(rng, fan), smoothstep(across, -0.05, 0.05)
    thickness, crisp = uniform(rng, 0.05, 0.1), 0.012 + 0.6 * float(fan.axial_step_cm)
    out = -lumen
    patch = smoothstep(noise(3, 7), -1.6, 0.5)
    intima = steady.exp(-(((out - 0.01) / crisp) ** 2)) * patch
    media = steady.exp(-(((out - 0.55 * thickness) / (0.32 * thickness + 0.01)) ** 2))
    adventitia = steady.exp(-((np.clip(out - thickness, -1, None) / np.where(out > thickness, 0.07, crisp)) ** 2))
    near = 1 - far
    echo = echo - 9 * media * (0.4 + 0.6 * far)
    line = uniform(rng, -21, -15) + 2 * noise(1, 3)
    echo = echo + intima * (0.55 * near + far) * np.maximum(line - echo, 0) * (0.6 + 0.4 * far)
    sheath = uniform(rng, -17, -10) + 3 * noise(1.5, 6) - 4 * near
    return echo + adventitia * (0.45 + 0.55 * patch) * np.maximum(sheath - echo, 0)


def _jugular(
    rng: np.random.Generator, fan: ScanGrid, kin: Kinematics, echo: np.ndarray, blood: np.ndarray, labels: np.ndarray,
    roof: np.ndarray, flip: float,
) -> tuple[list[FlowTerm], np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """A flat vein above the artery with steady, breathing flow the other way."""
    noise, half = Noise(rng, fan), float(np.abs(fan.X).max())
    height = uniform(rng, 0.08, 0.3) * (1 + 0.35 * noise(20, 16))
    ends = 1 - smoothstep(np.abs(fan.X - uniform(rng, -0.6, 0.6) * half), uniform(rng, 0.5, 1.6) * half, 2 * half)
    middle = roof - uniform(rng, 0.18, 0.3) - np.clip(height, 0.02, None)
    gap = np.clip(height * ends, 0.02, None) - np.abs(fan.Y - middle)
    inside = smoothstep(gap, -0.012, 0.045)
    echo = echo + inside * (uniform(rng, -56, -51) + 2 * noise(2, 3) - echo)
    echo = echo + 5 * steady.exp(-(((gap + 0.02) / 0.025) ** 2)) * smoothstep(noise(3, 6), -1, 0.8)
    labels = np.where((gap > 0) & (labels == 0), np.uint8(VESSEL), labels)
    profile = np.clip(1 - (np.abs(fan.Y - middle) / np.clip(height * ends, 0.02, None)) ** 2, 0, 1)
    basis = flip * along((-np.ones(fan.shape, np.float32), np.zeros(fan.shape, np.float32)), fan) * profile * inside
    shape = 0.6 + 0.25 * kin.drives["respiration"] + 0.3 * steady.cos(2 * np.pi * kin.phase)
    term = FlowTerm(basis.astype(np.float32), course(rng, kin, shape, uniform(rng, 10, 35)))
    return [term], echo, np.maximum(blood, inside), labels


def _plaque(
    rng: np.random.Generator, fan: ScanGrid, lumen: np.ndarray, across: np.ndarray, radius: float, pathology: Pathology
) -> tuple[np.ndarray, dict[str, np.ndarray | None] | None]:
    """Narrow the lumen by a plaque on one wall: the new lumen and the plaque's maps (or None)."""
    if pathology.name not in ("plaque", "mass"):
        return lumen, None
    noise = Noise(rng, fan)
    side = 1.0 if pathology.place < 0.6 else -1.0
    centre, length = uniform(rng, -0.5, 0.5) * float(np.abs(fan.X).max()), uniform(rng, 0.25, 0.7)
    height = (
        (0.35 + 0.9 * pathology.severity)
        * radius
        * steady.exp(-(((fan.X - centre) / length) ** 2))
        * (1 + 0.25 * noise(5, 4))
    )
    free = radius - side * across - height  # > 0 above the plaque
    narrowed = np.minimum(lumen, free)
    solid = smoothstep(lumen, -0.02, 0.03) * smoothstep(-free, -0.02, 0.03)
    calcified = rng.random() < 0.5
    level = uniform(rng, -16, -9) if calcified else uniform(rng, -36, -24)
    shadow = np.zeros(fan.shape, np.float32)
    if calcified:
        shadow = (
            -uniform(rng, 8, 20) * np.clip(np.cumsum(solid, axis=0) / max(1.0, fan.axial_px(1.5)), 0, 1) * (1 - solid)
        )
    twinkle = solid * smoothstep(noise(1.5, 1.5), 0, 1) if calcified else None
    return narrowed, {"solid": solid, "level": level + 3 * noise(1.5, 2.5), "shadow": shadow, "twinkle": twinkle}


def _motions(
    rng: np.random.Generator, fan: ScanGrid, across: np.ndarray, radius: float, slope: float
) -> tuple[Motion, ...]:
    """Walls pulse by 3-8 % of the radius, the vessel slides a little along itself, the neck breathes."""
    distance = np.abs(across)
    reach = np.where(distance < radius, distance / radius, steady.exp(-np.clip(distance - radius, 0, None) / 0.35))
    uy = uniform(rng, 0.03, 0.08) * radius * np.sign(across) * reach
    near = steady.exp(-((across / (3 * radius)) ** 2))
    slide = uniform(rng, -0.03, 0.03)
    still = np.ones(fan.shape, np.float32)
    hand = uniform(rng, 0, 0.05)
    return (
        Motion("pulse", *displacement(fan, slide * near - slope * uy, uy + slide * slope * near)),
        Motion("respiration", *displacement(fan, 0.02 * still, 0.04 * still)),
        Motion("hand_x", *displacement(fan, hand * still, 0 * still)),
        Motion("hand_y", *displacement(fan, 0 * still, 0.5 * hand * still)),
    )


def _arterial_flow(
    rng: np.random.Generator, fan: ScanGrid, kin: Kinematics, lumen: np.ndarray, across: np.ndarray, radius: float,
    blood: np.ndarray, flip: float, slope: float, bulb: float, widening: np.ndarray,
) -> list[FlowTerm]:  # fmt: skip
    """Plug flow in systole, parabola in diastole, reversal in the bulb, small eddies; faster where it is narrow."""
    u = lambda low, high: uniform(rng, low, high)  # noqa: E731
    inside = smoothstep(lumen, -0.01, 0.03)
    width = np.maximum(lumen + np.abs(across), 0.02)
    rho = np.clip(np.abs(across) / width, 0, 1)
    open_part = np.clip(width / (radius * widening), 0.35, 1.2)  # continuity through a narrowing, capped at 4x
    gain = np.minimum(steady.power(open_part, np.float32(-1.3)), 4) / (widening * np.sqrt(widening))
    ones = np.ones(fan.shape, np.float32)
    tilt = math.hypot(1, slope)
    projected = along((flip * ones / tilt, flip * slope * ones / tilt), fan)
    plug, parabola = (projected * gain * (1 - rho**n) * inside for n in (7, 2))
    p = kin.phase
    systole = steady.exp(-(((p - 0.13) / 0.07) ** 2)) + 0.45 * steady.exp(-(((p - 0.27) / 0.10) ** 2))
    diastole = 0.55 + 0.45 * steady.exp(-np.clip(p - 0.42, 0, 1) / 0.5)
    peak, rest = u(45, 120), u(10, 30)
    terms = [
        FlowTerm(plug.astype(np.float32), course(rng, kin, systole, peak - rest)),
        FlowTerm(parabola.astype(np.float32), course(rng, kin, diastole, rest)),
    ]
    scatter = normalised(windowed(eddies(rng, fan, scale_cm=0.18), inside, fan), blood)
    terms.append(FlowTerm(scatter, u(3, 9) * AMPLITUDE * wander(rng, kin, seconds=0.06)))
    if bulb:
        spot = fan.X - np.float32(flip * 0.55 * float(np.abs(fan.X).max()))
        side = 1.0 if rng.random() < 0.8 else -1.0
        swirl = vortex(spot, side * across, centre=(0.0, 0.75 * radius), radius=0.6 * radius)
        basis = normalised(windowed(swirl, inside, fan, return_flow=1.0), blood)
        terms.append(FlowTerm(basis, course(rng, kin, 0.2 + systole, -flip * side * u(15, 45))))
    return terms


CAROTID_LONG = ViewSpec(
    name="CAROTID_LONG", build=build_carotid, kind="linear", depth_cm=(3.2, 5.0), heart_rate=(48, 100),
    nyquist_cm_s=(10, 40), pathologies=("plaque",),
)  # fmt: skip
