"""What translation asks of a network, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from cfd2gray.weights.pretrained import GeneratorWeights

Windows = tuple[slice, tuple[np.ndarray, ...]]
Advance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(frames [k, h, w, 3] uint8, hidden [k, h, w] uint8) -> grey [k, h, w]`` for the next frames of one stream."""


class Network(Protocol):
    """One set of weights, ready to work. ``runtime``: ``jax``, ``openvino`` or ``onnxruntime``."""

    runtime: str
    weights: GeneratorWeights

    def windows(
        self, frames: np.ndarray, hidden: np.ndarray, wanted: np.ndarray | None = None, *, confidence: bool = True
    ) -> Iterator[Windows]:
        """The network alone, window by window.

        Args:
          frames: uint8 ``[T, h, w, 3]`` at working size; h and w are multiples of the network's.
          hidden: uint8 ``[T, h, w]``, 1 under colour and outline.
          wanted: bool ``[T]``: frames whose result is needed; the others may be left out. None: all.
          confidence: Whether it is needed; without it there is only ``(grey,)``.

        Yields:
          ``(part, (grey, confidence))``: which frames, and float32 ``[len(part), h, w]`` in [0, 1] for them.
        """

    def live(self, height: int, width: int) -> Advance:
        """A new stream of frames of this working size, for causal networks."""

    def workers(self) -> Sequence[Network]:
        """Networks that can work on different clips at the same time, at least one."""
