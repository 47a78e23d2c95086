"""The sectors of a screen that are worked on, each with its part of the frame and its speckle."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from cfd2gray.translation.speckle.draw import Speckle, in_pairs
from cfd2gray.translation.view import View
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.geometry import Fan, Geometry
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.fan_fit import squeezed_fan
from data_pipeline.threads import later

COVERED = 0.9
"""Intersection over union of the sector and the fitted fan from which its beams are believed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Area:
    """One sector (bool [H, W]), what the network sees of it, and where missing detail comes from, once it is asked for."""

    sector: np.ndarray
    view: View
    speckle: Callable[[], Speckle | None]


def areas_of(
    touched: np.ndarray,
    sector: np.ndarray,
    weights: GeneratorWeights,
    *,
    geometry: Geometry,
    frames: np.ndarray,
    texture: float | None = None,
) -> list[Area]:
    """Each separate sector with something touched (bool [H, W]) in it; see `View.of_each_sector`.

    Args:
      geometry: of the screen's sector. frames: uint8 ``[T, H, W, 3]``, the first of a clip or all of them.
      texture: `Speckle`'s ``amount``; None: 1 where the network's result is enlarged, else 0.
    """
    found, luma = [], in_pairs(frames)
    for part, view in View.of_each_sector(touched, sector, weights):
        amount = float(view.scale < 1.0) if texture is None else texture
        beams = beams_of(part, geometry) if amount else None
        sources = functools.partial(Speckle.of, touched & part, part, beams, luma, amount=amount)
        found.append(Area(sector=part, view=view, speckle=later(sources)))
    return found


def beams_of(sector: np.ndarray, geometry: Geometry) -> tuple[Fan, float] | None:
    """The fan of a sector (bool [H, W]) and its aspect, see `squeezed_fan`; None for a probe with parallel beams."""
    if isinstance(geometry, Fan):
        shape = geometry.mask(sector.shape)
        if np.count_nonzero(shape & sector) >= COVERED * np.count_nonzero(shape | sector):
            return geometry, 1.0
    elif geometry.kind == "linear":
        return None
    return squeezed_fan(sector)


def only_in(part: np.ndarray, analysis: FlowAnalysis) -> FlowAnalysis:
    """The analysis of one of several sectors (bool [H, W])."""
    return dataclasses.replace(analysis, sector=part, strata=analysis.strata * part.astype(np.uint8))
