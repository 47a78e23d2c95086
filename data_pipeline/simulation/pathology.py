"""Findings that break the rule "colour means black underneath": masses, defects, effusions, prostheses, small chambers.

A `Pathology` is a draw of numbers only; a view applies it with the functions here to its signed distances (cm, positive
inside a cavity) and to its echogenicity (dB).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import noise_field, smoothstep
from data_pipeline.simulation.scan_grid import ScanGrid

PATHOLOGIES = ("mass", "septal_defect", "effusion", "prosthesis", "small_chambers", "plaque")
"""Thrombus or tumour in a cavity; hole in a septum with a shunt; fluid around the heart or organ; valve prosthesis with
shadow, reverberation and twinkle; tiny or collapsing cavities; plaque on a vessel's wall."""


@dataclasses.dataclass(frozen=True)
class Pathology:
    """``name`` is "" for none; ``severity`` 0..1; ``place`` 0..1 chooses the chamber, side or height."""

    name: str = ""
    severity: float = 0.0
    place: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.name)


def draw_pathology(
    rng: np.random.Generator, allowed: Sequence[str], *, name: str = "draw", rate: float = 0.3
) -> Pathology:
    """Draw one of ``allowed`` with probability ``rate``, or take the named one.

    Args:
        rng: source of the draw; the same amount is drawn whatever the outcome.
        allowed: names that make sense in the view.
        name: ``draw``, ``none``, or one of ``allowed``.
        rate: share of clips with a finding when ``name`` is ``draw``, 0..1.

    Raises:
        ValueError: for a name that the view does not have, or a rate outside 0..1.
    """
    if name not in ("draw", "none", *allowed):
        raise ValueError(f"pathology must be draw, none or one of {tuple(allowed)} in this view, got {name!r}")
    if not 0 <= rate <= 1:
        raise ValueError(f"pathology rate must be in 0..1, got {rate}")
    present, choice = rng.random() < rate, int(rng.integers(max(1, len(allowed))))
    severity, place = float(rng.random()), float(rng.random())
    if name == "draw":
        name = allowed[choice] if present and allowed else ""
    return Pathology("" if name == "none" else name, severity, place) if name not in ("", "none") else Pathology()


def blob(
    rng: np.random.Generator, fan: ScanGrid, x: np.ndarray, y: np.ndarray, *, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """Signed distance (about, cm, positive inside) of a lumpy ellipse in the frame of ``x, y``, float32."""
    stretch, angle = rng.uniform(0.7, 1.4), rng.uniform(0, math.pi)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    u = dx * np.float32(math.cos(angle)) + dy * np.float32(math.sin(angle))
    v = dy * np.float32(math.cos(angle)) - dx * np.float32(math.sin(angle))
    lumps = noise_field(rng, fan.shape, fan.axial_px(5), fan.lateral_px(5))
    return (radius - steady.hypot(u * np.float32(stretch), v / np.float32(stretch)) + 0.12 * radius * lumps).astype(
        np.float32
    )


def capsule(
    x: np.ndarray, y: np.ndarray, *, a: tuple[float, float], b: tuple[float, float], radius: float
) -> np.ndarray:
    """Signed distance (cm, positive inside) of the line from ``a`` to ``b`` thickened by ``radius``, float32."""
    ex, ey = b[0] - a[0], b[1] - a[1]
    px, py = x - np.float32(a[0]), y - np.float32(a[1])
    u = np.clip((px * np.float32(ex) + py * np.float32(ey)) / np.float32(ex * ex + ey * ey + 1e-9), 0, 1)
    return (radius - steady.hypot(px - u * np.float32(ex), py - u * np.float32(ey))).astype(np.float32)


def prosthesis_shadow(
    fan: ScanGrid, metal: np.ndarray, rng: np.random.Generator, *, depth_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """What metal (0..1, float32 [n_r, n_t]) does below itself, in dB: ``(shadow <= 0, reverberation)``, [n_r, n_t].

    The shadow follows the beam; reverberation repeats the metal every few millimetres and fades.
    """
    below = np.clip(np.cumsum(metal, axis=0) / max(1.0, fan.axial_px(2.5)), 0, 1)
    shadow = -np.float32(depth_db) * below * (1 - np.clip(metal, 0, 1))
    reverb, step = np.zeros(fan.shape, np.float32), max(2, int(round(fan.axial_px(rng.uniform(4, 8)))))
    for n in range(1, 5):
        if n * step < fan.n_r:
            reverb[n * step :] = np.maximum(reverb[n * step :], metal[: -n * step] * np.float32(1 - 0.2 * n))
    return shadow.astype(np.float32), (reverb * np.float32(depth_db * 0.75)).astype(np.float32)


def effusion_layer(outer: np.ndarray, rng: np.random.Generator, fan: ScanGrid, *, thickness: float) -> np.ndarray:
    """0..1: fluid in a layer outside ``outer`` (signed distance, cm, positive inside the heart or organ), uneven."""
    noise = noise_field(rng, fan.shape, fan.axial_px(22), fan.lateral_px(22))
    width = np.clip(np.float32(thickness) * (1 + 0.5 * noise), 0.02, 2.0)  # distances are known up to 2.5 cm
    return smoothstep(-outer, 0.0, 0.1) * (1 - smoothstep(-outer - width, -0.05, 0.08))
