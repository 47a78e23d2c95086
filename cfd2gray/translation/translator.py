"""The public face: colour-flow frames in, greyscale frames of the same shape out."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding

from cfd2gray.mesh import batch_sharding, make_mesh, replicated
from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.pure import graph_of
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.grain import match_grain
from cfd2gray.translation.predict import confidence_of
from cfd2gray.translation.stream import Stream
from cfd2gray.translation.view import COLOURED, View
from cfd2gray.translation.windows import lanes_for, run_windows
from cfd2gray.weights.find import checkpoint_weights
from cfd2gray.weights.pretrained import GeneratorWeights, load_pretrained, load_weights
from data_pipeline.schema import BOX, Region, check_frames
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.hidden import hidden_mask


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


AT_FULL_SIZE = 8
"""Frames that are put together at full size at once: in floating point these are the largest arrays of all."""


def luma_of(frames: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 RGB ``[T, H, W, 3]`` as uint8 ``[T, H, W]``; grey pixels keep their exact value."""
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])


def _certain(shape: tuple[int, ...], wanted: bool) -> np.ndarray:
    """Confidence of what is passed through; nothing when it was not asked for."""
    return np.ones(shape if wanted else (0, *shape[1:]), np.float32)


@functools.cache
def compiled_window(spec: GeneratorSpec):
    """The jitted ``(params, cfd [N, k, H, W, 3] uint8, hidden [N, k, H, W] uint8) -> (grey, confidence)``, the results
    ``spec.margin`` frames shorter at either end; every window is computed on the device where it lies."""
    graph = graph_of(Generator, spec)

    @jax.jit
    def run(params: Any, cfd: jax.Array, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        cfd, hidden = cfd.astype(jnp.float32) / 255.0, hidden.astype(jnp.float32)[..., None]
        out = nnx.merge(graph, params)(cfd, hidden, margin=spec.margin)
        kept = slice(spec.margin, cfd.shape[1] - spec.margin)
        grey = match_grain(out.grey, luma(cfd[:, kept]), hidden[:, kept])
        return jnp.clip(grey[..., 0], 0.0, 1.0), confidence_of(out.log_scale[..., 0])

    return run


class Translator:
    """Translates colour-flow clips with one set of weights.

        translator = cfd2gray.Translator.from_pretrained()
        grey = translator(frames)          # uint8 [T, H, W, 3] -> uint8 [T, H, W]

    The result does not depend on how long the clip is or where its windows fall. What lies outside the colour is the
    input's luma, bit for bit, unless ``whole_frame`` is asked for.

    Args:
      weights: Of a network.
      devices: Where to work; the windows of a clip are shared among them. By default the first device, and without an
        accelerator all of them (see `cfd2gray.cpu_cores`).
    """

    def __init__(self, weights: GeneratorWeights, *, devices: Sequence[jax.Device] | None = None):
        self.weights = weights
        local = jax.local_devices()
        self._devices = tuple(devices or (local if local[0].platform == "cpu" else local[:1]))
        self._params = jax.device_put(weights.params, self._devices[0])
        self._placed: dict[int, tuple[Any, NamedSharding]] = {}

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

    def stream(self, *, example: np.ndarray | None = None) -> Stream:
        """A live stream: ``stream.push(frame [H, W, 3]) -> grey [H, W]``. Needs weights of a causal network.

        Args:
          example: A few seconds of the same view ``[T, H, W, 3]``, so that sector and box are known from the start.

        Raises:
          ValueError: For weights of a network that looks at later frames.
        """
        return Stream(self.weights, self._params, example=example)

    def translate(
        self,
        frames: np.ndarray,
        *,
        regions: Sequence[Region] = (),
        analysis: FlowAnalysis | None = None,
        whole_frame: bool = False,
        view: View | None = None,
        confidence: bool = True,
        part: slice | None = None,
    ) -> Translated:
        """Everything about the translation of one clip.

        Args:
          frames: uint8 ``[T, H, W, 3]`` RGB.
          regions: The file's ultrasound regions, if it names any.
          analysis: What is colour in the clip; found in the pixels when not given.
          whole_frame: Let the network write the whole sector, not only what colour hides.
          view: The part of the frame to work on, so that pieces of a clip are cut alike; found around the colour when not
            given.
          confidence: Make the map of confidence too; without it ``confidence`` is an empty array.
          part: Frames that are wanted, of those given; the result holds no others.
        """
        check_frames(frames, channels=3)
        analysis = analyse(frames, regions=regions) if analysis is None else analysis
        part = slice(0, len(frames)) if part is None else part
        grey = luma_of(frames[part])
        coloured = analysis.kind in COLOURED
        hidden = hidden_mask(analysis.strata) if coloured else np.zeros(frames.shape[:3], np.uint8)
        if whole_frame and coloured:
            area = np.broadcast_to(analysis.sector[None], hidden.shape)
        else:
            area = hidden
        if not area.any():
            wanted = dataclasses.replace(analysis, strata=analysis.strata[part])
            unchanged = np.zeros(len(grey), np.float32)
            return Translated(
                grey=grey, confidence=_certain(grey.shape, confidence), synthesised=unchanged, analysis=wanted
            )
        view = View.around(area.any(axis=0), analysis.sector, self.weights) if view is None else view
        small = view.shrink(frames, hidden, sector=analysis.sector)
        wanted = dataclasses.replace(analysis, strata=analysis.strata[part])
        return self._synthesise(small, part, grey, area[part], wanted, view, whole_frame, confidence)

    def windows(
        self, frames: np.ndarray, hidden: np.ndarray, part: slice | None = None
    ) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
        """The network alone, window by window, a window on each device at a time.

        Args:
          frames: uint8 ``[T, h, w, 3]`` at working size; h and w are multiples of the network's.
          hidden: uint8 ``[T, h, w]``, 1 under colour and outline.
          part: Frames that are wanted; all by default.

        Yields:
          ``(part, (grey, confidence))``: which frames, and float32 ``[len(part), h, w]`` in [0, 1] for them.
        """
        count = len(frames) if part is None else part.stop - part.start
        spec, lanes = self.weights.spec, lanes_for(count, len(self._devices))
        if lanes not in self._placed:
            mesh = make_mesh(devices=self._devices[:lanes])
            self._placed[lanes] = jax.device_put(self.weights.params, replicated(mesh)), batch_sharding(mesh)
        params, spread = self._placed[lanes]
        run = compiled_window(spec)
        return run_windows(
            lambda *arrays: run(params, *jax.device_put(arrays, spread)),
            (frames, hidden),
            window=self.weights.settings["window"],
            radius=spec.radius,
            margin=spec.margin,
            lanes=lanes,
            part=part,
        )

    def _synthesise(
        self,
        small_frames: tuple[np.ndarray, np.ndarray],
        wanted: slice,
        grey: np.ndarray,
        area: np.ndarray,
        analysis: FlowAnalysis,
        view: View,
        whole_frame: bool,
        with_confidence: bool,
    ) -> Translated:
        """``grey`` with what the network says written into it; all but ``small_frames`` are of the wanted frames only."""
        confidence = _certain(grey.shape, with_confidence)
        synthesised = np.zeros(len(grey), np.float32)
        feather = max(1, round(self.weights.settings["feather"] / view.scale))
        y, x = view.rows, view.columns
        for window, results in self.windows(*small_frames, part=wanted):
            begin = window.start - wanted.start
            for first in range(0, window.stop - window.start, AT_FULL_SIZE):
                small, small_confidence = (a[first : first + AT_FULL_SIZE] for a in results)
                part = slice(begin + first, begin + first + len(small))
                box = np.ones_like(area[part]) if whole_frame else (analysis.strata[part] & BOX)
                weights = blend_weights(area[part, y, x], box[:, y, x], feather=0 if whole_frame else feather)
                base = grey[part, y, x].astype(np.float32)
                merged = composite(base, 255.0 * view.enlarge(small), weights)
                grey[part, y, x] = np.rint(np.clip(merged, 0, 255)).astype(np.uint8)
                if with_confidence:
                    one = np.ones_like(weights)
                    confidence[part, y, x] = composite(one, view.enlarge(small_confidence), weights)
                synthesised[part] = (weights > 0).mean(axis=(1, 2)) * weights[0].size / grey[0].size
        return Translated(grey=grey, confidence=confidence, synthesised=synthesised, analysis=analysis)
