"""What a scanner writes over its picture: bars, text, ECG, depth ticks, calipers, focus marks, a logo.

Everything but the ECG trace stands still, so a `Screen` holds one picture with its opacity and each frame's trace.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.simulation.console.colour_maps import ColourMap
from data_pipeline.simulation.scan_grid import ScanGrid

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)
_INK = ((226, 226, 226), (200, 206, 214), (240, 232, 150), (150, 222, 232), (244, 190, 90))
_TRACE = ((70, 235, 90), (110, 240, 200), (240, 230, 90), (230, 230, 230), (90, 200, 250))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screen:
    """``rgb`` uint8 ``[H, W, 3]``, ``alpha`` uint8 ``[H, W]``, ``traces``: per frame int32 ``[N, 2]`` or empty."""

    rgb: np.ndarray
    alpha: np.ndarray
    traces: tuple[np.ndarray, ...]
    trace_rgb: tuple[int, int, int]


class _Canvas:
    def __init__(self, height: int, width: int, font: int, size: float) -> None:
        self.rgb = np.zeros((height, width, 3), np.uint8)
        self.alpha = np.zeros((height, width), np.uint8)
        self._font, self._size = font, size * (1.9 if font == cv2.FONT_HERSHEY_PLAIN else 1.0)
        self.line_height = max(7, int(30 * size))

    def text(self, words: str, x: float, y: float, ink: tuple[int, int, int]) -> None:
        self._ink(ink, lambda mask: cv2.putText(
            mask, words, (int(x), int(y)), self._font, self._size, 255, 1, cv2.LINE_AA
        ))  # fmt: skip

    def line(self, points: np.ndarray, ink: tuple[int, int, int], *, fill: bool = False) -> None:
        fixed = [np.round(np.asarray(points) * 16).astype(np.int32)]
        if fill:
            self._ink(ink, lambda mask: cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, 4))
        else:
            self._ink(ink, lambda mask: cv2.polylines(mask, fixed, False, 255, 1, cv2.LINE_AA, 4))

    def picture(self, patch: np.ndarray, x: int, y: int) -> None:
        height, width = self.alpha.shape
        x, y = max(0, int(x)), max(0, int(y))
        patch = patch[: max(0, height - y), : max(0, width - x)]
        self.rgb[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        self.alpha[y : y + patch.shape[0], x : x + patch.shape[1]] = 255

    def _ink(self, ink, draw) -> None:
        mask = np.zeros_like(self.alpha)
        draw(mask)
        where = mask > 0
        self.rgb[where] = ink
        np.maximum(self.alpha, mask, out=self.alpha)


def make_screen(
    rng: np.random.Generator,
    fan: ScanGrid,
    colour_map: ColourMap,
    *,
    nyquist_cm_s: float,
    shown: dict[str, float],
    phase: np.ndarray,
    fps: float,
    over_sector: bool = False,
) -> Screen:
    """Draw a screen layout.

    Args:
      phase: float ``[T]``, cardiac phase in 0..1 with the R wave at 0; drives the ECG sweep.
      shown: ``prf_hz``, ``centre_mhz``, ``wall_filter_hz``, as in `draw_colour_settings`.
      over_sector: a few elements are put over the sector on purpose, instead of beside it.
    """
    height, width = fan.height, fan.width
    u = rng.uniform
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    canvas = _Canvas(height, width, font, float(u(0.9, 1.15)) * max(0.22, 0.32 * height / 300))
    ink = _INK[int(rng.choice(5, p=(0.5, 0.2, 0.1, 0.1, 0.1)))]
    if over_sector:
        _scatter(rng, canvas, fan, ink)
    else:
        side = ("right", "left", "none")[int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
        if side != "none":
            _bars(rng, canvas, colour_map, nyquist_cm_s, side=side, ink=ink)
        _text_block(rng, canvas, fan, nyquist_cm_s, shown, fps, side="right" if side == "left" else "left", ink=ink)
        _depth_ticks(rng, canvas, fan, ink)
        if u() < 0.4:
            _calipers(rng, canvas, fan)
        if u() < 0.7:
            _logo(rng, canvas, fan)
    has_trace = u() < (0.35 if over_sector else 0.75)
    bottom = float(u(0.72, 0.93) if over_sector else u(0.9, 0.96)) * height
    traces = _ecg(rng, phase, fps, height, width, bottom) if has_trace else (np.empty((0, 2), np.int32),) * len(phase)
    trace_rgb = _TRACE[int(rng.choice(5, p=(0.5, 0.15, 0.1, 0.15, 0.1)))]
    return Screen(rgb=canvas.rgb, alpha=canvas.alpha, traces=traces, trace_rgb=trace_rgb)


def draw_screen(frames: np.ndarray, screen: Screen) -> None:
    """Draw onto uint8 ``[T, H, W, 3]`` in place."""
    ys, xs = np.nonzero(screen.alpha)
    if len(ys):
        weight = screen.alpha[ys, xs, None].astype(np.float32) / 255
        inked = screen.rgb[ys, xs] * weight
        for frame in frames:
            frame[ys, xs] = (frame[ys, xs] * (1 - weight) + inked + 0.5).astype(np.uint8)
    for frame, trace in zip(frames, screen.traces):
        if len(trace) > 1:
            cv2.polylines(frame, [trace], False, screen.trace_rgb, 1, cv2.LINE_AA)


def drawn_over(screen: Screen, frame: int) -> np.ndarray:
    """bool ``[H, W]``: what the screen covers in a frame, enough of it to be seen."""
    covered = (screen.alpha > 40).astype(np.uint8)
    if len(screen.traces[frame]) > 1:
        cv2.polylines(covered, [screen.traces[frame]], False, 1, 1)
    return covered > 0


def _bars(rng, canvas: _Canvas, colour_map: ColourMap, nyquist: float, *, side: str, ink) -> None:
    height, width = canvas.alpha.shape
    bar_w, bar_h = max(4, int(width * rng.uniform(0.02, 0.034))), int(height * rng.uniform(0.2, 0.32))
    gap = max(4, int(0.02 * width))
    x = width - bar_w - 3 * gap if side == "right" else gap + bar_w // 2 + 4
    y = int(height * rng.uniform(0.1, 0.2))
    canvas.picture(colour_map.bar(bar_h, bar_w), x, y)
    grey = np.linspace(255, 0, bar_h).astype(np.uint8)[:, None, None].repeat(max(2, bar_w // 2), 1).repeat(3, 2)
    canvas.picture(grey, x - bar_w // 2 - 3, y)
    if colour_map.kind == "power":
        canvas.text("CPA", x - bar_w // 2, y + bar_h + canvas.line_height, ink)
        return
    style = rng.integers(3)
    high, low = nyquist * (1 + colour_map.baseline), nyquist * (1 - colour_map.baseline)
    names = (
        (f"+{high:.1f}", f"-{low:.1f}"),
        (f"{high / 100:.2f}", f"-{low / 100:.2f}"),
        (f"{high:.0f}", f"{-low:.0f}"),
    )
    top, bottom = names[int(style)]
    canvas.text(top, x - bar_w, y - 3, ink)
    canvas.text(bottom, x - bar_w, y + bar_h + canvas.line_height, ink)
    canvas.text("m/s" if style == 1 else "cm/s", x - bar_w, y + bar_h + 2 * canvas.line_height, ink)


def _text_block(rng, canvas: _Canvas, fan: ScanGrid, nyquist: float, shown, fps: float, *, side: str, ink) -> None:
    height, width = canvas.alpha.shape
    probe = {
        "phased": ("S5-1", "M5S", "P4-2", "3V2c"),
        "curvilinear": ("C5-1", "C1-6", "4C"),
        "linear": ("L12-3", "9L", "L15-4"),
    }
    lines = (
        probe[fan.geometry.kind][int(rng.integers(3))], f"{fps:.0f}Hz", f"{fan.depth_cm[-1]:.0f}cm", "", "2D",
        f" {rng.integers(40, 80)}%", f" C {rng.integers(40, 66)}", " P Low", "", "CF", f" {rng.integers(40, 80)}%",
        f" {shown.get('prf_hz', 0):.0f}Hz",
        f" WF {shown.get('wall_filter_hz', 0):.0f}Hz", f" {shown.get('centre_mhz', 0):.1f}MHz",
    )  # fmt: skip
    x = 3 if side == "left" else int(0.84 * width)
    y = int(height * rng.uniform(0.12, 0.22))
    for line in lines:
        y += canvas.line_height
        if line:
            canvas.text(line, x, y, ink)
    if rng.random() < 0.7:
        canvas.text(
            f"ID {rng.integers(1000, 99999)}   TIS{rng.uniform(0.2, 1.6):.1f}  MI {rng.uniform(0.4, 1.5):.1f}",
            3,
            canvas.line_height,
            ink,
        )


def _depth_ticks(rng, canvas: _Canvas, fan: ScanGrid, ink) -> None:
    if rng.random() < 0.2:
        return
    px = 1 / fan.cm_per_px
    top = fan.geometry.depth[0] + (0 if fan.linear else fan.geometry.apex_y)
    columns = np.nonzero(fan.mask.any(0))[0]
    x = min(columns[-1] + 4, fan.width - 4) if rng.random() < 0.7 else max(columns[0] - 4, 2)
    for cm in range(int(fan.depth_cm[-1]) + 1):
        size = 4 if cm % 5 == 0 else 2
        y = top + cm * px
        canvas.line(np.array([[x, y], [x + size, y]]), ink)
        if cm and cm % 5 == 0:
            canvas.text(str(cm), x + size + 1, y + 3, ink)
    focus = top + rng.uniform(0.4, 0.8) * fan.depth_cm[-1] * px
    canvas.line(np.array([[x - 1, focus], [x - 5, focus - 3], [x - 5, focus + 3]]), ink, fill=True)


def _calipers(rng, canvas: _Canvas, fan: ScanGrid) -> None:
    ink = _INK[int(rng.integers(2, 5))]
    ys, xs = np.nonzero(fan.mask)
    ends = [np.array([xs[i], ys[i]], float) for i in rng.integers(len(xs), size=2)]
    size = max(2.0, 0.012 * fan.height)
    for end in ends:
        canvas.line(np.stack([end - (size, 0), end + (size, 0)]), ink)
        canvas.line(np.stack([end - (0, size), end + (0, size)]), ink)
    length = float(np.hypot(*(ends[1] - ends[0])))
    for s in np.arange(0, length, 4.0) / max(length, 1.0):
        point = ends[0] + s * (ends[1] - ends[0])
        canvas.line(np.stack([point, point + (0.8, 0)]), ink)
    canvas.text(f"+ {length * fan.cm_per_px:.2f} cm", 0.7 * fan.width, 0.88 * fan.height, ink)


def _logo(rng, canvas: _Canvas, fan: ScanGrid) -> None:
    """Orientation mark near the apex: a coloured letter or dot."""
    ink = ((60, 200, 90), (240, 160, 40), (90, 170, 250), (230, 230, 230))[int(rng.integers(4))]
    ys, xs = np.nonzero(fan.mask)
    x, y = (xs[ys == ys[0]].min() - 0.05 * fan.width, ys[0] + 0.02 * fan.height)
    canvas.text("VPGSo"[int(rng.integers(5))], max(2, x), max(8, y + 6), ink)


def _scatter(rng, canvas: _Canvas, fan: ScanGrid, ink) -> None:
    """Words and marks that lie over the sector, as annotations and measuring tools do."""
    ys, xs = np.nonzero(fan.mask)
    words = (
        "LV",
        "LA",
        "RV",
        "AO",
        "MV",
        "RT KIDNEY",
        "SAG",
        "CCA",
        "1",
        "cm/s",
        "75%",
        "18Hz",
        "HR 72",
        "+",
        "x",
        "FR 24",
    )
    for _ in range(int(rng.integers(1, 5))):
        i = int(rng.integers(len(xs)))
        canvas.text(words[int(rng.integers(len(words)))], xs[i] - 8, ys[i], ink)
    if rng.random() < 0.5:
        _calipers(rng, canvas, fan)
    if rng.random() < 0.4:
        _depth_ticks(rng, canvas, fan, ink)


def _ecg(
    rng, phase: np.ndarray, fps: float, height: int, width: int, bottom: float
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """A sweep across part of the screen; every frame shows it up to now."""
    count, tall = len(phase), height * rng.uniform(0.035, 0.075)
    span = width * rng.uniform(0.3, 0.95)
    beats = np.unwrap(np.asarray(phase, float) * 2 * math.pi) / (2 * math.pi)
    fine = np.linspace(0, count - 1, max(16 * count, 32))
    p = np.interp(fine, np.arange(count), beats) % 1
    inverted = -1 if rng.random() < 0.1 else 1
    wave = (
        np.exp(-(((p - 0.02 + 0.5) % 1 - 0.5) / 0.012) ** 2) - 0.25 * np.exp(-((p - 0.05) / 0.012) ** 2)
        + rng.uniform(0.1, 0.3) * np.exp(-((p - 0.36) / 0.05) ** 2) + 0.1 * np.exp(-((p - 0.90) / 0.025) ** 2)
    )  # fmt: skip
    x = 0.02 * width + span * fine / max(count - 1, 1)
    points = np.round(np.stack([x, bottom - inverted * tall * wave], -1)).astype(np.int32)
    return tuple(points[: max(2, int((k + 1) / count * len(points)))] for k in range(count))
