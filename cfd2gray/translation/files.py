"""A file in, a file out: read, translate, clean, mark for what it is, write, in memory that does not grow with the clip."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.consoles import keep_sector, with_known_sectors
from cfd2gray.translation.long_clip import sampled_and_held, translate_pieces
from cfd2gray.translation.output.recipes import MOST_CUT
from cfd2gray.translation.output.result_files import OUTPUTS, Output, result_files
from cfd2gray.translation.output.video import write_sidecar
from cfd2gray.translation.result import Translated, describe_result, refuse_covered, refuse_unfit
from cfd2gray.translation.square import analyse_square
from cfd2gray.translation.translator import Translator
from cfd2gray.translation.view import COLOURED
from data_pipeline.pixels import luma
from data_pipeline.readers import ClipStream, read_clip
from data_pipeline.readers.stream import check_signal
from data_pipeline.schema import ClipInfo
from data_pipeline.screen.kind import in_words
from data_pipeline.threads import ahead

__all__ = ["HELD_BYTES", "OUTPUTS", "Look", "Output", "luma_clip", "translate_file"]

HELD_BYTES = 192 << 20
"""Decoded clips up to this are translated at once, with a box that may move; longer ones piece by piece."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """One frame before and after, cleaned alike, for a person to look at."""

    before: np.ndarray
    """uint8 [H, W, 3]."""
    after: np.ndarray
    """uint8 [H, W]."""


def translate_file(
    translator: Translator,
    source: pathlib.Path,
    target: pathlib.Path,
    output: Output,
    *,
    look: Callable[[Look], None] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    only_colour: bool = False,
) -> dict[str, Any]:
    """Translate one file.

    Args:
      translator: Weights to use.
      source: Any clip that `data_pipeline.readers` opens.
      target: File to write; must not exist.
      output: Format and marks.
      look: Is given a frame before and after.
      tell: Is given a line on what could not be carried over.
      only_colour: Write nothing for a clip without colour (fact ``written`` is then False).

    Returns:
      Facts about the result, also written beside it (as ``TARGET.json``, or inside the DICOM header): kind, share of the
      frames that was synthesised, model, digests. No name and no identifier.

    Raises:
      ValueError: For unreadable input (`data_pipeline.readers.errors.IngestError`), layouts that cannot be translated
        honestly, and existing targets.
    """
    target = pathlib.Path(target)
    if target.exists():
        raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
    with contextlib.ExitStack() as used:
        stream = used.enter_context(output.open(source))
        samples, made = _pieces(translator, stream, output)
        pieces = used.enter_context(contextlib.closing(ahead(made)))
        first = next(pieces)
        refuse_unfit(first.analysis, source)
        info = stream.info
        if first.analysis.unsure:
            tell(
                f"only {in_words(first.analysis.kind, first.analysis.score)} ({first.analysis.reason}); "
                "look at it with --explain, say what it is with --kind or --box"
            )
        if only_colour and not first.coloured:
            return describe_result(translator.weights, info, first) | {"written": False}
        cleaning = Cleaning.of(samples, first.analysis) if output.cleans else None
        shares, hidden, seen, texture, detail = [], [], None, 0.0, ""
        with result_files(
            target, info, stream.header, shape=first.grey.shape[1:], sector=first.analysis.sector,
            synthetic=first.coloured, weights=translator.weights, settings=translator.settings + output.said.in_short,
            output=output, cleaning=cleaning, tell=tell,
        ) as (add, add_confidence):  # fmt: skip
            for piece in itertools.chain([first], pieces):
                shares.append(piece.synthesised)
                hidden.append(hidden[-1] if piece.analysis is seen else piece.hidden_share)
                seen, texture, detail = piece.analysis, max(texture, piece.texture), max(detail, piece.detail)
                if not output.whole_frame:
                    refuse_covered(float(np.mean(hidden)), source)
                if look is not None and len(shares) == 1:
                    look(_look(samples, piece, cleaning))
                for frame in piece.grey:
                    add(frame if cleaning is None else cleaning(frame))
                for frame in piece.confidence:
                    add_confidence(np.rint(255.0 * frame).astype(np.uint8))
        keep_sector(output.remember, stream, first.analysis, output.said)
        total = dataclasses.replace(first, synthesised=np.concatenate(shares), texture=texture, detail=detail)
        facts = describe_result(translator.weights, stream.info, total, output.recipe)
        facts |= {"cleaned": cleaning is not None, "text_may_remain": cleaning is None or cleaning.doubtful}
        if "recipe" in facts and (kept := facts["recipe"]["sector_kept"]) < 1 - MOST_CUT:
            tell(f"the crop of {facts['recipe']['for']} keeps {100 * kept:.0f} % of the sector; look at it before use")
    if output.format != ".dcm":
        write_sidecar(target, facts)
    return facts


def _pieces(translator: Translator, stream: ClipStream, output: Output) -> tuple[np.ndarray, Iterator[Translated]]:
    """Frames that are spread over the clip, and its translation: all at once where the clip is held, else by pieces."""
    samples, frames = sampled_and_held(stream, most_bytes=HELD_BYTES)
    check_signal(stream.path, samples)
    info, said = stream.info, with_known_sectors(output.said, stream, output.remember)
    if frames is None:
        return samples, translate_pieces(
            translator,
            stream,
            whole_frame=output.whole_frame,
            confidence=output.confidence,
            samples=samples,
            said=said,
        )

    def whole() -> Iterator[Translated]:
        analysis = analyse_square(frames, regions=info.regions, aspect=info.pixel_aspect, said=said)
        options = {"whole_frame": output.whole_frame, "confidence": output.confidence}
        for _, piece in translator.pieces(frames, analysis=analysis, **options):
            yield piece

    return samples, whole()


def _look(samples: np.ndarray, piece: Translated, cleaning: Cleaning | None) -> Look:
    """The first frame, where ``samples`` and the first piece begin alike."""
    before, after = samples[0], piece.grey[0]
    return (
        Look(before=before, after=after) if cleaning is None else Look(before=cleaning(before), after=cleaning(after))
    )


def luma_clip(source: pathlib.Path) -> tuple[np.ndarray, ClipInfo]:
    """A greyscale clip as uint8 ``[T, H, W]``, with what its file says of it.

    Raises:
      ValueError: For unreadable input, and for a clip that shows colour.
    """
    clip = read_clip(source)
    found = analyse_square(clip.frames, regions=clip.info.regions, aspect=clip.info.pixel_aspect)
    if found.kind in COLOURED and not found.unsure:
        raise ValueError(f"{source} shows colour already ({found.kind}: {found.reason}); a greyscale clip is needed")
    return luma(clip.frames), clip.info
