"""The one way in which numbers and intervals are written, in pages, sentences and the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

DASH = "–"
"""Stands where there is no value."""


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A value with so many decimals, or a dash."""
    return DASH if value is None else f"{value:{'+' if signed else ''}.{digits}f}"


def percent(share: float | None) -> str:
    """A share in [0, 1] in whole per cent, or a dash."""
    return DASH if share is None else f"{100 * share:.0f} %"


def interval(ends: Sequence[float] | None, digits: int = 3, *, signed: bool = False) -> str:
    """``low to high``, or nothing where no interval is known."""
    return "" if ends is None else " to ".join(number(end, digits, signed=signed) for end in ends)


def with_interval(value: float | None, ends: Sequence[float] | None, digits: int = 3, *, signed: bool = False) -> str:
    """``value (low to high)``."""
    spoken = interval(ends, digits, signed=signed)
    return number(value, digits, signed=signed) + (f" ({spoken})" if spoken else "")


def plus_minus(value: float | None, ends: Sequence[float] | None, digits: int = 3) -> str:
    """``.812 ±.010``, half the interval's width, without zeros before the point: for tables in a terminal."""
    spread = "" if value is None or ends is None else f" ±{number((ends[1] - ends[0]) / 2, digits)}"
    return bare(number(value, digits) + spread)


def bare(text: str) -> str:
    """Numbers without the zero before the point, where a table is narrow."""
    return re.sub(r"(?<!\d)0\.", ".", text)
