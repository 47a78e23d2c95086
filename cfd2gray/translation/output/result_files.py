"""How results are written, and the files of one result: DICOM, video or array, each marked for what it is."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import cfd2gray
from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.output.array import growing_array
from cfd2gray.translation.output.dicom import ENCODINGS, growing_dicom
from cfd2gray.translation.output.dicom_modules import Statement
from cfd2gray.translation.output.recipes import Recipe, prepared, written_info
from cfd2gray.translation.output.video import CODECS, described, growing_video
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.readers import ClipStream, Limits, open_clip
from data_pipeline.readers.stream import sane_fps
from data_pipeline.schema import ClipInfo
from data_pipeline.screen.analysis import NOTHING
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.said import Said

OUTPUTS = (".dcm", *CODECS, ".npy")
LIMITS = Limits(max_frames=1_000_000, max_decoded_bytes=1 << 42, max_file_bytes=1 << 42)
"""What may be streamed; `data_pipeline.readers.Limits` bounds what is held at once."""


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
      fps: frames per second of a source that names no rate; of any other it is refused.
      salvage: translate the whole frames of a truncated file.
      follow_links: read symbolic links.
      any_modality: read DICOM captures of other modalities than US.
      said: what a person knows better of the screen. remember: file of the sectors of consoles.
      recipe: size, crop and rate that a public model expects; see `recipes`. Cleaned clips without additions only.
    """

    format: str
    hasher: KeyedHasher
    mode: str = "research"
    whole_frame: bool = False
    confidence: bool = False
    clean: bool | None = None
    encoding: str = "explicit"
    corner_mark: bool = False
    fps: float | None = None
    salvage: bool = False
    follow_links: bool = False
    any_modality: bool = False
    said: Said = NOTHING
    remember: pathlib.Path | None = None
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if self.format not in OUTPUTS:
            raise ValueError(f"results are written as {', '.join(OUTPUTS)}, got {self.format!r}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.encoding != "explicit" and self.format != ".dcm":
            raise ValueError(f"only DICOM is written as {self.encoding}, got the format {self.format}")
        if self.fps is not None and sane_fps(self.fps, "given")[1] != "given":
            raise ValueError(f"fps is 1 to 400 frames per second, got {self.fps:g}")
        if self.recipe is not None:
            self._check_recipe(self.recipe)

    def _check_recipe(self, recipe: Recipe) -> None:
        """Nothing but the cleaned greyscale clip may lie where a model reads."""
        if self.format != recipe.suffix:
            raise ValueError(f"clips for {recipe.name} are {recipe.suffix}, got {self.format}; leave the format out")
        unfit = {
            "confidence": self.confidence,
            "corner-mark": self.corner_mark,
            "keep-screen": self.clean is False,
            "mode clinical": self.mode == "clinical",
        }
        if given := [name for name, here in unfit.items() if here]:
            raise ValueError(f"clips for {recipe.name} are what a model reads: leave --{', --'.join(given)} out")

    @property
    def cleans(self) -> bool:
        return self.mode == "research" if self.clean is None else self.clean

    def open(self, source: pathlib.Path, *, digest: bool = True) -> ClipStream:
        """The clip to be translated. Raises ValueError where its frame rate is known and another is given."""
        limits = dataclasses.replace(LIMITS, follow_symlinks=self.follow_links)
        stream = open_clip(source, limits=limits, salvage=self.salvage, any_modality=self.any_modality, digest=digest)
        if self.fps is None:
            return stream
        info = stream.info
        if info.fps_source != "assumed":
            stream.close()
            raise ValueError(
                f"--fps {self.fps:g} is for sources that name no frame rate, this one says {info.fps:g} "
                f"({info.fps_source}); leave --fps out"
            )
        flags = tuple(flag for flag in info.flags if flag != "assumed_fps")
        stream.info = dataclasses.replace(info, fps=self.fps, fps_source="given", flags=flags)
        return stream


@contextlib.contextmanager
def result_files(
    target: pathlib.Path,
    info: ClipInfo,
    header: Any,
    *,
    shape: tuple[int, int],
    sector: np.ndarray,
    synthetic: bool,
    weights: GeneratorWeights,
    settings: str,
    output: Output,
    cleaning: Cleaning | None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Callable[[np.ndarray], None], Callable[[np.ndarray], None]]]:
    """The files of one result, which appear when all went well.

    Args:
      target: file to write.
      info, header: of the source; the header is a DICOM data set or ``None``.
      shape, sector: of every frame: ``(H, W)``, and bool [H, W].
      synthetic: something was synthesised; else it is a copy.
      weights, settings: what made it, see `Translator.settings`.
      cleaning: what was blackened, for the marks that say so.
      tell: is given a line on what could not be carried over.

    Yields:
      What adds a greyscale frame, and what adds one of confidence: uint8 [H, W] both.
    """
    with contextlib.ExitStack() as stack:
        if output.format == ".dcm":
            said = Statement(
                fps=info.fps,
                frame_times=info.frame_times,
                pixel_aspect=info.pixel_aspect,
                model_name=weights.name,
                weights_digest=weights.digest,
                settings=settings,
                version=cfd2gray.__version__,
                mode=output.mode,
                hasher=output.hasher,
                seed=f"{info.source_digest}{'w' if output.whole_frame else ''}" if info.source_digest else "",
                source_digest=info.source_digest,
                synthetic=synthetic,
                cleaned=cleaning is not None,
                burned_in=cleaning is None or cleaning.doubtful,
                lossy_source=info.lossy,
            )
            add = stack.enter_context(
                growing_dicom(
                    target, source=header, said=said, n_frames=info.n_frames, shape=shape,
                    sector=sector, encoding=output.encoding, tell=tell,
                )
            )  # fmt: skip
        else:
            add = stack.enter_context(_fitted(target, info, shape, synthetic, output))
        if not output.confidence:
            yield add, lambda _: None
            return
        beside = target.with_name(f"{target.stem}.confidence{'.mkv' if output.format == '.dcm' else output.format}")
        yield add, stack.enter_context(_growing(beside, info, shape, synthetic, output))


@contextlib.contextmanager
def _fitted(
    path: pathlib.Path, info: ClipInfo, shape: tuple[int, int], synthetic: bool, output: Output
) -> Iterator[Callable[[np.ndarray], None]]:
    """A video or array of frames of ``shape``, written as ``output.recipe`` says."""
    recipe = output.recipe
    if recipe is None:
        with _growing(path, info, shape, synthetic, output) as add:
            yield add
        return
    with _growing(path, written_info(recipe, info, shape), (recipe.side, recipe.side), synthetic, output) as add:
        yield lambda frame: add(prepared(recipe, frame[None])[0])


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
