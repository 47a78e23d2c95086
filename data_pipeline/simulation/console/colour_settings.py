"""The knobs of the colour acquisition, and how they are drawn: Nyquist, packet, lines, gain, priority, artefacts."""

from __future__ import annotations

import dataclasses

import numpy as np

SPEED_OF_SOUND_CM_S = 154_000.0
CENTRE_MHZ = {"heart": (2.0, 3.2), "fetal": (2.5, 4.5), "vessel": (4.0, 7.0), "kidney": (2.0, 3.6), "liver": (2.0, 3.2)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourSettings:
    """One clip's colour acquisition. Lengths in mm, angles in degrees, velocities over Nyquist unless said otherwise.

    Attributes:
      nyquist_cm_s: velocity that turns the lag-one phase by pi; ``c * prf / (4 * f0)``.
      mode: ``velocity``, ``variance`` or ``power``.
      wall_filter: velocity at which the high-pass takes half of the power.
      packet: pulses per colour line, 4..20; few pulses make a noisy estimate.
      lines_per_beam: colour lines per beam of the fan's grid; `draw_colour_settings` gets it from the frame rate.
      gain_db, threshold, noise: colour gain, detection level of ``|R1|`` (blood at full power is 1), noise behind the
        PSF.
      priority: grey level, 0..255, from which B-mode is shown instead of colour (the write priority).
      priority_slope: how steeply the detection level rises with grey below that.
      persistence: weight of the last frame, on ``R1``.
      jitter: velocity noise of every sample; unsteady: relative noise of patches twice the PSF; wander: noise of
        patches of about 7 mm, correlated over ~30 ms.
      speckle: standard deviation of the log of the power over the PSF; grain: from sample to sample after it.
      dropout_db: standard deviation of slow patches of missing power; roughness: raggedness of the flow's edge, 0..1.
      amplitude: factor on the scene's velocities.
      flash: how much moving tissue leaks past the wall filter; flash_frames, flash_velocity: a burst of it (a cough,
        a moved probe).
      bloom_mm: how far colour is written beyond the blood.
      twinkle: random phase over very bright reflectors, 0..1.
      v_min: slowest velocity that is painted.
      axial_mm, lateral_deg: colour PSF, full width at half maximum.
      attenuation_db_cm: loss of colour below 8 cm (4 cm in vessels).
      alpha: opacity of weak and of strong signal; (1, 1) is opaque.
      dynamic_range_db: of a power map.
    """

    nyquist_cm_s: float
    mode: str = "velocity"
    wall_filter: float = 0.10
    packet: int = 10
    lines_per_beam: float = 0.5
    gain_db: float = 0.0
    threshold: float = 0.16
    noise: float = 0.03
    priority: float = 105.0
    priority_slope: float = 2.2
    persistence: float = 0.15
    jitter: float = 0.13
    unsteady: float = 0.22
    wander: float = 0.14
    speckle: float = 1.1
    grain: float = 0.4
    dropout_db: float = 3.0
    roughness: float = 0.5
    amplitude: float = 0.80
    flash: float = 0.5
    flash_frames: tuple[int, ...] = ()
    flash_velocity: float = 0.0
    bloom_mm: float = 0.0
    twinkle: float = 0.0
    v_min: float = 0.035
    axial_mm: float = 1.05
    lateral_deg: float = 2.2
    attenuation_db_cm: float = 0.25
    alpha: tuple[float, float] = (1.0, 1.0)
    dynamic_range_db: float = 14.0

    def __post_init__(self) -> None:
        limits = (
            ("nyquist_cm_s", 1e-6, 1000.0), ("wall_filter", 0.0, 0.9), ("packet", 2, 64), ("lines_per_beam", 0.02, 8.0),
            ("threshold", 1e-4, 100.0), ("noise", 0.0, 10.0), ("priority", 0.0, 512.0), ("persistence", 0.0, 0.98),
            ("jitter", 0.0, 2.0), ("v_min", 0.0, 0.9), ("axial_mm", 0.05, 20.0), ("lateral_deg", 0.05, 20.0),
            ("bloom_mm", 0.0, 20.0), ("dynamic_range_db", 1.0, 90.0),
        )  # fmt: skip
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                rule = "> 0" if name == "nyquist_cm_s" and value <= 0 else f"in {low}..{high}"
                raise ValueError(f"ColourSettings.{name} must be {rule}, got {value}")
        if self.mode not in ("velocity", "variance", "power"):
            raise ValueError(f"ColourSettings.mode must be velocity, variance or power, got {self.mode!r}")


def prf_hz(nyquist_cm_s: float, centre_mhz: float) -> float:
    """Pulse repetition frequency behind a Nyquist velocity: ``4 * f0 * v / c``."""
    return 4 * centre_mhz * 1e6 * nyquist_cm_s / SPEED_OF_SOUND_CM_S


def draw_colour_settings(
    rng: np.random.Generator,
    *,
    nyquist_range: tuple[float, float],
    domain: str,
    frames: int,
    fps: float,
    box_beams: float,
    mode: str = "velocity",
    packet: tuple[int, int] | None = None,
    artefacts: float = 1.0,
) -> tuple[ColourSettings, dict[str, float]]:
    """Draw an acquisition and the counter-cases that stop a network from learning "colour hides black".

    Args:
      nyquist_range: cm/s.
      domain: one of ``schema.DOMAINS``; decides the centre frequency and the PSF.
      frames, fps: of the clip. The lines that packet, pulse rate and frame rate leave time for are what the box gets.
      box_beams: width of the colour box in beams of the fan's grid.
      packet: range of pulses per colour line; 6..16 when ``None``.
      mode: ``velocity``, ``variance`` or ``power``.
      artefacts: factor on the chances of blooming, low priority, flash, twinkle and too much gain.

    Returns: the settings, and what stands on the screen: ``{"prf_hz", "centre_mhz", "wall_filter_hz"}``.
    """
    u = rng.uniform
    nyquist = float(u(*nyquist_range))
    centre = float(u(*CENTRE_MHZ.get(domain, (2.0, 3.5))))
    prf = prf_hz(nyquist, centre)
    fewest, most = packet or (6, 16)
    pulses = int(rng.integers(fewest, most + 1))
    parallel = int(rng.choice((2, 4, 4, 8)))
    lines = 0.65 * parallel * prf / (fps * pulses)
    wall_filter = float(np.exp(u(np.log(0.06), np.log(0.20))))
    # Vessels of an abdominal organ are thinner than the colour's resolution: it is set to be written over their walls.
    abdomen = domain in ("kidney", "liver")
    chance = rng.random(7) < np.array((0.14, 0.16, 0.10, 0.06, 0.08, 0.15, 0.5)) * np.array((artefacts,) * 5 + (1, 1))
    bloom, high_priority, flash, twinkle, overgain, blended, low_persistence = (bool(c) for c in chance)
    bloom_mm, flash_velocity = float(u(0.8, 3.0)), float(u(0.25, 0.9) * rng.choice((-1, 1)))
    flash_start, flash_length = int(rng.integers(0, max(frames, 1))), int(rng.integers(1, 4))
    thin_bloom_mm, blooms_thin = float(u(0.5, 1.6)), bool(rng.random() < 0.7)
    priority = float(u(140, 255) if high_priority or bloom else u(115, 190) if abdomen else u(70, 140))
    alpha_low, alpha_high = float(u(0.45, 0.75)), float(u(0.75, 0.95))
    vessel = domain == "vessel"
    settings = ColourSettings(
        nyquist_cm_s=nyquist,
        mode=mode,
        wall_filter=wall_filter,
        packet=pulses,
        lines_per_beam=float(np.clip(lines / max(box_beams, 1.0), 0.22, 1.0)),
        gain_db=float(u(-1.0, 4.0) + (5.0 if overgain else 0.0)),
        noise=float(u(0.02, 0.04) * (2.2 if overgain else 1.0)),
        priority=priority,
        priority_slope=float(u(1.4, 3.4)),
        persistence=float(u(0.0, 0.25) if low_persistence else u(0.25, 0.55)),
        jitter=float(u(0.10, 0.17) * np.sqrt(10 / pulses)),
        wander=float(u(0.12, 0.32) * (0.4 if vessel else 1.0)),
        dropout_db=float(u(1.5, 5.5)),
        speckle=float(u(0.8, 1.3)),
        grain=float(u(0.2, 0.8)),
        roughness=float(u(0.3, 0.8)),
        flash=float(u(0.2, 0.8)),
        flash_frames=tuple(range(flash_start, min(flash_start + flash_length, frames))) if flash else (),
        flash_velocity=flash_velocity if flash else 0.0,
        bloom_mm=bloom_mm if bloom else thin_bloom_mm if abdomen and blooms_thin else 0.0,
        twinkle=float(u(0.5, 1.0)) if twinkle else 0.0,
        v_min=float(u(0.02, 0.05)),
        axial_mm=float(u(0.45, 0.8) if vessel else u(0.85, 1.3)),
        lateral_deg=float(u(0.8, 1.3) if vessel else u(1.8, 2.7)),
        attenuation_db_cm=float(u(0.1, 0.4)),
        alpha=(alpha_low, alpha_high) if blended else (1.0, 1.0),
    )
    return settings, {"prf_hz": prf, "centre_mhz": centre, "wall_filter_hz": wall_filter * prf / 2}
