"""The first guess of what colour hides, without any learning: the nearest sight in time, then averages over space.

Colour that covers a pixel in one frame often spares it in another phase of the beat. The guess takes what the same pixel
last showed and next shows, and where that is too long ago, the nearest visible surroundings from a pyramid of averages.
AnatomyNet starts from it and learns the rest; beside it stands what the pixel usually shows, which is less like the moment
but has less of the speckle of single frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Sight = tuple[Array, Array]
"""What each pixel showed when it was last seen ``[N, H, W, 1]``, and how many frames ago (infinity: never)."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a stream knows of its earlier frames. ``last``: see `Sight`. ``values``, ``visible``: its last ``radius``
    frames ``[N, radius, H, W, 1]``, values 0 where hidden."""

    last: Sight
    values: Array
    visible: Array


jax.tree_util.register_dataclass(Seen, ["last", "values", "visible"], [])

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma weights of R, G, B."""


def luma(rgb: Array) -> Array:
    """BT.601 luma of ``[..., 3]`` as ``[..., 1]``, in the input's units."""
    # Not a sum over the last axis: XLA's CPU backend reduces three neighbours at a time, ten times slower.
    red, green, blue = (rgb[..., i : i + 1] * weight for i, weight in enumerate(LUMA))
    return red + green + blue


def _halve(x: Array) -> Array:
    *lead, h, w, c = x.shape
    if not isinstance(h, int):
        return _resized(x, _averages)
    return jnp.mean(x.reshape((*lead, h // 2, 2, w // 2, 2, c)), axis=(-4, -2))


def _double(x: Array) -> Array:
    """Bilinear doubling of height and width with edges repeated, as four weighted shifts."""
    if not isinstance(x.shape[-3], int):
        return _resized(x, _between)
    up = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (0, 0), (0, 0)], mode="edge")
    rows = jnp.stack([0.25 * up[..., :-2, :, :] + 0.75 * x, 0.75 * x + 0.25 * up[..., 2:, :, :]], axis=-3)
    rows = rows.reshape((*x.shape[:-3], 2 * x.shape[-3], *x.shape[-2:]))
    side = jnp.pad(rows, [(0, 0)] * (x.ndim - 2) + [(1, 1), (0, 0)], mode="edge")
    columns = jnp.stack([0.25 * side[..., :-2, :] + 0.75 * rows, 0.75 * rows + 0.25 * side[..., 2:, :]], axis=-2)
    return columns.reshape((*rows.shape[:-2], 2 * rows.shape[-2], rows.shape[-1]))


def _resized(x: Array, matrix: Callable[[int], Array]) -> Array:
    """`_halve` and `_double` as two matrix products, for sizes that are not known yet (`cfd2gray.runtimes`): runtimes that
    do not fuse operators would do every shift by itself."""
    rows = jnp.einsum("hk,ntkw->nthw", matrix(x.shape[2]), x[..., 0])
    return jnp.einsum("wk,nthk->nthw", matrix(x.shape[3]), rows)[..., None]


def _averages(size: int) -> Array:
    """``[size / 2, size]``: the mean of two neighbours."""
    apart = jnp.arange(size) - 2 * jnp.arange(size // 2)[:, None]
    return 0.5 * ((apart == 0) | (apart == 1)).astype(jnp.float32)


def _between(size: int) -> Array:
    """``[2 * size, size]``: three quarters of what lies there, one quarter of the neighbour beyond."""
    at = jnp.clip(0.5 * jnp.arange(2 * size, dtype=jnp.float32) - 0.25, 0.0, jnp.asarray(size - 1, jnp.float32))
    return jnp.maximum(1.0 - jnp.abs(at[:, None] - jnp.arange(size, dtype=jnp.float32)), 0.0)


def last_sight(values: Array, visible: Array, *, radius: int, reverse: bool = False) -> tuple[Array, Array]:
    """What each pixel showed when it was last seen, at most ``radius`` frames ago.

    Args:
      values: ``[N, T, H, W, 1]``, any unit.
      visible: ``[N, T, H, W, 1]``, 1 where ``values`` may be trusted, 0 where not.
      radius: Longest age, frames. A frame's result depends on no frame further away.
      reverse: Look into the future instead: what each pixel will show when it is next seen.

    Returns:
      ``(value, trust)``: the value (0 where there is none) and ``1 / (1 + age in frames)`` (1 where the pixel is visible
      in the frame itself, 0 where it was not seen).
    """
    if not isinstance(values.shape[1], int):
        return _nearest_sight(values, visible, radius=radius, reverse=reverse)
    value, trust, _ = follow_sight(values, visible, _no_sight(values[:, 0]), radius=radius, reverse=reverse)
    return value, trust


def _nearest_sight(values: Array, visible: Array, *, radius: int, reverse: bool) -> tuple[Array, Array]:
    """`last_sight` from the number of the frame of each sight, without going through the clip frame by frame."""
    frames = values.shape[1]
    at = jnp.arange(frames)[None, :, None, None, None]
    at = (frames - 1 - at if reverse else at).astype(values.dtype)  # counted the way that is looked
    seen = jnp.where(visible > 0.5, at, -1.0)
    ends = (0, radius) if reverse else (radius, 0)
    latest = _running(jnp.maximum, jnp.pad(seen, [(0, 0), ends, *[(0, 0)] * 3], constant_values=-1.0), radius + 1)
    known = latest >= 0.0
    where = jnp.where(known, latest, at).astype(jnp.int32)
    value = jnp.take_along_axis(values, frames - 1 - where if reverse else where, axis=1, mode="promise_in_bounds")
    return jnp.where(known, value, 0.0), jnp.where(known, 1.0 / (1.0 + at - latest), 0.0)


def never_seen(frame: Array, *, radius: int) -> Seen:
    """The memory of a stream before its first frame; ``frame [N, H, W, 1]`` gives shape and dtype."""

    def empty() -> Array:  # an array of its own each time: a buffer can be donated only once
        return jnp.zeros((frame.shape[0], radius, *frame.shape[1:]), frame.dtype)

    return Seen(last=_no_sight(frame), values=empty(), visible=empty())


def _no_sight(frame: Array) -> Sight:
    return jnp.zeros_like(frame), jnp.full_like(frame, jnp.inf)


def follow_sight(
    values: Array, visible: Array, before: Sight, *, radius: int, reverse: bool = False
) -> tuple[Array, Array, Sight]:
    """`last_sight` for a clip that goes on from ``before``; also returns what is known after its last frame."""

    def remember(carry: Sight, frame: tuple[Array, Array]) -> tuple[Sight, Any]:
        value, age = carry
        now, seen = frame[0], frame[1] > 0.5
        value, age = jnp.where(seen, now, value), jnp.where(seen, 0.0, age + 1.0)
        known = age <= radius
        return (value, age), (jnp.where(known, value, 0.0), jnp.where(known, 1.0 / (1.0 + age), 0.0))

    frames = (jnp.moveaxis(values, 1, 0), jnp.moveaxis(visible, 1, 0))
    after, (value, trust) = jax.lax.scan(remember, before, frames, reverse=reverse)
    return jnp.moveaxis(value, 0, 1), jnp.moveaxis(trust, 0, 1), after


def usual_sight(
    values: Array, visible: Array, *, before: int, after: int, margin: tuple[int, int] = (0, 0)
) -> tuple[Array, Array]:
    """What each pixel shows on average in the frames nearby in which it is seen.

    Args:
      values: ``[N, T, H, W, 1]``, 0 where hidden.
      visible: ``[N, T, H, W, 1]``, 1 where ``values`` may be trusted, 0 where not.
      before: Frames looked back; those before the first one count as unseen.
      after: Frames looked ahead.
      margin: Frames at the start and at the end that are only looked at; the result is about the others.

    Returns:
      ``(mean, share)``: 0 where never seen; share of the ``before + 1 + after`` frames in which the pixel was seen.
    """
    # As much is cut or padded at either end as makes every window whole; where nothing is to do, XLA drops it.
    spare = (margin[0] - before, margin[1] - after)
    kept = slice(max(0, spare[0]), values.shape[1] - max(0, spare[1]))
    ends = [(0, 0), (max(0, -spare[0]), max(0, -spare[1])), (0, 0), (0, 0), (0, 0)]
    width = before + 1 + after
    total, count = (_running(jnp.add, jnp.pad(x[:, kept], ends), width) for x in (values, visible))
    return total / jnp.maximum(count, 1.0), count / width


def _running(join: Callable[[Array, Array], Array], x: Array, width: int) -> Array:
    """Sums (or maxima, ...) over ``width`` frames, ``[N, T, ...] -> [N, T - width + 1, ...]``.

    Those of 1, 2, 4, ... frames are put together: a frame's result does not depend on where the clip starts, as that of a
    cumulative sum would in its last digits.
    """
    kept, offset, reach, total = x.shape[1] - width + 1, 0, 1, None
    while offset < width:
        if width & reach:
            part = x[:, offset : offset + kept]
            total, offset = part if total is None else join(total, part), offset + reach
        if offset < width:
            x = join(x[:, :-reach], x[:, reach:])
            reach *= 2
    return total


def spatial_fill(values: Array, weight: Array, *, levels: int) -> Array:
    """Fill pixels of low ``weight`` from a pyramid of weighted averages (push-pull; Gortler et al. 1996).

    Height and width must be multiples of ``2 ** levels``. Pixels of weight 1 or more keep their value.
    """
    pyramid = [(values * weight, weight)]
    for _ in range(levels):
        pyramid.append(tuple(_halve(x) for x in pyramid[-1]))
    total, support = pyramid[-1]
    filled = total / jnp.maximum(support, 1e-6)
    for total, support in reversed(pyramid[:-1]):
        trust = jnp.minimum(support, 1.0)
        filled = trust * (total / jnp.maximum(support, 1e-6)) + (1.0 - trust) * _double(filled)
    return filled


@dataclasses.dataclass(frozen=True)
class FirstGuess:
    """All ``[N, T, H, W, 1]``: the guess, the two sights it was made from with their trust (see `last_sight`), and what
    the pixel usually shows with the share of frames in which it is seen (see `usual_sight`)."""

    guess: Array
    past: Array
    past_trust: Array
    future: Array
    future_trust: Array
    usual: Array
    usual_share: Array


jax.tree_util.register_dataclass(FirstGuess, [field.name for field in dataclasses.fields(FirstGuess)], [])


def first_guess(grey: Array, hidden: Array, *, radius: int, levels: int, margin: int = 0) -> FirstGuess:
    """Luma with hidden pixels replaced by what they show at other times, then by what their surroundings show.

    Args:
      grey: Luma ``[N, T, H, W, 1]`` in [0, 1].
      hidden: ``[N, T, H, W, 1]``, 1 under colour and outline.
      radius: Frames looked at either way.
      levels: Pyramid levels; height and width must be multiples of ``2 ** levels``.
      margin: Frames at either end that are only looked at; the result is about the others.

    Returns:
      The guess, in [0, 1] and equal to ``grey`` where nothing is hidden. Past and future are mixed by their trust.
    """
    visible = 1.0 - hidden
    past = last_sight(grey, visible, radius=radius)
    future = last_sight(grey, visible, radius=radius, reverse=True)
    usual = usual_sight(grey * visible, visible, before=radius, after=radius, margin=(margin, margin))
    kept = slice(margin, grey.shape[1] - margin)
    return _mixed(*(x[:, kept] for x in (grey, hidden, *past, *future)), *usual, levels=levels)


def guess_so_far(grey: Array, hidden: Array, before: Seen, *, radius: int, levels: int) -> tuple[FirstGuess, Seen]:
    """`first_guess` without the future, for a clip that goes on from ``before``; also what is known after it."""
    visible = 1.0 - hidden
    past, past_trust, last = follow_sight(grey, visible, before.last, radius=radius)
    values = jnp.concatenate([before.values, grey * visible], axis=1)
    seen = jnp.concatenate([before.visible, visible], axis=1)
    usual, share = usual_sight(values, seen, before=radius, after=0, margin=(radius, 0))
    unknown = jnp.zeros_like(past)
    found = _mixed(grey, hidden, past, past_trust, unknown, unknown, usual, share, levels=levels)
    frames = grey.shape[1]
    return found, Seen(last=last, values=values[:, frames:], visible=seen[:, frames:])


def _mixed(
    grey: Array,
    hidden: Array,
    past: Array,
    past_trust: Array,
    future: Array,
    future_trust: Array,
    usual: Array,
    usual_share: Array,
    *,
    levels: int,
) -> FirstGuess:
    trust = past_trust + future_trust
    mixed = (past * past_trust + future * future_trust) / jnp.maximum(trust, 1e-6)
    filled = spatial_fill(mixed, (trust > 0).astype(grey.dtype), levels=levels)
    guess = (1.0 - hidden) * grey + hidden * filled
    return FirstGuess(guess, past, past_trust, future, future_trust, usual, usual_share)
