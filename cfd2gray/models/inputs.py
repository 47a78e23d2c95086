"""A batch of bytes -> what networks and losses take. Runs inside the jitted step, so that bytes travel, not floats."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from data_pipeline.schema import BOX, SECTOR

Array = jax.Array


def to_inputs(batch: Mapping[str, Array]) -> dict[str, Array]:
    """Normalise a batch (`data_pipeline.schema.BATCH_KEYS`).

    Returns:
      float32 ``cfd [N, T, H, W, 3]``, ``truth``, ``hidden``, ``sector``, ``box [N, T, H, W, 1]`` in [0, 1] and ``mask [N]``.
    """
    sector, box = ((batch["strata"] & stratum) > 0 for stratum in (SECTOR, BOX))
    return {
        "cfd": batch["cfd"].astype(jnp.float32) / 255.0,
        "truth": batch["grey"].astype(jnp.float32) / 255.0,
        "hidden": batch["hidden"].astype(jnp.float32)[..., None],
        "sector": sector.astype(jnp.float32)[..., None],
        "box": box.astype(jnp.float32)[..., None],
        "mask": batch["mask"].astype(jnp.float32),
    }


def without_margin(inputs: Mapping[str, Array], margin: int) -> dict[str, Array]:
    """The frames that are learned from: all but the first and last ``margin``, which are evidence only."""
    return {name: x[:, margin : x.shape[1] - margin] if x.ndim == 5 else x for name, x in inputs.items()}
