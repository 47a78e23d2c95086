"""Curves of a training run: for the report, and as one picture that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cfd2gray.evaluation.report.svg import Line, line_plot

LINES = 6
"""Curves per plot: as many as there are colours."""
_WIDTH, _HEIGHT, _GAP = 500, 250, 20
_STYLE = """
text { font: 11.5px system-ui, sans-serif; fill: #59636e; } .facet-title { font-size: 12.5px; font-weight: 600; fill: #1f2328; }
.grid { stroke: #d8dee4; } .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.c0 { stroke: #2f6fb5; } .c1 { stroke: #c2571a; } .c2 { stroke: #2e8b57; } .c3 { stroke: #8a4fb3; } .c4 { stroke: #b0892a; }
.c5 { stroke: #5b6770; }
"""


def training_plots(history: Sequence[Mapping[str, Any]], *, skip: Sequence[str] = ()) -> list[str]:
    """A plot for each family of metrics, the part of the name before the last slash; dicts with ``step``.

    Families in ``skip`` are left out.
    """
    rows = [row for row in history if isinstance(row.get("step"), int | float)]
    names = sorted({k for row in rows for k, v in row.items() if k != "step" and isinstance(v, int | float)})
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.rpartition("/")[0], []).append(name)
    plots = []
    for family, members in families.items():
        if family in skip:
            continue
        for start in range(0, len(members), LINES):
            lines = [_curve(rows, name) for name in members[start : start + LINES]]
            plots.append(line_plot(family or "training", lines, x_label="step", width=_WIDTH, height=_HEIGHT))
    return plots


def training_picture(history: Sequence[Mapping[str, Any]]) -> str:
    """The same plots two by two as one SVG file, without the machine's own (time, speed).

    Raises:
      ValueError: When the history is empty.
    """
    plots = training_plots(history, skip=("", "speed"))
    if not plots:
        raise ValueError("the run has not written any metrics yet; give the folder of a run that has trained")
    rows = -(-len(plots) // 2)
    width, height = 2 * _WIDTH + 3 * _GAP, rows * (_HEIGHT + _GAP) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="white"/>',
    ]
    for i, plot in enumerate(plots):
        x, y = _GAP + i % 2 * (_WIDTH + _GAP), _GAP + i // 2 * (_HEIGHT + _GAP)
        parts.append(f'<svg x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}">{plot}</svg>')
    return "".join([*parts, "</svg>"])


def _curve(rows: Sequence[Mapping[str, Any]], name: str, *, points: int = 240) -> Line:
    """One metric over steps, averaged into at most ``points`` bins."""
    pairs = np.array([(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)], float)
    bins = np.array_split(pairs, min(len(pairs), points))
    x, y = np.array([b.mean(axis=0) for b in bins]).T
    return Line(label=name.rpartition("/")[2].replace("_", " "), x=x, y=y)
