"""Clips too long to hold: decoded twice, translated piece by piece, written as they come, in memory that does not grow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from cfd2gray.translation.translator import Translated, Translator
from cfd2gray.translation.view import COLOURED, View
from data_pipeline.readers import ClipStream, Limits
from data_pipeline.screen.analysis import FlowAnalysis, LiveMasks

LIMITS = Limits(max_frames=1_000_000, max_decoded_bytes=1 << 42)
"""What may be streamed; `data_pipeline.readers.Limits` bounds what is held at once."""
PIECE = 96
"""Frames that are translated at once, besides those around them that their result depends on."""
SAMPLES = 24
"""Frames that sector, box and kind are decided on, evenly spread over the clip."""


def sampled(stream: ClipStream, *, count: int = SAMPLES) -> np.ndarray:
    """Between ``count / 2`` and ``count`` evenly spread frames of a clip of unknown length; all of a shorter one."""
    kept: list[np.ndarray] = []
    every = 1
    for number, frame in enumerate(stream):
        if number % every:
            continue
        if len(kept) == count:
            kept, every = kept[::2], 2 * every
            if number % every:
                continue
        kept.append(frame)
    return np.stack(kept)


def translate_pieces(translator: Translator, stream: ClipStream, *, whole_frame: bool = False) -> Iterator[Translated]:
    """The clip of ``stream`` in pieces, in order, one after the other the same as all at once.

    The box is taken to stand still over the whole clip. The first piece tells the kind of clip by its ``analysis``.
    """
    masks = LiveMasks(sampled(stream), regions=stream.info.regions)
    shown = masks.sector if whole_frame else masks.box
    view = View.around(shown, masks.sector, translator.weights) if shown.any() and masks.kind in COLOURED else None
    radius = translator.weights.spec.radius
    held: list[np.ndarray] = []
    before, frames = 0, iter(stream)  # how many of the held frames are already translated
    while True:
        held += itertools.islice(frames, before + PIECE + radius - len(held))
        last = len(held) < before + PIECE + radius
        until = len(held) if last else before + PIECE
        if until > before:
            result = _piece(translator, np.stack(held), masks, view, whole_frame=whole_frame)
            part = slice(before, until)
            yield Translated(
                grey=result.grey[part],
                confidence=result.confidence[part],
                synthesised=result.synthesised[part],
                analysis=result.analysis,
            )
        if last:
            return
        gone = max(0, until - radius)
        held, before = held[gone:], until - gone


def _piece(
    translator: Translator, frames: np.ndarray, masks: LiveMasks, view: View | None, *, whole_frame: bool
) -> Translated:
    strata = np.stack([masks.strata(frame) for frame in frames])
    found = bool(masks.box.any())
    analysis = FlowAnalysis(sector=masks.sector, strata=strata, kind=masks.kind, reason=masks.reason, box_found=found)
    return translator.translate(frames, analysis=analysis, whole_frame=whole_frame, view=view)
