"""Frame in, frame out: translation of a live stream with a causal network, at the cost of one frame per frame."""

from __future__ import annotations

import cv2
import numpy as np

from cfd2gray.runtimes.network import Advance, Network
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.view import COLOURED, View
from data_pipeline.schema import BOX
from data_pipeline.screen.analysis import LiveMasks
from data_pipeline.screen.hidden import hidden_mask

REVIEW = 24
"""Frames after which the first decisions about sector and box are made again, and again while no colour is seen."""


class Stream:
    """One live clip. ``stream.push(frame)`` returns the translation of that very frame: the delay is one frame.

    Sector, box and tint are decided on ``example`` (a few seconds of the same view, if there are any), else on the first
    frame and once more after `REVIEW` frames; a view without colour is looked at again every `REVIEW` frames. The box is
    taken to stand still in between. Frames without colour pass through as luma.

    Args:
      network: A causal one.
      size: Height and width of the frames to come: the network is made ready for them before the first one.
      example: uint8 ``[T, H, W, 3]`` RGB.

    Raises:
      ValueError: For weights of a network that sees the future.
    """

    def __init__(self, network: Network, *, size: tuple[int, int] | None = None, example: np.ndarray | None = None):
        weights = network.weights
        if not weights.spec.causal:
            raise ValueError(
                f"{weights.name}: this network looks at later frames, so it cannot stream; train one with "
                "--config.model.causal=True (--config.init=RUN starts it from these weights)"
            )
        self._network = network
        self._recent: list[np.ndarray] = []
        self._count, self._masks, self._view = 0, None, None
        self._advance: Advance | None = None
        if size is not None:
            self._prepare(*size)
        if example is not None:
            self._decide(np.asarray(example))
            self._count = REVIEW  # nothing to review

    @property
    def kind(self) -> str:
        """What the stream was last taken for; see `data_pipeline.screen.analysis.FlowAnalysis`."""
        return "unknown" if self._masks is None else self._masks.kind

    def push(self, frame: np.ndarray) -> np.ndarray:
        """uint8 ``[H, W, 3]`` RGB -> uint8 ``[H, W]``; every frame of a stream has the same size."""
        frame = np.ascontiguousarray(frame)
        if self._masks is None:
            self._decide(frame[None])
        self._review(frame)
        strata = self._masks.strata(frame)
        untouched = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if self._view is None:
            return untouched
        hidden, view = hidden_mask(strata[None]), self._view
        small = view.shrink(frame[None], hidden, sector=self._masks.sector)
        grey = self._advance(*small)
        y, x = view.rows, view.columns
        feather = max(1, round(self._network.weights.settings["feather"] / view.scale))
        weights = blend_weights(hidden[:, y, x], strata[None, y, x] & BOX, feather=feather)
        merged = composite(untouched[None, y, x].astype(np.float32), 255.0 * view.enlarge(grey), weights)
        result = untouched.copy()
        result[y, x] = np.rint(np.clip(merged[0], 0, 255)).astype(np.uint8)
        return result

    def _prepare(self, height: int, width: int) -> None:
        """Make the network ready for a box over the middle half of either axis; other sizes are quicker afterwards too."""
        box = np.zeros((height, width), bool)
        box[height // 4 : -(-3 * height // 4), width // 4 : -(-3 * width // 4)] = True
        view = View.around(box, np.ones_like(box), self._network.weights)
        self._network.live(view.height, view.width)

    def _review(self, frame: np.ndarray) -> None:
        self._count += 1
        if self._count > REVIEW and self._view is not None:
            return
        self._recent.append(frame)
        if len(self._recent) == REVIEW:
            self._decide(np.stack(self._recent))
            self._recent.clear()

    def _decide(self, frames: np.ndarray) -> None:
        self._masks = LiveMasks(frames)
        if self._masks.kind not in COLOURED or not self._masks.box.any():
            self._view = self._advance = None
            return
        view = View.around(self._masks.box, self._masks.sector, self._network.weights)
        if view != self._view:  # what was remembered lies elsewhere
            self._view = view
            self._advance = self._network.live(view.height, view.width)
