"""What else is drawn on a screen: text, traces, callipers, contours, labels, bars, tables, logos."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from data_pipeline.simulation.screens.inks import text_ink

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_GLYPHS = np.array(list("ABCDEFGHIJKLMNOPRSTUVWXYZabcdefghiklmnoprstuvz0123456789./:-%"))


class Canvas:
    """Colour and cover of what is drawn, per frame: rgb uint8 [T, H, W, 3], alpha float32 [T, H, W]."""

    def __init__(self, frames: int, height: int, width: int):
        self.rgb = np.zeros((frames, height, width, 3), np.uint8)
        self.alpha = np.zeros((frames, height, width), np.float32)

    def put(self, mask: np.ndarray, ink, opacity: float = 1.0, frames: slice = slice(None)) -> None:
        """Lay ink over the pixels of mask, uint8 or bool [H, W]; 255 or True covers."""
        cover = (mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)) * opacity
        where = cover > 0.05
        for rgb, alpha in zip(self.rgb[frames], self.alpha[frames]):
            rgb[where] = ink
            alpha[where] = np.maximum(alpha[where], cover[where])

    def over(self, picture: np.ndarray) -> np.ndarray:
        """The picture, uint8 [T, H, W, 3], with the marks on it."""
        alpha = self.alpha[..., None]
        return (picture * (1 - alpha) + self.rgb * alpha + 0.5).astype(np.uint8)


def text(rng: np.random.Generator, canvas: Canvas, region: tuple[int, int, int, int], ink, *, lines: int = 1) -> None:
    """Lines of text in region (y0, x0, y1, x1), at a size that suits the frame."""
    y0, x0, y1, x1 = region
    height = canvas.alpha.shape[1]
    scale = max(0.25, height / 480 * rng.uniform(0.3, 0.9))
    font, thick = int(rng.choice(_FONTS)), int(rng.choice([1, 1, 1, 2])) if scale > 0.4 else 1
    mask = np.zeros(canvas.alpha.shape[1:], np.uint8)
    y = y0 + int(20 * scale)
    for _ in range(lines):
        if y > y1:
            break
        words = "".join(rng.choice(_GLYPHS, int(rng.integers(2, 16)))) + rng.choice(["", " cm/s", " Hz", " %", " mm"])
        cv2.putText(mask, words, (x0, y), font, scale, 255, thick, cv2.LINE_AA)
        y += int(26 * scale) + 1
    mask[:, x1:] = 0
    canvas.put(mask, ink)


def trace(rng: np.random.Generator, canvas: Canvas, ink, *, y: float, height: float, kind: str = "ecg") -> None:
    """A sweeping ECG or respiration line around row y, ``height`` px tall."""
    frames, rows, columns = canvas.alpha.shape
    x = np.arange(columns)
    period = columns / rng.uniform(2, 6)
    beat = (x / period + rng.random()) % 1
    wave = np.sin(2 * np.pi * beat) if kind == "respiration" else (
        np.exp(-(((beat - 0.3) / 0.02) ** 2)) - 0.3 * np.exp(-(((beat - 0.34) / 0.02) ** 2))
        + 0.2 * np.exp(-(((beat - 0.6) / 0.06) ** 2)) + 0.1 * np.exp(-(((beat - 0.15) / 0.04) ** 2))
    )  # fmt: skip
    line = y - wave * height
    speed, start = columns * rng.uniform(0.0, 0.05), rng.uniform(0, columns)
    thick = int(rng.choice([1, 1, 2]))
    sweeps = rng.random() < 0.8
    for t in range(frames):
        head = int((start + t * speed) % columns)
        points = np.stack([x, line], axis=1).round().astype(np.int32)
        mask = np.zeros((rows, columns), np.uint8)
        gap = max(columns // 25, 3)
        parts = (points[:head], points[head + gap :]) if sweeps else (points,)
        for part in parts:
            if len(part) > 1:
                cv2.polylines(mask, [part], False, 255, thick, cv2.LINE_AA)
        canvas.put(mask, ink, frames=slice(t, t + 1))


def callipers(rng: np.random.Generator, canvas: Canvas, sector: np.ndarray, ink) -> None:
    """Crosses, and between them a dotted line."""
    ys, xs = np.nonzero(sector)
    pick = rng.integers(0, len(ys), 2)
    ends = [(int(xs[k]), int(ys[k])) for k in pick]
    mask = np.zeros(sector.shape, np.uint8)
    size = max(int(0.012 * sector.shape[0] * rng.uniform(0.6, 2)), 2)
    for x, y in ends:
        cv2.line(mask, (x - size, y), (x + size, y), 255, 1)
        cv2.line(mask, (x, y - size), (x, y + size), 255, 1)
    if rng.random() < 0.6:
        steps = np.linspace(0, 1, max(int(np.hypot(*np.subtract(*ends)) // 5), 2))
        for s in steps:
            x, y = np.round(np.array(ends[0]) * (1 - s) + np.array(ends[1]) * s).astype(int)
            cv2.circle(mask, (int(x), int(y)), 0, 255, -1)
    canvas.put(mask, ink)


def contour(rng: np.random.Generator, canvas: Canvas, sector: np.ndarray, ink, *, filled: bool) -> None:
    """A traced chamber: a closed line, or a segmentation laid over the image, moving a little."""
    frames = len(canvas.alpha)
    ys, xs = np.nonzero(sector)
    k = int(rng.integers(len(ys)))
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 0.5 + 0.2 * np.sin(angle * rng.integers(1, 4) + rng.uniform(0, 6))
    size = np.array([sector.shape[1], sector.shape[0]]) * rng.uniform(0.08, 0.25)
    beats = bool(rng.random() < 0.5)
    opacity = rng.uniform(0.25, 0.6)
    for t in range(frames):
        swell = 1 + 0.15 * np.sin(2 * np.pi * t / max(frames, 2)) * beats
        points = np.stack(
            [xs[k] + np.cos(angle) * radius * size[0] * swell, ys[k] + np.sin(angle) * radius * size[1] * swell], 1
        )
        mask = np.zeros(sector.shape, np.uint8)
        shape = [points.round().astype(np.int32)]
        if filled:
            cv2.fillPoly(mask, shape, 255)
            canvas.put(mask, ink, opacity=opacity, frames=slice(t, t + 1))
        else:
            cv2.polylines(mask, shape, True, 255, int(rng.choice([1, 1, 2])), cv2.LINE_AA)
            canvas.put(mask, ink, frames=slice(t, t + 1))


def colour_bar(canvas: Canvas, table: np.ndarray, region: tuple[int, int, int, int]) -> None:
    """A legend of ``table`` (uint8 [256, 3], last row on top) in region (y0, x0, y1, x1)."""
    y0, x0, y1, x1 = region
    if y1 - y0 < 4 or x1 - x0 < 1:
        return
    rows = table[np.linspace(255, 0, y1 - y0).astype(int)]
    canvas.rgb[:, y0:y1, x0:x1] = rows[None, :, None]
    canvas.alpha[:, y0:y1, x0:x1] = 1


def panel(rng: np.random.Generator, canvas: Canvas, region: tuple[int, int, int, int]) -> None:
    """A filled table with text on it."""
    y0, x0, y1, x1 = region
    mask = np.zeros(canvas.alpha.shape[1:], bool)
    mask[y0:y1, x0:x1] = True
    shade = tuple(int(255 * v) for v in colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.05, 0.9)))
    canvas.put(mask, shade, opacity=rng.uniform(0.6, 1.0))
    text(rng, canvas, (y0, x0 + 1, y1, x1), text_ink(rng), lines=int(rng.integers(1, 6)))


def logo(rng: np.random.Generator, canvas: Canvas, region: tuple[int, int, int, int]) -> None:
    """A round or square coloured mark."""
    y0, x0, y1, x1 = region
    radius = max(min(y1 - y0, x1 - x0) // 2, 2)
    mask = np.zeros(canvas.alpha.shape[1:], np.uint8)
    centre = (x0 + radius, y0 + radius)
    if rng.random() < 0.6:
        cv2.circle(mask, centre, radius, 255, -1 if rng.random() < 0.7 else 2)
    else:
        mask[y0 : y0 + 2 * radius, x0 : x0 + 2 * radius] = 255
    canvas.put(mask, text_ink(rng))


def ticks(rng: np.random.Generator, canvas: Canvas, x: int, y0: int, y1: int, ink) -> None:
    """Depth marks down a column."""
    mask = np.zeros(canvas.alpha.shape[1:], np.uint8)
    for k, y in enumerate(np.linspace(y0, y1, int(rng.integers(5, 20)))):
        cv2.line(mask, (x, int(y)), (x + (4 if k % 5 == 0 else 2), int(y)), 255, 1)
    canvas.put(mask, ink)
