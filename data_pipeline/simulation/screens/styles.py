"""The families of styles that screens are drawn in, and those that training never sees."""

from __future__ import annotations

import dataclasses

from data_pipeline.simulation.screens import boxes, colours
from data_pipeline.simulation.screens import inks as ink_names
from data_pipeline.simulation.screens.storage import CODECS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Styles:
    """The families that may be drawn: training leaves some out, so that judging on them is honest."""

    forms: tuple[str, ...] = boxes.FORMS
    strokes: tuple[str, ...] = boxes.STROKES
    inks: tuple[str, ...] = tuple(ink_names.OUTLINES)
    tints: tuple[str, ...] = colours.TINTS
    codecs: tuple[str, ...] = CODECS
    text_inks: tuple[str, ...] = tuple(ink_names.TEXTS)


HELD_OUT = Styles(
    forms=("parallelogram",), strokes=("dashed", "two_sides"), inks=("cyan", "orange"), tints=("pink", "blue"),
    codecs=("jpeg422", "mpeg4", "hevc"), text_inks=("magenta", "red"),
)  # fmt: skip
"""Judged on, never trained on."""


def without(styles: Styles, held: Styles) -> Styles:
    """``styles`` less the families of ``held``."""
    names = [field.name for field in dataclasses.fields(Styles)]
    return Styles(**{n: tuple(v for v in getattr(styles, n) if v not in getattr(held, n)) for n in names})


TRAINED = without(Styles(), HELD_OUT)
"""All the others."""
