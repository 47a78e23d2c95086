"""When the heart beats and how far things move: rhythm, contraction, arterial pulse, respiration, the operator's hand.

Everything is a function of time sampled at the clip's frames, so that a scene is known completely before its first
frame is formed. ``phase`` is in [0, 1) with the R wave at 0; systole keeps its length when a beat is long or short.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipeline.simulation import steady

RHYTHMS = ("sinus", "fibrillation", "ectopic")
_STEP = 0.004
"""Seconds: time step of the differences that give velocities."""


@dataclasses.dataclass(frozen=True)
class Kinematics:
    """Drives of one clip. Arrays are float32 [T]; ``drives[name]`` has no unit, ``rates[name]`` is its change in 1/s.

    Drives: ``contraction`` 0 at end-diastole .. about 1 at end-systole; ``early`` the same 4 % of a beat earlier
    (twist); ``pulse`` arterial distension 0..1; ``respiration`` and ``hand_x``/``hand_y`` about -1..1;
    ``swing_x``/``swing_y`` -1..1, one turn per beat.
    """

    fps: float
    period_s: float
    rhythm: str
    times: np.ndarray
    phase: np.ndarray
    beat: np.ndarray
    """Strength of the beat each frame belongs to, about 1."""
    kick: float
    """1 with an atrial kick (the A wave), 0 without."""
    drives: dict[str, np.ndarray]
    rates: dict[str, np.ndarray]

    @property
    def frames(self) -> int:
        return len(self.times)


def contraction(phase: np.ndarray, *, kick: float = 1.0) -> np.ndarray:
    """0 at end-diastole, 1 at end-systole, float64 like ``phase`` (0..1).

    Half cosine over 0..0.36, hold to 0.40, fast filling by 0.62, the rest as atrial kick 0.83..0.98 (without a kick:
    slowly over the whole of diastole).
    """
    fast = 0.72 * kick + 0.85 * (1 - kick)
    late = kick * _step(phase, 0.83, 0.98) + (1 - kick) * np.clip((phase - 0.55) / 0.43, 0, 1)
    filled = fast * _step(phase, 0.40, 0.62) + (1 - fast) * late
    return np.where(phase < 0.36, 0.5 - 0.5 * steady.cos(np.pi * np.minimum(phase, 0.36) / 0.36), 1 - filled)


def arterial_pulse(phase: np.ndarray) -> np.ndarray:
    """Distension of an artery over a beat, 0..1: fast upstroke at 0.08, dicrotic notch at 0.4, slow run-off."""
    rise = _step(phase, 0.06, 0.2)
    fall = steady.exp(-np.clip(phase - 0.2, 0, 1) / 0.28)
    notch = 0.12 * steady.exp(-(((phase - 0.40) / 0.025) ** 2)) - 0.10 * steady.exp(-(((phase - 0.47) / 0.04) ** 2))
    tail = math.exp(-0.8 / 0.28)
    return np.where(phase < 0.2, tail + (1 - tail) * rise, fall) - notch


def draw_kinematics(
    rng: np.random.Generator, *, frames: int, fps: float, heart_rate: tuple[float, float], rhythm: str = "draw"
) -> Kinematics:
    """Draw a clip's motion.

    Args:
        rng: source of the draw.
        frames, fps: length and frame rate of the clip; ``frames`` 1..4096, ``fps`` 1..400.
        heart_rate: range of beats per minute to draw from.
        rhythm: ``sinus``, ``fibrillation``, ``ectopic``, or ``draw`` (10 % not sinus).

    Raises:
        ValueError: naming the parameter, its value and the allowed range.
    """
    if not 1 <= frames <= 4096:
        raise ValueError(f"frames must be in 1..4096, got {frames}")
    if not 1 <= fps <= 400:
        raise ValueError(f"fps must be in 1..400, got {fps}")
    if rhythm not in (*RHYTHMS, "draw"):
        raise ValueError(f"rhythm must be one of {(*RHYTHMS, 'draw')}, got {rhythm!r}")
    if rhythm == "draw":
        rhythm = RHYTHMS[int(rng.choice(3, p=(0.9, 0.05, 0.05)))]
    period = 60 / float(rng.uniform(*heart_rate))
    duration = frames / fps
    onsets, lengths, strengths = _beats(rng, rhythm, period, duration)
    kick = 0.0 if rhythm == "fibrillation" else 1.0
    breath_period, breath_phase = period * rng.uniform(4, 5), rng.uniform(0, 2 * np.pi)
    hand = rng.uniform(0.2, 0.6, 2), rng.uniform(0, 2 * np.pi, (2, 2))

    def at(times: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        index = np.clip(np.searchsorted(onsets, times, side="right") - 1, 0, len(onsets) - 1)
        phase = _phase(times - onsets[index], lengths[index], period)
        beat = strengths[index]
        turn = 2 * np.pi * phase
        drift = [
            0.7 * steady.sin(2 * np.pi * hand[0][i] * times + hand[1][i, 0])
            + 0.3 * steady.sin(5.1 * np.pi * hand[0][i] * times + hand[1][i, 1])
            for i in (0, 1)
        ]
        earlier = np.mod(phase + 0.04, 1)
        return phase, beat, {
            "contraction": beat * contraction(phase, kick=kick),
            "early": beat * contraction(earlier, kick=kick),
            "pulse": beat * arterial_pulse(phase),
            "respiration": steady.sin(2 * np.pi * times / breath_period + breath_phase),
            "swing_x": steady.sin(turn),
            "swing_y": steady.cos(turn),
            "hand_x": drift[0],
            "hand_y": drift[1],
        }  # fmt: skip

    times = onsets[0] + rng.uniform(0, period) + np.arange(frames) / fps
    phase, beat, drives = at(times)
    _, _, later = at(times + _STEP)
    f32 = np.float32
    return Kinematics(
        fps=float(fps), period_s=period, rhythm=rhythm, times=times.astype(f32), phase=phase.astype(f32),
        beat=beat.astype(f32), kick=kick, drives={name: value.astype(f32) for name, value in drives.items()},
        # a beat may start between the two times: its jump is not a velocity
        rates={name: np.clip((later[name] - drives[name]) / _STEP, -25, 25).astype(f32) for name in drives},
    )  # fmt: skip


def _beats(
    rng: np.random.Generator, rhythm: str, period: float, duration: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Onset time, length (s) and strength of enough beats to cover the clip from anywhere in the first one."""
    lengths, strengths, n = [], [], int(duration / (0.55 * period)) + 4
    for k in range(n):
        length, strength = period * (1 + 0.03 * rng.standard_normal()), 1 + 0.05 * rng.standard_normal()
        if rhythm == "fibrillation":
            length = period * rng.uniform(0.62, 1.45)
            strength = 0.55 + 0.45 * min(1.0, (lengths[-1] if lengths else period) / period)  # filling time before
        elif rhythm == "ectopic" and k and rng.random() < 0.25 and strengths[-1] > 0.7:
            lengths[-1] = 0.62 * period
            length, strength = 1.35 * period, rng.uniform(0.35, 0.65)
        lengths.append(float(length))
        strengths.append(float(np.clip(strength, 0.3, 1.25)))
    return np.concatenate([[0.0], np.cumsum(lengths)[:-1]]), np.array(lengths), np.array(strengths)


def _phase(since: np.ndarray, length: np.ndarray, period: float) -> np.ndarray:
    """Phase of a beat ``length`` s long, ``since`` s after its R wave: systole lasts 0.4 of the usual period."""
    systole = np.minimum(0.4 * period, 0.62 * length)
    early = 0.4 * since / systole
    late = 0.4 + 0.6 * (since - systole) / (length - systole)
    return np.clip(np.where(since < systole, early, late), 0, 1 - 1e-6)


def _step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    u = np.clip((value - low) / (high - low), 0, 1)
    return u * u * (3 - 2 * u)
