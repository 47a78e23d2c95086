"""Flow in a heart: jets through its valves, filling, swirl, eddies and regurgitation, as terms of a sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipeline.simulation.fields import smoothstep
from data_pipeline.simulation.flow_fields import (
    AMPLITUDE,
    FlowTerm,
    course,
    eddies,
    envelope,
    jet,
    normalised,
    wander,
    windowed,
)
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.views.anatomy import Noise, uniform
from data_pipeline.simulation.views.heart import Heart


@dataclasses.dataclass(frozen=True)
class Speeds:
    """Ranges of peak velocities, cm/s."""

    mitral: tuple[float, float] = (55, 105)
    tricuspid: tuple[float, float] = (35, 65)
    lvot: tuple[float, float] = (60, 110)
    rvot: tuple[float, float] = (40, 70)
    atria: tuple[float, float] = (20, 50)
    swirl: tuple[float, float] = (10, 35)
    regurgitant: tuple[float, float] = (250, 500)
    eddy: tuple[float, float] = (8, 24)


USUAL = Speeds()


@dataclasses.dataclass(frozen=True)
class Stream:
    """One organised stream: stream function and window float32 [n_r, n_t], time course [T], range of peaks in cm/s."""

    psi: np.ndarray
    window: np.ndarray
    shape: np.ndarray
    speed: tuple[float, float]


EDDIES = ((0.8, 0.2), (0.45, 0.1), (0.3, 0.05))
"""Small random vortices: size in heart cm, correlation time in s."""


def gate(heart: Heart, centre: tuple[float, float], half_width: float) -> np.ndarray:
    """Distance (cm, positive inside) of a passage across a valve's plane, in heart coordinates."""
    across = half_width - np.abs(heart.x - np.float32(centre[0]))
    return np.minimum(across, 0.9 - np.abs(heart.y - np.float32(centre[1])))


def stream_terms(
    rng: np.random.Generator, heart: Heart, blood: np.ndarray, kin: Kinematics, streams: Sequence[Stream],
    *, speeds: Speeds = USUAL,
) -> tuple[FlowTerm, ...]:  # fmt: skip
    """Flow terms of organised streams plus `EDDIES`."""
    fan, lumen = heart.fan, heart.lumen
    no_slip, everywhere = smoothstep(lumen, 0.0, 0.4), smoothstep(lumen, -0.05, 0.6)
    activity = np.clip(sum(envelope(kin.phase, name) for name in ("S", "E", "A")), 0, 1)
    terms = []
    for stream in streams:
        basis = windowed(stream.psi, stream.window, fan, return_flow=uniform(rng, 0.0, 0.15))
        peak = uniform(rng, *stream.speed)
        terms.append(FlowTerm(normalised(basis, blood, no_slip=no_slip), course(rng, kin, stream.shape, peak)))
    for scale, seconds in EDDIES:
        psi = eddies(rng, fan, scale_cm=scale * heart.pose.scale)
        basis = normalised(windowed(psi, everywhere, fan), blood, no_slip=no_slip)
        strength = np.float32(AMPLITUDE * uniform(rng, *speeds.eddy)) * (0.4 + 0.8 * activity)
        terms.append(FlowTerm(basis, strength * wander(rng, kin, seconds=seconds)))
    return tuple(terms)


def regurgitation(
    rng: np.random.Generator, heart: Heart, blood: np.ndarray, kin: Kinematics, *, chance: float, chamber: str,
    origin: tuple[float, float], angle: tuple[float, float], speed: tuple[float, float], event: str = "MR",
) -> tuple[FlowTerm, ...]:  # fmt: skip
    """A leak through a closed valve with probability ``chance``: narrow, fast and turbulent, into ``chamber``.

    ``angle`` (rad): range of its direction, 0 towards smaller y (see `flow_fields.jet`).
    """
    present, lean = rng.random() < chance, uniform(rng, *angle)
    width, length, peak = uniform(rng, 0.2, 0.4), uniform(rng, 1.2, 3.4), uniform(rng, *speed)
    if not present:
        return ()
    psi = jet(heart.x, heart.y, origin=origin, angle=lean, half_width=width, spread=0.16, length=length, back=0.4)
    size = heart.pose.scale
    noise, shape = Noise(rng, heart.fan), envelope(kin.phase, event)
    window = smoothstep(heart.cavity[chamber], -0.2, 0.3)
    basis = normalised(windowed(psi, window, heart.fan, return_flow=0.1) * (1 + 0.5 * noise(3 * size, 3 * size)), blood)
    steady = FlowTerm(basis, course(rng, kin, shape, peak))
    turbulent = [
        FlowTerm(basis * noise(1.8, 2.5), course(rng, kin, shape, 0.35 * peak) * wander(rng, kin, seconds=0.03))
        for _ in range(2)
    ]
    return (steady, *turbulent)
