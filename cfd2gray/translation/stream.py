"""Frame in, frame out: translation of a live stream with a causal network, at the cost of one frame per frame."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator, GeneratorSpec, Memory
from cfd2gray.models.pure import graph_of
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.grain import match_grain
from cfd2gray.translation.view import COLOURED, View
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.schema import BOX
from data_pipeline.screen.analysis import LiveMasks
from data_pipeline.screen.hidden import hidden_mask

REVIEW = 24
"""Frames after which the first decisions about sector and box are made again, and again while no colour is seen."""


@functools.cache
def compiled_advance(spec: GeneratorSpec):
    """The jitted ``(params, cfd [k, H, W, 3] uint8, hidden [k, H, W] uint8, memory) -> (grey [k, H, W], memory)``; the
    memory is donated."""
    graph = graph_of(Generator, spec)

    @functools.partial(jax.jit, donate_argnums=3)
    def run(params: Any, cfd: jax.Array, hidden: jax.Array, memory: Memory) -> tuple[jax.Array, Memory]:
        cfd, hidden = cfd.astype(jnp.float32)[None] / 255.0, hidden.astype(jnp.float32)[None, ..., None]
        out, memory = nnx.merge(graph, params).advance(cfd, hidden, memory)
        return jnp.clip(match_grain(out.grey, luma(cfd), hidden)[0, ..., 0], 0.0, 1.0), memory

    return run


def fresh_memory(params: Any, spec: GeneratorSpec, *, height: int, width: int) -> Memory:
    """The memory of a stream of this working size before its first frame."""
    return nnx.merge(graph_of(Generator, spec), params).start(height, width)


class Stream:
    """One live clip. ``stream.push(frame)`` returns the translation of that very frame: the delay is one frame.

    Sector, box and tint are decided on ``example`` (a few seconds of the same view, if there are any), else on the first
    frame and once more after `REVIEW` frames; a view without colour is looked at again every `REVIEW` frames. The box is
    taken to stand still in between. Frames without colour pass through as luma.

    Args:
      weights: Of a causal network.
      params: The same parameters, on the device.
      example: uint8 ``[T, H, W, 3]`` RGB.

    Raises:
      ValueError: For weights of a network that sees the future.
    """

    def __init__(self, weights: GeneratorWeights, params: Any, *, example: np.ndarray | None = None):
        if not weights.spec.causal:
            raise ValueError(
                f"{weights.name}: this network looks at later frames, so it cannot stream; train one with "
                "--config.model.causal=True (--config.init=RUN starts it from these weights)"
            )
        self._weights, self._params = weights, params
        self._run = compiled_advance(weights.spec)
        self._recent: list[np.ndarray] = []
        self._count, self._masks, self._view, self._memory = 0, None, None, None
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
        hidden, view = hidden_mask(strata[None], frame[None], tint=self._masks.tint), self._view
        small = view.shrink(frame[None], hidden, sector=self._masks.sector)
        grey, self._memory = self._run(self._params, *small, self._memory)
        y, x = view.rows, view.columns
        feather = max(1, round(self._weights.settings["feather"] / view.scale))
        weights = blend_weights(hidden[:, y, x], strata[None, y, x] & BOX, feather=feather)
        merged = composite(untouched[None, y, x].astype(np.float32), 255.0 * view.enlarge(np.asarray(grey)), weights)
        result = untouched.copy()
        result[y, x] = np.rint(np.clip(merged[0], 0, 255)).astype(np.uint8)
        return result

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
            self._view = self._memory = None
            return
        view = View.around(self._masks.box, self._masks.sector, self._weights)
        if view != self._view:  # what was remembered lies elsewhere
            self._view = view
            self._memory = fresh_memory(self._params, self._weights.spec, height=view.height, width=view.width)
