"""Real colour flow as it is: no truth is known, so what was put there is compared with visible tissue of its own clip.

Patches are described by their detail in three octaves, its grain along and across the beam, their change to the next frame and
their grey level. Tissue of another grey level has other detail, so each is compared with what visible patches of that level
have. What place and shape alone give away, the same shapes laid over visible tissue say.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import scipy.signal
import scipy.stats

from cfd2gray.metrics.task import auc
from cfd2gray.translation.areas import beams_of
from cfd2gray.translation.speckle.octaves import octaves_of
from cfd2gray.translation.square import analyse_square
from cfd2gray.translation.translator import Translator
from data_pipeline.geometry import Fan
from data_pipeline.pixels import grown
from data_pipeline.readers import read_clip
from data_pipeline.readers.walk import find_sources
from data_pipeline.screen.hidden import hidden_mask

OCTAVES = (0.7, 1.4, 2.8)
"""px (sigma), see `octaves_of`."""
PATCH = 12
"""px of a side."""
FRAMES = 16
"""Of each clip."""
EVERY = 4
"""Frames between those that are looked at."""
BESIDE = (4, 60)
"""px from what is hidden between which visible patches are taken."""
LIT = 8
"""Grey levels of a patch that is not black."""
COARSE = 8
"""px, steps in which shapes are moved over visible tissue."""
ENOUGH = 20
"""Patches of each kind in a clip that is judged."""
FAINT = 0.3
"""Grey levels, added to magnitudes before their logarithm is taken: less is rounding."""
STILL = slice(0, 3)
"""The columns of `Patches.what` that one frame tells by itself: detail."""
DRAWS = 2_000
"""Of clips, for an interval."""


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """What is seen of the patches of a clip.

    Attributes:
      what: float ``[n, 6]``, logarithms: detail of three octaves (finest first), change to the next frame, size of the grain
        along and across the beam.
      level: float ``[n]``, logarithm of the grey level.
      hidden: bool ``[n]``, it was under colour; otherwise it is visible tissue beside.
    """

    what: np.ndarray
    level: np.ndarray
    hidden: np.ndarray

    @classmethod
    def of(cls, clip: np.ndarray, hidden: np.ndarray, sector: np.ndarray, beams: tuple[Fan, float] | None) -> Self:
        """Those of a greyscale ``clip``, uint8 ``[T, H, W]``.

        Args:
          hidden: Alike; not 0 where colour was.
          sector: bool ``[H, W]``. beams: See `areas.beams_of`.
        """
        rows, flags, along = [], [], _along(sector.shape, beams)
        for t in range(0, len(clip) - 1, EVERY):
            planes = _planes(clip[t].astype(np.float32), clip[t + 1].astype(np.float32), *along)
            covered, ever = (hidden[t] > 0) & (hidden[t + 1] > 0), (hidden[t] > 0) | (hidden[t + 1] > 0)
            beside = sector & ~grown(ever, BESIDE[0]) & grown(ever, BESIDE[1])
            for y in range(0, clip.shape[1] - PATCH, PATCH):
                for x in range(0, clip.shape[2] - PATCH, PATCH):
                    at = (slice(y, y + PATCH), slice(x, x + PATCH))
                    mean = planes[at].mean(axis=(0, 1))
                    if mean[-1] > LIT and (covered[at].all() or beside[at].all()):
                        rows.append(mean)
                        flags.append(covered[at].all())
        found = np.array(rows).reshape(-1, 8)
        fine, along, across = found[:, 4:7].T
        grain = [np.sqrt((fine + FAINT**2) / (step + FAINT**2)) for step in (along, across)]
        magnitudes = [*(np.sqrt(found[:, :3]) + FAINT).T, found[:, 3] + FAINT, *grain]
        return cls(np.log(np.stack(magnitudes, axis=1)), np.log(found[:, 7]), np.array(flags, bool))

    @property
    def enough(self) -> bool:
        """There are patches of both kinds to compare."""
        return bool(ENOUGH < self.hidden.sum() < len(self.hidden) - ENOUGH)

    @property
    def beyond(self) -> np.ndarray:
        """``what`` beyond that of visible patches of that grey level, float ``[n, 6]``."""
        design = np.stack([np.ones(len(self.level)), self.level, self.level**2], axis=1)
        return self.what - design @ np.linalg.lstsq(design[~self.hidden], self.what[~self.hidden], rcond=None)[0]

    @property
    def ratios(self) -> np.ndarray:
        """``what`` under colour over that of visible tissue of the same grey level, float ``[6]``; 1 is right."""
        return np.exp(self.beyond[self.hidden].mean(axis=0))


def elsewhere(hidden: np.ndarray, sector: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """What was ``hidden`` (``[T, H, W]``) laid over visible tissue: moved as a whole to where it covers most of what is never
    hidden and ``lit`` (bool ``[H, W]``). uint8, alike."""
    clear = sector & ~grown(hidden.any(axis=0), BESIDE[0])
    small = (slice(None, None, COARSE),) * 2
    free, shape = (plane[small].astype(np.float32) for plane in (clear & lit, (hidden > 0).mean(axis=0)))
    room = scipy.signal.correlate(free, shape, method="fft")
    down, right = (COARSE * (k - n + 1) for k, n in zip(np.unravel_index(room.argmax(), room.shape), shape.shape))
    there, here = zip(*((slice(max(by, 0), n + min(by, 0)), slice(max(-by, 0), n - max(by, 0)))
                        for by, n in zip((down, right), clear.shape)))  # fmt: skip
    moved = np.zeros_like(hidden, np.uint8)
    moved[:, *there] = (hidden[:, *here] > 0) & clear[there]
    return moved


def _along(shape: tuple[int, int], beams: tuple[Fan, float] | None) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``(right, down)`` of a pixel's length along the beam, float32 ``[H, W]`` each."""
    y, x = (a.astype(np.float32) for a in np.mgrid[: shape[0], : shape[1]])
    if beams is None:
        return np.zeros_like(x), np.ones_like(y)
    fan, aspect = beams
    right, down = x - fan.apex_x, y - fan.apex_y / aspect
    length = np.maximum(np.hypot(right, down), 1e-3)
    return right / length, down / length


def _planes(frame: np.ndarray, following: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """float32 ``[H, W, 8]``: squares of three octaves; change; squares of fine detail, of its steps along the beam, which goes
    ``right`` and ``down``, and across; level."""
    level, octaves = octaves_of(frame, OCTAVES)
    fine = sum(octaves)
    rows, columns = (np.diff(fine, axis=axis, append=np.take(fine, [-1], axis=axis)) for axis in (0, 1))
    along, across = right * columns + down * rows, down * columns - right * rows
    return np.stack(
        [*(octave**2 for octave in octaves), np.abs(following - frame), fine**2, along**2, across**2, level], axis=-1
    )


def told_apart(clips: Sequence[Patches], columns: slice = slice(None)) -> list[float]:
    """How well "was this patch under colour?" can be told in each clip by a linear discriminant fitted to the others: AUC.

    Args:
      columns: of `Patches.what` that it sees.

    Returns:
      One for each clip with enough patches, where there are two of them and more; .5 cannot be told.
    """
    fit = [(clip.beyond[:, columns], clip.hidden) for clip in clips if clip.enough]
    found = []
    for k, (rows, flags) in enumerate(fit):
        others = fit[:k] + fit[k + 1 :]
        if others:
            x, y = (np.concatenate(part) for part in zip(*others))
            spread = np.cov(x[y].T) + np.cov(x[~y].T) + 1e-3 * np.eye(x.shape[1])
            found.append(float(auc(rows @ np.linalg.solve(spread, x[y].mean(axis=0) - x[~y].mean(axis=0)), flags)))
    return found


def seam(clip: np.ndarray, hidden: np.ndarray, sector: np.ndarray) -> float:
    """Mean step across the border of what was hidden over that between visible neighbours beside it; see `Patches.of`.

    Colour often ends at a wall, where a step is right: a little above 1 is no fault.
    """
    steps: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for frame, mask in zip(clip[::EVERY].astype(np.float32), hidden[::EVERY] > 0):
        for axis in (0, 1):
            step, border = np.abs(np.diff(frame, axis=axis)), np.diff(mask, axis=axis)
            near = sector & grown(mask, BESIDE[0]) & ~mask
            ends = [np.take(near, np.arange(k, k + step.shape[axis]), axis=axis) for k in (0, 1)]
            steps[True].append(step[border])
            steps[False].append(step[ends[0] & ends[1]])
    across, beside = (np.concatenate(steps[which]) for which in (True, False))
    return float(across.mean() / max(beside.mean(), 1e-6)) if len(across) and len(beside) else float("nan")


def no_reference(translator: Translator, folder: pathlib.Path) -> dict[str, Any]:
    """The clips with colour flow below ``folder``, translated at their own size with masks as found.

    Returns:
      ``clips``: of each its size, ``ratios`` (`Patches.ratios`), `seam`, and by how many grey levels the patches under colour
      differ from those beside (earth mover's distance; blood is darker). ``auc`` of one frame and of all that is seen: the
      mean over the clips with a 95 % interval over them, and each; ``visible`` is the second for the same shapes laid over
      visible tissue, which nothing was done to.
    """
    rows, seen, untouched = [], [], []
    for frames, analysis in _clips(folder):
        hidden = hidden_mask(analysis.strata, frames)
        shown = translator.translate(frames, analysis=analysis, confidence=False).grey
        beams = beams_of(analysis.sector, analysis.geometry)
        patches = Patches.of(shown, hidden, analysis.sector, beams)
        if not patches.enough:
            continue
        clear = analysis.sector & ~grown(hidden.any(axis=0), BESIDE[0])
        moved = elsewhere(hidden, analysis.sector, shown.mean(axis=0) > LIT)
        untouched.append(Patches.of(shown, moved, clear, beams))
        levels = [np.exp(patches.level[flags]) for flags in (patches.hidden, ~patches.hidden)]
        seen.append(patches)
        rows.append({
            "height": frames.shape[1], "width": frames.shape[2], "frames": len(frames), "patches": int(patches.hidden.sum()),
            "ratios": [float(value) for value in patches.ratios], "seam": seam(shown, hidden, analysis.sector),
            "levels": float(scipy.stats.wasserstein_distance(*levels)),
        })  # fmt: skip
    told = {"frame": told_apart(seen, STILL), "clip": told_apart(seen), "visible": told_apart(untouched)}
    return {"clips": rows, "auc": {name: _interval(values) for name, values in told.items()}}


def _clips(folder: pathlib.Path) -> Iterator[tuple[np.ndarray, Any]]:
    for source in find_sources([folder]).sources:
        clip = read_clip(source.path)
        analysis = analyse_square(
            clip.frames[:FRAMES], regions=clip.info.regions, aspect=clip.info.pixel_aspect
        )  # as many as are looked at
        if analysis.is_cfd:
            yield clip.frames[:FRAMES], analysis


def _interval(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "ci95": None, "each": []}
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "ci95": [float(low), float(high)], "each": values}
