"""The B-mode chain in beam space: echo amplitudes to grey levels.

    scatterers x amplitude + clutter + noise -> point spread -> envelope -> log -> grey map -> filter -> persistence

Log compression comes before scan conversion, as on a scanner: the other order smears bright interfaces.
"""  # fmt: skip

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.fields import gaussian_blur, noise_field, smoothstep
from data_pipeline.simulation.scan_grid import ScanGrid

GREY_MAPS: dict[str, tuple[tuple[float, float], ...]] = {
    "reject": ((0, 0), (0.21, 0), (0.40, 0.22), (0.62, 0.52), (0.85, 0.83), (1, 1)),
    "linear": ((0, 0), (0.10, 0.02), (1, 1)),
    "s_curve": ((0, 0), (0.15, 0.02), (0.35, 0.16), (0.55, 0.48), (0.75, 0.82), (0.9, 0.96), (1, 1)),
    "soft": ((0, 0.02), (0.2, 0.13), (0.4, 0.32), (0.65, 0.56), (0.85, 0.75), (1, 0.92)),
    "hard": ((0, 0), (0.30, 0.0), (0.45, 0.14), (0.6, 0.44), (0.8, 0.85), (0.92, 1), (1, 1)),
    "dim": ((0, 0.01), (0.25, 0.05), (0.5, 0.20), (0.75, 0.45), (1, 0.82)),
    "bright": ((0, 0), (0.12, 0.06), (0.3, 0.34), (0.5, 0.6), (0.75, 0.84), (1, 1)),
    "shoulder": ((0, 0), (0.18, 0.01), (0.35, 0.25), (0.5, 0.38), (0.7, 0.58), (0.9, 0.9), (1, 1)),
}
"""Families of display maps: log level (0 = bottom of the dynamic range) -> grey level, both 0..1."""
_PREFILTER = 0.55
"""Grid samples of blur that scatterers carry before they move: interpolation then no longer flickers."""
_FINE = 2
"""Scatterers per grid sample and axis."""
_PAD = 48


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """One acquisition's settings: what a sonographer and a vendor chose."""

    dynamic_range_db: float
    gain_db: float
    mean_grey: float
    """Mean grey level of the fan that the gain was turned to, 0..255."""
    axial_mm: float
    """Point spread: full width at half maximum along the beam."""
    lateral_deg: float
    """The same across beams at the focus; for linear probes 1 degree stands for 1.05 mm."""
    focus: float
    """Depth of the transmit focus in parts of the depth range."""
    defocus: float
    """How much wider the beam gets away from the focus, 0 = not at all."""
    sharpen: float
    """Vendor filter: smooth along the arc, sharpen in depth; 0 = none."""
    persistence: float
    display_px: float
    """Softening by the display's own resampling, standard deviation in image pixels."""
    grey_map: str
    grey_anchors: tuple[tuple[float, float], ...]
    haze_db: float
    """Clutter at the skin."""
    haze_slope_db: float
    """Its fall per cm."""
    noise_db: float
    """Thermal noise near the skin; it rises with depth."""

    @property
    def lut(self) -> np.ndarray:
        """float32 [1025]: grey level 0..255 over log level 0..1."""
        x, y = np.array(self.grey_anchors, np.float64).T
        curve = np.interp(np.linspace(0, 1, 1025), x, y) * 255
        return cv2.GaussianBlur(curve[None], (65, 1), 14, borderType=cv2.BORDER_REPLICATE)[0].astype(np.float32)


def draw_look(rng: np.random.Generator, *, domain: str, poor: float, grey_map: str = "draw") -> Look:
    """Draw the acquisition settings.

    ``poor`` 0..1 makes the window poor; ``grey_map``: a key of ``GREY_MAPS`` or ``draw``.
    """
    names = tuple(GREY_MAPS)
    if grey_map not in (*names, "draw"):
        raise ValueError(f"grey_map must be draw or one of {names}, got {grey_map!r}")
    drawn = names[int(rng.choice(len(names), p=(0.24, 0.14, 0.14, 0.12, 0.08, 0.10, 0.08, 0.10)))]
    name = drawn if grey_map == "draw" else grey_map
    lateral = {"heart": (1.3, 2.7), "unknown": (1.3, 2.7), "fetal": (1.0, 1.7), "vessel": (0.5, 0.9)}.get(
        domain, (1.0, 1.7)
    )
    u = rng.uniform
    anchors = [(x, float(np.clip(y + 0.03 * rng.standard_normal() * (0 < x < 1), 0, 1))) for x, y in GREY_MAPS[name]]
    anchors = tuple((x, max(y, *(q for _, q in anchors[: i + 1]), 0.0)) for i, (x, y) in enumerate(anchors))
    # Two real clips that could be measured have means of 68 and of 20.
    mean_grey = float(u(16, 40) if u() < 0.25 else u(36, 88))
    fine = {"heart": 1.08, "unknown": 1.08, "fetal": 0.55, "vessel": 0.30, "kidney": 0.85, "liver": 0.9}[domain]
    return Look(
        dynamic_range_db=float(u(46, 60)), gain_db=0.0, mean_grey=max(14.0, mean_grey - 12 * poor),
        axial_mm=float(fine * u(0.8, 1.3)),
        lateral_deg=float(u(*lateral)), focus=float(u(0.3, 0.6)), defocus=float(u(0.2, 1.0)),
        sharpen=float(u(0.3, 0.9) if rng.random() < 0.55 else 0), persistence=float(u(0.05, 0.4)),
        display_px=float(u(0.2, 0.45)), grey_map=name,
        grey_anchors=anchors, haze_db=float(-u(23, 34) + 10 * poor), haze_slope_db=float(u(2.4, 3.8) - 1.2 * poor),
        noise_db=float(-u(51, 58) + 6 * poor),
    )  # fmt: skip


def exposed(look: Look, level_db: np.ndarray, weight: np.ndarray, *, mean_grey: float) -> Look:
    """The look with its gain turned, as a sonographer would, until the fan's mean grey is about ``mean_grey`` (0..255).

    ``level_db`` float32 [n_r, n_t]: echo amplitudes to be shown; ``weight`` broadcasts to it: image area of a sample.
    """
    level, lut = level_db[::4, ::2] - 2.5, look.lut  # the mean log of speckle lies 2.5 dB under its power
    weight = np.broadcast_to(weight, level_db.shape)[::4, ::2]
    gains = np.linspace(-18, 24, 85, dtype=np.float32)
    index = (level[None] + gains[:, None, None]) * np.float32(1024 / look.dynamic_range_db) + 1024
    mean = (np.take(lut, np.clip(index, 0, 1024).astype(np.int32)) * weight).sum((1, 2)) / weight.sum()
    gain = float(gains[int(np.argmin(np.abs(mean - mean_grey)))])
    return dataclasses.replace(look, gain_db=gain)


def beam_fixed_db(rng: np.random.Generator, fan: ScanGrid, *, poor: float) -> np.ndarray:
    """Gain that stays with the beam, dB, float32 [n_r, n_t]: edge fade, line gain, TGC error, attenuation, shadows."""
    u, d = rng.uniform, fan.depth_cm[:, None]
    span = float(fan.depth_cm[-1])
    side = np.linspace(-1, 1, fan.n_t, dtype=np.float32)[None]
    strength = 0.35 if fan.linear else 1.0
    fade = [strength * float(u(6, 22) + 6 * poor) for _ in range(2)]
    starts = [float(u(0.45, 0.8) - 0.2 * poor) for _ in range(2)]
    total = -fade[0] * smoothstep(-side, starts[0], 1.05) - fade[1] * smoothstep(side, starts[1], 1.05)
    line_sd = float(u(1.5, 4.0)) * (0.5 if fan.linear else 1)
    line = line_sd * noise_field(rng, (8, fan.n_t), 9, fan.n_t * float(u(0.05, 0.1)))[:1]
    line = line * smoothstep(d, 0.0, 0.25 * span)  # side lobes of neighbouring beams fill the near field
    tgc = np.float32(u(1.0, 2.6)) * noise_field(rng, (fan.n_r, 8), 0.14 * fan.n_r, 3)[:, :1]
    focus = float(u(0.3, 0.5)) * span
    attenuation = -float(u(0.2, 0.7) + 0.4 * poor) * (15.0 / max(span, 3.0)) * np.maximum(d - focus, 0)
    clouds = float(u(2, 4.5) + 3 * poor) * noise_field(rng, fan.shape, 0.16 * fan.n_r, 0.17 * fan.n_t)
    total = total + line + tgc + attenuation + clouds
    for _ in range(int(rng.random() < 0.5) + int(rng.random() < 0.25 + 0.5 * poor)):
        centre, width = float(u(-1, 1)), float(u(0.04, 0.16))
        start = float(u(0.06, 0.33)) * span
        lean = noise_field(rng, (fan.n_r, 8), 0.1 * fan.n_r, 3)[:, :1] * np.float32(0.02)
        shadow = steady.exp(-(((side - centre - lean) / width) ** 2)) * smoothstep(d, 0.5 * start, 1.4 * start)
        total = total - float(u(8, 17)) * (0.6 if fan.linear else 1) * shadow
    return total.astype(np.float32)


def clutter_db(rng: np.random.Generator, fan: ScanGrid, look: Look) -> np.ndarray:
    """Amplitude of the clutter that stays with the probe, dB, float32 [n_r, n_t]: haze, ring-down, reverberation.

    Layers lie at multiples of the depth of the first strong reflector, each fainter and longer, broken along the arc.
    """
    u, d = rng.uniform, fan.depth_cm[:, None]
    unit = float(fan.depth_cm[-1]) / 15.0
    haze = (
        look.haze_db
        - look.haze_slope_db / unit * np.maximum(d - unit, 0)
        + 3 * noise_field(rng, fan.shape, 0.12 * fan.n_r, 0.16 * fan.n_t)
    )
    level = np.full(fan.shape, -90, np.float32)
    first, top, fall = float(u(0.35, 0.75)) * unit, float(u(-22, -8)), float(u(3.5, 7))
    for n in range(1, int(rng.integers(3, 8))):
        depth, thick = first * n * (1 + 0.02 * float(rng.standard_normal())), 0.07 * unit * (1 + 0.25 * n)
        bend = noise_field(rng, (8, fan.n_t), 3, 0.2 * fan.n_t)[:1] * np.float32(0.04 * unit * n)
        broken = 4 * noise_field(rng, (8, fan.n_t), 3, 0.1 * fan.n_t)[:1]
        band = steady.exp(-(((d - depth - bend) / thick) ** 2))
        level = np.maximum(level, top - fall * (n - 1) + broken + 20 * steady.log10(band + 1e-4))
    ring = float(u(-14, 0)) - 26 * d / (0.45 * unit)
    level = np.maximum(level, ring)
    return (10 * steady.log10(steady.power(10, haze / 10) + steady.power(10, level / 10))).astype(np.float32)


class Scatterers:
    """Complex white noise in material coordinates, drawn finer than the grid and blurred a little; unit variance."""

    def __init__(self, rng: np.random.Generator, fan: ScanGrid) -> None:
        self._rng, self._shape = rng, fan.shape
        shape = [_FINE * n + 2 * _PAD for n in fan.shape]
        self.field = gaussian_blur(rng.standard_normal((*shape, 2), dtype=np.float32), *(2 * [_FINE * _PREFILTER]))
        self.field *= np.float32(1 / self.field.std())

    def moved(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scatterers at material grid positions (float32 maps [n_r, n_t]), float32 [n_r, n_t, 2]."""
        fine, pad = np.float32(_FINE), np.float32(_PAD)
        return cv2.remap(
            self.field, columns * fine + pad, rows * fine + pad, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )

    def fresh(self) -> np.ndarray:
        """A frame of unrelated scatterers (blood, thermal noise), float32 [n_r, n_t, 2]: a random cut of the field."""
        oy, ox, flip = (int(v) for v in self._rng.integers((2 * _PAD, 2 * _PAD, 4)))
        cut = self.field[oy : oy + _FINE * self._shape[0] : _FINE, ox : ox + _FINE * self._shape[1] : _FINE]
        return cut[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]


class BModeChain:
    """Forms frames for one look; keeps the previous frame for persistence."""

    def __init__(
        self, look: Look, fan: ScanGrid, scatterers: Scatterers, *, fixed_db: np.ndarray, clutter: np.ndarray
    ) -> None:
        self._look, self._scatterers, self._lut = look, scatterers, look.lut
        wanted = fan.axial_px(look.axial_mm / 2.355), fan.angle_px(look.lateral_deg / 2.355)
        self._sigma = [math.sqrt(max(s * s - _PREFILTER**2, 0.0)) for s in wanted]
        self._sharpen_sigma = max(3 * wanted[0], 1.2), max(1.2 * wanted[1], 0.8)
        self._smooth_sigma = 0.8 * wanted[1]
        beam_px = fan.lateral_step_cm[fan.n_r // 2, 0] / fan.cm_per_px
        self._display_sigma = look.display_px / fan.dr, look.display_px / float(beam_px)
        self._widen = look.defocus * wanted[1]
        away = np.abs(np.linspace(0, 1, fan.n_r, dtype=np.float32) - np.float32(look.focus)) / max(look.focus, 0.4)
        self._defocused = np.clip(away[:, None, None], 0, 1) ** 2
        probe = gaussian_blur(np.ascontiguousarray(scatterers.fresh()), *self._sigma)
        wide, w = gaussian_blur(probe, 0, self._widen), self._defocused[:, 0, 0].astype(np.float64)
        narrow_power, both, wide_power = (
            float((a * b).mean()) for a, b in ((probe, probe), (probe, wide), (wide, wide))
        )
        power = (1 - w) ** 2 * narrow_power + 2 * w * (1 - w) * both + w**2 * wide_power  # a wide beam keeps its energy
        self._gain = (look.gain_db - 10 * steady.log10(2 * power + 1e-9)).astype(np.float32)[:, None]
        d = fan.depth_cm[:, None] * np.float32(15 / float(fan.depth_cm[-1]))
        self._fixed = fixed_db.astype(np.float32)
        static = _amplitude(clutter)[..., None] * scatterers.fresh()
        self._clutter = np.ascontiguousarray(static)
        self._thermal = (10 ** (look.noise_db / 20) * (1 + 0.35 * (d / 10) ** 2) * np.ones(fan.shape)).astype(
            np.float32
        )
        self._previous: np.ndarray | None = None

    def form(self, echo_db: np.ndarray, blood: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """One frame of grey levels 0..255, float32 [n_r, n_t].

        Args:
            echo_db: echogenicity of the tissue as it lies now, float32 [n_r, n_t].
            blood: 0..1, float32 [n_r, n_t]; there the scatterers are new in every frame.
            columns, rows: material position of each sample, float32 [n_r, n_t].
        """
        amplitude = _amplitude(echo_db + self._fixed)
        new = cv2.magnitude(self._thermal, amplitude * blood)
        field = self._scatterers.moved(columns, rows)
        field *= (amplitude * (1 - np.float32(0.6) * blood))[..., None]
        field += self._scatterers.fresh() * new[..., None]
        field += self._clutter
        field = gaussian_blur(field, *self._sigma)
        if self._widen >= 0.2:
            field += self._defocused * (gaussian_blur(field, 0, self._widen) - field)
        power = field[..., 0] ** 2 + field[..., 1] ** 2
        level = cv2.log(power + np.float32(1e-12)) * np.float32(10 / math.log(10)) + self._gain
        dynamic = np.float32(self._look.dynamic_range_db)
        index = np.clip((level + dynamic) * (np.float32(1024) / dynamic), 0, 1024).astype(np.int32)
        grey = np.take(self._lut, index)
        if self._look.sharpen:
            smooth = gaussian_blur(grey, 0, self._smooth_sigma)
            wide = gaussian_blur(smooth, *self._sharpen_sigma)
            grey = np.clip(smooth + np.float32(self._look.sharpen) * (smooth - wide), 0, 255)
        grey = gaussian_blur(grey, *self._display_sigma)
        if self._previous is not None:
            keep = np.float32(self._look.persistence)
            grey = grey + keep * (self._previous - grey)
        self._previous = grey
        return grey


def _amplitude(db: np.ndarray) -> np.ndarray:
    """dB to amplitude, float32."""
    return cv2.exp(np.ascontiguousarray(db, np.float32) * np.float32(math.log(10) / 20))
