"""The enlarged result at the size of the screen: how far is what the same tissue showed in other frames believed?

Its input lies on the host, and its size is another in every frame: OpenVINO runs it where that computes the other networks, in
half the time that OpenCV takes, which does it otherwise.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import cv2
import numpy as np

from cfd2gray.runtimes.graph_network import OpenVinoAnySize
from cfd2gray.translation.motion import Sight
from cfd2gray.weights.pretrained import ASSETS
from data_pipeline.screen.parser.network import Nets
from data_pipeline.threads import each

_GRAPH = ASSETS / "cfd2gray_detail.onnx"
_NETS = Nets(_GRAPH)
ADDED = 0.1
"""As `models.detail.ADDED`, which cannot be imported without JAX."""
TAKEN = 0.5
"""Share of what the network says that is added. It learned from simulated clips; on those half is as good, on a real echo
(12 clips of 384 and 480 rows) all of it gained nothing and half .006 of SSIM under colour."""
AROUND = 16
"""px around what is hidden that the network sees: more than it reaches."""
BUCKET = 32
"""px to multiples of which that is enlarged for OpenVINO, which prepares for each size anew."""
GAIN = 8.0
"""By which differences are enlarged for it."""


@functools.cache
def digest() -> str:
    """SHA-256 of the network, which stands in every result that it took part in."""
    return hashlib.sha256(_GRAPH.read_bytes()).hexdigest()


def planes_of(made: Any, hidden: Any, past: tuple[Any, Any], future: tuple[Any, Any], *, xp: Any) -> tuple[Any, Any]:
    """What the network sees, by NumPy or ``jax.numpy`` (``xp``).

    Args:
      made: The result so far in 0..255, ``[..., H, W]``.
      hidden: Not 0 where it was synthesised.
      past, future: Value in 0..255 and age in frames (0: not seen), see `motion.Sight`.

    Returns:
      float32 ``[..., H, W, 6]``, and by how much other frames differ from ``made`` (1 is white), nearer ones counting more.
    """
    grey, covered = made / 255.0, (hidden > 0).astype(xp.float32)
    (before, ago), (after, ahead) = past, future
    weights = [covered * (age > 0) / (1.0 + age.astype(xp.float32)) for age in (ago, ahead)]
    trust, both = weights[0] + weights[1], (weights[0] > 0) & (weights[1] > 0)
    seen = (weights[0] * before + weights[1] * after) / (255.0 * xp.maximum(trust, 1e-6))
    differs = xp.where(trust > 0, seen - grey, 0.0)
    apart = both * xp.abs(before * 1.0 - after) / 255.0
    planes = [4.0 * grey - 1.0, covered, GAIN * differs, trust, GAIN * apart, both * 1.0]
    return xp.stack(planes, axis=-1).astype(xp.float32), differs


def add_detail(made: np.ndarray, hidden: np.ndarray, past: Sight, future: Sight, *, runtime: str = "") -> None:
    """Add to ``made`` (float32 ``[T, h, w]`` in 0..255) in place what other frames tell of its ``hidden`` pixels (uint8).
    ``runtime``: what computes the other networks."""
    bucket, found_in = (BUCKET, _by_openvino) if runtime == "openvino" else (2, _by_opencv)

    def one(t: int) -> None:
        left, top, wide, tall = cv2.boundingRect(hidden[t])
        if not wide:
            return
        part = tuple(slice(max(0, at - AROUND), at + size + AROUND) for at, size in ((top, tall), (left, wide)))
        covered = hidden[t][part]
        planes, differs = planes_of(
            made[t][part], covered, *((sight.value[t][part], sight.age[t][part]) for sight in (past, future)), xp=np
        )
        height, width = covered.shape
        planes = np.pad(planes, ((0, -height % bucket), (0, -width % bucket), (0, 0)), mode="edge")
        belief, added = found_in(np.ascontiguousarray(planes.transpose(2, 0, 1)[None]))[0, :, :height, :width]
        made[t][part] += 255.0 * TAKEN * (covered > 0) * (differs / (1.0 + np.exp(-belief)) + ADDED * added)

    each(one, range(len(made)))


def _by_opencv(planes: np.ndarray) -> np.ndarray:
    net = _NETS.own()
    net.setInput(planes, "planes")
    return net.forward("found")


def _by_openvino(planes: np.ndarray) -> np.ndarray:
    return _engine()({"planes": planes})["found"]


@functools.cache
def _engine() -> OpenVinoAnySize:
    return OpenVinoAnySize(_GRAPH)
