"""How each measure of the evaluation JSON is shown: its name, unit, digits, and which way is better."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cfd2gray.metrics.strata import STRATA
from cfd2gray.pages import numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """Display facts of one measure."""

    title: str
    unit: str = ""
    factor: float = 1.0
    """Multiplies stored values for display (255 turns the range [0, 1] into grey levels)."""
    digits: int = 3
    reading: str = "higher is better"
    reference: float | None = None
    """Where the right answer lies, if that is a number: a line is drawn there."""
    strata: tuple[str, ...] = ("frame", "sector", "box", "flow", "flow_eroded", "ring", "untouched")

    def number(self, value: float | None) -> str:
        """A stored value in its display unit, or a dash."""
        return numbers.number(None if value is None else value * self.factor, self.digits)

    def interval(self, ends: Sequence[float] | None, *, signed: bool = False) -> str:
        """A stored interval in its display unit; empty where there is none."""
        return numbers.interval(ends and [end * self.factor for end in ends], self.digits, signed=signed)


_ALL = tuple(STRATA)
_WHERE_FILLED = ("box", "flow", "flow_eroded", "ring")

MEASURES: dict[str, Measure] = {
    "ssim": Measure(title="SSIM", strata=_ALL),
    "psnr": Measure(title="PSNR", unit="dB", digits=1, strata=_ALL),
    "mae": Measure(title="Mean absolute error", unit="grey levels", factor=255, digits=1, reading="lower is better"),
    "texture_std_ratio": Measure(
        title="Texture ratio", digits=2, reading="1 is right, below 1 is blur", reference=1, strata=_WHERE_FILLED
    ),
    "spectrum_distance": Measure(
        title="Spectrum distance", unit="dB", digits=2, reading="lower is better", reference=0, strata=_WHERE_FILLED
    ),
    "histogram_distance": Measure(
        title="Histogram distance",
        unit="grey levels",
        factor=255,
        digits=1,
        reading="lower is better",
        reference=0,
        strata=_WHERE_FILLED,
    ),
    "flicker_ratio": Measure(
        title="Flicker ratio",
        digits=2,
        reading="1 is right, 0 is frozen, above 1 flickers",
        reference=1,
        strata=_WHERE_FILLED,
    ),
    "temporal_difference_error": Measure(
        title="Temporal difference error",
        unit="grey levels",
        factor=255,
        digits=1,
        reading="lower is better",
        reference=0,
        strata=_WHERE_FILLED,
    ),
    "motion_residual_ratio": Measure(
        title="Motion residual ratio",
        digits=2,
        reading="1 is right: tissue changes along its motion as much as in the truth",
        reference=1,
        strata=("sector", "flow", "ring", "untouched"),
    ),
    "vgg_distance": Measure(
        title="VGG distance",
        digits=4,
        reading="lower is better",
        reference=0,
        strata=("frame", "sector", "box", "flow"),
    ),
    "lpips": Measure(
        title="LPIPS", digits=3, reading="lower is better", reference=0, strata=("frame", "sector", "box", "flow")
    ),
    "seam_score": Measure(
        title="Seam score", digits=2, reading="1 is seamless, above 1 shows", reference=1, strata=("frame",)
    ),
    "outline_residue": Measure(
        title="Outline residue",
        unit="grey levels",
        factor=255,
        digits=1,
        reading="0 is right",
        reference=0,
        strata=("frame",),
    ),
    "colour_residue": Measure(
        title="Colour residue", digits=2, reading="0 is right, 1 is the colour's pattern", reference=0, strata=("flow",)
    ),
}

STRATUM_TITLES = {
    "frame": "whole frame",
    "sector": "sector",
    "box": "colour box",
    "flow": "flow",
    "flow_eroded": "flow, inner",
    "ring": "ring",
    "untouched": "untouched",
}
STRATUM_MEANINGS = {
    "frame": "every pixel",
    "sector": "the insonified area",
    "box": "inside the colour box",
    "flow": "pixels painted with colour: nothing of the tissue is visible there",
    "flow_eroded": "flow at least 5 px from its edge: no scoring window sees a given pixel",
    "ring": "the sector within 4 px outside flow",
    "untouched": "the sector further than 4 px from flow and outline",
}
