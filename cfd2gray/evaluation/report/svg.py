"""The report's plots as inline SVG: intervals, curves, distributions, scatter.

Colours come from the page's style sheet by class, so that the same drawing serves light and dark. Every mark has a
``<title>`` that says its number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot:
    """A value with its interval, in one row of an interval plot."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    kind: str = "plain"
    """``model``, ``plain`` or ``ceiling``: the style class."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facet:
    """One panel of an interval plot; its dots line up with the rows of the others."""

    title: str
    dots: Sequence[Dot]
    reference: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One curve; NaN breaks it."""

    label: str
    x: np.ndarray
    y: np.ndarray


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """About ``count`` round numbers within ``[low, high]``."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(start, math.floor(high / step + 1e-9) + 1)]


def interval_plot(facets: Sequence[Facet], *, digits: int = 3, shared: bool = True, width: int = 1040) -> str:
    """Dots with intervals, one row per label and one panel per facet, on a shared scale unless ``shared`` is false."""
    names = [dot.label for dot in facets[0].dots]
    left = 16 + 6.6 * max(len(name) for name in names)
    top, row, gap = 34, 24, 18
    panel = (width - left - gap * (len(facets) - 1)) / len(facets)
    height = top + row * len(names) + 26
    parts = [_open(width, height, "interval plot of " + ", ".join(facet.title for facet in facets))]
    for i, name in enumerate(names):
        kind = facets[0].dots[i].kind
        parts.append(_text(left - 12, top + row * (i + 0.5) + 4, name, "end", f"row-label {kind}"))
    common = _range([facet for facet in facets]) if shared else None
    for k, facet in enumerate(facets):
        low, high = common or _range([facet])
        x0 = left + k * (panel + gap)
        parts.append(_facet(facet, x0, panel, top, row, low, high, digits))
    return "".join([*parts, "</svg>"])


def _range(facets: Sequence[Facet]) -> tuple[float, float]:
    values = [v for f in facets for d in f.dots for v in (d.value, d.low, d.high) if v is not None]
    values += [f.reference for f in facets if f.reference is not None]
    return _padded(values)


def _padded(values: Sequence[float]) -> tuple[float, float]:
    values = [v for v in values if math.isfinite(v)] or [0, 1]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high), 1) * 0.05
    return low - margin, high + margin


def _facet(facet: Facet, x0: float, panel: float, top: float, row: float, low: float, high: float, digits: int) -> str:
    def x(value: float) -> float:
        return x0 + (value - low) / (high - low) * panel

    bottom = top + row * len(facet.dots)
    parts = [_text(x0, top - 14, facet.title, "start", "facet-title")]
    for tick in ticks(low, high, count=max(2, int(panel / 45))):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 16, f"{tick:g}", "middle", "tick"))
    if facet.reference is not None and low <= facet.reference <= high:
        at = x(facet.reference)
        parts.append(f'<line class="reference" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 4}" y2="{bottom}"/>')
    for i, dot in enumerate(facet.dots):
        y = top + row * (i + 0.5)
        if dot.value is None:
            parts.append(_text(x0 + 4, y + 4, "no such pixels", "start", "tick"))
            continue
        said = f"{dot.label}, {facet.title}: {dot.value:.{digits}f}"
        line = ""
        if dot.low is not None and dot.high is not None:
            said += f" ({dot.low:.{digits}f} to {dot.high:.{digits}f})"
            line = f'<line x1="{x(dot.low):.1f}" x2="{x(dot.high):.1f}" y1="{y}" y2="{y}"/>'
        mark = f'<circle cx="{x(dot.value):.1f}" cy="{y}" r="{5 if dot.kind == "model" else 4}"/>'
        parts.append(f'<g class="dot {dot.kind}"><title>{escape(said)}</title>{line}{mark}</g>')
    return "".join(parts)


def line_plot(title: str, lines: Sequence[Line], *, x_label: str, width: int = 500, height: int = 250) -> str:
    """Curves over a common x axis, with a legend above."""
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y) if math.isfinite(y)]
    if not points:
        points = [(0.0, 0.0), (1.0, 1.0)]
    y_low, y_high = _padded([y for _, y in points])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x_high = x_high if x_high > x_low else x_low + 1
    legend_rows = -(-len(lines) // 3)
    left, right, top, bottom = 56, width - 12, 30 + 17 * legend_rows, height - 36

    def at(x: float, y: float) -> str:
        px = left + (x - x_low) / (x_high - x_low) * (right - left)
        return f"{px:.1f},{bottom - (y - y_low) / (y_high - y_low) * (bottom - top):.1f}"

    parts = [_open(width, height, title), _text(left, 18, title, "start", "facet-title")]
    parts += _axes(at, x_low, x_high, y_low, y_high, left, right, top, bottom, x_label)
    for i, line in enumerate(lines):
        column, line_row = i % 3, i // 3
        lx, ly = left + column * (right - left) / 3, 36 + 17 * line_row
        parts.append(f'<line class="curve c{i % 6}" x1="{lx:.0f}" x2="{lx + 16:.0f}" y1="{ly - 4}" y2="{ly - 4}"/>')
        parts.append(_text(lx + 21, ly, line.label, "start", "tick"))
        for piece in _pieces(line):
            path = " ".join(at(x, y) for x, y in piece)
            parts.append(
                f'<polyline class="curve c{i % 6}" points="{path}"><title>{escape(line.label)}</title></polyline>'
            )
    return "".join([*parts, "</svg>"])


def _pieces(line: Line) -> list[list[tuple[float, float]]]:
    """Runs of finite points."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x, line.y):
        if math.isfinite(y):
            pieces[-1].append((float(x), float(y)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _axes(at, x_low, x_high, y_low, y_high, left, right, top, bottom, x_label) -> list[str]:
    parts = []
    for tick in ticks(y_low, y_high):
        y = at(x_low, tick).split(",")[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(_text(left - 7, float(y) + 4, f"{tick:g}", "end", "tick"))
    for tick in ticks(x_low, x_high):
        parts.append(_text(float(at(tick, y_low).split(",")[0]), bottom + 16, f"{tick:g}", "middle", "tick"))
    parts.append(_text((left + right) / 2, bottom + 32, x_label, "middle", "tick"))
    return parts


def strip_plot(title: str, groups: Sequence[tuple[str, Sequence[float], str]], *, width: int = 500) -> str:
    """Every value as a point, one row per ``(label, values, kind)``, with median and quartiles drawn over them."""
    left, top, row = 16 + 6.6 * max(len(name) for name, _, _ in groups), 34, 40
    height = top + row * len(groups) + 28
    low, high = _padded([v for _, values, _ in groups for v in values])

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - 12)

    bottom = top + row * len(groups)
    parts = [_open(width, height, title), _text(left, 18, title, "start", "facet-title")]
    for tick in ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 18, f"{tick:g}", "middle", "tick"))
    spread = np.random.default_rng(0)
    for i, (name, values, kind) in enumerate(groups):
        y = top + row * (i + 0.5)
        parts.append(_text(left - 12, y + 4, name, "end", f"row-label {kind}"))
        for value in values:
            parts.append(
                f'<circle class="speck {kind}" cx="{x(value):.1f}" cy="{y + spread.uniform(-11, 11):.1f}" r="2.4"/>'
            )
        if len(values):
            first, middle, third = np.percentile(np.asarray(values, float), [25, 50, 75])
            said = f"{name}: median {middle:.3f}, quartiles {first:.3f} and {third:.3f}, {len(values)} clips"
            box = f'<rect x="{x(first):.1f}" y="{y - 8}" width="{max(x(third) - x(first), 1):.1f}" height="16" rx="3"/>'
            line = f'<line x1="{x(middle):.1f}" x2="{x(middle):.1f}" y1="{y - 12}" y2="{y + 12}"/>'
            parts.append(f'<g class="quartiles {kind}"><title>{escape(said)}</title>{box}{line}</g>')
    return "".join([*parts, "</svg>"])


def scatter_plot(
    title: str, groups: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, x_label: str, width: int = 500
) -> str:
    """Points of several groups ``(label, [(x, y)])``, coloured by group."""
    points = [p for _, values in groups for p in values] or [(0.0, 0.0), (1.0, 1.0)]
    (x_low, x_high), (y_low, y_high) = _padded([p[0] for p in points]), _padded([p[1] for p in points])
    height, left, right, top = 300, 56, width - 12, 52
    bottom = height - 36

    def at(x: float, y: float) -> str:
        px = left + (x - x_low) / (x_high - x_low) * (right - left)
        return f"{px:.1f},{bottom - (y - y_low) / (y_high - y_low) * (bottom - top):.1f}"

    parts = [_open(width, height, title), _text(left, 18, title, "start", "facet-title")]
    parts += _axes(at, x_low, x_high, y_low, y_high, left, right, top, bottom, x_label)
    for i, (name, values) in enumerate(groups):
        lx = left + i * (right - left) / max(len(groups), 4)
        parts.append(f'<circle class="speck c{i % 6}" cx="{lx + 4:.0f}" cy="32" r="4"/>')
        parts.append(_text(lx + 13, 36, name, "start", "tick"))
        for x, y in values:
            px, py = at(x, y).split(",")
            parts.append(
                f'<circle class="speck c{i % 6}" cx="{px}" cy="{py}" r="3"><title>{escape(name)}</title></circle>'
            )
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, label: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{width:g}px">'
    )


def _text(x: float, y: float, text: str, anchor: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
