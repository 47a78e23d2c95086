"""The moving pictures that screens are composed of: simulated duplex clips, kept small and used many times."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.schema import VIEWS
from data_pipeline.simulation.console.codec import Codec
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tissue:
    """One simulated clip without storage losses. T frames of H x W.

    Attributes:
      grey: uint8 [T, H, W], B-mode as acquired beside colour.
      velocity: float32 [T, H, W], share of Nyquist in -1..1 where colour is painted, NaN elsewhere.
      sector: bool [H, W]. box: bool [T, H, W], the acquired colour box.
      view: of `schema.VIEWS`.
    """

    grey: np.ndarray
    velocity: np.ndarray
    sector: np.ndarray
    box: np.ndarray
    view: str

    def turned(self, *, upside_down: bool = False, quarter: bool = False, mirrored: bool = False) -> Tissue:
        """The same clip as other probes and consoles show it."""

        def turn(planes: np.ndarray) -> np.ndarray:
            planes = planes[..., ::-1, :] if upside_down else planes
            planes = planes[..., ::-1] if mirrored else planes
            return np.ascontiguousarray(np.swapaxes(planes, -1, -2) if quarter else planes)

        return self._each(turn)

    def cut(self, rows: slice, columns: slice) -> Tissue:
        """A zoomed image: part of the picture, whose sector is cut by the frame."""
        return self._each(lambda planes: np.ascontiguousarray(planes[..., rows, columns]))

    def sized(self, height: int, width: int) -> Tissue:
        """Resampled; masks stay masks and velocity takes its nearest neighbour, so that it does not mix over aliasing."""

        def resize(planes: np.ndarray, how: int) -> np.ndarray:
            stack = planes if planes.ndim == 3 else planes[None]
            done = np.stack([cv2.resize(p, (width, height), interpolation=how) for p in stack])
            return done if planes.ndim == 3 else done[0]

        area = cv2.INTER_AREA if height < self.grey.shape[1] else cv2.INTER_LINEAR
        nearest = cv2.INTER_NEAREST
        return dataclasses.replace(
            self,
            grey=resize(self.grey, area),
            velocity=resize(self.velocity, nearest),
            sector=resize(self.sector.astype(np.uint8), nearest) > 0,
            box=resize(self.box.astype(np.uint8), nearest) > 0,
        )

    def _each(self, change) -> Tissue:
        fields = ("grey", "velocity", "sector", "box")
        return dataclasses.replace(self, **{name: change(getattr(self, name)) for name in fields})


def make_tissue(seed: int, *, size: int = 256, frames: int = 8, split: str = "train") -> Tissue:
    """Simulate one clip of a view that follows from the seed."""
    views = VIEWS[1:]
    view = views[seed % len(views)]
    options = SimulationOptions(codec=Codec(name="none"), ui_share=0.0, shared=True)
    clip = simulate_clip(view, seed, height=size, width=size, frames=frames, options=options, split=split)
    nyquist = float(np.nanmax(np.abs(clip.velocity.astype(np.float32)), initial=1.0))
    velocity = clip.velocity.astype(np.float32) / max(nyquist, 1e-3)
    velocity[~clip.mask] = np.nan
    return Tissue(grey=clip.duplex, velocity=velocity, sector=clip.fan.any(axis=0), box=clip.box, view=view)
