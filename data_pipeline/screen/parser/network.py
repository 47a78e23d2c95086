"""Run the learned parser on a clip: OpenCV's network runtime, one thread, no JAX."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import threading
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.screen.parser.features import MOMENTS, clip_features, padded, working_size
from data_pipeline.threads import each

KINDS = ("bmode", "cfd", "power", "tissue", "other")
WEIGHTS = pathlib.Path(__file__).with_name("screen_parser.onnx")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Parse:
    """What the network saw in a clip; planes are at the size it worked at.

    Attributes:
      at: int [n], the frames looked at.
      sector, overlay: float32 [h, w] in 0..1, mean over these frames.
      flow, outlines: float32 [n, h, w] in 0..1, of each of these frames.
      kinds: float32 [5], probabilities of `KINDS`.
      spectrum, mmode, several: probabilities that the screen also holds a spectrum, an M-mode, more than one sector.
    """

    at: np.ndarray
    sector: np.ndarray
    overlay: np.ndarray
    flow: np.ndarray
    outlines: np.ndarray
    kinds: np.ndarray
    spectrum: float
    mmode: float
    several: float

    @property
    def outline(self) -> np.ndarray:
        """float32 [h, w]: the outline that stands still."""
        return self.outlines.mean(axis=0)

    @property
    def kind(self) -> str:
        return KINDS[int(self.kinds.argmax())]

    def native(self, plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """A plane float32 [h, w] of this parse at the screen's own size (H, W)."""
        if plane.shape == shape:
            return plane
        return cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_LINEAR)


def parse_screen(frames: np.ndarray, *, looks: int = 3) -> Parse:
    """Parse a clip.

    Args:
      frames: uint8 [T, H, W, 3] RGB, T >= 1.
      looks: frames that the network is run on, spread over the clip; statistics over time come from twice as many.

    Raises:
      ValueError: wrong shape or dtype.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}")
    moments = np.unique(np.linspace(0, len(frames) - 1, min(MOMENTS, 2 * looks)).round().astype(int))
    chosen = np.unique(np.linspace(0, len(moments) - 1, looks).round().astype(int))
    height, width = working_size(*frames.shape[1:3])
    features = padded(clip_features(frames[moments], chosen))
    blob = np.ascontiguousarray(features.transpose(0, 3, 1, 2), np.float32) / 255
    seen = np.zeros((len(blob), 1, *blob.shape[2:]), np.float32)
    seen[:, :, :height, :width] = 1
    found = each(_forward, blob[:, None], seen[:, None])  # one by one: quicker than several at once, even by one thread
    planes, whole = (np.concatenate(part) for part in zip(*found))
    planes = planes[:, :, :height, :width]
    kinds = np.exp(whole[:, :5] - whole[:, :5].max(axis=1, keepdims=True))
    kinds = (kinds / kinds.sum(axis=1, keepdims=True)).mean(axis=0)
    spectrum, mmode, several = (1 / (1 + np.exp(-whole[:, 5:]))).mean(axis=0)
    return Parse(
        at=moments[chosen], sector=planes[:, 0].mean(axis=0), overlay=planes[:, 3].mean(axis=0), flow=planes[:, 1],
        outlines=planes[:, 2], kinds=kinds, spectrum=float(spectrum), mmode=float(mmode), several=float(several),
    )  # fmt: skip


def _forward(features: np.ndarray, seen: np.ndarray) -> Sequence[np.ndarray]:
    """``planes`` and ``whole`` of one frame."""
    net = _NETS.own()
    net.setInput(features, "features")
    net.setInput(seen, "seen")
    return net.forward(["planes", "whole"])


class Nets(threading.local):
    """A network for each thread of each process: one must not run on two at once, nor outlive a fork.

    Args:
      weights: an ONNX file.
    """

    process: int = 0
    net: cv2.dnn.Net

    def __init__(self, weights: pathlib.Path) -> None:
        self._weights = weights

    def own(self) -> cv2.dnn.Net:
        if self.process != os.getpid():
            self.net = cv2.dnn.readNetFromONNX(str(self._weights), cv2.dnn.ENGINE_CLASSIC)
            self.process = os.getpid()
        return self.net


_NETS = Nets(WEIGHTS)
