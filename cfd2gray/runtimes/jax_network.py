"""The network as JAX runs it: on accelerators, and on a CPU where no other runtime is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.mesh import batch_sharding, make_mesh, replicated
from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator, GeneratorSpec, Memory
from cfd2gray.models.pure import graph_of
from cfd2gray.runtimes.confidence import confidence_of
from cfd2gray.runtimes.grain import match_grain
from cfd2gray.runtimes.network import Advance, Windows
from cfd2gray.runtimes.windows import lanes_for, run_windows, window_for
from cfd2gray.weights.pretrained import GeneratorWeights


def left_out(spec: GeneratorSpec) -> int:
    """Frames at either end of a window that `compiled_window` does not return."""
    return spec.margin if spec.causal else spec.radius


@functools.cache
def compiled_window(spec: GeneratorSpec) -> Any:
    """The jitted ``(params, cfd [N, k, H, W, 3] uint8, hidden [N, k, H, W] uint8) -> (grey, confidence)``, the results
    `left_out` frames shorter at either end; every window is computed on the device where it lies."""
    graph = graph_of(Generator, spec)

    @jax.jit
    def run(params: Any, cfd: jax.Array, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        cfd, hidden = cfd.astype(jnp.float32) / 255.0, hidden.astype(jnp.float32)[..., None]
        out = nnx.merge(graph, params)(cfd, hidden, margin=spec.margin, trim=True)
        kept = slice(left_out(spec), cfd.shape[1] - left_out(spec))
        grey = jnp.clip(match_grain(out.grey, luma(cfd[:, kept]), hidden[:, kept])[..., 0], 0.0, 1.0)
        return grey, confidence_of(out.log_scale[..., 0], grey)

    return run


@functools.cache
def compiled_advance(spec: GeneratorSpec) -> Any:
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


class JaxNetwork:
    """See `runtimes.network.Network`. Compiled programs are kept between processes (`compile_cache`).

    Args:
      weights: Of a network.
      devices: Where to work; the windows of a clip are shared among them. By default the first device, and without an
        accelerator all of them (see `cfd2gray.cpu_cores`).
    """

    runtime = "jax"

    def __init__(self, weights: GeneratorWeights, *, devices: Sequence[jax.Device] | None = None):
        use_compile_cache()
        self.weights = weights
        local = jax.local_devices()
        self._devices = tuple(devices or (local if local[0].platform == "cpu" else local[:1]))
        self._params = jax.device_put(weights.params, self._devices[0])
        self._placed: dict[int, tuple[Any, NamedSharding]] = {}

    def workers(self) -> list[JaxNetwork]:
        return [JaxNetwork(self.weights, devices=[device]) for device in jax.local_devices()]

    def windows(
        self, frames: np.ndarray, hidden: np.ndarray, wanted: np.ndarray | None = None, *, confidence: bool = True
    ) -> Iterator[Windows]:
        spec, count = self.weights.spec, len(frames) if wanted is None else int(wanted.sum())
        lanes = lanes_for(count, len(self._devices))
        if lanes not in self._placed:
            mesh = make_mesh(devices=self._devices[:lanes])
            self._placed[lanes] = jax.device_put(self.weights.params, replicated(mesh)), batch_sharding(mesh)
        params, spread = self._placed[lanes]
        run = compiled_window(spec)

        def start(*arrays: np.ndarray) -> Callable[[], tuple[np.ndarray, ...]]:
            results = run(params, *jax.device_put(arrays, spread))  # JAX returns before they are there
            return lambda: tuple(map(np.asarray, results if confidence else results[:1]))

        return run_windows(
            start,
            (frames, hidden),
            window=window_for(count, lanes, self.weights.settings["window"]),
            radius=spec.radius,
            margin=left_out(spec),
            lanes=lanes,
            wanted=wanted,
        )

    def live(self, height: int, width: int) -> Advance:
        run, params, spec = compiled_advance(self.weights.spec), self._params, self.weights.spec

        def fresh() -> Memory:
            # On the device like every later memory: another placement would be another compilation.
            return jax.device_put(fresh_memory(params, spec, height=height, width=width), self._devices[0])

        still = np.zeros((1, height, width, 3), np.uint8)
        jax.block_until_ready(run(params, still, still[..., 0], fresh()))  # now, or the first frame would wait
        memory = fresh()

        def advance(frames: np.ndarray, hidden: np.ndarray) -> np.ndarray:
            nonlocal memory
            grey, memory = run(params, frames, hidden, memory)
            return np.asarray(grey)

        return advance
