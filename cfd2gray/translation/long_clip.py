"""Clips too long to hold: decoded twice, translated piece by piece, written as they come, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from cfd2gray.translation.areas import areas_of
from cfd2gray.translation.result import Translated
from cfd2gray.translation.square import SquareMasks, sampled
from cfd2gray.translation.translator import Translator
from cfd2gray.translation.view import COLOURED
from data_pipeline.readers import ClipStream
from data_pipeline.screen.analysis import NOTHING
from data_pipeline.screen.said import Said

PIECE = 96
"""Frames that are translated at once, besides those around them that their result depends on; fewer where frames are
large: `piece_frames`."""
PIECE_BYTES, FEWEST = 64 << 20, 8


def sampled_and_held(stream: ClipStream, *, most_bytes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """`sampled`, and the whole clip ``[T, H, W, 3]`` unless it is larger than ``most_bytes``, decoded once for both."""
    info = stream.info  # what is known to be too large is not begun to be held: the heap does not shrink again
    known = info.height * info.width * 3 * (info.n_frames or 0)
    held: list[np.ndarray] | None = [] if known <= most_bytes else None

    def passing() -> Iterator[np.ndarray]:
        nonlocal held
        for frame in stream:
            if held is not None:
                held.append(frame)
                held = held if len(held) * frame.nbytes <= most_bytes else None
            yield frame

    samples = sampled(passing())
    return samples, None if held is None else np.stack(held)


def piece_frames(height: int, width: int) -> int:
    """Frames of a piece, so that what is held at once stays small at any size."""
    return max(min(PIECE, PIECE_BYTES // (height * width * 3)), FEWEST)


def translate_pieces(
    translator: Translator,
    stream: ClipStream,
    *,
    whole_frame: bool = False,
    confidence: bool = True,
    samples: np.ndarray | None = None,
    said: Said = NOTHING,
) -> Iterator[Translated]:
    """The clip of ``stream`` in pieces, in order, one after the other the same as all at once.

    The box is taken to stand still over the whole clip. The first piece tells the kind of clip by its ``analysis``, whose
    strata are those of all frames that were looked at together with a piece.

    Args:
      samples: what `sampled` gave, when it is known already; otherwise the clip is decoded once more.
      said: what a person knows better of the screen.
    """
    samples = sampled(stream) if samples is None else samples
    masks = SquareMasks(samples, regions=stream.info.regions, aspect=stream.info.pixel_aspect, said=said)
    shown = masks.sector if whole_frame else masks.box
    areas = None
    radius, piece = translator.weights.spec.radius, piece_frames(*samples.shape[1:3])
    held = np.empty((radius + piece + radius, *samples.shape[1:]), np.uint8)
    count, before, first, frames = (
        0,
        0,
        0,
        iter(stream),
    )  # frames held, those of them translated, the first one's number
    while True:
        wanted = before + piece + radius
        for frame in itertools.islice(frames, wanted - count):
            held[count] = frame
            count += 1
        last = count < wanted
        until = count if last else before + piece
        if until > before:
            if areas is None and shown.any() and masks.kind in COLOURED:
                areas = areas_of(
                    shown, masks.sector, translator.weights, geometry=masks.geometry, frames=held[:count],
                    texture=translator.texture,
                )  # fmt: skip
            analysis, only = masks.analysis(held[:count]), slice(before, until)
            pieces = translator.pieces(
                held[:count], analysis=analysis, whole_frame=whole_frame, areas=areas, confidence=confidence, only=only,
                first=first,
            )  # fmt: skip
            own = dataclasses.replace(analysis, strata=analysis.strata[only])
            for _, found in pieces:
                yield dataclasses.replace(found, analysis=own)
            del analysis, pieces, found, own
        if last:
            return
        gone = max(0, until - radius)
        for k in range(gone, count):  # in place: large frames are held once
            held[k - gone] = held[k]
        count, before, first = count - gone, until - gone, first + gone
