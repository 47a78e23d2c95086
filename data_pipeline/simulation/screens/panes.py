"""One picture of a screen: tissue at a gain, colour of a mode, the outline of its box."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.simulation.screens import boxes, colours
from data_pipeline.simulation.screens.inks import OUTLINES, rgb_of
from data_pipeline.simulation.screens.styles import Styles
from data_pipeline.simulation.screens.tissue import Tissue


@dataclasses.dataclass(eq=False)
class Pane:
    rgb: np.ndarray
    clean: np.ndarray
    sector: np.ndarray
    flow: np.ndarray
    outline: np.ndarray
    overlay: np.ndarray
    table: np.ndarray | None = None
    box: boxes.BoxStyle | None = None


def draw_pane(rng, tissue: Tissue, mode: str, table: np.ndarray, styles: Styles) -> Pane:
    """One picture of a screen; arrays have the tissue's size."""
    frames = len(tissue.grey)
    clean = table[_exposed(rng, tissue.grey)]
    clean[:, ~tissue.sector] = 0
    sector = np.repeat(tissue.sector[None], frames, 0).astype(np.float32)
    none = np.zeros(tissue.grey.shape, np.float32)
    pane = Pane(clean.copy(), clean, sector, none, none.copy(), none.copy())
    if mode == "bmode":
        return pane
    if mode in ("cfd", "power"):
        _draw_flow(rng, pane, tissue, mode, styles)
    else:
        kind = "tissue" if mode == "tissue" else str(rng.choice(["strain", "elastography", "contrast"]))
        rgb, cover = colours.overlay_colours(rng, kind, tissue.grey, tissue.sector)
        pane.rgb = (pane.rgb * (1 - cover[..., None]) + rgb * cover[..., None]).astype(np.uint8)
        pane.flow = (cover > 0.15).astype(np.float32)
        if rng.random() < 0.5:
            _draw_outline(rng, pane, tissue, styles, flow=pane.flow.any(axis=0))
    return pane


def _exposed(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W] at another gain, dynamic range and depth compensation: from faint to all white."""
    if rng.random() < 0.35:
        return grey
    level = np.arange(256, dtype=np.float32) / 255
    gain, power, lift = np.exp(rng.uniform(-0.5, 1.1)), np.exp(rng.uniform(-0.5, 0.5)), rng.uniform(-0.08, 0.1)
    curve = np.clip(gain * level**power + lift * (level > 0), 0, 1)
    changed = (curve * 255).astype(np.uint8)[grey]
    if rng.random() < 0.5:  # time-gain compensation: brighter or darker with depth
        knots = np.exp(rng.uniform(-0.7, 0.9, 5))
        depth = np.interp(np.linspace(0, 4, grey.shape[1]), np.arange(5), knots)[:, None]
        changed = np.clip(changed * depth, 0, 255).astype(np.uint8)
    return changed


def _draw_flow(rng, pane: Pane, tissue: Tissue, mode: str, styles: Styles) -> None:
    frames = len(tissue.grey)
    painted = ~np.isnan(tissue.velocity)
    style = boxes.draw_box_style(rng, forms=styles.forms, strokes=styles.strokes, inks=styles.inks)
    polygon = boxes.box_polygon(rng, style.form, painted.any(axis=0), tissue.box.any(axis=0), tissue.sector)
    inside = boxes.inside_polygon(polygon, tissue.sector.shape)
    painted &= inside & tissue.sector
    if rng.random() < 0.15:  # colour speckle all over tissue
        noise = cv2.GaussianBlur(rng.random(tissue.sector.shape, dtype=np.float32), (0, 0), rng.uniform(0.6, 1.6))
        level = np.quantile(noise, 1 - rng.uniform(0.005, 0.06))
        for t in range(frames):
            shift = rng.integers(0, 50, 2)
            painted[t] |= (np.roll(noise, shift, (0, 1)) > level) & inside & tissue.sector
    velocity = np.where(painted, np.nan_to_num(tissue.velocity, nan=float(rng.uniform(-0.8, 0.8))), np.nan)
    if rng.random() < 0.3:  # 10 to 15 Hz: colour is held over frames
        hold = int(rng.integers(2, 4))
        velocity = velocity[(np.arange(frames) // hold) * hold]
        painted = ~np.isnan(velocity)
    first = (
        int(rng.integers(1, frames)) if frames > 1 and rng.random() < 0.08 else 0
    )  # switched on late, or a short jet
    painted[:first] = False
    kind = mode if mode == "power" else ("variance" if rng.random() < 0.25 else "velocity")
    rgb = colours.paint_flow(rng, velocity, kind)
    pane.table = colours.velocity_map(rng)
    opacity = rng.uniform(0.5, 0.9) if rng.random() < 0.12 else 1.0
    cover = painted[..., None] * np.float32(opacity)
    if rng.random() < 0.4:
        cover = colours.cv2_blur(cover[..., 0], rng.uniform(0.4, 0.9))[..., None] * tissue.sector[None, ..., None]
    pane.rgb = (pane.rgb * (1 - cover) + rgb * cover + 0.5).astype(np.uint8)
    pane.flow = np.clip(cover[..., 0] / max(opacity, 0.5), 0, 1)
    pane.box = style
    _stroke(rng, pane, polygon, style, late=first)


def _draw_outline(rng, pane: Pane, tissue: Tissue, styles: Styles, *, flow: np.ndarray) -> None:
    style = boxes.draw_box_style(rng, forms=styles.forms, strokes=styles.strokes, inks=styles.inks)
    polygon = boxes.box_polygon(rng, style.form, flow, flow, tissue.sector)
    pane.box = style
    _stroke(rng, pane, polygon, style, late=0)


def _stroke(rng, pane: Pane, polygon: np.ndarray, style: boxes.BoxStyle, *, late: int) -> None:
    """The outline over the pane: still, on the move, or resized in the middle."""
    frames, shape = len(pane.rgb), pane.rgb.shape[1:3]
    seed = int(rng.integers(1 << 31))
    centre = polygon.mean(axis=0)
    moves, grows = rng.random() < 0.06, rng.random() < 0.04
    step = rng.uniform(-2, 2, 2) if moves else np.zeros(2)
    cover, ink = None, np.array(rgb_of(rng, OUTLINES[style.ink]), np.float32)
    for t in range(late if rng.random() < 0.7 else 0, frames):
        if cover is None or moves or (grows and t == frames // 2):
            scale = 0.85 if grows and t >= frames // 2 else 1.0
            moved = (polygon - centre) * scale + centre + step * t
            cover = boxes.stroke_alpha(np.random.default_rng(seed), moved.astype(np.float32), style, shape)
        pane.rgb[t] = (pane.rgb[t] * (1 - cover[..., None]) + ink * cover[..., None] + 0.5).astype(np.uint8)
        pane.outline[t] = np.maximum(pane.outline[t], np.clip(cover * 1.5, 0, 1))
