"""The work behind the page: read a clip, look at it, translate it, in steps that say how far they are."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from cfd2gray.translation.result import Result, refuse_covered, refuse_unfit
from cfd2gray.translation.square import analyse_square, sampled
from cfd2gray.translation.translator import Translator
from cfd2gray.viewer.corrections import Corrections
from data_pipeline.readers import IngestError, Limits, open_clip
from data_pipeline.readers.stream import check_signal
from data_pipeline.schema import FLOW, OUTLINE, Clip
from data_pipeline.screen.analysis import FlowAnalysis

MOST_DECODED = 640 << 20
"""Bytes of frames of one clip: about three times that is held while it is open (440 frames of 600 x 800)."""
Tell = Callable[[str, int, int], None]
"""Is given what is done, how many frames of it are done, and of how many (0: nobody knows)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A clip in memory: what is shown of it. ``result`` is None for what is not translated, or must not be."""

    clip: Clip
    analysis: FlowAnalysis
    result: Result | None = None

    @property
    def held_bytes(self) -> int:
        arrays = [self.clip.frames, self.analysis.strata]
        arrays += [self.result.grey, self.result.confidence] if self.result is not None else []
        return sum(array.nbytes for array in arrays)


def read(path: pathlib.Path, tell: Tell) -> Clip:
    """A whole clip.

    Raises:
      IngestError: For what cannot be read, or is too long to be held.
    """
    limits = Limits(max_decoded_bytes=MOST_DECODED)
    try:
        with open_clip(path, limits=limits) as stream:
            frames = []
            for frame in stream:
                frames.append(frame)
                tell("reading", len(frames), max(stream.info.n_frames or 0, len(frames)))
            clip = Clip(frames=np.stack(frames), info=stream.info, header=stream.header)
            check_signal(stream.path, clip.frames)
            return clip
    except IngestError as error:
        if "MiB, the limit" not in error.detail:
            raise
        detail = (
            f"{error.detail.partition(';')[0]} of the viewer; cut it, or use cfd2gray translate, which holds no clip"
        )
        raise IngestError(error.code, error.path, detail) from error


def look(clip: Clip, corrections: Corrections) -> FlowAnalysis:
    """What is seen in a clip, with what a person says about it."""
    shape = {"regions": clip.info.regions, "aspect": clip.info.pixel_aspect}
    said = corrections.without_mask
    found = analyse_square(clip.frames, **shape, said=said)
    if corrections.strokes:
        mask = corrections.painted((found.strata & (FLOW | OUTLINE)) > 0)
        found = analyse_square(clip.frames, **shape, said=dataclasses.replace(said, mask=mask))
    return found


def glance(path: pathlib.Path) -> Seen:
    """A few frames of a clip and what is seen in them: enough for the gallery.

    Raises:
      IngestError: For what cannot be read.
    """
    with open_clip(path, digest=False) as stream:
        frames = sampled(stream)
        check_signal(stream.path, frames)
        clip = Clip(frames=frames, info=stream.info, header=stream.header)
    return Seen(clip=clip, analysis=look(clip, Corrections()))


def translated(translator: Translator, clip: Clip, analysis: FlowAnalysis, tell: Tell) -> Result:
    """The clip in greyscale.

    Raises:
      IngestError: For layouts that cannot be translated honestly.
    """
    refuse_unfit(analysis, "the clip")
    total = len(clip.frames)
    tell("translating", 0, total)
    found = translator.translate(clip.frames, analysis=analysis, tell=lambda done: tell("translating", done, total))
    refuse_covered(found.hidden_share, "the clip")
    return Result(
        grey=found.grey, confidence=found.confidence, synthesised=found.synthesised, analysis=analysis, clip=clip,
        weights=translator.weights, texture=found.texture, detail=found.detail,
    )  # fmt: skip
