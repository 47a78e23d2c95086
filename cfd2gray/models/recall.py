"""What causal temporal layers remember of earlier frames, so that a stream costs one frame per frame."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cfd2gray.models.spec import DEPTH

Array = jax.Array


class Recall:
    """Hands every causal layer its features of the frames before, and collects what the next frames will need.

    One is made for each trace of the network; layers ask in the order in which they run. Without a past, the first frame
    is repeated before itself, as at the start of a stream.

    Args:
      past: Per layer ``[N, DEPTH, h, w, C]``, as `latest` of the frames before; None for the start of a clip.
      started: bool scalar: False where ``past`` is only a place holder (the first frames of a stream).
    """

    def __init__(self, past: Sequence[Array] | None = None, started: Array | None = None):
        self._past, self._started = past, started
        self._latest: list[Array] = []

    def extend(self, x: Array) -> Array:
        """``[N, T, h, w, C] -> [N, DEPTH + T, h, w, C]``: the frames before, then ``x``."""
        earlier = jnp.repeat(x[:, :1], DEPTH, axis=1)
        if self._past is not None:
            earlier = jnp.where(self._started, self._past[len(self._latest)], earlier)
        whole = jnp.concatenate([earlier, x], axis=1)
        self._latest.append(whole[:, -DEPTH:])
        return whole

    @property
    def latest(self) -> tuple[Array, ...]:
        """Per layer that has asked, its last ``DEPTH`` frames."""
        return tuple(self._latest)
