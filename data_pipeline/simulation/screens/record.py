"""A drawn screen as a training record: what else consoles and export tools show, for networks that meet users' files.

Squeezed pixels, tinted grey maps, biplane halves, fans upside down, marks over tissue, and every form of storage.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.pixels import luma
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, SPLITS, PairRecord
from data_pipeline.simulation.plan import SIMULATOR_VERSION, ClipRequest, digest_of
from data_pipeline.simulation.screens.compose import ScreenClip, draw_screen_clip
from data_pipeline.simulation.screens.styles import TRAINED
from data_pipeline.simulation.screens.tissue import make_tissue

LAYOUTS = {"single": 0.7, "biplane": 0.12, "dual": 0.08, "triplex": 0.06, "inset": 0.04}
"""Shares of those with colour in them."""
POWER = 0.15
"""Share of power Doppler."""
FPS = 30.0
COVERED = 0.3
"""Share of a pixel from which it counts as covered; half of it counts as sector."""
VERSION = 1


def screen_record(seed: int, *, size: int, frames: int, split: str = "train") -> PairRecord:
    """One screen of about ``size`` rows, then often squeezed or reduced, with its true masks, in styles that are not held out.

    Args:
      seed: >= 0; decides everything, the view too.
      size: rows, and px of the tissue.
      frames: T.
      split: as in `simulator.simulate_clip`.

    Returns:
      A record of kind ``simulated``: ``grey`` is the luma of the same screen without colour, outline and marks, not stored.
    """
    rng = np.random.default_rng([SPLITS.index(split), seed, 9])
    tissue = make_tissue(seed, size=size, frames=frames, split=split)
    layout = str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
    clip = draw_screen_clip(
        rng, [tissue], styles=TRAINED, rows=(size, size), layout=layout,
        kind="power" if rng.random() < POWER else "cfd",
    )  # fmt: skip
    tissue_of = ClipRequest(tissue.view, seed, height=size, width=size, frames=frames, split=split)
    strata = _strata(clip)
    return PairRecord(
        cfd=clip.frames, grey=luma(clip.clean)[..., None], strata=strata, labels=np.zeros_like(strata),
        clip_id=digest_of(f"screen/{VERSION}/{tissue_of.clip_id}")[:32], patient_id=tissue_of.patient_id, view=tissue.view,
        kind="simulated", shared=True, fps=FPS, vendor="screen",
        params={
            "simulator_version": SIMULATOR_VERSION, "screen_version": VERSION, "seed": seed, "layout": clip.layout,
            "mode": clip.kind,
        },
    )  # fmt: skip


def _strata(clip: ScreenClip) -> np.ndarray:
    """uint8 ``[T, H, W]``; the box is what surrounds colour and outline in each frame, within the sector."""
    sector, flow = clip.sector >= 0.5, clip.flow >= COVERED
    drawn = np.maximum(clip.outline, clip.overlay) >= COVERED
    strata = sector * np.uint8(SECTOR) | (sector & flow) * np.uint8(FLOW) | (sector & drawn) * np.uint8(OUTLINE)
    for plane, colour in zip(strata, flow | (clip.outline >= COVERED)):
        rows, columns = (np.flatnonzero(colour.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            box = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            box |= ((box & SECTOR) > 0) * np.uint8(BOX)
    return strata
