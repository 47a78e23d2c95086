"""Blood velocity as a sum of fixed patterns times functions of time, already projected on the beam.

A pattern comes from a stream function psi (cm^2/s up to scale) on the beam-space grid. With beams leaving the apex, the
component of curl psi towards the probe is its derivative across the beams, ``dpsi / (r dtheta)``: the projection costs
one difference per clip and needs no velocity vectors. Angle dependence is inherent; no cosine is applied later.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import noise_field, smoothstep
from data_pipeline.simulation.kinematics import Kinematics
from data_pipeline.simulation.scan_grid import ScanGrid

ENVELOPES = {
    "S": (0.17, 0.13), "E": (0.49, 0.075), "A": (0.91, 0.055), "D": (0.50, 0.12), "vortex": (0.66, 0.12),
    "late_S": (0.20, 0.13), "MR": (0.20, 0.12), "AR": (0.62, 0.24),
}  # fmt: skip
"""Phase (R wave = 0) of the middle and the width of the flow events: ejection, early and late filling, ..."""
AMPLITUDE = 0.85
"""Peaks are drawn from the clinical ranges and scaled by this: measured clips rarely show the peak in the box."""


@dataclasses.dataclass(frozen=True)
class FlowTerm:
    """``basis`` float32 [n_r, n_t], about -1..1 (towards the probe positive), x ``coefficient`` float32 [T], cm/s."""

    basis: np.ndarray
    coefficient: np.ndarray


def envelope(phase: np.ndarray, name: str) -> np.ndarray:
    """Gaussian of a flow event over the (cyclic) phase, 0..1."""
    centre, width = ENVELOPES[name]
    distance = np.mod(phase - centre + 0.5, 1) - 0.5
    return steady.exp(-((distance / width) ** 2)).astype(np.float32)


def filling(kinematics: Kinematics, ratio: float) -> np.ndarray:
    """E wave plus ``ratio`` times the A wave, float32 [T]."""
    return envelope(kinematics.phase, "E") + np.float32(ratio * kinematics.kick) * envelope(kinematics.phase, "A")


def course(rng: np.random.Generator, kinematics: Kinematics, shape: np.ndarray, peak: float) -> np.ndarray:
    """Coefficient [T] of a flow event: ``peak`` cm/s x ``AMPLITUDE`` x ``shape`` x beat strength, 7 % frame jitter."""
    jitter = 1 + 0.07 * rng.standard_normal(kinematics.frames)
    return (AMPLITUDE * peak * shape * kinematics.beat * jitter).astype(np.float32)


def wander(rng: np.random.Generator, kinematics: Kinematics, *, seconds: float) -> np.ndarray:
    """AR(1) noise of unit variance with that correlation time, float32 [T]."""
    rho = math.exp(-1 / (kinematics.fps * seconds))
    noise = rng.standard_normal(kinematics.frames)
    for k in range(1, len(noise)):
        noise[k] = rho * noise[k - 1] + math.sqrt(1 - rho * rho) * noise[k]
    return noise.astype(np.float32)


def towards_probe(psi: np.ndarray, fan: ScanGrid) -> np.ndarray:
    """Component of curl psi towards the probe (along the steered beam for linear probes), float32 [n_r, n_t]."""
    across = np.gradient(psi, axis=1) / fan.lateral_step_cm
    steer = fan.steer
    if steer:
        down = np.gradient(psi, axis=0) / np.float32(fan.axial_step_cm)
        across = np.float32(math.cos(steer)) * across - np.float32(math.sin(steer)) * down
    return across.astype(np.float32)


def along(direction: tuple[np.ndarray, np.ndarray], fan: ScanGrid) -> np.ndarray:
    """Component towards the probe of a field of unit vectors ``(x, y)`` (y down), float32 [n_r, n_t]."""
    if fan.linear:
        beam = math.sin(fan.steer), math.cos(fan.steer)
    else:
        beam = fan.beam
    return -(direction[0] * beam[0] + direction[1] * beam[1]).astype(np.float32)


def jet(
    x: np.ndarray,
    y: np.ndarray,
    *,
    origin: tuple[float, float],
    angle: float = 0.0,
    half_width: float,
    spread: float = 0.06,
    length: float,
    back: float = 2.0,
) -> np.ndarray:
    """Stream function of a jet that leaves ``origin`` (cm, in the frame of ``x, y``) towards smaller y.

    ``psi = w0 tanh(u / w(d)) exp(-(d / L)^2)`` with u across, d along the jet; ``angle`` (rad) leans it to larger x;
    ``back`` is its reach behind the origin.
    """  # fmt: skip
    sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
    dx, dy = x - np.float32(origin[0]), np.float32(origin[1]) - y
    u, d = dx * cosine - dy * sine, dy * cosine + dx * sine
    width = half_width + spread * np.maximum(d, 0)
    reach = np.where(d > 0, np.float32(length), np.float32(back))
    return (half_width * steady.tanh(u / width) * steady.exp(-((d / reach) ** 2))).astype(np.float32)


def vortex(x: np.ndarray, y: np.ndarray, *, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Stream function of one swirl, float32."""
    square = (x - np.float32(centre[0])) ** 2 + (y - np.float32(centre[1])) ** 2
    return (radius * steady.exp(-square / np.float32(radius * radius))).astype(np.float32)


def eddies(rng: np.random.Generator, fan: ScanGrid, *, scale_cm: float) -> np.ndarray:
    """Random stream function with structures of about ``scale_cm`` at every depth, float32 [n_r, n_t]."""
    axial, span = fan.axial_px(10 * scale_cm), float(fan.depth_cm[-1])
    deep = noise_field(rng, fan.shape, axial, fan.lateral_px(10 * scale_cm, at_cm=0.6 * span))
    if not fan.linear:  # beams are closer in the near field: a fixed angular size would make stripes there
        near = noise_field(rng, fan.shape, axial, fan.lateral_px(10 * scale_cm, at_cm=0.2 * span))
        weight = smoothstep(fan.depth_cm, 0.15 * span, 0.5 * span)[:, None]
        deep = near + weight * (deep - near)
    return deep * np.float32(scale_cm)


def windowed(psi: np.ndarray, window: np.ndarray, fan: ScanGrid, *, return_flow: float = 0.3) -> np.ndarray:
    """Towards-probe velocity of ``psi`` inside ``window`` (0..1).

    ``return_flow`` = 1 is the curl of ``psi * window``: free of divergence, with the full back-flow along the walls. A
    chamber that fills or empties needs less of it (its walls move), and regular strips beside a jet look wrong.
    """
    free = towards_probe(psi, fan) * window
    return free if return_flow == 0 else free + np.float32(return_flow) * (towards_probe(psi * window, fan) - free)


def normalised(velocity: np.ndarray, blood: np.ndarray, *, no_slip: np.ndarray | None = None) -> np.ndarray:
    """Scale so that the 98.5th percentile of |v| in blood is 1, clip at 1.4, multiply by the no-slip factor."""
    inside = np.abs(velocity[blood > 0.8])
    scale = float(np.quantile(inside, 0.985)) if inside.size > 8 else 1.0
    out = np.clip(velocity / np.float32(scale + 1e-6), -1.4, 1.4)
    return (out if no_slip is None else out * no_slip).astype(np.float32)


def ragged_window(rng: np.random.Generator, fan: ScanGrid, distance: np.ndarray, *, width: float = 0.8) -> np.ndarray:
    """``smoothstep(distance, -0.05, width)`` with an irregular edge (``distance`` in cm, positive inside), float32."""
    noise = noise_field(rng, fan.shape, fan.axial_px(7), fan.lateral_px(7))
    return smoothstep(distance + np.float32(0.22 * width) * noise * smoothstep(distance, 0, 0.5 * width), -0.05, width)
