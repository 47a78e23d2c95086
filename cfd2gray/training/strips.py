"""The picture that a run logs: input, anatomy, output, truth and error side by side, one clip a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

ROWS = 4
"""Clips in the picture at most."""


def image_strip(batch: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray]) -> np.ndarray:
    """uint8 RGB ``[ROWS * H, 5 * W, 3]`` of the middle frame of the first clips: input, anatomy, output, truth, error x 2.

    Args:
      batch: ``cfd``, ``grey`` uint8 as in `data_pipeline.schema.BATCH_KEYS`.
      predicted: ``anatomy`` and ``composited`` float ``[N, T, H, W, 1]`` in [0, 1].
    """
    lines = []
    for n in range(min(ROWS, batch["cfd"].shape[0])):
        t = batch["cfd"].shape[1] // 2
        truth = batch["grey"][n, t, ..., 0].astype(np.float32)
        anatomy, output = (255.0 * predicted[key][n, t, ..., 0] for key in ("anatomy", "composited"))
        greys = [anatomy, output, truth, np.minimum(2.0 * np.abs(output - truth), 255.0)]
        panels = [batch["cfd"][n, t]] + [np.repeat(g.round().astype(np.uint8)[..., None], 3, -1) for g in greys]
        lines.append(np.concatenate(panels, axis=1))
    return np.concatenate(lines, axis=0)
