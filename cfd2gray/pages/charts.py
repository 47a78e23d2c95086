"""Static charts by Matplotlib as inline SVG: intervals, curves, distributions, scatter, parallel coordinates.

Charts are drawn in the light theme's colours, which then become the style sheet's variables: one drawing serves light and
dark. Marks carry a ``<title>`` that says their numbers; equal input gives equal bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from cfd2gray.pages.numbers import number, with_interval

COLOURS = {
    "ink": "#15191d", "soft": "#5c6670", "line": "#e2e4e0", "accent": "#0a6a81", "plain": "#6b747c",
    "yardstick": "#866a12", "card": "#fffffe",
    "c0": "#0a6a80", "c1": "#b84e14", "c2": "#5a6db5", "c3": "#347a43", "c4": "#a8478b", "c5": "#7d6819",
}  # fmt: skip
"""The style sheet's names and what Matplotlib is told; all different, so that each can be found again."""
SERIES = ("c0", "c1", "c2", "c3", "c4", "c5")
_KINDS = {"model": "accent", "plain": "plain", "yardstick": "yardstick"}
_RC = {
    "svg.fonttype": "none", "svg.hashsalt": "cfd2gray", "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left",
    "axes.titleweight": "bold", "axes.titlecolor": COLOURS["ink"], "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["soft"], "xtick.labelcolor": COLOURS["soft"], "ytick.labelcolor": COLOURS["soft"],
    "xtick.major.size": 0, "ytick.major.size": 0, "grid.color": COLOURS["line"], "grid.linewidth": 0.8,
    "axes.facecolor": "none", "axes.grid": True, "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 8.5,
    "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False, "axes.spines.bottom": False,
    "lines.linewidth": 1.7, "lines.solid_joinstyle": "round", "font.family": "DejaVu Sans",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot:
    """A value with its interval, in one row of an interval plot."""

    label: str
    value: float | None
    ends: Sequence[float] | None = None
    """Of the interval, where one is known."""
    kind: str = "plain"
    """``model``, ``plain`` or ``yardstick``."""


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
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray


class _Drawing:
    """A figure and what its marks say."""

    def __init__(self, width: float, height: float, columns: int = 1, *, rows: int = 1, share_x: bool = False) -> None:
        """``width`` and ``height`` in CSS pixels."""
        self.width = width
        self.figure = Figure(figsize=(width / 96, height / 96), layout="constrained")
        self.axes = self.figure.subplots(rows, columns, squeeze=False, sharex=share_x).ravel()
        self._said: list[str] = []

    def say(self, artist, text: str) -> None:
        """Give a mark its ``<title>``."""
        artist.set_gid(f"mark-{len(self._said)}")
        self._said.append(text)

    def svg(self, title: str, *, page: bool = True) -> Markup:
        """The drawing as ``<svg>``; with the page's colours, or (``page=False``) as a file that stands alone."""
        buffer = io.StringIO()
        self.figure.patch.set_visible(not page)
        FigureCanvasSVG(self.figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
        for i, said in enumerate(self._said):
            text = text.replace(f'<g id="mark-{i}">', f'<g class="mark"><title>{escape(said)}</title>', 1)
        if not page:
            return Markup(text)
        box = re.search(r'viewBox="([^"]*)"', text)[1]
        opening = (
            f'<svg class="plot" viewBox="{box}" role="img" '
            f'aria-label="{escape(title)}" style="max-width:{self.width:g}px" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<title>{escape(title)}</title>"
        )
        text = opening + text[text.index(">") + 1 :]
        own = hashlib.sha256(text.encode()).hexdigest()[:8]  # two charts on a page must not share an id
        text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>p{own}-", text)
        for name, colour in COLOURS.items():
            text = text.replace(colour, f"var(--{name})")
        return Markup(re.sub(r"\n\s*", "\n", text))


@mpl.rc_context(_RC)
def interval_plot(
    facets: Sequence[Facet], *, digits: int = 3, shared: bool = True, width: int = 1040, page: bool = True
) -> Markup:
    """Dots with intervals, one row per label and one panel per facet, on a shared scale unless ``shared`` is false; as a
    file that stands alone with ``page=False``."""
    names = [dot.label for dot in facets[0].dots]
    drawing = _Drawing(width, 70 + 24 * len(names), len(facets), share_x=shared)
    for k, (axes, facet) in enumerate(zip(drawing.axes, facets)):
        axes.set_title(facet.title)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=4 if len(facets) > 2 else 6)
        if facet.reference is not None:
            axes.axvline(facet.reference, color=COLOURS["soft"], linewidth=1, linestyle=(0, (3, 3)))
        for row, dot in enumerate(facet.dots):
            _draw_dot(drawing, axes, row, dot, facet.title, digits)
    for label, dot in zip(drawing.axes[0].get_yticklabels(), facets[0].dots):
        label.set_color(COLOURS["accent" if dot.kind == "model" else "yardstick" if dot.kind == "yardstick" else "ink"])
        label.set_fontweight("bold" if dot.kind == "model" else "normal")
    return drawing.svg("interval plot of " + ", ".join(facet.title for facet in facets), page=page)


def _draw_dot(drawing: _Drawing, axes, row: int, dot: Dot, title: str, digits: int) -> None:
    if dot.value is None:
        axes.text(0.02, row, "no such pixels", transform=axes.get_yaxis_transform(), va="center", color=COLOURS["soft"])
        return
    colour = COLOURS[_KINDS[dot.kind]]
    if dot.ends:
        axes.plot(dot.ends, (row, row), color=colour, linewidth=2, solid_capstyle="round")
    (mark,) = axes.plot([dot.value], [row], "o", color=colour, markersize=7.5 if dot.kind == "model" else 6)
    drawing.say(mark, f"{dot.label}, {title}: {with_interval(dot.value, dot.ends, digits)}")


@mpl.rc_context(_RC)
def line_plot(title: str, lines: Sequence[Line], *, x_label: str) -> Markup:
    """Curves over a common x axis, with a legend."""
    drawing = _Drawing(500, 270)
    _draw_lines(drawing, drawing.axes[0], title, lines, x_label)
    return drawing.svg(title)


@mpl.rc_context(_RC)
def line_plots(panels: Sequence[tuple[str, Sequence[Line]]], *, x_label: str) -> str:
    """Panels ``(title, lines)`` two by two as one SVG file that stands alone."""
    rows = -(-len(panels) // 2)
    drawing = _Drawing(1060, 270 * rows, 2, rows=rows)
    for axes, (title, lines) in zip(drawing.axes, panels):
        _draw_lines(drawing, axes, title, lines, x_label)
    for axes in drawing.axes[len(panels) :]:
        axes.set_axis_off()
    return str(drawing.svg("training curves", page=False))


def _draw_lines(drawing: _Drawing, axes, title: str, lines: Sequence[Line], x_label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.grid(axis="x", visible=False)
    for i, line in enumerate(lines):
        (mark,) = axes.plot(line.x, line.y, color=COLOURS[SERIES[i % 6]], label=line.label)
        drawing.say(mark, line.label)
    if lines:
        axes.legend(labelcolor=COLOURS["soft"], ncols=min(3, len(lines)), handlelength=1.2)


@mpl.rc_context(_RC)
def strip_plot(title: str, groups: Sequence[tuple[str, Sequence[float], str]]) -> Markup:
    """Every value as a point, one row per ``(label, values, kind)``, with median and quartiles drawn over them."""
    drawing = _Drawing(500, 70 + 38 * len(groups))
    axes = drawing.axes[0]
    axes.set_title(title)
    axes.set_yticks(range(len(groups)), [name for name, _, _ in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    spread = np.random.default_rng(0)
    for row, (name, values, kind) in enumerate(groups):
        if not len(values):
            continue
        colour = COLOURS[_KINDS[kind]]
        heights = row + spread.uniform(-0.28, 0.28, len(values))
        axes.plot(values, heights, "o", markersize=3.6, markeredgewidth=0, color=colour, alpha=0.45)
        first, middle, third = np.percentile(np.asarray(values, float), [25, 50, 75])
        box = axes.barh(row, third - first, left=first, height=0.4, color=colour, alpha=0.25)[0]
        axes.plot([middle, middle], [row - 0.3, row + 0.3], color=colour, linewidth=2.2)
        said = f"{name}: median {number(middle)}, quartiles {number(first)} and {number(third)}, {len(values)} clips"
        drawing.say(box, said)
    return drawing.svg(title)


@mpl.rc_context(_RC)
def scatter_plot(title: str, groups: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, x_label: str) -> Markup:
    """Points of several groups ``(label, [(x, y)])``, coloured by group."""
    drawing = _Drawing(500, 320)
    axes = drawing.axes[0]
    axes.set_title(title)
    axes.set_xlabel(x_label)
    for i, (name, values) in enumerate(groups):
        points = np.asarray(values, float).reshape(-1, 2)
        colour = COLOURS[SERIES[i % 6]]
        (mark,) = axes.plot(*points.T, "o", markersize=5, markeredgewidth=0, alpha=0.8, color=colour, label=name)
        drawing.say(mark, name)
    if groups:
        axes.legend(labelcolor=COLOURS["soft"], ncols=min(3, len(groups)), handletextpad=0.1)
    return drawing.svg(title)


_LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", ["#5a6db5", "#a8478b", "#d06a1c"])


@mpl.rc_context(_RC)
def parallel_plot(
    names: Sequence[str],
    heights: Sequence[Sequence[float | None]],
    ends: Sequence[tuple[str, str]],
    said: Sequence[str],
) -> Markup:
    """One upright axis per name, one line per run, coloured by its place on the last axis.

    Args:
      names: of the axes.
      heights: per run, its place in [0, 1] on every axis; ``None`` where it has none.
      ends: what stands below and above each axis.
      said: per run, its title.
    """
    drawing = _Drawing(1040, 340)
    axes = drawing.axes[0]
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_xticks(range(len(names)), names)
    axes.xaxis.tick_top()
    for place, (low, high) in enumerate(ends):
        axes.plot((place, place), (0, 1), color=COLOURS["soft"], linewidth=1)
        axes.text(place, -0.04, low, ha="center", va="top", color=COLOURS["soft"])
        axes.text(place, 1.04, high, ha="center", va="bottom", color=COLOURS["soft"])
    for row, text in zip(heights, said):
        points = [(x, y) for x, y in enumerate(row) if y is not None]
        colour = COLOURS["plain"] if row[-1] is None else to_hex(_LOW_TO_HIGH(row[-1]))
        (mark,) = axes.plot(*zip(*points), color=colour, marker="o", markersize=4) if points else (None,)
        if mark is not None:
            drawing.say(mark, text)
    axes.set_ylim(-0.14, 1.14)
    axes.set_xlim(-0.3, len(names) - 0.7)
    return drawing.svg("parallel coordinates of the runs")
