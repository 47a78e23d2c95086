"""What colour hides in one frame is elsewhere in another: tissue has moved, and is followed there.

Motion is estimated between neighbouring frames by dense inverse search (Kroeger et al. 2016) at a reduced size. Each hidden
pixel is followed back, frame by frame, to the last time it was seen; the value is read there once, so that nothing blurs on the
way. The future is the past of the clip played backwards.
"""

from __future__ import annotations

import dataclasses
from collections import deque

import cv2
import numpy as np

from data_pipeline.pixels import luma
from data_pipeline.threads import each

REACH = 10
"""Frames that a pixel is followed at most, either way."""
WORKING = 192
"""px of the longer side at which motion is estimated at most."""
LEAST = 16
"""px of the shorter side below which it is not estimated: what is hidden is taken to stand still."""
FINEST = 1
"""Of the pyramid: half of `WORKING`. Coarser halved what was found in tests, finer took twice the time for as much."""
FILLED = 1.2
"""px there (sigma) over which visible tissue is carried into what is hidden in either of two frames, which is black beyond."""
FAINT = 0.008
"""Share of visible tissue around a pixel below which it grows dark."""
ROW = 1024
"""Points in a row."""
SEEN = 0.25
"""Of the four pixels between which a value is read: the share of the weights that must be visible."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """What hidden pixels showed when they were last seen (next seen, of the future).

    ``value``: float32 ``[T, H, W]`` in 0..255, 0 where there is none. ``age``: uint8 ``[T, H, W]``, how many frames ago; 0
    where a pixel is not hidden, or was not seen in `REACH` frames.
    """

    value: np.ndarray
    age: np.ndarray

    def part(self, frames: slice) -> Sight:
        return Sight(self.value[frames], self.age[frames])

    def none(self) -> Sight:
        """Of the same shape, nothing seen."""
        return Sight(np.zeros_like(self.value), np.zeros_like(self.age))


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """A frame as others look at it.

    ``seen``: uint8 ``[H, W, 2]``, luma of visible pixels and 255 there, 0 elsewhere. ``mean``, ``share``: float32 ``[h, w]`` at
    the size at which motion is estimated, luma of what is visible and how much of a pixel that is.
    """

    seen: np.ndarray
    mean: np.ndarray
    share: np.ndarray

    @classmethod
    def at(cls, grey: np.ndarray, hidden: np.ndarray) -> Look:
        """Of luma and hidden mask, uint8 ``[H, W]``."""
        visible = np.uint8(255) * (hidden == 0)
        seen = cv2.merge([cv2.copyTo(grey, visible), visible])
        scale = min(1.0, WORKING / max(grey.shape))
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        small = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        share = small[..., 1] / np.float32(255)
        return cls(seen, small[..., 0] / np.maximum(share, FAINT), share)


def flows(frame: Look, before: Look, *, both: bool = True) -> list[np.ndarray | None]:
    """Where what is seen in a frame was in the one before, in px ``[h, w, 2]`` of the reduced size, and the way back; None for
    pictures that are too small."""
    ways = ((0, 1), (1, 0)) if both else ((0, 1),)
    if min(frame.share.shape) < LEAST:
        return [None for _ in ways]
    share = np.minimum(frame.share, before.share)  # a hole in one of the two would be taken for motion
    around = np.maximum(cv2.GaussianBlur(share, (0, 0), FILLED), FAINT)
    pair = []
    for look in (frame, before):
        near = cv2.GaussianBlur(share * look.mean, (0, 0), FILLED) / around
        pair.append(np.clip(near + share * (look.mean - near), 0, 255).astype(np.uint8))
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    method.setFinestScale(FINEST)
    method.setVariationalRefinementIterations(0)  # smoother, and worse
    return [method.calc(pair[a], pair[b], None) for a, b in ways]  # type: ignore[call-overload]


class Follower:
    """Follows the hidden pixels of one clip or stream from frame to frame, each frame at the cost of one."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque(maxlen=REACH)
        """At the frames before, latest first."""
        self._source = self._age = np.zeros(0)
        """Of the frame before, by pixel: where (x, y) it was last seen, and how many frames before that frame."""

    def push(self, grey: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next frame: luma and hidden mask, uint8 ``[H, W]``. Returns value and age of its hidden pixels, see `Sight`."""
        look = Look.at(grey, hidden)
        return self.follow(look, flows(look, self._looks[0], both=False)[0] if self._looks else None)

    def follow(self, look: Look, flow: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """`push` for one who has looked already, and knows the flow from this frame to the one before."""
        shape = look.seen.shape[:2]
        value, age = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
        source = np.zeros((*shape, 2), np.float32)
        rows, columns = np.nonzero(look.seen[..., 1] == 0)
        if self._looks and len(rows):
            x, y = columns.astype(np.float32), rows.astype(np.float32)
            place, ago = self._followed(*_moved(x, y, flow, shape))
            value[rows, columns], age[rows, columns] = self._read(place, ago)
            source[rows, columns] = place
        self._looks.appendleft(look)
        self._source, self._age = source.reshape(-1, 2), age.ravel()
        return value, age

    def _followed(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From where the pixels were in the frame before to where they were last seen, ``([n, 2], frames ago)``."""
        seen = self._looks[0].seen
        height, width = seen.shape[:2]
        column, row = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        at = row * width + column
        place, ago = np.stack([x, y], axis=-1), np.ones(len(at), np.uint8)
        unseen = np.flatnonzero(seen.reshape(-1, 2)[at, 1] == 0)
        at = at[unseen]
        place[unseen] += self._source[at] - np.stack([column[unseen], row[unseen]], axis=-1)
        age = self._age[at]
        ago[unseen] = np.where((age > 0) & (age < REACH), age + 1, 0)
        return place, ago * inside

    def _read(self, place: np.ndarray, ago: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values at these places of earlier frames, linear between visible pixels; where too few are, none."""
        value, known = np.zeros(len(ago), np.float32), np.zeros(len(ago), np.uint8)
        for frames, look in enumerate(self._looks, 1):
            of = np.flatnonzero(ago == frames)
            if not len(of):
                continue
            total, weight = _read_at(look.seen, place[of]).astype(np.float32).T
            good = weight > 255 * SEEN
            value[of[good]], known[of[good]] = 255.0 * total[good] / weight[good], frames
        return value, known


def _moved(
    x: np.ndarray, y: np.ndarray, flow: np.ndarray | None, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels of a picture of this shape were in the frame before, in px."""
    if flow is None:
        return x, y
    down, across = (np.float32(full / small) for small, full in zip(flow.shape, shape))
    half = np.float32(0.5)
    by = _read_at(flow, np.stack([(x + half) / across - half, (y + half) / down - half], axis=-1))
    return x + by[:, 0] * across, y + by[:, 1] * down


def _read_at(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """``[n, C]`` at places ``[n, 2]`` (x, y), linear between pixels: OpenCV reads at pictures of points, of few rows."""
    padded = np.zeros((-(-len(place) // ROW) * ROW, 2), np.float32)
    padded[: len(place)] = place
    found = cv2.remap(picture, padded.reshape(-1, ROW, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return found.reshape(-1, picture.shape[2])[: len(place)]


def sights(frames: np.ndarray, hidden: np.ndarray, *, only: slice = slice(None)) -> tuple[Sight, Sight]:
    """What the hidden pixels of a clip last showed, and will next show.

    Args:
      frames: uint8 ``[T, H, W, 3]`` RGB. hidden: uint8 ``[T, H, W]``, not 0 where they may not be trusted.
      only: Frames that are asked for. Others are looked at, up to `REACH` either way; a result depends on no more.

    Returns:
      past and future, of the frames asked for.
    """
    start, stop, _ = only.indices(len(frames))
    first, last = max(start - REACH, 0), min(stop + REACH, len(frames))
    looks = each(lambda t: Look.at(luma(frames[t]), hidden[t]), range(first, last))
    found = each(flows, looks[1:], looks[:-1])
    back, ahead = ([None, *way] for way in zip(*found)) if found else ([None], [None])

    def past_of(looks: list[Look], flow: list[np.ndarray | None]) -> Sight:
        follower = Follower()
        seen = [follower.follow(*at) for at in zip(looks, flow)][-(stop - start) :]
        value, age = (np.stack(part) for part in zip(*seen))
        return Sight(value, age)

    until, since = stop - first, start - first
    past, future = each(
        past_of, (looks[:until], looks[since:][::-1]), (back[:until], [None, *ahead[since + 1 :][::-1]])
    )
    return past, Sight(future.value[::-1], future.age[::-1])
