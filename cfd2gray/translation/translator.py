"""The public face: colour-flow frames in, greyscale frames of the same shape out."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cfd2gray.models.generator import GeneratorSpec
from cfd2gray.training.state import generator_graph
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.predict import confidence_of
from cfd2gray.translation.windows import run_windows
from cfd2gray.weights.find import checkpoint_weights
from cfd2gray.weights.pretrained import GeneratorWeights, load_pretrained, load_weights
from data_pipeline.flow import FlowAnalysis, analyse, hidden_mask
from data_pipeline.schema import BOX, Region, check_frames

CONTEXT = 24
"""px at working resolution around the colour that the network sees; its reach in space is not much wider."""
COLOURED = ("cfd", "power")
"""Kinds of clip whose colour hides tissue; see `data_pipeline.flow`."""
HIDDEN_SHARE = 0.25
"""A reduced pixel counts as hidden when more than this share of it is."""
BUCKET = 32
"""px: the area is rounded up to multiples of this, so that clips of similar size share a compilation."""


@dataclasses.dataclass(frozen=True, eq=False)
class Translated:
    """What became of a clip; arrays ``[T, H, W]`` at the input's size.

    Attributes:
      grey: uint8, the greyscale clip.
      confidence: float32 in [0, 1]: probability that the pixel lies within 10 % of full scale of the truth; 1 where the
        input was passed through.
      synthesised: float32 ``[T]``: share of each frame that is not the input's luma.
      analysis: What was found in the input.
    """

    grey: np.ndarray
    confidence: np.ndarray
    synthesised: np.ndarray
    analysis: FlowAnalysis


def luma_of(frames: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 RGB ``[T, H, W, 3]`` as uint8 ``[T, H, W]``; grey pixels keep their exact value."""
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])


@functools.cache
def compiled_window(spec: GeneratorSpec):
    graph = generator_graph(spec)

    @jax.jit
    def run(params: Any, cfd: jax.Array, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        cfd = cfd.astype(jnp.float32)[None] / 255.0
        out = nnx.merge(graph, params)(cfd, hidden.astype(jnp.float32)[None, ..., None], margin=spec.margin)
        return jnp.clip(out.grey[0, ..., 0], 0.0, 1.0), confidence_of(out.log_scale[0, ..., 0])

    return run


class Translator:
    """Translates colour-flow clips with one set of weights.

        translator = cfd2gray.Translator.from_pretrained()
        grey = translator(frames)          # uint8 [T, H, W, 3] -> uint8 [T, H, W]

    The result does not depend on how long the clip is or where its windows fall. What lies outside the colour is the
    input's luma, bit for bit, unless ``whole_frame`` is asked for.
    """

    def __init__(self, weights: GeneratorWeights):
        self.weights = weights
        self._params = jax.device_put(weights.params)

    @classmethod
    def from_pretrained(cls, name: str = "default") -> Translator:
        """Weights that ship with the package."""
        return cls(load_pretrained(name))

    @classmethod
    def from_file(cls, path: str | pathlib.Path) -> Translator:
        """Weights written by `save_weights`."""
        return cls(load_weights(pathlib.Path(path)))

    @classmethod
    def from_checkpoint(cls, folder: str | pathlib.Path) -> Translator:
        """The averaged generator of the newest checkpoint of a training run.

        Raises:
          ValueError: When ``folder`` holds no checkpoint or one of another program.
        """
        return cls(checkpoint_weights(pathlib.Path(folder)))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 ``[T, H, W, 3]`` RGB -> uint8 ``[T, H, W]``; any T, H, W of at least 1.

        Raises:
          ValueError: For another dtype or shape.
        """
        return self.translate(frames).grey

    def with_confidence(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Like a call, and a float32 ``[T, H, W]`` map of how far each pixel may be trusted, in [0, 1]."""
        result = self.translate(frames)
        return result.grey, result.confidence

    def translate(
        self,
        frames: np.ndarray,
        *,
        regions: Sequence[Region] = (),
        analysis: FlowAnalysis | None = None,
        whole_frame: bool = False,
    ) -> Translated:
        """Everything about the translation of one clip.

        Args:
          frames: uint8 ``[T, H, W, 3]`` RGB.
          regions: The file's ultrasound regions, if it names any.
          analysis: What is colour in the clip; found in the pixels when not given.
          whole_frame: Let the network write the whole sector, not only what colour hides.
        """
        check_frames(frames, channels=3)
        analysis = analyse(frames, regions=regions) if analysis is None else analysis
        untouched = luma_of(frames)
        coloured = analysis.kind in COLOURED
        hidden = hidden_mask(analysis.strata) if coloured else np.zeros(frames.shape[:3], np.uint8)
        if whole_frame and coloured:
            area = np.broadcast_to(analysis.sector[None], hidden.shape)
        else:
            area = hidden
        if not area.any():
            return Translated(
                grey=untouched,
                confidence=np.ones(untouched.shape, np.float32),
                synthesised=np.zeros(len(frames), np.float32),
                analysis=analysis,
            )
        return self._synthesise(frames, untouched, hidden, area, analysis, whole_frame)

    def _synthesise(
        self,
        frames: np.ndarray,
        untouched: np.ndarray,
        hidden: np.ndarray,
        area: np.ndarray,
        analysis: FlowAnalysis,
        whole_frame: bool,
    ) -> Translated:
        view = _View.around(area.any(axis=0), analysis.sector, self.weights)
        settings, spec = self.weights.settings, self.weights.spec
        run = compiled_window(spec)
        grey = untouched.copy()
        confidence = np.ones(untouched.shape, np.float32)
        synthesised = np.zeros(len(frames), np.float32)
        feather = max(1, round(settings["feather"] / view.scale))
        windows = run_windows(
            lambda cfd, mask: tuple(np.asarray(x) for x in run(self._params, cfd, mask)),
            view.shrink(frames, hidden, sector=analysis.sector),
            window=settings["window"],
            radius=spec.radius,
            margin=spec.margin,
        )
        y, x = view.rows, view.columns
        for part, (small, small_confidence) in windows:
            box = np.ones_like(hidden[part]) if whole_frame else (analysis.strata[part] & BOX)
            weights = blend_weights(area[part], box, feather=0 if whole_frame else feather)[:, y, x]
            base = untouched[part, y, x].astype(np.float32)
            merged = composite(base, 255.0 * view.enlarge(small), weights)
            grey[part, y, x] = np.rint(np.clip(merged, 0, 255)).astype(np.uint8)
            one = np.ones_like(weights)
            confidence[part, y, x] = composite(one, view.enlarge(small_confidence), weights)
            synthesised[part] = (weights > 0).mean(axis=(1, 2)) * weights[0].size / untouched[0].size
        return Translated(grey=grey, confidence=confidence, synthesised=synthesised, analysis=analysis)


@dataclasses.dataclass(frozen=True)
class _View:
    """The part of the frame that the network sees, and at what scale.

    ``scale`` is working px per native px; ``rows`` and ``columns`` are native; ``height`` and ``width`` the working size,
    a multiple of what the network asks for (padded with black at the bottom and right).
    """

    rows: slice
    columns: slice
    scale: float
    height: int
    width: int

    @classmethod
    def around(cls, touched: np.ndarray, sector: np.ndarray, weights: GeneratorWeights) -> _View:
        extent = [np.ptp(np.flatnonzero(sector.any(axis=axis))) + 1 if sector.any() else 1 for axis in (0, 1)]
        scale = min(1.0, weights.settings["size"] / max(extent))
        margin = int(np.ceil(CONTEXT / scale))
        spans = []
        for axis, length in ((1, touched.shape[0]), (0, touched.shape[1])):
            found = np.flatnonzero(touched.any(axis=axis))
            spans.append((max(0, int(found[0]) - margin), min(length, int(found[-1]) + 1 + margin)))
        multiple = max(BUCKET, weights.spec.multiple)
        height, width = (-(-round((b - a) * scale) // multiple) * multiple for a, b in spans)
        return cls(rows=slice(*spans[0]), columns=slice(*spans[1]), scale=scale, height=height, width=width)

    @property
    def inner(self) -> tuple[int, int]:
        """(width, height) of the view at working scale, without the padding."""
        rows, columns = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return max(1, round(columns * self.scale)), max(1, round(rows * self.scale))

    def _resized(self, image: np.ndarray) -> np.ndarray:
        cut = np.ascontiguousarray(image[self.rows, self.columns])
        return cut if self.scale == 1.0 else cv2.resize(cut, self.inner, interpolation=cv2.INTER_AREA)

    def shrink(self, frames: np.ndarray, hidden: np.ndarray, *, sector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames ``[T, H, W, 3]`` and hidden mask ``[T, H, W]`` (uint8) at the working size, black outside the sector.

        A small pixel is hidden when more than a quarter of it is; any other is the average of its visible part alone, or a
        bright outline would shine through as a ghost.
        """
        small = np.zeros((len(frames), self.height, self.width, 3), np.uint8)
        mask = np.zeros((len(frames), self.height, self.width), np.uint8)
        width, height = self.inner
        keep = sector[..., None].astype(np.uint8)
        for t, frame in enumerate(frames):
            inside = frame * keep
            share = self._resized(hidden[t].astype(np.float32))
            plain = self._resized(inside)
            if self.scale < 1.0:
                visible = self._resized(inside * (1 - hidden[t])[..., None].astype(np.float32))
                clean = visible / np.maximum(1.0 - share, 1e-3)[..., None]
                plain = np.where((share > HIDDEN_SHARE)[..., None], plain, np.rint(np.clip(clean, 0, 255)))
            small[t, :height, :width] = plain
            mask[t, :height, :width] = share > HIDDEN_SHARE
        return small, mask

    def enlarge(self, small: np.ndarray) -> np.ndarray:
        """float ``[T, height, width]`` -> ``[T, rows, columns]`` at native scale."""
        width, height = self.inner
        cut = small[:, :height, :width]
        if self.scale == 1.0:
            return cut
        size = (self.columns.stop - self.columns.start, self.rows.stop - self.rows.start)
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in cut])
