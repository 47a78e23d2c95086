"""Train and run the downstream heads on arrays in memory.

Frames are reduced to a small working size first: a view or a chamber is recognised at 64 px, and training takes about a
minute on two cores. Everything is a function of its seed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from cfd2gray.evaluation.tasks.heads import ClipClassifier, FrameSegmenter, HeadSpec

MODELS: dict[str, type[nnx.Module]] = {"classifier": ClipClassifier, "segmenter": FrameSegmenter}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadTraining:
    """How a head is trained."""

    steps: int = 900
    batch_size: int = 16
    learning_rate: float = 4e-3
    size: int = 64
    """px, height and width that clips are reduced to; a multiple of 8."""
    frames: int = 4
    """Evenly spaced frames per clip."""
    width: int = 16
    gain: float = 0.2
    """Largest relative change of brightness and of the grey curve's exponent, so that neither identifies a class."""
    shift: int = 4
    """Largest shift in px."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.frames < 1:
            raise ValueError(f"steps, batch_size and frames must be at least 1, got {self}")
        if self.size % 8 or self.size < 16:
            raise ValueError(f"size must be a multiple of 8 and at least 16, got {self.size}")


@dataclasses.dataclass(frozen=True)
class Head:
    """A trained head: its shape, kind and parameters."""

    spec: HeadSpec
    kind: str
    params: Any


def reduce_clips(clips: np.ndarray, *, options: HeadTraining, labels: bool = False) -> np.ndarray:
    """uint8 ``[N, T, H, W]`` -> uint8 ``[N, frames, size, size]``: evenly spaced frames, area mean (labels: nearest)."""
    if clips.ndim != 4 or clips.dtype != np.uint8:
        raise ValueError(f"clips must be uint8 [N, T, H, W], got {clips.dtype} {list(clips.shape)}")
    times = ((np.arange(options.frames) + 0.5) * clips.shape[1] / options.frames).astype(int)
    size = (options.size, options.size)
    how = cv2.INTER_NEAREST if labels else cv2.INTER_AREA
    return np.stack([np.stack([cv2.resize(clip[t], size, interpolation=how) for t in times]) for clip in clips])


def fit_classifier(clips: np.ndarray, classes: np.ndarray, *, n_classes: int, options: HeadTraining) -> Head:
    """Train a clip classifier; classes are drawn equally often.

    Args:
      clips: uint8 ``[N, T, H, W]``.
      classes: int ``[N]`` in ``0..n_classes - 1``; at least two different ones.
      n_classes: number of classes.
      options: see `HeadTraining`.
    """
    classes = np.asarray(classes)
    if len(classes) != len(clips):
        raise ValueError(f"one class per clip is needed, got {len(classes)} classes for {len(clips)} clips")
    present, counts = np.unique(classes, return_counts=True)
    if len(present) < 2:
        raise ValueError(f"a classifier needs clips of at least two classes, got only class {present.tolist()}")
    even = 1 / counts[np.searchsorted(present, classes)]
    images = reduce_clips(clips, options=options)
    spec = HeadSpec(classes=n_classes, width=options.width)
    return _fit("classifier", spec, images, classes.astype(np.int32), even, options)


def fit_segmenter(frames: np.ndarray, labels: np.ndarray, *, n_classes: int, options: HeadTraining) -> Head:
    """Train a frame segmenter on clips ``[N, T, H, W]`` and label maps of the same shape, both uint8."""
    if frames.shape != labels.shape:
        raise ValueError(f"clips and label maps must have the same shape, got {frames.shape} and {labels.shape}")
    if len(np.unique(labels)) < 2:
        raise ValueError("a segmenter needs label maps with at least two classes, got one only")
    images = reduce_clips(frames, options=options).reshape(-1, 1, options.size, options.size)
    maps = reduce_clips(labels, options=options, labels=True).reshape(-1, options.size, options.size)
    spec = HeadSpec(classes=n_classes, width=options.width)
    return _fit("segmenter", spec, images, maps.astype(np.int32), np.ones(len(images)), options)


def _fit(
    kind: str, spec: HeadSpec, images: np.ndarray, targets: np.ndarray, weights: np.ndarray, options: HeadTraining
) -> Head:
    params = nnx.split(MODELS[kind](spec, rngs=nnx.Rngs(options.seed)), nnx.Param)[1]
    optimizer, step = _trainer(kind, spec, dataclasses.replace(options, seed=0))
    state = optimizer.init(params)
    rng = np.random.default_rng(options.seed)
    share = weights / weights.sum()
    size = options.batch_size * (2 if kind == "segmenter" else 1)
    for key in jax.random.split(jax.random.key(options.seed), options.steps):
        chosen = rng.choice(len(images), size=size, p=share)
        params, state = step(params, state, jax.device_put(images[chosen]), jax.device_put(targets[chosen]), key)
    return Head(spec=spec, kind=kind, params=params)


@functools.lru_cache(maxsize=8)
def _trainer(kind: str, spec: HeadSpec, options: HeadTraining) -> tuple[optax.GradientTransformation, Callable]:
    """Optimizer and jitted update; kept, so that folds and arms of an experiment share one compilation."""
    graph = _graph(kind, spec)
    schedule = optax.cosine_decay_schedule(options.learning_rate, options.steps, alpha=0.02)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-3))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, image: jax.Array, target: jax.Array, key: jax.Array) -> tuple[Any, Any]:
        image, target = _vary(key, image, target, options)

        def loss(params: Any) -> jax.Array:
            logits = _apply(kind, graph, params, image)
            entropy = optax.softmax_cross_entropy_with_integer_labels(logits, target).mean()
            return entropy + _overlap_loss(logits, target) if kind == "segmenter" else entropy

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    return optimizer, step


def _overlap_loss(logits: jax.Array, target: jax.Array) -> jax.Array:
    """One minus the mean soft Dice over the classes in the batch (Milletari 2016): rare, small chambers count as well."""
    share, truth = jax.nn.softmax(logits), jax.nn.one_hot(target, logits.shape[-1])
    both, size = (share * truth).sum(axis=(0, 1, 2)), (share + truth).sum(axis=(0, 1, 2))
    present = truth.any(axis=(0, 1, 2))
    return 1 - jnp.sum(jnp.where(present, 2 * both / (size + 1e-6), 0)) / jnp.maximum(present.sum(), 1)


def _graph(kind: str, spec: HeadSpec) -> Any:
    return nnx.split(nnx.eval_shape(lambda: MODELS[kind](spec, rngs=nnx.Rngs(0))), nnx.Param)[0]


def _apply(kind: str, graph: Any, params: Any, images: jax.Array) -> jax.Array:
    model = nnx.merge(graph, params)
    return model(images[..., None]) if kind == "classifier" else model(images[:, 0, ..., None])


def _vary(key: jax.Array, image: jax.Array, target: jax.Array, options: HeadTraining) -> tuple[jax.Array, jax.Array]:
    """Random gain, gamma and shift per example; ``image`` uint8 ``[B, F, S, S]`` -> float."""
    gain_key, gamma_key, shift_key = jax.random.split(key, 3)
    b = image.shape[0]
    shape = (b, 1, 1, 1)
    gain = 1 + options.gain * jax.random.uniform(gain_key, shape, minval=-1)
    gamma = 1 + options.gain * jax.random.uniform(gamma_key, shape, minval=-1)
    bright = jnp.clip(gain * (image.astype(jnp.float32) / 255) ** gamma, 0, 1)
    moves = jax.random.randint(shift_key, (b, 2), -options.shift, options.shift + 1)
    moved = jax.vmap(lambda x, m: jnp.roll(x, m, axis=(-2, -1)))(bright, moves)
    if target.ndim == 1:
        return moved, target
    return moved, jax.vmap(lambda x, m: jnp.roll(x, m, axis=(-2, -1)))(target, moves)


@functools.cache
def _runner(kind: str, spec: HeadSpec) -> Callable[[Any, jax.Array], jax.Array]:
    graph = _graph(kind, spec)
    return jax.jit(lambda params, images: _apply(kind, graph, params, images.astype(jnp.float32) / 255))


def classify(head: Head, clips: np.ndarray, *, options: HeadTraining) -> np.ndarray:
    """Class probabilities float ``[N, classes]`` of uint8 clips ``[N, T, H, W]``."""
    logits = _run(head, reduce_clips(clips, options=options), 32)
    return np.asarray(jax.nn.softmax(logits, axis=-1))


def segment(head: Head, clips: np.ndarray, *, options: HeadTraining) -> np.ndarray:
    """Label maps uint8 ``[N, frames, size, size]`` of uint8 clips ``[N, T, H, W]``, at the head's working size."""
    images = reduce_clips(clips, options=options)
    n, t = images.shape[:2]
    logits = _run(head, images.reshape(n * t, 1, *images.shape[2:]), 64)
    return np.argmax(logits, axis=-1).astype(np.uint8).reshape(images.shape)


def _run(head: Head, images: np.ndarray, batch_size: int) -> np.ndarray:
    run, parts = _runner(head.kind, head.spec), []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        padded = np.concatenate([part, np.repeat(part[:1], batch_size - len(part), axis=0)])  # one compilation
        parts.append(jax.device_get(run(head.params, jax.device_put(padded)))[: len(part)])
    return np.concatenate(parts)


def saliency(head: Head, clips: np.ndarray, *, target: int, options: HeadTraining) -> np.ndarray:
    """Absolute gradient of a class's log-odds with respect to the input, float ``[N, frames, size, size]``."""
    graph = _graph(head.kind, head.spec)

    @jax.jit
    def gradient(params: Any, images: jax.Array) -> jax.Array:
        def log_odds(image: jax.Array) -> jax.Array:
            logits = _apply(head.kind, graph, params, image[None])[0]
            return logits[target] - jax.nn.logsumexp(jnp.where(jnp.arange(logits.size) == target, -jnp.inf, logits))

        return jnp.abs(jax.vmap(jax.grad(log_odds))(images.astype(jnp.float32) / 255))

    images = reduce_clips(clips, options=options)
    return np.concatenate([jax.device_get(gradient(head.params, jax.device_put(i[None]))) for i in images])
