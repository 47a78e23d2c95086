"""A whole screen from simulated tissue: panes, colour, outline, marks, surroundings, storage; and what every pixel is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.simulation.screens import boxes, colours, marks
from data_pipeline.simulation.screens.inks import text_ink
from data_pipeline.simulation.screens.panes import Pane, draw_pane
from data_pipeline.simulation.screens.storage import store
from data_pipeline.simulation.screens.styles import Styles
from data_pipeline.simulation.screens.tissue import Tissue

KINDS = ("bmode", "cfd", "power", "tissue", "other")
"""What the colour of a screen is, if there is any."""
_MODE_SHARES = {"bmode": 0.27, "cfd": 0.45, "power": 0.08, "tissue": 0.08, "other": 0.12}
_LAYOUTS = {
    "single": 0.66,
    "dual": 0.08,
    "biplane": 0.08,
    "inset": 0.04,
    "triplex": 0.09,
    "spectral": 0.03,
    "mmode": 0.02,
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ScreenClip:
    """A screen clip and its truth.

    Attributes:
      frames: uint8 [T, H, W, 3] RGB. clean: uint8 [T, H, W, 3], the same without colour, outline and marks, not stored.
      sector, flow, outline, overlay: float32 [T, H, W], share of each pixel that is imaged sector, painted by colour
        that hides tissue, drawn outline, other marks. They may overlap.
      kind: of `KINDS`. layout: single, dual, biplane, inset, triplex, spectral or mmode.
      box: `boxes.BoxStyle` of the first pane with colour, or None. codec: of `storage.CODECS`.
    """

    frames: np.ndarray
    clean: np.ndarray
    sector: np.ndarray
    flow: np.ndarray
    outline: np.ndarray
    overlay: np.ndarray
    kind: str
    layout: str
    box: boxes.BoxStyle | None
    codec: str


def draw_screen_clip(
    rng: np.random.Generator,
    tissues: Sequence[Tissue],
    *,
    styles: Styles | None = None,
    rows: tuple[int, int] = (96, 520),
    kind: str | None = None,
    layout: str | None = None,
) -> ScreenClip:
    """Draw one screen.

    Args:
      tissues: to choose from; all have the same number of frames.
      styles: what may be drawn (default: everything).
      rows: range of the screen's height in pixels.
      kind, layout: fixed, or drawn.
    """
    styles = styles or Styles()
    kind = kind or _choose(rng, _MODE_SHARES)
    layout = layout or _choose(rng, _LAYOUTS)
    if layout in ("spectral", "mmode"):
        kind = "bmode"
    if layout == "triplex" and kind not in ("bmode", "cfd", "power"):
        kind = "cfd"
    height = int(np.exp(rng.uniform(*np.log(rows))))
    width = int(height * rng.uniform(0.85, 1.5))
    tint = _tint(rng, styles)
    table = colours.grey_map(rng, tint)
    frames = len(tissues[0].grey)
    backdrop = _backdrop(rng)
    screen = Pane(
        *(
            np.zeros((frames, height, width, *tail), t)
            for tail, t in (((3,), np.uint8), ((3,), np.uint8), *[((), np.float32)] * 4)
        )
    )
    screen.rgb[:], screen.clean[:] = backdrop, backdrop
    style, bar = None, None
    for place, mode in _places(rng, layout, kind, height, width):
        tissue = _shown(rng, tissues, place[2] - place[0], place[3] - place[1])
        pane = draw_pane(rng, tissue, mode, table, styles)
        _lay(screen, pane, place, opaque=layout == "inset" or backdrop == (0, 0, 0))
        style, bar = style or pane.box, bar if bar is not None else pane.table
    if layout in ("triplex", "spectral", "mmode"):
        _draw_strip(rng, screen, layout, table, tissues)
    overlay = _marks(rng, screen, bar if bar is not None else table, styles)
    screen.rgb, screen.clean = overlay.over(screen.rgb), screen.clean
    covered = np.maximum(screen.overlay, overlay.alpha)
    planes = [screen.sector, screen.flow, screen.outline, covered]
    codec = str(rng.choice(styles.codecs))
    rgb, clean, planes = _resampled(rng, screen.rgb, screen.clean, planes)
    return ScreenClip(
        frames=store(rng, rgb, codec), clean=clean, sector=planes[0], flow=planes[1], outline=planes[2],
        overlay=planes[3], kind=kind, layout=layout, box=style, codec=codec,
    )  # fmt: skip


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _tint(rng: np.random.Generator, styles: Styles) -> str:
    coloured = [tint for tint in styles.tints if tint != "none"]
    return "none" if "none" in styles.tints and (not coloured or rng.random() < 0.6) else str(rng.choice(coloured))


def _backdrop(rng: np.random.Generator) -> tuple[int, int, int]:
    pick = rng.random()
    if pick < 0.7:
        return (0, 0, 0)
    if pick < 0.8:
        level = int(rng.integers(5, 70))
        return (level, level, level)
    if pick < 0.87:
        return (int(rng.integers(0, 30)), int(rng.integers(0, 50)), int(rng.integers(40, 120)))
    if pick < 0.93:
        level = int(rng.integers(170, 256))
        return (level, level, level)
    return tuple(int(v) for v in rng.integers(0, 120, 3))


def _places(rng, layout: str, kind: str, height: int, width: int) -> list[tuple[tuple[int, int, int, int], str]]:
    """Rectangles (y0, x0, y1, x1) of the panes and what each shows."""
    margin = lambda: int(rng.uniform(0, 0.12) * height)  # noqa: E731
    if layout == "mmode" and rng.random() < 0.5:
        return []
    if layout in ("triplex", "spectral", "mmode"):
        if layout == "spectral" and rng.random() < 0.3:
            return []
        split = int(height * rng.uniform(0.4, 0.62))
        inset = int(width * rng.uniform(0, 0.3))
        return [((margin() // 2, inset, split, width - inset), kind if layout == "triplex" else "bmode")]
    if layout in ("dual", "biplane"):
        middle = int(width * rng.uniform(0.45, 0.55))
        modes = [kind, kind] if layout == "biplane" else [kind, "bmode"]
        rng.shuffle(modes)
        top, bottom = margin(), height - margin()
        return [((top, 0, bottom, middle - 1), modes[0]), ((top, middle + 1, bottom, width), modes[1])]
    whole = (margin(), int(rng.uniform(0, 0.15) * width), height - margin(), width - int(rng.uniform(0, 0.2) * width))
    if layout == "inset":
        small = int(height * rng.uniform(0.22, 0.35))
        y, x = (0, height - small)[int(rng.integers(2))], (0, width - small)[int(rng.integers(2))]
        return [(whole, kind), ((y, x, y + small, x + small), kind if rng.random() < 0.4 else "bmode")]
    return [(whole, kind)]


def _shown(rng, tissues: Sequence[Tissue], height: int, width: int) -> Tissue:
    """Tissue turned, zoomed and stretched to fill a place."""
    tissue = tissues[int(rng.integers(len(tissues)))]
    turn = rng.random()
    tissue = tissue.turned(upside_down=turn < 0.06, quarter=0.06 <= turn < 0.1, mirrored=bool(rng.random() < 0.4))
    if rng.random() < 0.2:
        rows, columns = tissue.sector.shape
        share = rng.uniform(0.5, 0.85)
        tall, wide = int(rows * share), int(columns * share)
        y, x = int(rng.integers(rows - tall + 1)), int(rng.integers(columns - wide + 1))
        tissue = tissue.cut(slice(y, y + tall), slice(x, x + wide))
    rows, columns = tissue.sector.shape
    fit = min(height / rows, width / columns)
    squeeze = rng.uniform(0.75, 1.0) if rng.random() < 0.4 else 1.0
    flip = rng.random() < 0.5
    tall = max(int(rows * fit * (squeeze if flip else 1)), 24)
    wide = max(int(columns * fit * (1 if flip else squeeze)), 24)
    return tissue.sized(min(tall, height), min(wide, width))


def _lay(screen: Pane, pane: Pane, place: tuple[int, int, int, int], *, opaque: bool) -> None:
    """Put a pane into the middle of its place."""
    tall, wide = pane.rgb.shape[1:3]
    y = place[0] + (place[2] - place[0] - tall) // 2
    x = place[1] + (place[3] - place[1] - wide) // 2
    spot = (slice(None), slice(y, y + tall), slice(x, x + wide))
    shows = np.maximum(pane.sector, pane.outline)[..., None] > 0
    for name in ("rgb", "clean"):
        part = getattr(pane, name)
        getattr(screen, name)[spot] = part if opaque else np.where(shows, part, getattr(screen, name)[spot])
    for name in ("sector", "flow", "outline", "overlay"):
        getattr(screen, name)[spot] = getattr(pane, name)


def _draw_strip(rng, screen: Pane, layout: str, table: np.ndarray, tissues: Sequence[Tissue]) -> None:
    """A spectrum or an M-mode below the image (or alone), with its base line and sometimes a traced envelope."""
    frames, height, width = screen.sector.shape
    used = np.nonzero(screen.sector.any(axis=(0, 2)))[0]
    top = int((used[-1] + 4) if len(used) else height * 0.1)
    if height - top < 16:
        return
    tall = int((height - top) * rng.uniform(0.75, 1.0))
    x = np.arange(width)
    if layout == "mmode":
        tissue = tissues[int(rng.integers(len(tissues)))]
        column = tissue.grey[:, :, tissue.grey.shape[2] // 2]  # [T, h]
        track = column[(x * len(column) * 3 // width) % len(column)].T
        level = cv2.resize(np.ascontiguousarray(track), (width, tall), interpolation=cv2.INTER_LINEAR)
    else:
        beat = (x / (width / rng.uniform(2, 6))) % 1
        envelope = (0.15 + 0.8 * np.exp(-(((beat - 0.3) / 0.12) ** 2))) * tall * rng.uniform(0.3, 0.55)
        base = tall * rng.uniform(0.4, 0.8)
        y = np.arange(tall)[:, None]
        up = np.clip((base - y) / np.maximum(envelope, 1)[None], 0, 2)
        filled = np.where((y < base) & (up < 1), 60 + 150 * up, 6)
        level = np.clip(filled * rng.gamma(4, 0.25, (tall, width)), 0, 255).astype(np.uint8)
        level[int(base)] = 200
    moving = rng.random() < 0.6
    tinted = table if rng.random() < 0.6 else colours.grey_map(rng, "orange")
    for t in range(frames):
        strip = np.roll(level, -t * max(width // 60, 1), axis=1) if moving else level
        screen.rgb[t, top : top + tall] = tinted[strip]
    screen.clean[:, top : top + tall] = screen.rgb[:, top : top + tall]
    if layout != "mmode" and rng.random() < 0.4:
        ink = text_ink(rng)
        line = np.stack([x, top + np.clip(base - envelope, 0, tall - 1)], axis=1).round().astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.polylines(mask, [line], False, 255, 1, cv2.LINE_AA)
        screen.rgb[:, mask > 100] = ink
        screen.overlay[:, mask > 100] = 1
    if len(used) and rng.random() < 0.7:  # gate and cursor lines through the image
        canvas = marks.Canvas(frames, height, width)
        mask = np.zeros((height, width), np.uint8)
        x0 = int(width * rng.uniform(0.4, 0.6))
        x1 = x0 + int(width * rng.uniform(-0.1, 0.1))
        cv2.line(mask, (x0, int(used[0])), (x1, int(used[-1])), 255, 1)
        middle = (int(used[0]) + int(used[-1])) // 2
        for y in (middle - 4, middle + 4):
            cv2.line(mask, ((x0 + x1) // 2 - 5, y), ((x0 + x1) // 2 + 5, y), 255, 1)
        canvas.put(mask, text_ink(rng))
        screen.rgb = canvas.over(screen.rgb)
        screen.overlay = np.maximum(screen.overlay, canvas.alpha)


def _marks(rng, screen: Pane, table: np.ndarray, styles: Styles) -> marks.Canvas:
    """Text, traces, callipers, labels and the rest, mostly beside the sector and now and then over it."""
    frames, height, width = screen.sector.shape
    canvas = marks.Canvas(frames, height, width)
    sector = screen.sector[0] > 0
    ink = text_ink(rng, styles.text_inks)
    corner = lambda: (int(rng.uniform(0, 0.9) * height), int(rng.uniform(0, 0.85) * width))  # noqa: E731
    if rng.random() < 0.1:
        return canvas
    for _ in range(int(rng.integers(0, 5))):
        y, x = corner()
        over = sector[y, x]
        if over and rng.random() < 0.6:
            continue
        marks.text(
            rng,
            canvas,
            (y, x, height, width),
            ink if rng.random() < 0.8 else text_ink(rng, styles.text_inks),
            lines=int(rng.integers(1, 4)),
        )
    chance = lambda share: rng.random() < share  # noqa: E731
    other = lambda: text_ink(rng, styles.text_inks)  # noqa: E731
    if chance(0.5):
        tall = height * rng.uniform(0.02, 0.06)
        y = height * (rng.uniform(0.9, 0.97) if chance(0.6) else rng.uniform(0.6, 0.95))
        marks.trace(rng, canvas, other(), y=y, height=tall, kind="ecg" if chance(0.8) else "respiration")
    if chance(0.2) and sector.any():
        marks.callipers(rng, canvas, sector, other())
    if chance(0.12) and sector.any():
        marks.contour(rng, canvas, sector, other(), filled=chance(0.5))
    if chance(0.6):
        x0 = int(width * (0.93 if chance(0.7) else 0.02))
        y0 = int(height * rng.uniform(0.02, 0.2))
        bar = (y0, x0, y0 + int(height * rng.uniform(0.15, 0.4)), x0 + max(int(width * 0.025), 2))
        marks.colour_bar(canvas, table, bar)
    if chance(0.15):
        y, x = corner()
        marks.panel(rng, canvas, (y, x, min(y + int(0.25 * height), height), min(x + int(0.3 * width), width)))
    if chance(0.4):
        y, x = corner()
        if not sector[y, x]:
            marks.logo(rng, canvas, (y, x, min(y + int(0.07 * height), height), min(x + int(0.07 * width), width)))
    if chance(0.4):
        marks.ticks(rng, canvas, int(width * rng.uniform(0.85, 0.98)), int(0.1 * height), int(0.9 * height), ink)
    return canvas


def _resampled(rng, rgb: np.ndarray, clean: np.ndarray, planes: list[np.ndarray]):
    """The screen as an export tool leaves it: squeezed, reduced or enlarged (or, mostly, as it was)."""
    if rng.random() < 0.6:
        return rgb, clean, planes
    height, width = rgb.shape[1:3]
    tall = max(int(height * np.exp(rng.uniform(-0.7, 0.25))), 64)
    wide = tall if rng.random() < 0.4 else max(int(width * tall / height), 64)
    how = cv2.INTER_AREA if tall < height else cv2.INTER_LINEAR
    resize = lambda stack: np.stack([cv2.resize(p, (wide, tall), interpolation=how) for p in stack])  # noqa: E731
    return resize(rgb), resize(clean), [resize(plane) for plane in planes]
