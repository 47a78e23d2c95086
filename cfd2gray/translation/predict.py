"""Parameters and a batch -> what evaluation and reports look at: anatomy, raw and composited greyscale, confidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.inputs import to_inputs
from cfd2gray.models.pure import graph_of
from cfd2gray.runtimes.confidence import confidence_of
from cfd2gray.runtimes.grain import match_grain
from cfd2gray.translation.composite import blend_weights, composite
from data_pipeline.schema import BOX

Array = jax.Array


def make_predict(spec: GeneratorSpec, *, feather: int) -> Callable[[Any, Mapping[str, Array]], dict[str, Array]]:
    """``predict(params, batch)`` for a batch of `data_pipeline.schema.BATCH_KEYS`.

    Returns a dict of float32 ``[N, T, H, W, 1]`` in [0, 1]: ``anatomy`` (first network), ``grey`` (both networks, fine detail
    no stronger than the visible image's),
    ``composited`` (pass-through outside the colour) and ``confidence`` (1 where nothing was synthesised).
    """
    graph = graph_of(Generator, spec)

    def predict(params: Any, batch: Mapping[str, Array]) -> dict[str, Array]:
        inputs = to_inputs(batch)
        out = nnx.merge(graph, params)(inputs["cfd"], inputs["hidden"])
        weights = blend_weights(batch["hidden"], (batch["strata"] & BOX) > 0, feather=feather)[..., None]
        grey = jnp.clip(match_grain(out.grey, luma(inputs["cfd"]), inputs["hidden"]), 0.0, 1.0)
        return {
            "anatomy": jnp.clip(out.anatomy, 0.0, 1.0),
            "grey": grey,
            "composited": composite(luma(inputs["cfd"]), grey, weights),
            "confidence": composite(jnp.ones_like(grey), confidence_of(out.log_scale, grey), weights),
        }

    return predict
