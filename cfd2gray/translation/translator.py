"""The public face: colour-flow frames in, greyscale frames of the same shape out."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from cfd2gray.runtimes.choose import open_network
from cfd2gray.runtimes.network import Network, Windows
from cfd2gray.translation.areas import Area, areas_of, only_in
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.detail import add_detail, digest
from cfd2gray.translation.motion import Sight, sights
from cfd2gray.translation.result import Result, Translated, joined, refuse_covered, refuse_unfit
from cfd2gray.translation.square import analyse_square
from cfd2gray.translation.stream import Stream
from cfd2gray.translation.view import COLOURED, with_neighbours
from cfd2gray.weights.pretrained import GeneratorWeights, load_pretrained, load_weights
from data_pipeline.readers import read_clip
from data_pipeline.schema import BOX, Clip, Region, check_frames
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.screen.said import Said

_PASTED = 4
"""Frames that are put back into their places at once."""


class Translator:
    """Translates colour-flow clips with one set of weights.

        translator = cfd2gray.Translator.from_pretrained()
        grey = translator(frames)          # uint8 [T, H, W, 3] -> uint8 [T, H, W]
        result = translator("clip.dcm")    # a `Result`: .grey, .show(), .save("grey.dcm"), .explain()

    The result does not depend on how long the clip is or where its windows fall. What lies outside the colour is the
    input's luma, bit for bit, unless ``whole_frame`` is asked for.

    Args:
      weights: Of a network.
      runtime: What computes the network: ``auto`` (default), ``jax``, ``openvino`` or ``onnxruntime``; see
        `runtimes.choose.open_network`.
      devices: JAX devices to work on; the windows of a clip are shared among them. By default the first accelerator.
      texture: How much of the speckle that the network leaves out is drawn, 0 (what is to be expected: smooth, the highest
        SSIM) to 1 (as visible tissue has it); by default 1 where its result is enlarged, else 0. See `speckle`.

      detail: Whether an enlarged result learns from other frames what the same tissue showed there; see `detail`.

    Raises:
      ValueError: For a runtime that is unknown or not installed, and for a texture beyond 0..1.
    """

    def __init__(
        self,
        weights: GeneratorWeights,
        *,
        runtime: str = "auto",
        devices: Sequence[Any] | None = None,
        texture: float | None = None,
        detail: bool = True,
    ):
        if texture is not None and not 0.0 <= texture <= 1.0:
            raise ValueError(f"texture must lie in 0..1, got {texture}")
        self._network = open_network(weights, runtime=runtime, devices=devices)
        self.texture, self.detail = texture, detail

    @property
    def weights(self) -> GeneratorWeights:
        return self._network.weights

    @property
    def runtime(self) -> str:
        """What computes the network."""
        return self._network.runtime

    @classmethod
    def from_pretrained(
        cls, name: str = "default", *, runtime: str = "auto", texture: float | None = None
    ) -> Translator:
        """Weights that ship with the package."""
        return cls(load_pretrained(name), runtime=runtime, texture=texture)

    @classmethod
    def from_file(cls, path: str | pathlib.Path, *, runtime: str = "auto") -> Translator:
        """Weights written by `save_weights`."""
        return cls(load_weights(pathlib.Path(path)), runtime=runtime)

    @classmethod
    def from_checkpoint(cls, folder: str | pathlib.Path, *, runtime: str = "auto") -> Translator:
        """The averaged generator of the newest checkpoint of a training run.

        Raises:
          ValueError: When ``folder`` holds no checkpoint or one of another program.
        """
        from cfd2gray.weights.find import checkpoint_weights

        return cls(checkpoint_weights(pathlib.Path(folder)), runtime=runtime)

    def workers(self) -> list[Translator]:
        """Translators with these weights that can work on different clips at the same time, each in a thread."""
        return [Translator._of(network, self.texture, self.detail) for network in self._network.workers()]

    @classmethod
    def _of(cls, network: Network, texture: float | None = None, detail: bool = True) -> Translator:
        translator = cls.__new__(cls)
        translator._network, translator.texture, translator.detail = network, texture, detail
        return translator

    @property
    def settings(self) -> str:
        """What its pixels depend on beside the weights, for headers."""
        drawn = "by size" if self.texture is None else f"{self.texture:g}"
        return f"texture {drawn}" + (f", detail of other frames sha256 {digest()}" if self.detail else "")

    def __repr__(self) -> str:
        return f"Translator({self.weights.name!r}, runtime={self.runtime!r})"

    @overload
    def __call__(self, source: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, source: Clip | str | os.PathLike[str]) -> Result: ...

    def __call__(self, source: np.ndarray | Clip | str | os.PathLike[str]) -> np.ndarray | Result:
        """Arrays in, arrays out: uint8 ``[T, H, W, 3]`` RGB -> uint8 ``[T, H, W]``; any T, H, W of at least 1.

        A file's path, or the `Clip` of `cfd2gray.read`, gives a `Result`, which knows its source: it can be shown, saved as
        DICOM and explained, and its ``grey`` is the array.

        Raises:
          ValueError: For another dtype or shape; `IngestError` for what cannot be read or translated honestly.
        """
        if isinstance(source, (str, os.PathLike, Clip)):
            return self.of_clip(source)
        return self.translate(source, confidence=False).grey

    def of_clip(
        self,
        source: Clip | str | os.PathLike[str],
        *,
        kind: str | None = None,
        box: str | None = None,
        sector: str | None = None,
        mask: str | os.PathLike[str] | None = None,
        whole_frame: bool = False,
    ) -> Result:
        """A file or clip as ``cfd2gray translate`` does it, held in memory as a whole.

        Args:
          source: A path of anything that `cfd2gray.read` reads, or what it gave.
          kind: What the clip is, where the analysis is unsure or wrong: ``cfd``, ``power`` or ``bmode``.
          box, sector: ``X0,Y0,X1,Y1`` in pixels, or a polygon of more corners.
          mask: What colour covers: an image (white is hidden) or ``.npy``.
          whole_frame: Let the network write the whole sector.

        Raises:
          IngestError: For unreadable files, and for layouts that cannot be translated honestly.
          ValueError: For corrections that make no sense.
        """
        clip = source if isinstance(source, Clip) else read_clip(source)
        name = "the clip" if isinstance(source, Clip) else source
        said = Said.of(kind=kind, box=box, sector=sector, mask=None if mask is None else pathlib.Path(mask))
        info = clip.info
        analysis = analyse_square(clip.frames, regions=info.regions, aspect=info.pixel_aspect, said=said)
        refuse_unfit(analysis, name)
        found = self.translate(clip.frames, analysis=analysis, whole_frame=whole_frame)
        if not whole_frame:
            refuse_covered(found.hidden_share, name)
        return Result(
            grey=found.grey, confidence=found.confidence, synthesised=found.synthesised, analysis=analysis,
            texture=found.texture, detail=found.detail, clip=clip, weights=self.weights, whole_frame=whole_frame,
            settings=self.settings + said.in_short,
        )  # fmt: skip

    def with_confidence(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Like a call, and a float32 ``[T, H, W]`` map of how far each pixel may be trusted, in [0, 1]."""
        result = self.translate(frames)
        return result.grey, result.confidence

    def stream(self, *, size: tuple[int, int] | None = None, example: np.ndarray | None = None) -> Stream:
        """A live stream: ``stream.push(frame [H, W, 3]) -> grey [H, W]``. Needs weights of a causal network.

        Args:
          size: ``(height, width)`` of the frames to come, so that the first of them need not wait for a compiler.
          example: A few seconds of the same view ``[T, H, W, 3]``, so that sector and box are known from the start.

        Raises:
          ValueError: For weights of a network that looks at later frames.
        """
        return Stream(self._network, size=size, example=example, texture=self.texture, detail=self.detail)

    def translate(
        self,
        frames: np.ndarray,
        *,
        regions: Sequence[Region] = (),
        analysis: FlowAnalysis | None = None,
        whole_frame: bool = False,
        areas: Sequence[Area] | None = None,
        confidence: bool = True,
        first: int = 0,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Translated:
        """Everything about the translation of one clip.

        Args:
          frames: uint8 ``[T, H, W, 3]`` RGB.
          regions: The file's ultrasound regions, if it names any.
          analysis: What is colour in the clip; found in the pixels when not given.
          whole_frame: Let the network write the whole sector, not only what colour hides.
          areas: The sectors to work on, so that pieces of a clip are cut alike; found around the colour when not given.
          confidence: Make the map of confidence too; without it ``confidence`` is an empty array.
          first: Number of the first frame in its clip.
          tell: Is told how many frames are done.
        """
        check_frames(frames, channels=3)
        analysis = analyse_square(frames, regions=regions, aspect=1.0) if analysis is None else analysis
        shape = frames.shape[:3]
        result = Translated(
            grey=np.empty(shape, np.uint8),
            confidence=np.empty(shape if confidence else (0, *shape[1:]), np.float32),
            synthesised=np.empty(len(frames), np.float32),
            analysis=analysis,
        )
        pieces = self.pieces(
            frames, analysis=analysis, whole_frame=whole_frame, areas=areas, confidence=confidence, first=first
        )
        texture, detail = 0.0, ""
        for part, piece in pieces:
            texture, detail = max(texture, piece.texture), max(detail, piece.detail)
            result.grey[part], result.synthesised[part] = piece.grey, piece.synthesised
            if confidence:
                result.confidence[part] = piece.confidence
            tell(part.indices(len(frames))[1])
        return dataclasses.replace(result, texture=texture, detail=detail)

    def pieces(
        self,
        frames: np.ndarray,
        *,
        analysis: FlowAnalysis,
        whole_frame: bool = False,
        areas: Sequence[Area] | None = None,
        confidence: bool = True,
        only: slice = slice(None),
        first: int = 0,
    ) -> Iterator[tuple[slice, Translated]]:
        """`translate` by a few frames, in order: the network works on the next window while one is put in its place.

        Frames of which nothing is hidden cost nothing unless others look at them.

        Args:
          only: Frames whose translation is needed; the others are only looked at.
          first: Number of the first frame in its clip.

        Yields:
          ``(frames of the piece, the piece)``; its ``analysis`` is the clip's.
        """
        coloured = analysis.kind in COLOURED
        hidden = hidden_mask(analysis.strata, frames) if coloured else np.zeros(frames.shape[:3], np.uint8)
        made = np.broadcast_to(analysis.sector[None], hidden.shape) if whole_frame and coloured else hidden
        start, stop, _ = only.indices(len(frames))
        at, wanted = start, made.any(axis=(1, 2))
        if wanted[start:stop].any():
            if areas is None:
                areas = areas_of(
                    made.any(axis=0), analysis.sector, self.weights, geometry=analysis.geometry, frames=frames,
                    texture=self.texture,
                )  # fmt: skip
            if len(areas) > 1:
                both = [
                    (area.sector, self.translate(
                        frames, analysis=only_in(area.sector, analysis), whole_frame=whole_frame, areas=[area],
                        confidence=confidence, first=first,
                    ))
                    for area in areas
                ]  # fmt: skip
                yield only, joined(both, analysis, only)
                return
            (area,), view = areas, areas[0].view
            wanted[:start] = wanted[stop:] = False
            small = view.shrink(
                frames, hidden, sector=analysis.sector, wanted=with_neighbours(wanted, self.weights.spec.radius)
            )
            for window, found in self._network.windows(*small, wanted, confidence=confidence):
                part = slice(window.start, min(window.stop, stop))
                if at < part.start:
                    before = slice(at, part.start)
                    yield before, Translated.untouched(frames[before], analysis, confidence=confidence)
                seen = None
                if self.detail and not whole_frame and view.scale < 1.0:
                    y, x = view.rows, view.columns
                    seen = sights(frames[:, y, x], hidden[:, y, x], only=part)
                for at in range(part.start, part.stop, _PASTED):  # few at a time: they are large in float32
                    few = slice(at, min(at + _PASTED, part.stop))
                    own = slice(few.start - part.start, few.stop - part.start)
                    pasted = self._pasted(
                        frames[few], made[few], analysis.strata[few] & BOX, area,
                        tuple(array[own] for array in found),
                        seen and tuple(sight.part(own) for sight in seen),
                        analysis, first + few.start, whole_frame, confidence,
                    )  # fmt: skip
                    yield few, pasted
                at = part.stop
        if at < stop:
            yield slice(at, stop), Translated.untouched(frames[at:stop], analysis, confidence=confidence)

    def windows(self, frames: np.ndarray, hidden: np.ndarray) -> Iterator[Windows]:
        """The network alone, window by window; see `runtimes.network.Network.windows`."""
        return self._network.windows(frames, hidden)

    def _pasted(
        self,
        frames: np.ndarray,
        made: np.ndarray,
        box: np.ndarray,
        area: Area,
        found: tuple[np.ndarray, ...],
        seen: tuple[Sight, Sight] | None,
        analysis: FlowAnalysis,
        number: int,
        whole_frame: bool,
        with_confidence: bool,
    ) -> Translated:
        """What the network found for some frames in its place among their visible pixels; ``seen``: of their hidden
        pixels elsewhere, if that is to be used."""
        result, view = Translated.untouched(frames, analysis, confidence=with_confidence), area.view
        y, x = view.rows, view.columns
        feather = 0 if whole_frame else max(1, round(self.weights.settings["feather"] / view.scale))
        allowed = np.ones_like(made) if whole_frame else box
        weights = blend_weights(made[:, y, x], allowed[:, y, x], feather=feather)
        merged = composite(result.grey[:, y, x].astype(np.float32), 255.0 * view.enlarge(found[0]), weights)
        if seen is not None:
            add_detail(merged, made[:, y, x], *seen, runtime=self.runtime)
        if (speckle := area.speckle()) is not None:
            speckle.draw(merged, weights, view, number)
        result.grey[:, y, x] = np.rint(np.clip(merged, 0, 255)).astype(np.uint8)
        if with_confidence:
            result.confidence[:, y, x] = composite(np.ones_like(weights), view.enlarge(found[1]), weights)
        result.synthesised[:] = (weights > 0).mean(axis=(1, 2)) * weights[0].size / result.grey[0].size
        drawn = 0.0 if speckle is None else speckle.amount
        return dataclasses.replace(result, texture=drawn, detail="" if seen is None else digest())
