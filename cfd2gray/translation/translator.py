"""The public face: colour-flow frames in, greyscale frames of the same shape out."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from cfd2gray.runtimes.choose import open_network
from cfd2gray.runtimes.network import Network, Windows
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.stream import Stream
from cfd2gray.translation.view import COLOURED, View
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


def luma_of(frames: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 RGB ``[T, H, W, 3]`` as uint8 ``[T, H, W]``; grey pixels keep their exact value."""
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])


def _certain(shape: tuple[int, ...], wanted: bool) -> np.ndarray:
    """Confidence of what is passed through; nothing when it was not asked for."""
    return np.ones(shape if wanted else (0, *shape[1:]), np.float32)


class Translator:
    """Translates colour-flow clips with one set of weights.

        translator = cfd2gray.Translator.from_pretrained()
        grey = translator(frames)          # uint8 [T, H, W, 3] -> uint8 [T, H, W]

    The result does not depend on how long the clip is or where its windows fall. What lies outside the colour is the
    input's luma, bit for bit, unless ``whole_frame`` is asked for.

    Args:
      weights: Of a network.
      runtime: What computes the network: ``auto`` (default), ``jax``, ``openvino`` or ``onnxruntime``; see
        `runtimes.choose.open_network`.
      devices: JAX devices to work on; the windows of a clip are shared among them. By default the first accelerator.

    Raises:
      ValueError: For a runtime that is unknown or not installed.
    """

    def __init__(self, weights: GeneratorWeights, *, runtime: str = "auto", devices: Sequence[Any] | None = None):
        self._network = open_network(weights, runtime=runtime, devices=devices)

    @property
    def weights(self) -> GeneratorWeights:
        return self._network.weights

    @property
    def runtime(self) -> str:
        """What computes the network."""
        return self._network.runtime

    @classmethod
    def from_pretrained(cls, name: str = "default", *, runtime: str = "auto") -> Translator:
        """Weights that ship with the package."""
        return cls(load_pretrained(name), runtime=runtime)

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
        return [Translator._of(network) for network in self._network.workers()]

    @classmethod
    def _of(cls, network: Network) -> Translator:
        translator = cls.__new__(cls)
        translator._network = network
        return translator

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

    def stream(self, *, size: tuple[int, int] | None = None, example: np.ndarray | None = None) -> Stream:
        """A live stream: ``stream.push(frame [H, W, 3]) -> grey [H, W]``. Needs weights of a causal network.

        Args:
          size: ``(height, width)`` of the frames to come, so that the first of them need not wait for a compiler.
          example: A few seconds of the same view ``[T, H, W, 3]``, so that sector and box are known from the start.

        Raises:
          ValueError: For weights of a network that looks at later frames.
        """
        return Stream(self._network, size=size, example=example)

    def translate(
        self,
        frames: np.ndarray,
        *,
        regions: Sequence[Region] = (),
        analysis: FlowAnalysis | None = None,
        whole_frame: bool = False,
        view: View | None = None,
        confidence: bool = True,
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
                confidence=_certain(untouched.shape, confidence),
                synthesised=np.zeros(len(frames), np.float32),
                analysis=analysis,
            )
        view = View.around(area.any(axis=0), analysis.sector, self.weights) if view is None else view
        return self._synthesise(frames, untouched, hidden, area, analysis, view, whole_frame, confidence)

    def windows(self, frames: np.ndarray, hidden: np.ndarray) -> Iterator[Windows]:
        """The network alone, window by window; see `runtimes.network.Network.windows`."""
        return self._network.windows(frames, hidden)

    def _synthesise(
        self,
        frames: np.ndarray,
        untouched: np.ndarray,
        hidden: np.ndarray,
        area: np.ndarray,
        analysis: FlowAnalysis,
        view: View,
        whole_frame: bool,
        with_confidence: bool,
    ) -> Translated:
        grey = untouched.copy()
        confidence = _certain(untouched.shape, with_confidence)
        synthesised = np.zeros(len(frames), np.float32)
        feather = max(1, round(self.weights.settings["feather"] / view.scale))
        y, x = view.rows, view.columns
        small_frames = view.shrink(frames, hidden, sector=analysis.sector)
        for part, (small, small_confidence) in self.windows(*small_frames):
            box = np.ones_like(hidden[part]) if whole_frame else (analysis.strata[part] & BOX)
            weights = blend_weights(area[part, y, x], box[:, y, x], feather=0 if whole_frame else feather)
            base = untouched[part, y, x].astype(np.float32)
            merged = composite(base, 255.0 * view.enlarge(small), weights)
            grey[part, y, x] = np.rint(np.clip(merged, 0, 255)).astype(np.uint8)
            if with_confidence:
                one = np.ones_like(weights)
                confidence[part, y, x] = composite(one, view.enlarge(small_confidence), weights)
            synthesised[part] = (weights > 0).mean(axis=(1, 2)) * weights[0].size / untouched[0].size
        return Translated(grey=grey, confidence=confidence, synthesised=synthesised, analysis=analysis)
