"""Outlines of colour boxes in every form that vendors draw, and what resampling makes of them."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.simulation.screens.inks import OUTLINES

FORMS = ("arc", "trapezoid", "parallelogram", "rectangle", "rotated", "edge")
STROKES = ("solid", "dashed", "dotted", "corners", "two_sides", "none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxStyle:
    """How a box is drawn. ``thickness`` in pixels, ``opacity`` 0..1."""

    form: str
    stroke: str
    ink: str
    thickness: int
    opacity: float
    smooth: bool


def draw_box_style(rng: np.random.Generator, *, forms=FORMS, strokes=STROKES, inks=tuple(OUTLINES)) -> BoxStyle:
    """Draw a style out of what is allowed (held-out styles are left out by the caller)."""
    weight = {"arc": 4, "trapezoid": 3, "solid": 6, "dashed": 1.5, "none": 1.2, "white": 4, "grey": 2, "other": 3}
    pick = lambda names: str(rng.choice(names, p=_shares([weight.get(n, 1.0) for n in names])))  # noqa: E731
    return BoxStyle(
        form=pick(forms),
        stroke=pick(strokes),
        ink=pick(inks),
        thickness=int(rng.choice([1, 2, 3, 4], p=[0.55, 0.3, 0.1, 0.05])),
        opacity=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.4 else 1.0,
        smooth=bool(rng.random() < 0.5),
    )


def box_polygon(
    rng: np.random.Generator, form: str, flow: np.ndarray, box: np.ndarray, sector: np.ndarray
) -> np.ndarray:
    """Corners float32 [N, 2] (x, y) of a box of this form around the flow.

    Args:
      flow: bool [H, W], where colour ever is. box: bool [H, W], the acquired box. sector: bool [H, W].
    """
    height, width = sector.shape
    if form in ("arc", "edge"):
        mask = _enlarged(rng, box) & sector if form == "arc" else _to_the_edge(rng, box, sector)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if contours:
            return max(contours, key=len)[:, 0].astype(np.float32)
    ys, xs = np.nonzero(flow if flow.any() else box if box.any() else sector)
    low, high = np.percentile(xs, (2, 98)), np.percentile(ys, (2, 98))
    spread = rng.uniform(0.02, 0.3, 4) * np.array([np.ptp(low), np.ptp(low), np.ptp(high), np.ptp(high)]).clip(8)
    x0, x1, y0, y1 = low[0] - spread[0], low[1] + spread[1], high[0] - spread[2], high[1] + spread[3]
    wide, tall = x1 - x0, y1 - y0
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    if form == "trapezoid":
        corners[:2, 0] += rng.uniform(0.05, 0.3) * wide * np.array([1, -1])
        corners[:, 1] += rng.uniform(-0.06, 0.06, 4) * tall
    elif form == "parallelogram":
        corners[:2, 0] += rng.uniform(-0.4, 0.4) * tall
    elif form == "rotated":
        turn = cv2.getRotationMatrix2D((float(x0 + wide / 2), float(y0 + tall / 2)), float(rng.uniform(-30, 30)), 1.0)
        corners = cv2.transform(corners[None], turn)[0]
    margin = rng.uniform(-0.1, 0.02) * np.array([width, height])
    return np.clip(corners, margin, np.array([width, height]) - 1 - margin).astype(np.float32)


def inside_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """bool [H, W]."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    return mask > 0


def stroke_alpha(rng: np.random.Generator, polygon: np.ndarray, style: BoxStyle, shape: tuple[int, int]) -> np.ndarray:
    """float32 [H, W] in 0..1: how much of each pixel the outline covers."""
    mask = np.zeros(shape, np.uint8)
    if style.stroke == "none":
        return mask.astype(np.float32)
    kind = cv2.LINE_AA if style.smooth else cv2.LINE_8
    for piece in _pieces(rng, polygon, style):
        points = np.round(piece * 8).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, style.thickness, kind, shift=3)
    return mask.astype(np.float32) * (style.opacity / 255)


def _pieces(rng: np.random.Generator, polygon: np.ndarray, style: BoxStyle) -> list[np.ndarray]:
    closed = np.concatenate([polygon, polygon[:1]])
    if style.stroke == "solid":
        return [closed]
    steps = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    whole = along[-1]
    at = lambda s: np.stack([np.interp(s, along, closed[:, k]) for k in (0, 1)], axis=1)  # noqa: E731
    run = lambda a, b: at(np.linspace(a, b, max(int(b - a), 2)))  # noqa: E731
    if style.stroke in ("dashed", "dotted"):
        on = rng.uniform(0.5, 1.5) if style.stroke == "dotted" else rng.uniform(3, 12)
        period = on + (rng.uniform(2, 5) if style.stroke == "dotted" else rng.uniform(2, 8))
        return [run(a, min(a + on, whole)).astype(np.float32) for a in np.arange(0, whole, period)]
    corners = _corner_positions(closed, along)
    if style.stroke == "corners":
        reach = rng.uniform(0.08, 0.25) * whole / 4
        return [at((np.linspace(c - reach, c + reach, 24)) % whole).astype(np.float32) for c in corners[:4]]
    pairs = list(zip(corners, np.append(corners[1:], corners[0] + whole)))
    return [at(np.linspace(a, b, max(int(b - a), 2)) % whole).astype(np.float32) for a, b in pairs[::2]]


def _corner_positions(closed: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Arc lengths of the four corners of a contour: of its simplification to about four points."""
    for tolerance in (0.01, 0.02, 0.04, 0.08):
        simple = cv2.approxPolyDP(closed[:-1, None].astype(np.float32), tolerance * along[-1], True)[:, 0]
        if len(simple) <= 5:
            break
    nearest = [int(np.argmin(np.linalg.norm(closed[:-1] - corner, axis=1))) for corner in simple]
    return np.sort(along[nearest])


def _enlarged(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    """The acquired box, mostly larger: people keep boxes long and let colour fill a part of them."""
    if rng.random() < 0.3 or not box.any():
        return box
    ys, xs = np.nonzero(box)
    grow = np.exp(rng.uniform(0, 0.7, 2)) * (1.0, np.exp(rng.uniform(0, 0.4)))
    centre = np.array([xs.mean(), ys.mean()])
    turn = np.array([[grow[0], 0, centre[0] * (1 - grow[0])], [0, grow[1], centre[1] * (1 - grow[1])]], np.float32)
    return cv2.warpAffine(box.astype(np.uint8), turn, box.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def _to_the_edge(rng: np.random.Generator, box: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """The box widened so that one or both of its sides run along the sector's own edge."""
    height, width = sector.shape
    rows = np.nonzero(box.any(axis=1))[0]
    top, bottom = (rows[0], rows[-1]) if len(rows) else (height // 4, 3 * height // 4)
    band = np.zeros_like(sector)
    band[top : bottom + 1] = sector[top : bottom + 1]
    inset = int(rng.integers(0, 4))
    band = cv2.erode(band.astype(np.uint8), np.ones((3, 2 * inset + 1), np.uint8)) > 0
    if rng.random() < 0.5 and box.any():
        columns = np.nonzero(box.any(axis=0))[0]
        if rng.random() < 0.5:
            band[:, : columns[0]] = False
        else:
            band[:, columns[-1] + 1 :] = False
    return band if band.any() else box


def _shares(weights: list[float]) -> np.ndarray:
    return np.array(weights) / np.sum(weights)
