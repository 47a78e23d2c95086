"""What the painter has to invent about a greyscale clip: where its blood is and how it moves."""

from __future__ import annotations

import math

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import gaussian_blur, noise_field, smoothstep
from data_pipeline.simulation.scan_grid import ScanGrid


def find_blood(polar: np.ndarray, fan: ScanGrid, *, bright: float, columns: slice = slice(None)) -> np.ndarray:
    """Where blood probably is: darker than the tissue around it, with brighter tissue deeper and shallower on its beam.

    The second half rejects shadow, far field and lung. Relative to the local level, so the gain does not matter.

    Args:
      polar: uint8 ``[T, n_r, n_t]``; bright: the clip's tissue level (93rd percentile of its smoothed sector).
      columns: beams to work on.
    Returns: float32 ``[T, n_r, columns]`` in 0..1.
    """
    smooth = np.stack([gaussian_blur(p, *_mm(fan, 1.1, 1.6)) for p in polar[:, :, columns].astype(np.float32)])
    step = max(1, len(smooth) // 6)
    local = gaussian_blur(smooth[::step].mean(0), 0.11 * fan.n_r, 0.13 * fan.n_t)
    dark = 1 - smoothstep(smooth * (1 / (local + np.float32(0.1 * bright))), 0.40, 0.85)
    dark *= 1 - smoothstep(smooth, 0.35 * bright, 0.50 * bright)
    deeper = np.maximum.accumulate(smooth[:, ::-1], 1)[:, ::-1]
    dark *= smoothstep(deeper, 0.30 * bright, 0.55 * bright)
    dark *= smoothstep(np.maximum.accumulate(smooth, 1), 0.30 * bright, 0.60 * bright)
    # The ring-down below the probe is dark between bright lines and holds no blood worth a box.
    dark[:, fan.depth_cm < (0.25 if fan.linear else 0.1 * fan.depth_cm[-1])] = 0
    return np.stack([gaussian_blur(d, *_mm(fan, 0.7, 1.1)) for d in dark])


def invent_flow(
    rng: np.random.Generator,
    blood: np.ndarray,
    fan: ScanGrid,
    window: tuple[slice, slice],
    *,
    nyquist_cm_s: float,
    fps: float,
    domain: str,
    eddy_cm: tuple[float, ...] = (3.2, 1.6, 0.9, 0.5),
    speed: float = 1.0,
) -> np.ndarray:
    """Velocities towards the probe for a moving blood mask.

    Random stream functions (curl: no divergence) windowed by the blood, plus jets driven by the change of blood area:
    growing means filling, shrinking means ejection, so that a heart shows red in diastole and blue in systole without
    an ECG. Vessels and organs get a steady flow of either sign with a pulse instead.

    Args: ``blood`` float32 ``[T, h, w]`` over ``window`` of the polar grid.
    Returns: float32 ``[T, h, w]`` in cm/s.
    """
    count, (rows, columns) = len(blood), window
    shape = blood.shape[1:]
    cm = np.maximum(fan.lateral_step_cm[rows], 0.02)  # [h, 1] between beams
    cardiac = domain in ("heart", "fetal", "unknown")
    scale = 1.0 if cardiac else 0.35
    fields, eddies = _eddies(rng, fan, shape, sizes=eddy_cm, scale=scale, count=count, fps=fps)
    fill, eject, pulse = _drive(rng, blood, fps, cardiac)
    t = fan.t[columns]
    centre_weight = blood.mean(0).sum(0) + 1e-6
    centre = int(np.argmax(cv2.GaussianBlur(centre_weight[None], (0, 0), max(1.0, 0.06 * len(t)))))
    x = (np.arange(len(t)) - centre - rng.uniform(-0.08, 0.08) * len(t))[None].astype(np.float32) * cm
    narrow, wide = 0.9 * scale * rng.uniform(0.7, 1.3), 1.2 * scale * rng.uniform(0.7, 1.3)
    jet, back = steady.tanh(x / np.float32(narrow)), steady.tanh((x + np.float32(1.3 * scale)) / np.float32(wide))
    basis = np.stack([*fields, jet * np.float32(scale), back * np.float32(scale)]).reshape(len(fields) + 2, -1)
    coefficients = np.concatenate([eddies, (1.7 * fill + 0.1)[:, None], -(1.6 * eject)[:, None]], axis=1).astype(
        np.float32
    )
    psi = (coefficients.astype(np.float64) @ basis).astype(np.float32).reshape(count, *shape)
    # The window is blurred before it is differentiated: a sharp one gives bright aliased rims.
    soft = np.stack([gaussian_blur(b, *_mm(fan, 2.2, 3.6)) for b in blood])
    psi *= smoothstep(soft, 0.05, 0.9)
    velocity = np.gradient(psi, axis=2) / (cm * np.float32(scale)) * np.float32(0.44 * nyquist_cm_s * speed)
    if not cardiac:
        sign = steady.tanh(
            2.5 * noise_field(rng, shape, 0.35 * shape[0], 0.35 * shape[1]) + np.float32(1.5 * rng.choice((-1, 1)))
        )
        constant = np.float32(nyquist_cm_s * speed * rng.uniform(0.25, 0.8)) * sign
        velocity = 0.4 * velocity + constant * pulse[:, None, None] * smoothstep(soft, 0.05, 0.8)
    limit = np.float32(1.5 * nyquist_cm_s)
    # No slip: velocity falls to nothing at the wall, but blood beside it still moves a little.
    return (limit * steady.tanh(velocity / limit) * smoothstep(blood, 0.10, 0.65)).astype(np.float32)


def _eddies(
    rng: np.random.Generator, fan: ScanGrid, shape: tuple[int, int], *, sizes: tuple[float, ...], scale: float, count: int,
    fps: float,
) -> tuple[list[np.ndarray], np.ndarray]:  # fmt: skip
    """Stream functions of vortices, two of each size (cm), and how strong each is over time: float32 ``[count, fields]``."""
    fields, weights = [], []
    for size, weight in zip(sizes, (0.5, 0.35, 0.22, 0.14)):
        for _ in range(2):
            # The derivative across the beams makes what it is taken of narrower: vortices are drawn wider than tall.
            sigma = max(1.0, fan.axial_px(7 * scale * size)), max(1.0, fan.lateral_px(14 * scale * size))
            fields.append(noise_field(rng, shape, *sigma) * np.float32(scale))
            weights.append(weight)
    keep = math.exp(-1 / (fps * 0.12))
    course = rng.standard_normal((count, len(fields))).astype(np.float32)
    for k in range(1, count):
        course[k] = keep * course[k - 1] + math.sqrt(1 - keep * keep) * course[k]
    return fields, 0.55 * course * np.array(weights, np.float32)


def _drive(rng, blood: np.ndarray, fps: float, cardiac: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filling and ejection 0..1 from the change of blood area, and an invented arterial pulse 0..1; float32 ``[T]``."""
    count = len(blood)
    seconds = np.arange(count) / fps
    rate, start = rng.uniform(0.9, 1.6), rng.uniform()
    beat = (seconds * rate + start) % 1
    pulse = 0.35 + 0.65 * steady.exp(-(((beat - 0.15) / 0.13) ** 2)) + 0.2 * steady.exp(-(((beat - 0.5) / 0.15) ** 2))
    area = blood.sum((1, 2))
    # A dark box that hardly changes has no beat of its own: an invented one keeps still images and organs alive.
    if cardiac and count >= 5 and area.std() > 0.02 * area.mean() > 0:
        width = max(1, int(round(0.06 * fps)))
        kernel = np.hanning(2 * width + 3)[1:-1]
        smooth = np.convolve(np.pad(area, width, "edge"), kernel / kernel.sum(), "valid")
        change = np.gradient(smooth)
        change = change / (np.abs(change).max() + 1e-6)
    else:
        change = steady.sin(2 * math.pi * beat) ** 3
    noise = 1 + 0.12 * rng.standard_normal(count)
    return tuple((np.clip(a, 0, None) * noise).astype(np.float32) for a in (change, -change, pulse))


def misplace(rng: np.random.Generator, blood: np.ndarray, fan: ScanGrid, place: str) -> np.ndarray:
    """Blood for the counter-cases, float32 ``[T, h, w]`` in 0..1.

    ``bright``: patches of flow wherever they fall, walls and bright structures included. ``no_blood``: hardly a trace.
    """
    shape = blood.shape[1:]
    if place == "no_blood":
        trace = smoothstep(noise_field(rng, shape, *_mm(fan, 1.5, 2.5)), 1.6, 2.4) * np.float32(rng.uniform(0, 0.8))
        return blood * np.float32(rng.uniform(0, 0.3)) + trace
    low = float(rng.uniform(-0.8, 0.5))
    first, second = (noise_field(rng, shape, *_mm(fan, 5.0, 8.0)) for _ in range(2))
    turn = rng.uniform(0, 2 * math.pi) + rng.uniform(0.02, 0.2) * np.arange(len(blood))
    drifting = [math.cos(a) * first + math.sin(a) * second for a in turn]
    patches = np.stack([smoothstep(field, low, low + 0.5) for field in drifting])
    return np.maximum(blood * np.float32(rng.choice((0.0, 1.0))), patches)


def tissue_velocity(polar: np.ndarray, fan: ScanGrid, bright: float, nyquist: float) -> np.ndarray:
    """Tissue motion from the change of the smoothed picture: rough, but it lights up where walls move."""
    smooth = np.stack([gaussian_blur(p, *_mm(fan, 2.2, 5.0)) for p in polar])
    change = np.diff(smooth, axis=0, prepend=smooth[:1])
    return change * np.float32(0.9 * nyquist / bright)


def _mm(fan: ScanGrid, axial: float, lateral: float) -> tuple[float, float]:
    """Standard deviations in mm (sectors; a linear probe looks at smaller things) to grid samples."""
    factor = 0.35 if fan.linear else 1.0
    return fan.axial_px(axial * factor), fan.lateral_px(lateral * factor)
