"""The speckle of what was synthesised: taken from visible tissue of the same frame, at the size of the screen.

The network works at a reduced size and gives what is to be expected, which is smooth. What it leaves out is the play of
speckle around that, whose grain lies along and across the beam and grows with depth. Tissue at the same depth beside the
box has it: its fine detail is turned about the probe onto what is hidden, and as strong as visible tissue of that
grey level has it. It moves and changes as that tissue does. It is a sample, not the truth: SSIM falls, realism rises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Self

import cv2
import numpy as np

from cfd2gray.translation.view import View
from data_pipeline import pixels
from data_pipeline.geometry import Fan
from data_pipeline.threads import each

OCTAVES = (0.7, 1.4, 2.8)
"""px (sigma): detail finer than each but the last, an octave wide; what is coarser the network knows."""
LEVELS = np.array([0, 4, 8, 16, 24, 32, 48, 64, 96, 128, 176, 256])
"""Edges of the grey levels between which detail is compared: finer where the eye is."""
_BINS = np.searchsorted(LEVELS, np.arange(256), side="right") - 1
"""In which of them each grey level lies."""
LEAST = 60
"""Pixels of a level from which its detail is believed."""
DENSE = 60_000
"""Pixels of a picture up to which each is counted."""
FAR = 300
"""Pixels beside the hidden ones for which all donors together count, per level."""
TURNS = (0.3, 0.6, 1.0, 1.4, 1.8, 2.4, 3.0, 4.0)
"""How far beside a pixel its donor may lie, in widths of what is hidden; the nearest visible one is taken."""
ELSEWHERE = ((0, 0.6), (0, -0.6), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7), (0, 1.1), (0, -1.1))
"""Where nothing at the same depth is visible: shifts in widths and heights of what is hidden."""
LIVELY = (0.5, 1.5)
"""Local detail of a good donor, in that of its grey level: less is rounding, saturation or shadow, and taken only where there
is nothing better; more is a wall or a letter, and never taken."""
SEAM = 4.0
"""px (sigma) over which one donor fades into the next."""
APART = 3
"""px from anything hidden at which a donor begins."""
MARGIN = 12
"""px around what is hidden that are looked at."""
STRONGEST = 5.0
"""Mean magnitudes at which borrowed detail is cut: a wall's edge is no speckle."""
FAINTEST = 0.25
"""Grey levels: detail below it is rounding."""
MOST_CORRECTED = 2.0
"""Largest factor by which an octave is corrected for its overlap with the others."""
NEAR = 6.0
"""px (sigma) within which a donor's detail is judged,"""
SAMPLES = 8
"""in so many frames."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Speckle:
    """Where the detail of hidden pixels comes from.

    Attributes:
      part: of the frame, ``[h, w]``, in which it may be missing.
      donors: of the frame, ``[H', W']``, in which it is found.
      visible: float32 ``[H', W']``, 1 where nothing is ever hidden. shares: it, blurred by each of `OCTAVES`.
      inside: bool ``[h, w]``, the sector.
      maps: float32 ``(x, y)`` of each source, ``[h, w]`` in coordinates of ``donors``.
      weights: float32 ``[len(maps), h, w]``, whose squares sum to 1 where there is a donor.
      strength: 0 .. 1, share of the missing detail's amplitude that is added.
    """

    part: tuple[slice, slice]
    donors: tuple[slice, slice]
    visible: np.ndarray
    shares: tuple[np.ndarray, ...]
    inside: np.ndarray
    maps: tuple[tuple[np.ndarray, np.ndarray], ...]
    weights: np.ndarray
    strength: float

    @classmethod
    def of(
        cls,
        touched: np.ndarray,
        sector: np.ndarray,
        beams: tuple[Fan, float] | None,
        frames: np.ndarray,
        *,
        strength: float = 1.0,
    ) -> Self | None:
        """The sources for a clip.

        Args:
          touched: bool ``[H, W]``, what may ever be hidden.
          sector: bool ``[H, W]``.
          beams: a fan, and the height of a pixel over its width; None for parallel beams (`beams_of`).
          frames: uint8 ``[T, H, W, 3]``, some frames of the clip.
          strength: see above.

        Returns:
          None where nothing is asked for, hidden, or visible.
        """
        hidden = (touched & sector).astype(np.uint8)
        clear = (sector & ~pixels.grown(hidden, APART) & ~pixels.grown(~sector, 1)).astype(np.float32)
        if not strength or not hidden.any() or not clear.any():
            return None
        some = frames[np.unique(np.linspace(0, len(frames) - 1, SAMPLES).astype(int))]
        detail = _detail(pixels.luma(some), clear)
        good = (detail > LIVELY[0]).astype(np.float32)
        usable = clear * (detail < LIVELY[1])
        part = _around(hidden, MARGIN)
        y, x = (a.astype(np.float32) for a in np.mgrid[part])
        places = [(m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2])
                  for m in _moves(hidden > 0, sector, beams)]  # fmt: skip
        seen = [_at(usable, place) > 0.99 for place in places]
        better = [ok & (_at(good, place) > 0.5) for ok, place in zip(seen, places)]
        choice = np.full(x.shape, -1)
        for able in (better, seen):
            for k, ok in enumerate(able):
                choice[ok & (choice < 0) & sector[part]] = k
        used = [k for k in range(len(places)) if (choice == k).any()]
        if not used:
            return None
        shares = np.stack([cv2.GaussianBlur((choice == k).astype(np.float32), (0, 0), SEAM) * seen[k] for k in used])
        best = np.argsort(-shares, axis=0)[:2]
        weights = np.take_along_axis(shares, best, axis=0)
        weights /= np.maximum(np.sqrt((weights**2).sum(axis=0)), 1e-3)
        chosen = [
            tuple(
                np.take_along_axis(np.stack([places[k][axis] for k in used]), rank[None], axis=0)[0] for axis in (0, 1)
            )
            for rank in best
        ]
        reached = np.zeros_like(hidden)
        for (u, v), weight in zip(chosen, weights):
            rows, columns = (np.rint(a[weight > 0]).astype(int) for a in (v, u))
            reached[rows.clip(0, len(hidden) - 1), columns.clip(0, hidden.shape[1] - 1)] = 1
        donors = _around(reached, MARGIN)
        top, left = (span.start for span in donors)
        return cls(
            part=part,
            donors=donors,
            visible=clear[donors],
            shares=_blurred(clear[donors]),
            inside=~pixels.grown(~sector, APART)[part],
            maps=tuple((u - left, v - top) for u, v in chosen),
            weights=weights,
            strength=strength,
        )

    def draw(self, merged: np.ndarray, luma: np.ndarray, weights: np.ndarray, view: View) -> None:
        """Add to ``merged`` (float32 ``[T, h, w]`` of a view, 0..255) what it lacks, as far as it was synthesised.

        Args:
          luma: uint8 ``[T, H, W]`` of the input frames. weights: float32 like ``merged``, see `blend_weights`.
        """
        rows, columns = (
            slice(mine.start - whole.start, mine.stop - whole.start)
            for mine, whole in zip(self.part, (view.rows, view.columns))
        )

        def one(made: np.ndarray, frame: np.ndarray, share: np.ndarray) -> None:
            made[rows, columns] += share * self.added(frame, share == 1.0, made[rows, columns])

        each(one, merged, luma, weights[:, rows, columns])

    def added(self, luma: np.ndarray, hidden: np.ndarray, made: np.ndarray) -> np.ndarray:
        """The detail that ``made`` lacks.

        Args:
          luma: uint8 ``[H, W]``, of the input frame.
          hidden: bool ``[h, w]`` of ``part``. made: float32 ``[h, w]`` in 0..255, the translation so far.

        Returns:
          float32 ``[h, w]``, to be added.
        """
        if not hidden.any():
            return np.zeros_like(made)
        level, octaves = octaves_of(luma[self.donors] * self.visible, self.shares)
        level = _grey(level)
        far = _magnitudes(octaves, level, self.visible > 0)
        donors = _strength(far)
        own_level, own = octaves_of(made)
        own_level = _grey(own_level)
        have = _strength(_magnitudes(own, own_level, hidden))
        beside = self.inside & ~pixels.grown(hidden, APART)
        # Blood and tissue of one grey level differ: what lies nearest says most.
        found = _strength(_magnitudes(own, own_level, beside) + far * np.minimum(far[0], FAR) / np.maximum(far[0], 1))
        if found is None or donors is None:
            return np.zeros_like(made)
        have = np.zeros_like(found) if have is None else have
        unit = _unit(octaves, donors, level) * self.visible
        moved = sum(
            weight * cv2.remap(unit, *place, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
            for weight, place in zip(self.weights, self.maps)
        )
        parts, wanted = [], []
        for octave, should, does in zip(octaves_of(moved)[1], found, have):
            missing = _by_level(np.sqrt(np.maximum(should**2 - does**2, 0)), own_level)
            parts.append(missing * octave / max(float(np.abs(octave[hidden]).mean()), 0.1))
            wanted.append(float(missing[hidden].mean()))
        # Octaves overlap: what their sum has of each is not what was put in.
        got = [float(np.abs(octave[hidden]).mean()) for octave in octaves_of(sum(parts))[1]]
        factors = [min(want / max(had, 1e-3), MOST_CORRECTED) for want, had in zip(wanted, got)]
        added = sum(factor * part for factor, part in zip(factors, parts))
        return self.strength * added


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rectangle that holds a mask and ``margin`` px around it, within the frame."""
    found = (np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0)))
    return tuple(
        slice(max(int(at[0]) - margin, 0), min(int(at[-1]) + 1 + margin, size)) for at, size in zip(found, mask.shape)
    )


def _moves(hidden: np.ndarray, sector: np.ndarray, beams: tuple[Fan, float] | None) -> Iterator[np.ndarray]:
    """Affine maps ``[2, 3]`` from a pixel to a possible donor: about the apex, or along the probe; then anywhere."""
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    height, width = (float(np.ptp(at) + 1) for at in (rows, columns))
    if beams is not None:
        fan, aspect = beams
        span, most = (
            float(np.ptp(np.arctan2(x - fan.apex_x, aspect * y - fan.apex_y)))
            for y, x in (np.nonzero(hidden), np.nonzero(sector))
        )
        centre = np.array([fan.apex_x, fan.apex_y / aspect])
    else:
        span, most = width, float(np.ptp(np.flatnonzero(sector.any(axis=0))) + 1)
    for turn in (sign * by * span for by in TURNS for sign in (1, -1)):
        if abs(turn) >= most:
            continue
        if beams is None:
            yield np.array([[1, 0, turn], [0, 1, 0]], np.float32)
        else:
            sine, cosine = np.sin(turn), np.cos(turn)
            about = np.array([[cosine, -sine * aspect], [sine / aspect, cosine]])
            yield np.column_stack([about, centre - about @ centre]).astype(np.float32)
    for dx, dy in ELSEWHERE:
        yield np.array([[1, 0, dx * width], [0, 1, dy * height]], np.float32)


def _at(plane: np.ndarray, place: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return cv2.remap(plane, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def octaves_of(image: np.ndarray, shares: tuple[np.ndarray, ...] = ()) -> tuple[np.ndarray, list[np.ndarray]]:
    """What is left, and detail by octave, finest first, of ``image`` (float32 ``[h, w]``).

    With ``shares`` (`_blurred` of what is visible) the image is 0 elsewhere, and only its visible pixels count.
    """
    finer, found = image, []
    for k, sigma in enumerate(OCTAVES):
        coarser = cv2.GaussianBlur(image, (0, 0), sigma)
        if shares:
            coarser /= shares[k]
        found.append(finer - coarser)
        finer = coarser
    return finer, found


def _blurred(visible: np.ndarray) -> tuple[np.ndarray, ...]:
    """The share of visible pixels around each, float32, by each of `OCTAVES`; never 0."""
    return tuple(np.maximum(cv2.GaussianBlur(visible, (0, 0), sigma), 0.05) for sigma in OCTAVES)


def _grey(level: np.ndarray) -> np.ndarray:
    """Whole grey levels, uint8."""
    return np.clip(level, 0, 255).astype(np.uint8)


def _magnitudes(octaves: list[np.ndarray], level: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Number of pixels and sum of magnitudes of each octave at each of `LEVELS` (``level``: uint8), float
    ``[1 + octaves, levels]``.

    Magnitudes, because squares would make the few pixels of marks and walls count for more than the speckle. Of large pictures
    every second pixel either way stands for four.
    """
    every = 1 if where.size < DENSE else 2
    some = (slice(None, None, every),) * 2
    chosen = np.flatnonzero(where[some])
    at = _BINS.take(level[some].take(chosen))
    values = [np.abs(octave[some].take(chosen)) for octave in octaves]
    return every**2 * np.stack([np.bincount(at, value, len(LEVELS) - 1) for value in (None, *values)])


def _strength(magnitudes: np.ndarray) -> np.ndarray | None:
    """Mean magnitude of each octave at each level, float ``[octaves, levels]``; None where too little is seen."""
    known = magnitudes[0] >= LEAST
    if not known.any():
        return None
    levels = np.arange(len(LEVELS) - 1)
    found = magnitudes[1:, known] / magnitudes[0, known]
    return np.stack([np.interp(levels, levels[known], row) for row in found])


def _unit(octaves: list[np.ndarray], strength: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Detail in mean magnitudes of its grey level."""
    whole = np.sqrt((strength**2).sum(axis=0))
    return np.clip(sum(octaves) / np.maximum(_by_level(whole, level), FAINTEST), -STRONGEST, STRONGEST)


def _detail(luma: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """float32 [H, W]: local detail in ``luma`` (uint8 [T, H, W]), in what its grey level lets expect."""
    detail, shares = np.zeros_like(visible), _blurred(visible)
    for frame in luma:
        level, octaves = octaves_of(frame * visible, shares)
        level = _grey(level)
        strength = _strength(_magnitudes(octaves, level, visible > 0))
        if strength is not None:
            detail += np.abs(_unit(octaves, strength, level)) * visible / len(luma)
    near = np.maximum(cv2.GaussianBlur(visible, (0, 0), NEAR), 0.05)
    return cv2.GaussianBlur(detail, (0, 0), NEAR) / near


def _by_level(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    """float32 like ``level`` (uint8): values of the levels, linear between their middles."""
    middles = (LEVELS[1:] + LEVELS[:-1]) / 2
    return cv2.LUT(level, np.interp(np.arange(256), middles, values).astype(np.float32))
