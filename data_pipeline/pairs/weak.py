"""Weak pairs: a colour-flow clip and a greyscale clip of the same view in the same study. Offered, never trusted.

They are two acquisitions (other frame rate, line density, gain and phase), so they must not be mixed with true pairs in
one score. What they are good for is looking at, and unpaired terms of a loss.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from data_pipeline.geometry import Geometry, Hull
from data_pipeline.pairs.door import Door, clip_pseudonym, provenance
from data_pipeline.pairs.pairing import PairingOptions, grown_colour
from data_pipeline.pixels import correlation, luma
from data_pipeline.schema import Clip, PairRecord
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.deidentify import KeyedHasher


def weak_pairs(
    clips: Iterable[tuple[Clip, FlowAnalysis]], *, hasher: KeyedHasher, options: PairingOptions | None = None
) -> list[PairRecord]:
    """For every colour-flow clip its best greyscale neighbour of the same patient, study and view."""
    clips = list(clips)
    found = []
    for cfd, flow in clips:
        if not flow.is_cfd or cfd.info.view == "UNKNOWN" or not cfd.info.identity.study:
            continue
        candidates = []
        for grey, other in clips:
            same = all(
                getattr(grey.info.identity, name) == getattr(cfd.info.identity, name) for name in ("patient", "study")
            )
            if same and other.kind == "bmode" and not other.colour_seen and grey.info.view == cfd.info.view:
                pair = weak_pair(cfd, flow, grey, other, hasher=hasher, options=options)
                candidates += [pair] if pair else []
        if candidates:
            found.append(max(candidates, key=lambda pair: pair.score))
    return found


def weak_pair(
    cfd: Clip,
    flow: FlowAnalysis,
    grey: Clip,
    other: FlowAnalysis,
    *,
    hasher: KeyedHasher,
    options: PairingOptions | None = None,
) -> PairRecord | None:
    """Pair two clips of one view, sector laid over sector, at the moment that fits best; None if they disagree.

    The score is half the correlation of the untouched pixels: this is never the same acquisition, and perhaps not even
    the same plane.
    """
    options = options or PairingOptions()
    a, b = flow.geometry, other.geometry
    scales = (cfd.info.cm_per_px, grey.info.cm_per_px)
    deep, deep_b = a.depth[1] - a.depth[0], b.depth[1] - b.depth[0]
    if a.kind != b.kind or isinstance(a, Hull) or not (deep > 0 and deep_b > 0):
        return None
    zoom = deep_b / deep
    if all(scales) and abs(zoom * scales[1] / scales[0] - 1) > options.weak_scale:
        return None  # the same picture shows another depth
    laid = _lay_over(grey.frames, a, b, zoom, shape=cfd.frames.shape[1:3])
    hidden = grown_colour(flow.strata, options.untouched_px)
    levels = luma(cfd.frames)
    steps = np.arange(len(levels)) * grey.info.fps / cfd.info.fps
    best, moment = -1.0, None
    for start in range(max(1, len(laid) - int(np.floor(steps[-1])))):
        frames = np.rint(start + steps).astype(int)
        frames = frames[frames < len(laid)]
        look = np.unique(np.linspace(0, len(frames) - 1, 6).astype(int))
        ncc = float(np.mean([_ncc(levels[i], laid[frames[i]], ~hidden[i] & flow.sector) for i in look]))
        if ncc > best:
            best, moment = ncc, frames
    if moment is None or best < options.min_weak:
        return None
    n, laid = len(moment), laid[moment]
    door = Door.of(flow, cfd.frames, np.repeat(laid[..., None], 3, axis=3), size=options.size)
    evidence = {"ncc": round(best, 3), "grey_start": int(moment[0]), "other_clip": clip_pseudonym(grey.info, hasher)}
    return door.record(
        cfd.frames[:n], laid, kind="weak", shared=False, score=0.5 * best,
        source=provenance(cfd.info, evidence, hasher, suffix="weak"),
    )  # fmt: skip


def _ncc(a: np.ndarray, b: np.ndarray, keep: np.ndarray) -> float:
    return correlation(a[keep], b[keep]) if keep.sum() >= 64 else 0.0


def _lay_over(frames: np.ndarray, a: Geometry, b: Geometry, zoom: float, *, shape: tuple[int, int]) -> np.ndarray:
    """Luma of ``frames`` (geometry ``b``) drawn so that its sector lies on that of ``a``: uint8 ``[T, *shape]``."""
    (ax, ay), (bx, by) = a.anchor, b.anchor
    matrix = np.float32([[zoom, 0, bx - zoom * ax], [0, zoom, by - zoom * ay]])  # of a's pixels to b's
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(frame, matrix, shape[::-1], flags=flags) for frame in luma(frames)])
