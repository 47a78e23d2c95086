"""Curves of a training run: for the report, and as one picture that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cfd2gray.pages.charts import SERIES, Line, line_plot, line_plots

LINES = len(SERIES)
"""Curves per plot: as many as there are colours."""


def training_plots(history: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """A plot for each family of metrics, the part of the name before the last slash; dicts with ``step``."""
    return [line_plot(family or "training", lines, x_label="step") for family, lines in _families(history)]


def training_picture(history: Sequence[Mapping[str, Any]]) -> str:
    """The same plots two by two as one SVG file, without the machine's own (time, speed).

    Raises:
      ValueError: When the history is empty.
    """
    panels = [(family, lines) for family, lines in _families(history) if family not in ("", "speed")]
    if not panels:
        raise ValueError("the run has not written any metrics yet; give the folder of a run that has trained")
    return line_plots(panels, x_label="step")


def _families(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Line]]]:
    rows = [row for row in history if isinstance(row.get("step"), int | float)]
    names = sorted({k for row in rows for k, v in row.items() if k != "step" and isinstance(v, int | float)})
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.rpartition("/")[0], []).append(name)
    return [
        (family, [_curve(rows, name) for name in members[start : start + LINES]])
        for family, members in families.items()
        for start in range(0, len(members), LINES)
    ]


def _curve(rows: Sequence[Mapping[str, Any]], name: str) -> Line:
    """One metric over steps, averaged into at most 240 bins."""
    pairs = np.array([(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)], float)
    bins = np.array_split(pairs, min(len(pairs), 240))
    x, y = np.array([b.mean(axis=0) for b in bins]).T
    return Line(label=name.rpartition("/")[2].replace("_", " "), x=x, y=y)
