"""Is confidence worth its name? Reliability and sparsification from per-clip counts.

A clip's pixels are counted per confidence level and per error level; counts add up over clips, so that a set of any
size is judged from small tables. Confidence is the claimed probability that a pixel lies within ``tolerance`` of the
truth.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.metrics.frames import as_frames, check_pair

LEVELS = 64
"""Steps of confidence, and of error, that pixels are sorted into."""


def confidence_counts(
    confidence: jax.Array, a: jax.Array, b: jax.Array, *, mask: jax.Array, tolerance: float
) -> dict[str, jax.Array]:
    """Pixels, hits and error sums per level, per clip: each float32 ``[N, LEVELS]``.

    ``pixels``, ``hits`` (within ``tolerance``), ``error`` (absolute) and ``claimed`` (confidence) are sorted by
    confidence; ``oracle_pixels`` and ``oracle_error`` by the error itself. ``mask`` is bool ``[N, T, H, W]``.
    """
    a, b = check_pair(a, b)
    confidence = as_frames(confidence, name="confidence")
    n = a.shape[0]
    error = jnp.abs(a - b).reshape(n, -1)
    weight = mask.reshape(n, -1).astype(jnp.float32)
    claimed = confidence.reshape(n, -1)
    level = jnp.clip((claimed * LEVELS).astype(jnp.int32), 0, LEVELS - 1)
    error_level = jnp.clip((error * 255 / 2).astype(jnp.int32), 0, LEVELS - 1)

    def sums(index: jax.Array, values: jax.Array) -> jax.Array:
        return jax.vmap(lambda i, v: jnp.zeros(LEVELS).at[i].add(v))(index, values * weight)

    one = jnp.ones_like(error)
    return {
        "pixels": sums(level, one),
        "hits": sums(level, (error <= tolerance).astype(jnp.float32)),
        "error": sums(level, error),
        "claimed": sums(level, claimed),
        "oracle_pixels": sums(error_level, one),
        "oracle_error": sums(error_level, error),
    }


BINS = 16
"""Of claimed confidence, in the reliability curve."""


def reliability(counts: dict[str, np.ndarray]) -> dict[str, list[float] | float]:
    """Claimed against found share of hits from summed counts ``[LEVELS]``, and the expected calibration error.

    Returns:
      ``{"claimed": [...], "found": [...], "share": [...], "ece": float}`` over the bins that hold pixels.
    """
    grouped = {k: np.asarray(v, np.float64).reshape(BINS, -1).sum(axis=1) for k, v in counts.items()}
    pixels = grouped["pixels"]
    some = pixels > 0
    claimed, found = grouped["claimed"][some] / pixels[some], grouped["hits"][some] / pixels[some]
    share = pixels[some] / pixels.sum() if some.any() else pixels[some]
    return {
        "claimed": claimed.tolist(),
        "found": found.tolist(),
        "share": share.tolist(),
        "ece": float(np.sum(share * np.abs(claimed - found))),
    }


def sparsification(counts: dict[str, np.ndarray]) -> dict[str, list[float] | float]:
    """Mean error of what remains as the least trusted pixels are taken away.

    Returns:
      ``{"removed": share taken away, "error": by confidence, "oracle": by the error itself, "ause": area between the
      two over the area between no order and the oracle}``. An ``ause`` of 0 is a perfect order, 1 is no better than
      chance, above 1 is worse than chance.
    """
    removed = np.linspace(0, 0.95, 21)
    error = _remaining(counts["pixels"][::-1], counts["error"][::-1], removed)
    oracle = _remaining(counts["oracle_pixels"], counts["oracle_error"], removed)
    gap, whole = np.trapezoid(error - oracle, removed), np.trapezoid(error[0] - oracle, removed)
    return {
        "removed": removed.tolist(),
        "error": error.tolist(),
        "oracle": oracle.tolist(),
        "ause": float(gap / whole) if whole > 0 else 0.0,
    }


def _remaining(pixels: np.ndarray, error: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Mean error of the first ``1 - removed`` share of pixels, which come level by level, best first."""
    kept = np.concatenate([[0], np.cumsum(np.asarray(pixels, np.float64))])
    total = np.concatenate([[0], np.cumsum(np.asarray(error, np.float64))])
    wanted = (1 - removed) * kept[-1]
    return np.interp(wanted, kept, total) / np.maximum(wanted, 1e-12)
