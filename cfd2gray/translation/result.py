"""What became of a clip, and what a person does with it: look at it, save it, ask what was seen."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import cfd2gray
from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.output.recipes import Recipe, recipe_facts, recipe_named
from cfd2gray.translation.output.result_files import Output, result_files
from cfd2gray.translation.output.video import write_sidecar
from cfd2gray.translation.square import sampled
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.pixels import luma
from data_pipeline.readers import IngestError
from data_pipeline.schema import SECTOR, Clip, ClipInfo
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.deidentify import KeyedHasher, secret_key
from data_pipeline.screen.hidden import hidden_mask

if TYPE_CHECKING:
    import PIL.Image

    from cfd2gray.pages.player import Player

TRANSLATABLE = ("cfd", "power", "bmode")
MOST_HIDDEN = 0.75
"""Share of the sector, over the clip, above which what was taken for colour cannot be flow: nothing would be left."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Translated:
    """What became of a clip; arrays ``[T, H, W]`` at the input's size.

    Attributes:
      grey: uint8, the greyscale clip, with what stands on the screen; `Result.save` blackens that, if not asked to keep it.
      confidence: float32 in [0, 1]: probability that the pixel lies within 10 % of full scale of the truth; 1 where the
        input was passed through.
      synthesised: float32 ``[T]``: share of each frame that is not the input's luma.
      analysis: What was found in the input.
      texture: Share of the missing speckle that was drawn; see `speckle`.
      detail: SHA-256 of the network that brought detail of other frames, see `detail`; empty where none was asked.
    """

    grey: np.ndarray
    confidence: np.ndarray
    synthesised: np.ndarray
    analysis: FlowAnalysis
    texture: float = dataclasses.field(default=0.0, kw_only=True)
    detail: str = dataclasses.field(default="", kw_only=True)

    @classmethod
    def untouched(cls, frames: np.ndarray, analysis: FlowAnalysis, *, confidence: bool) -> Translated:
        """Frames uint8 ``[T, H, W, 3]`` that pass through as luma."""
        grey = luma(frames)
        return Translated(
            grey=grey,
            confidence=np.ones(grey.shape if confidence else (0, *grey.shape[1:]), np.float32),
            synthesised=np.zeros(len(frames), np.float32),
            analysis=analysis,
        )

    @property
    def coloured(self) -> bool:
        """There was colour to take away; else the result is a copy."""
        return self.analysis.kind != "bmode"

    @property
    def hidden_share(self) -> float:
        """Share of the sector that was hidden."""
        strata = self.analysis.strata
        inside = np.count_nonzero(strata & SECTOR)
        return float(np.count_nonzero(hidden_mask(strata)) / inside) if inside and self.coloured else 0.0

    def __repr__(self) -> str:
        frames, height, width = self.grey.shape
        share = (
            f"{100 * float(self.synthesised.mean()):.1f} % of the pixels synthesised" if self.coloured else "no colour"
        )
        return f"{type(self).__name__}({_count(frames, 'frame')} {width}x{height}, {self.analysis.kind}, {share})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result(Translated):
    """The translation of a file or `Clip`, with its source: what `Translator` gives for these.

        result = translator("clip.dcm")
        result                  # plays in Jupyter, Colab and VS Code
        result.save("grey.dcm")

    Attributes:
      clip: The input.
      weights: What translated it.
      whole_frame: The network wrote the whole sector.
      settings: What the pixels depend on beside, see `Translator.settings`, and what a person said.
    """

    clip: Clip
    weights: GeneratorWeights
    whole_frame: bool = False
    settings: str = ""

    def player(self, *, keep_screen: bool = False, max_frames: int = 96, max_side: int = 360) -> Player:
        """Colour, greyscale and how far to trust it, playing side by side: one HTML page with everything inside.

        Args:
          keep_screen: Show the whole screen; by default, as in files, what is outside the sector and text are black.
          max_frames, max_side: Of the clip as shown, so that the page stays small.
        """
        from cfd2gray.pages.player import clip_player, trust

        before, after, part = self.clip.frames, self.grey, (slice(None), slice(None))
        if not keep_screen:
            cleaning = self._cleaning()
            before, after = np.stack([cleaning(f) for f in before]), np.stack([cleaning(f) for f in after])
            part = _around(cleaning.keep)
        name = f"{self.analysis.kind}: {_count(len(after), 'frame')} {after.shape[2]}x{after.shape[1]}"
        panels = {"colour flow": before, "greyscale, synthetic" if self.coloured else "greyscale, a copy": after}
        if self.coloured and len(self.confidence):
            panels["how far to trust it (red: not)"] = trust(after, self.confidence)
        panels = {caption: frames[:, *part] for caption, frames in panels.items()}
        hidden = hidden_mask(self.analysis.strata) > 0 if self.coloured else np.zeros(after.shape, bool)
        numbers = {"synthesised": f"{100 * float(self.synthesised.mean()):.1f} %"} if self.coloured else {}
        return clip_player(
            panels, outline=hidden[:, *part], fps=self.clip.info.fps, name=name, numbers=numbers, max_frames=max_frames,
            max_side=max_side,
        )  # fmt: skip

    def show(self, **options: Any) -> None:
        """Play it here: in the notebook's cell, elsewhere in the web browser. Options of `player`."""
        player = self.player(**options)
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if shell is not None and hasattr(shell, "kernel"):
            from IPython.display import display  # pyright: ignore[reportMissingImports]

            display(player)
        else:
            player.open()

    def _repr_html_(self) -> str:
        return self.player()._repr_html_()

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        confidence: bool = False,
        clean: bool | None = None,
        mode: str = "research",
        encoding: str = "explicit",
        key_file: str | os.PathLike[str] | None = None,
        recipe: str | None = None,
    ) -> dict[str, Any]:
        """Write the greyscale clip, the same file that ``cfd2gray translate`` writes.

        Args:
          path: ``.dcm``, ``.mp4``, ``.mkv``, ``.avi``, ``.gif`` or ``.npy``; must not exist.
          confidence: Also write the map of confidence beside it.
          clean: Black outside the sector and over text. None: unless ``mode`` is ``clinical``.
          mode, encoding: Of DICOM: ``research`` (new identifiers) or ``clinical`` (linked to the source); ``explicit``,
            ``rle``, ``jpegls`` or ``j2k``.
          key_file: Secret of DICOM's new identifiers, made when missing; without it, one that is forgotten.
          recipe: Size, crop and kind of file that a public model reads, ``echonet`` for example; see `recipes.RECIPES`.

        Returns:
          Facts about the result, as they are written beside it.

        Raises:
          ValueError: For an existing file, a suffix that cannot be written, or options that do not go together.
        """
        target = pathlib.Path(path)
        if target.exists():
            raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
        output = Output(
            format=target.suffix.lower(),
            hasher=KeyedHasher(secret_key(None if key_file is None else pathlib.Path(key_file))),
            mode=mode,
            whole_frame=self.whole_frame,
            confidence=confidence,
            clean=clean,
            encoding=encoding,
            recipe=None if recipe is None else recipe_named(recipe),
        )
        cleaning = self._cleaning() if output.cleans else None
        target.parent.mkdir(parents=True, exist_ok=True)
        with result_files(
            target, self.clip.info, self.clip.header, shape=self.grey.shape[1:], sector=self.analysis.sector,
            synthetic=self.coloured, weights=self.weights, settings=self.settings, output=output, cleaning=cleaning,
        ) as (add, add_confidence):  # fmt: skip
            for frame in self.grey:
                add(frame if cleaning is None else cleaning(frame))
            for frame in self.confidence:
                add_confidence(np.rint(255.0 * frame).astype(np.uint8))
        facts = describe_result(self.weights, self.clip.info, self, output.recipe)
        facts |= {"cleaned": cleaning is not None, "text_may_remain": cleaning is None or cleaning.doubtful}
        if output.format != ".dcm":
            write_sidecar(target, facts)
        return facts

    def explain(self) -> PIL.Image.Image:
        """A picture of what was taken for sector, box and colour, with the verdict in words; of the screen as it is.

        Where it is wrong, `Translator.of_clip` takes corrections.
        """
        import PIL.Image

        from data_pipeline.screen.explain import explain_picture

        return PIL.Image.fromarray(explain_picture(self.clip.frames, self.analysis))

    def _cleaning(self) -> Cleaning:
        return Cleaning.of(sampled(self.clip.frames), self.analysis)


def _around(keep: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is kept, bool [H, W]; all where nothing is."""
    rows, columns = (np.flatnonzero(keep.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def refuse_unfit(analysis: FlowAnalysis, source: str | os.PathLike[str]) -> None:
    """Raise ``unsupported_layout`` for pictures that would be mangled: tissue Doppler, spectra, M-mode, quad screens."""
    kind, reason = analysis.kind, analysis.reason
    if kind not in TRANSLATABLE:
        detail = f"not a colour-flow clip but {kind} ({reason}); nothing was translated"
        raise IngestError("unsupported_layout", source, detail)


def refuse_covered(hidden: float, source: str | os.PathLike[str]) -> None:
    """Raise ``unsupported_layout`` where ``hidden``, a share of the sector, is more than flow can cover."""
    if hidden > MOST_HIDDEN:
        raise IngestError(
            "unsupported_layout",
            source,
            f"{100 * hidden:.0f} % of the picture was taken for colour, which is no flow (a dithered "
            "palette, a tinted map?); nothing was translated: give the original, or one made without dither",
        )


def describe_result(
    weights: GeneratorWeights, info: ClipInfo, result: Translated, recipe: Recipe | None = None
) -> dict[str, Any]:
    """What is written beside every result."""
    facts = {
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
        "texture": result.texture,
        "model": weights.name,
        "weights_sha256": weights.digest,
        "detail_sha256": result.detail,
        "software": f"cfd2gray {cfd2gray.__version__}",
        "source_sha256": info.source_digest,
        # Without colour there is nothing to do: what came in goes out.
        "input_flags": [*info.flags, *(["no_flow"] if not result.coloured else [])],
    }
    return facts if recipe is None else facts | recipe_facts(recipe, info, result.analysis.sector)


def joined(results: Sequence[tuple[np.ndarray, Translated]], analysis: FlowAnalysis, only: slice) -> Translated:
    """Each sector (bool [H, W]) from its own translation."""
    (_, first), *others = results
    grey, confidence = first.grey[only], first.confidence[only]
    for part, result in others:
        np.copyto(grey, result.grey[only], where=part)
        if confidence.size:
            np.copyto(confidence, result.confidence[only], where=part)
    synthesised = np.sum([result.synthesised[only] for _, result in results], axis=0)
    texture, detail = (max(getattr(result, name) for _, result in results) for name in ("texture", "detail"))
    return Translated(
        grey=grey, confidence=confidence, synthesised=synthesised, analysis=analysis, texture=texture, detail=detail
    )
