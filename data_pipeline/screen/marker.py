"""The masks of one colour box, and how a frame is marked with them."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.geometry import Geometry
from data_pipeline.pixels import grown
from data_pipeline.schema import BOX, FLOW, OUTLINE
from data_pipeline.screen.colour.box import ColourBox, box_masks
from data_pipeline.screen.colour.mask import (
    ColourOptions,
    Tint,
    colour_level,
    coloured,
    fill_holes,
    surrounded,
    white_cores,
)
from data_pipeline.screen.learned import Learned

AGREED = 0.95
"""Share of a fitted outline that must lie on the one that the learned parser sees; else the fit found other lines."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Marker:
    """The masks of one box, cut to the rectangle around it, and how to mark a frame with them."""

    part: tuple[slice, slice]
    """In the full frame."""
    box: np.ndarray
    near: np.ndarray
    outline: np.ndarray
    painted_outline: np.ndarray
    """Static colour at the outline: a yellow or green box is not flow. Other marks are not either."""
    sure: np.ndarray
    """Where the learned parser saw flow in some frame; elsewhere only strong colour counts."""
    no_seed: np.ndarray
    """The outline with the chroma that codecs smear beside it, and static marks: flow may cover but not begin there."""

    @staticmethod
    def of(
        box: ColourBox | None,
        seen: Learned,
        *,
        ground: tuple[slice, slice],
        sector: np.ndarray,
        geometry: Geometry,
        interface: np.ndarray,
    ) -> Marker | None:
        """Both opinions joined: the fitted box where its outline was found, and what the learned parser sees.

        Args:
          box: as fitted, if any. seen: of the full frame.
          ground: the part of the frame that the rest is cut to.
          sector, interface: bool [h, w]: imaged area, static colour. geometry: of the sector in this part.
        """
        inside, outline = seen.box[ground], seen.outline[ground]
        px = max(round(0.012 * seen.sector.shape[0]), 2)
        near = grown(inside, px)
        if box is not None and (box.outlined or not outline.any()):
            fitted, around, line = box_masks(box, geometry, sector.shape, near_px=2.0)
            if not outline.any() or _shared(line, outline, px) > AGREED:
                inside, near, outline = fitted, near | around, outline | line
        around = (near | outline) & sector
        if not around.any():
            return None
        ys, xs = np.nonzero(around.any(axis=1))[0], np.nonzero(around.any(axis=0))[0]
        cut = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
        core, bleed = grown(outline, 2), grown(outline, 3)
        marks = seen.overlay[ground]
        top, left = ground[0].start, ground[1].start
        return Marker(
            part=tuple(slice(c.start + at, c.stop + at) for c, at in zip(cut, (top, left))),
            box=(inside & sector)[cut],
            near=(near & sector)[cut],
            outline=(outline & sector)[cut],
            sure=(seen.flow if seen.flow.any() else seen.flow | True)[ground][cut],
            painted_outline=((core & interface) | marks)[cut],
            no_seed=((bleed & ~seen.flow[ground]) | interface | marks)[cut],
        )

    def mark(self, frame: np.ndarray, plane: np.ndarray, tint: Tint | None, options: ColourOptions) -> None:
        """Set BOX, FLOW and OUTLINE of one frame (uint8 [H, W, 3]) in ``plane`` (uint8 [H, W])."""
        cut = np.ascontiguousarray(frame[self.part])
        flow = coloured(cut, self.near, tint, options, no_seed=self.no_seed) & ~self.painted_outline
        level = colour_level(cut, tint)
        flow &= self.sure | (level > 2 * options.strong)
        hole_px = max(int(options.hole_px * frame.shape[0] * frame.shape[1] / (480 * 640)), 2)
        flow = fill_holes(flow, cut[..., 1], hole_px=hole_px)
        flow |= white_cores(cut[..., 1], flow | self.outline, self.near)
        flow |= surrounded(flow | self.outline, level) & self.near
        plane[self.part] |= self.box * np.uint8(BOX) | flow * np.uint8(FLOW) | self.outline * np.uint8(OUTLINE)


def drawn_over(seen: Learned, sector: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: OUTLINE where marks lie on tissue (bool [H, W]), beside the box too: nothing of them is tissue."""
    return (seen.overlay & sector) * np.uint8(OUTLINE)


def _shared(line: np.ndarray, other: np.ndarray, px: int) -> float:
    """Share of ``line`` within ``px`` of ``other``."""
    return float(grown(other, px)[line].mean()) if line.any() else 0.0
