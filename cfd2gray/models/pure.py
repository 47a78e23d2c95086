"""Networks as pure functions: their structure, which is hashable, apart from their parameters, a nested dict of arrays.

grey = nnx.merge(graph_of(Generator, spec), params)(cfd, hidden).grey
"""

from __future__ import annotations

import functools
from typing import Any

import jax
from flax import nnx

Params = Any
"""Nested dict of float32 arrays."""


@functools.cache
def graph_of(network: type[nnx.Module], spec: Any) -> nnx.GraphDef:
    """The structure of ``network(spec)`` without arrays; ``nnx.merge(graph, params)`` makes it callable again."""
    return nnx.split(nnx.eval_shape(lambda: network(spec, rngs=nnx.Rngs(0))))[0]


def fresh_params(network: type[nnx.Module], spec: Any, seed: int | jax.Array) -> Params:
    """Parameters of ``network(spec)`` before any training."""
    return nnx.to_pure_dict(nnx.state(network(spec, rngs=nnx.Rngs(seed)), nnx.Param))
