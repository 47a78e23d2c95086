"""Pairs of a colour-flow clip and its greyscale target, out of an archive; each with kind, score and evidence.

=============  ==============================================================  ========  ==========================
kind           where it comes from                                             shared    score
=============  ==============================================================  ========  ==========================
``dual``       two panes of one screen, proved to be one acquisition           yes       agreement of untouched pixels
``streams``    B-mode and colour stored apart by the scanner, same geometry    yes       the same
``weak``       a colour and a greyscale clip of one view in one study          no        at most 0.5
``painted``    colour painted over a greyscale clip (`simulation.painter`)     yes / no  1
=============  ==============================================================  ========  ==========================

What enters a record goes through `door`: pixels of the sector, minus what looks like text, and keyed hashes of identifiers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline.geometry import Hull
from data_pipeline.pairs.door import Door, NoPairError, check_no_colour, provenance
from data_pipeline.pixels import grown, luma
from data_pipeline.readers.square import square_clip
from data_pipeline.schema import FLOW, OUTLINE, Clip, ClipInfo, PairRecord
from data_pipeline.screen import dual_panes
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.pane_fit import fit_panes


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairingOptions:
    """How pairs are made."""

    size: int | None = 256
    """Side of the stored pictures, px; None keeps native resolution."""
    panes: dual_panes.PaneOptions = dual_panes.PaneOptions()
    untouched_px: int = 5
    """Distance from colour at which a pixel counts as untouched: half a window of SSIM."""
    weak_scale: float = 0.03
    """Greatest relative difference in scale of two clips that may make a weak pair."""
    min_weak: float = 0.2
    """Least correlation of a weak pair's untouched pixels."""


def pairs_from_clip(
    clip: Clip, *, hasher: KeyedHasher, options: PairingOptions | None = None, paint_seeds: Sequence[int] = ()
) -> list[PairRecord]:
    """All pairs that one clip can give by itself: ``dual`` from a dual screen, ``painted`` from a greyscale clip.

    Args:
        clip: the decoded clip, whole screen.
        hasher: makes the pseudonyms.
        paint_seeds: one painted pair is made of a greyscale clip for each.

    Raises:
        NoPairError: when there is none; the message says why.
    """
    options, clip = options or PairingOptions(), square_clip(clip)
    panes, reason = dual_panes.find_panes(clip.frames, regions=clip.info.regions, options=options.panes)
    if panes is not None:
        return [dual_pair(clip, panes, hasher=hasher, options=options)]
    if not paint_seeds:
        raise NoPairError("no_panes", reason)
    analysis = analyse(clip.frames, regions=clip.info.regions, image_type=clip.info.image_type)
    return painted_pairs(clip, analysis, paint_seeds, hasher=hasher, options=options)


def dual_pair(
    clip: Clip, panes: dual_panes.DualPanes, *, hasher: KeyedHasher, options: PairingOptions | None = None
) -> PairRecord:
    """The pair of a dual screen; `NoPairError` when the panes are not one acquisition at one time."""
    options = options or PairingOptions()
    cfd = np.ascontiguousarray(clip.frames[(slice(None), *panes.colour)])
    grey = np.ascontiguousarray(clip.frames[(slice(None), *panes.grey)])
    evidence = {"panes_by": panes.by, "panes_ncc": round(panes.ncc, 3)}
    return verified_pair(
        clip.info, cfd, grey, kind="dual", evidence=evidence, hasher=hasher, options=options, scale=panes.scale
    )


def painted_pairs(
    clip: Clip,
    analysis: FlowAnalysis,
    seeds: Sequence[int],
    *,
    hasher: KeyedHasher,
    options: PairingOptions | None = None,
) -> list[PairRecord]:
    """Paint colour flow over a greyscale clip, once for every seed."""
    from data_pipeline.simulation import painter  # late: a quarter of what a worker imports, and few paint

    options = options or PairingOptions()
    if analysis.kind != "bmode":
        raise NoPairError("not_bmode", f"only greyscale clips are painted, this is {analysis.kind}: {analysis.reason}")
    check_no_colour(analysis)
    if isinstance(analysis.geometry, Hull):
        raise NoPairError("no_sector", "no fan or rectangle fits the picture, so no colour box can be placed")
    crop = Door.of(analysis, clip.frames, size=options.size).crop
    grey = crop.apply(luma(clip.frames))
    source = provenance(clip.info, {}, hasher)
    pairs = []
    for seed in seeds:
        pair = painter.paint_pair(
            grey, seed, fps=clip.info.fps, fan=crop.geometry, clip_id=source["clip_id"],
            patient_id=source["patient_id"], view=clip.info.view,
        )  # fmt: skip
        # The painted clip gets its own id from the painter; where it came from stays with it.
        pairs.append(
            dataclasses.replace(
                pair,
                source_digest=source["source_digest"],
                params={**pair.params, "source_clip": source["clip_id"], "source_vendor": clip.info.vendor},
            )
        )
    return pairs


def verified_pair(
    info: ClipInfo,
    cfd: np.ndarray,
    grey: np.ndarray,
    *,
    kind: str,
    evidence: dict[str, Any],
    hasher: KeyedHasher,
    options: PairingOptions,
    scale: float = 1.0,
) -> PairRecord:
    """The pair of two clips of one acquisition, once they are shown to be one."""
    flow = analyse(cfd, image_type=info.image_type)
    if not flow.is_cfd:
        raise NoPairError("not_cfd", f"the coloured side is {flow.kind}: {flow.reason}")
    colour_luma, grey_luma = luma(cfd), luma(grey)
    door = Door.of(flow, cfd, grey, size=options.size)
    edge = np.pad(~door.sector, 1, constant_values=True)  # what lies beyond the frame is not in the sector
    inner = ~grown(edge, options.untouched_px)[1:-1, 1:-1]
    untouched = ~grown_colour(flow.strata, options.untouched_px) & inner
    look = np.unique(np.linspace(0, len(cfd) - 1, options.panes.frames).astype(int))
    fit = fit_panes(colour_luma[look], grey_luma[look], untouched[look], scale=scale)
    grey_luma = fit.apply(grey_luma)
    check = dual_panes.check_panes(colour_luma, grey_luma, untouched, options=options.panes)
    if check.verdict == "lagged":
        raise NoPairError("lagged", f"the grey side fits better {check.lag:+d} frame away than at the same time")
    if check.verdict != "paired":
        raise NoPairError(
            "unpaired",
            f"untouched pixels must agree (error < {options.panes.max_mae}, SSIM > {options.panes.min_ssim}), "
            f"got {check.mae:.1f} and {check.ssim:.3f}: two acquisitions",
        )
    evidence = {
        **evidence,
        "shift": [fit.dy, fit.dx],
        "scale": fit.scale,
        "mae": round(check.mae, 3),
        "ssim": round(check.ssim, 4),
        "text_px": door.text_px,
        "flow_reason": flow.reason,
    }
    return door.record(
        cfd,
        grey_luma,
        kind=kind,
        shared=True,
        score=float(np.clip(check.ssim * (1 - check.mae / (2 * options.panes.max_mae)), 0, 1)),
        source=provenance(info, evidence, hasher),
    )


def grown_colour(strata: np.ndarray, px: int) -> np.ndarray:
    """bool ``[T, H, W]``: colour and outline, grown by ``px``."""
    return np.stack([grown(plane & (FLOW | OUTLINE), px) for plane in strata])
