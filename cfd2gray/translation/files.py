"""A file in, a file out: read, translate, clean, mark for what it is, write, in memory that does not grow with the clip."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import cfd2gray
from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.consoles import keep_sector, with_known_sectors
from cfd2gray.translation.long_clip import LIMITS, sampled_and_held, translate_pieces
from cfd2gray.translation.output.array import growing_array
from cfd2gray.translation.output.dicom import ENCODINGS, growing_dicom
from cfd2gray.translation.output.dicom_modules import Statement
from cfd2gray.translation.output.video import CODECS, described, growing_video, write_sidecar
from cfd2gray.translation.square import analyse_square
from cfd2gray.translation.translator import Translated, Translator
from data_pipeline.pixels import luma
from data_pipeline.readers import ClipStream, IngestError, open_clip, read_clip
from data_pipeline.readers.stream import check_signal
from data_pipeline.schema import SECTOR, ClipInfo
from data_pipeline.screen.analysis import NOTHING
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.screen.said import Said

OUTPUTS = (".dcm", *CODECS, ".npy")
TRANSLATABLE = ("cfd", "power", "bmode")
HELD_BYTES = 192 << 20
"""Decoded clips up to this are translated at once, with a box that may move; longer ones piece by piece."""
MOST_HIDDEN = 0.75
"""Share of the sector, over the clip, above which what was taken for colour cannot be flow: nothing would be left."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """How results are written.

    Attributes:
      format: one of `OUTPUTS`.
      hasher, mode: as in `dicom_modules.Statement`.
      whole_frame: let the network write the whole sector.
      confidence: also write the confidence map (0..255) beside the result.
      clean: black outside the sector and over text found in it, in every format. None: in research mode.
      encoding: of DICOM, one of `dicom_out.ENCODINGS`.
      corner_mark: draw a visible mark into videos.
      salvage: translate the whole frames of a truncated file.
      follow_links: read symbolic links.
      any_modality: read DICOM captures of other modalities than US.
      said: what a person knows better of the screen. remember: file of the sectors of consoles.
    """

    format: str
    hasher: KeyedHasher
    mode: str = "research"
    whole_frame: bool = False
    confidence: bool = False
    clean: bool | None = None
    encoding: str = "explicit"
    corner_mark: bool = False
    salvage: bool = False
    follow_links: bool = False
    any_modality: bool = False
    said: Said = NOTHING
    remember: pathlib.Path | None = None

    def __post_init__(self) -> None:
        if self.format not in OUTPUTS:
            raise ValueError(f"results are written as {', '.join(OUTPUTS)}, got {self.format!r}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.encoding != "explicit" and self.format != ".dcm":
            raise ValueError(f"only DICOM is written as {self.encoding}, got the format {self.format}")

    @property
    def cleans(self) -> bool:
        return self.mode == "research" if self.clean is None else self.clean

    def open(self, source: pathlib.Path, *, digest: bool = True) -> ClipStream:
        """The clip to be translated."""
        limits = dataclasses.replace(LIMITS, follow_symlinks=self.follow_links)
        return open_clip(source, limits=limits, salvage=self.salvage, any_modality=self.any_modality, digest=digest)


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
    with output.open(source) as stream:
        samples, pieces = _pieces(translator, stream, output)
        first = next(pieces)
        refuse_unfit(first, source)
        info = stream.info
        if first.analysis.unsure:
            tell(
                f"not sure that this is {first.analysis.kind} (certainty {first.analysis.score:.2f}: "
                f"{first.analysis.reason}); look at it with --explain, say what it is with --kind or --box"
            )
        if only_colour and not _coloured(first):
            return describe_result(translator, info, first) | {"written": False}
        cleaning = Cleaning.of(samples, first.analysis) if output.cleans else None
        shares, hidden, seen = [], [], None
        with _results(target, stream, first, translator, output, cleaning, tell) as (add, add_confidence):
            for piece in itertools.chain([first], pieces):
                shares.append(piece.synthesised)
                hidden.append(hidden[-1] if piece.analysis is seen else _hidden_share(piece))
                seen = piece.analysis
                if np.mean(hidden) > MOST_HIDDEN and not output.whole_frame:
                    raise IngestError(
                        "unsupported_layout",
                        source,
                        f"{100 * np.mean(hidden):.0f} % of the picture was taken for colour, which is no flow (a dithered "
                        "palette, a tinted map?); nothing was translated: give the original, or one made without dither",
                    )
                if look is not None and len(shares) == 1:
                    look(_look(samples, piece, cleaning))
                for frame in piece.grey:
                    add(frame if cleaning is None else cleaning(frame))
                for frame in piece.confidence:
                    add_confidence(np.rint(255.0 * frame).astype(np.uint8))
        keep_sector(output.remember, stream, first.analysis, output.said)
        total = dataclasses.replace(first, synthesised=np.concatenate(shares))
        facts = describe_result(translator, stream.info, total)
        facts |= {"cleaned": cleaning is not None, "text_may_remain": cleaning is None or cleaning.doubtful}
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


def _coloured(result: Translated) -> bool:
    return result.analysis.kind != "bmode"


def _hidden_share(piece: Translated) -> float:
    """Share of the sector that was hidden in a piece."""
    strata = piece.analysis.strata
    inside = np.count_nonzero(strata & SECTOR)
    return float(np.count_nonzero(hidden_mask(strata)) / inside) if inside and _coloured(piece) else 0.0


def refuse_unfit(result: Translated, source: pathlib.Path) -> None:
    """Raise ``unsupported_layout`` for pictures that would be mangled: tissue Doppler, spectra, M-mode, quad screens."""
    kind, reason = result.analysis.kind, result.analysis.reason
    if kind not in TRANSLATABLE:
        detail = f"not a colour-flow clip but {kind} ({reason}); nothing was translated"
        raise IngestError("unsupported_layout", source, detail)


def _look(samples: np.ndarray, piece: Translated, cleaning: Cleaning | None) -> Look:
    """The first frame, where ``samples`` and the first piece begin alike."""
    before, after = samples[0], piece.grey[0]
    return (
        Look(before=before, after=after) if cleaning is None else Look(before=cleaning(before), after=cleaning(after))
    )


@contextlib.contextmanager
def _results(
    target: pathlib.Path,
    stream: ClipStream,
    first: Translated,
    translator: Translator,
    output: Output,
    cleaning: Cleaning | None,
    tell: Callable[[str], None],
) -> Iterator[tuple[Callable[[np.ndarray], None], Callable[[np.ndarray], None]]]:
    """The files of one result: yields what adds a greyscale frame and what adds one of confidence."""
    info, shape = stream.info, first.grey.shape[1:]
    synthetic = _coloured(first)
    with contextlib.ExitStack() as stack:
        if output.format == ".dcm":
            said = Statement(
                fps=info.fps,
                frame_times=info.frame_times,
                pixel_aspect=info.pixel_aspect,
                model_name=translator.weights.name,
                weights_digest=translator.weights.digest,
                version=cfd2gray.__version__,
                mode=output.mode,
                hasher=output.hasher,
                seed=f"{info.source_digest}{'w' if output.whole_frame else ''}" if info.source_digest else "",
                synthetic=synthetic,
                cleaned=cleaning is not None,
                burned_in=cleaning is None or cleaning.doubtful,
                lossy_source=info.lossy,
            )
            add = stack.enter_context(
                growing_dicom(
                    target, source=stream.header, said=said, n_frames=info.n_frames, shape=shape,
                    sector=first.analysis.sector, encoding=output.encoding, tell=tell,
                )
            )  # fmt: skip
        else:
            add = stack.enter_context(_growing(target, info, shape, synthetic, output))
        if not output.confidence:
            yield add, lambda _: None
            return
        beside = target.with_name(f"{target.stem}.confidence{'.mkv' if output.format == '.dcm' else output.format}")
        yield add, stack.enter_context(_growing(beside, info, shape, synthetic, output))


def _growing(
    path: pathlib.Path, info: ClipInfo, shape: tuple[int, int], synthetic: bool, output: Output
) -> contextlib.AbstractContextManager[Callable[[np.ndarray], None]]:
    if path.suffix == ".npy":
        return growing_array(path, (info.n_frames, *shape))
    return growing_video(
        path,
        height=shape[0],
        width=shape[1],
        fps=info.fps,
        frame_times=info.frame_times,
        pixel_aspect=info.pixel_aspect,
        title="SYNTHETIC greyscale" if synthetic else "Greyscale copy",
        comment=f"{described(synthetic)}; cfd2gray {cfd2gray.__version__}",
        corner_mark="SYNTHETIC" if synthetic and output.corner_mark else "",
    )


def describe_result(translator: Translator, info: ClipInfo, result: Translated) -> dict[str, Any]:
    """What is written beside every result."""
    return {
        "kind": result.analysis.kind,
        "reason": result.analysis.reason,
        "certainty": round(float(result.analysis.score), 3),
        "frames": len(result.synthesised),
        "height": int(result.grey.shape[1]),
        "width": int(result.grey.shape[2]),
        "fps": float(info.fps),
        "fps_source": info.fps_source,
        "pixel_aspect": round(float(info.pixel_aspect), 5),
        "synthesised_share": round(float(result.synthesised.mean()), 5),
        "synthesised_share_per_frame": [round(float(share), 5) for share in result.synthesised],
        "model": translator.weights.name,
        "weights_sha256": translator.weights.digest,
        "software": f"cfd2gray {cfd2gray.__version__}",
        "source_sha256": info.source_digest,
        # Without colour there is nothing to do: what came in goes out.
        "input_flags": [*info.flags, *(["no_flow"] if result.analysis.kind == "bmode" else [])],
    }


def luma_clip(source: pathlib.Path) -> tuple[np.ndarray, ClipInfo]:
    """A greyscale clip as uint8 ``[T, H, W]``, with what its file says of it."""
    clip = read_clip(source)
    return luma(clip.frames), clip.info
