"""Which pixels are painted: saturation above the grey map's own tint, with hysteresis, without the user interface.

Saturation is ``max(R, G, B) - min(R, G, B)`` in 8 bit. Grey tissue stays at or below 3 (9 after JPEG), flow is bimodal
from it with the valley at 15..20.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.pixels import around, grown, saturation


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """Thresholds of the colour mask: priors from measured clips, to be changed where they do not fit."""

    strong: int = 25
    """Saturation above which a pixel is coloured by itself."""
    weak: int = 12
    """Saturation above which a pixel is coloured when its component holds a strong one."""
    hole_px: int = 30
    """Enclosed dark holes up to this size belong to the flow, at 480 rows (scaled with the image)."""
    static_share: float = 0.97
    """Coloured in more than this share of frames, and never changing: user interface."""
    static_range: int = 12
    """Largest change of chroma (R - G, B - G) over time of such a pixel (codec noise),"""
    nearly_static_range: int = 40
    """and of most pixels of a small mark."""
    static_frames: int = 8
    """Frames below which nothing can be called static."""


def hysteresis(level: np.ndarray, *, weak: float, strong: float) -> np.ndarray:
    """bool: pixels above ``weak`` whose 8-connected component holds one above ``strong``."""
    possible, found = (level > weak).astype(np.uint8), np.zeros(level.shape, bool)
    part = around(possible)
    if part[0].stop == 0:
        return found
    count, labels = cv2.connectedComponents(possible[part], connectivity=8)
    keep = np.zeros(count, bool)
    keep[labels[level[part] > strong]] = True
    keep[0] = False
    found[part] = keep[labels]
    return found


def colour_level(frame: np.ndarray, tint: Tint | None) -> np.ndarray:
    """uint8 ``[H, W]``: saturation of ``frame`` (uint8 [H, W, 3]) beyond that of its grey map."""
    return saturation(frame) if tint is None else tint.distance(frame)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tint:
    """The grey map's own colour: chroma (R - G, B - G) by grey level, int16 [256, 2]."""

    ramp: np.ndarray
    strength: int
    """Largest saturation of the ramp."""

    def distance(self, frame: np.ndarray) -> np.ndarray:
        """Saturation of ``frame`` (uint8 [H, W, 3]) beyond that of the ramp, uint8 [H, W]."""
        red, green, blue = (channel.astype(np.int16) for channel in cv2.split(frame))
        at_red, at_blue = self.ramp[green, 0], self.ramp[green, 1]
        d_red, d_blue = red - green - at_red, blue - green - at_blue
        zero = np.zeros_like(d_red)
        spread = np.maximum(np.maximum(d_red, d_blue), zero) - np.minimum(np.minimum(d_red, d_blue), zero)
        return spread.clip(0, 255).astype(np.uint8)


PLAIN = Tint(ramp=np.zeros((256, 2), np.int16), strength=0)
"""Of a grey map without a colour of its own."""


def fit_tint(frames: np.ndarray, sector: np.ndarray) -> Tint | None:
    """The tint of the grey map of ``frames`` (uint8 [T, H, W, 3]) inside ``sector``, or ``None`` for plain grey.

    Median chroma by green level. Believed only if two thirds of the sector lie on it, so that flow, which covers a
    minority of the sector, cannot pass for tissue.
    """
    step = max(int(np.sqrt(len(frames) * sector.sum() / 60_000)), 1)
    pixels = frames[:, ::step, ::step][:, sector[::step, ::step]].reshape(-1, 3).astype(np.int16)
    green = pixels[:, 1]
    if (green >= 32).sum() < 256:
        return None
    chroma = np.stack([pixels[:, 0] - green, pixels[:, 2] - green], axis=1)
    levels, medians = _grey_map(green, chroma)
    ramp = np.stack([np.interp(np.arange(256), levels, medians[:, i]) for i in (0, 1)], axis=1)
    strength = int(round(float((np.maximum(medians.max(1), 0) - np.minimum(medians.min(1), 0)).max())))
    if strength < 5:
        return None
    near = np.abs(chroma - ramp[green]).max(axis=1) <= 10
    if near.mean() < 0.67:
        return None
    return Tint(ramp=np.rint(ramp).astype(np.int16), strength=strength)


def _grey_map(green: np.ndarray, chroma: np.ndarray, *, width: int = 8) -> tuple[list[int], np.ndarray]:
    """Green levels, and the grey map's chroma [n, 2] at each: medians of bins, as far as they follow one another.

    A grey map bends slowly; where flow outweighs tissue in a bin the median jumps, and the bin is left out. The walk
    begins with the fullest bin of tissue and goes outward both ways.
    """
    enough = max(0.002 * len(green), 16)
    parts = {low + width // 2: chroma[(green >= low) & (green < low + width)] for low in range(16, 256, width)}
    seen = {level: np.median(part, axis=0) for level, part in parts.items() if len(part) >= enough}
    if not seen:
        return [0], np.zeros((1, 2))
    start = max(seen, key=lambda level: len(parts[level]))
    kept = {start: seen[start]}
    for side in (1, -1):
        last = start
        for level in sorted((level for level in seen if (level - start) * side > 0), key=lambda level: level * side):
            if np.abs(seen[level] - kept[last]).max() <= abs(level - last) + 2:
                kept[level] = seen[level]
                last = level
    kept[0] = np.zeros(2)  # black has no hue
    return sorted(kept), np.array([kept[level] for level in sorted(kept)])


def coloured(
    frame: np.ndarray,
    sector: np.ndarray,
    tint: Tint | None,
    options: ColourOptions,
    *,
    no_seed: np.ndarray | None = None,
) -> np.ndarray:
    """bool [H, W]; ``no_seed``: where a strong pixel does not start a component (bleed of a coloured outline)."""
    level = colour_level(frame, tint)
    if no_seed is not None:
        level[no_seed] = np.minimum(level[no_seed], options.strong)
    return hysteresis(level, weak=options.weak, strong=options.strong) & sector


def is_frozen(frames: np.ndarray, sector: np.ndarray, *, moved: int = 16, share: float = 0.005) -> bool:
    """Whether the picture stands still: at most ``share`` of the sector changes its level by more than ``moved``.

    Then colour that never changes may be flow as well as a mark, and only its form tells.
    """
    levels = frames[..., 1]
    return bool(((levels.max(axis=0) - levels.min(axis=0))[sector] > moved).mean() <= share)


def green_share(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """bool ``[H, W]``: pixels of ``mask`` whose hue is 70..160 degrees (ECG traces and markers, or a variance map)."""
    out = np.zeros(mask.shape, bool)
    red, green, blue = frame[mask].astype(np.int16).T
    top = green >= np.maximum(red, blue)
    low = np.minimum(red, blue)
    # hue of a green-dominant pixel is 120 + 60 * (B - R) / (G - min)
    hue = 120 + 60 * (blue - red) / np.maximum(green - low, 1)
    out[mask] = top & (hue > 70) & (hue < 160)
    return out


def static_colour(
    frames: np.ndarray, coloured: np.ndarray, *, options: ColourOptions, area: int | None = None
) -> np.ndarray:
    """bool ``[H, W]``: callipers, text, markers and bars: coloured all the time in one unchanging hue.

    Pixels that do not change at all, and small pieces that mostly consist of nearly unchanging ones (codecs smear a
    flickering fringe round every mark). Larger pieces with some change are flow, however steady.

    Args:
      frames: uint8 ``[T, H, W, 3]``.
      coloured: bool ``[T, H, W]``.
      area: of the sector, px; pieces above 1 % of it are never marks.
    """
    out = np.zeros(coloured.shape[1:], bool)
    share = coloured.mean(axis=0)
    always = share > options.static_share
    if len(frames) < options.static_frames or not always.any():
        return out
    values = frames[:, always].astype(np.int16)  # [T, n, 3]
    chroma = values[..., (0, 2)] - values[..., 1:2]  # the tissue behind a translucent mark changes its luma only
    change = (chroma.max(axis=0) - chroma.min(axis=0)).max(axis=1)
    out[always] = change <= options.static_range
    nearly = np.zeros_like(out)
    nearly[always] = change <= options.nearly_static_range
    count, labels, stats, _ = cv2.connectedComponentsWithStats((share > 0).astype(np.uint8))
    weight = np.bincount(labels.ravel(), weights=share.ravel(), minlength=count)
    still = np.bincount(labels.ravel(), weights=(share * nearly).ravel(), minlength=count)
    marks = (still > 0.5 * weight) & (stats[:, cv2.CC_STAT_AREA] < 0.01 * (area or labels.size))
    marks[0] = False
    return out | marks[labels]


def thick(mask: np.ndarray) -> np.ndarray:
    """``mask`` (bool) without strokes of one or two pixels (in small images everything is thin: unchanged)."""
    if min(mask.shape) < 160 or not mask.any():
        return mask
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return grown(opened, 1) & mask


def without_traces(mask: np.ndarray, *, wide: float = 0.1, tall: float = 0.015) -> np.ndarray:
    """``mask`` (bool [H, W]) without lines that run across: an ECG, a traced contour.

    Pieces wider than ``wide`` of the width that are, in the median over their columns, at most ``tall`` of the height
    (and never more than 9 px) thick.
    """
    limit, part = min(tall * mask.shape[0], 9), around(mask)
    within = mask[part]
    if limit < 2 or within.shape[1] <= wide * mask.shape[1]:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(within.astype(np.uint8))
    kept = mask.copy()
    for index in np.nonzero(stats[:, cv2.CC_STAT_WIDTH] > wide * mask.shape[1])[0]:
        x, y, across, down = stats[index, :4]
        piece = labels[y : y + down, x : x + across] == index
        if index and np.median(piece.sum(axis=0)) <= limit:
            kept[part] &= labels != index
    return kept


def fill_holes(mask: np.ndarray, luma: np.ndarray, *, hole_px: int, dark: int = 15) -> np.ndarray:
    """``mask`` with enclosed holes of at most ``hole_px`` dark pixels filled: zero crossings inside flow."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= hole_px
    small[0] = False
    height, width = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    small &= (left > 0) & (top > 0) & (right < width) & (bottom < height)
    if count < 2 or not small.any():
        return mask
    return mask | (small[labels] & (luma < dark))


def white_cores(green: np.ndarray, painted: np.ndarray, near: np.ndarray, *, white: int = 190) -> np.ndarray:
    """bool ``[H, W]``: pieces of white that colour or outline surround: the fastest colour of many maps is white.

    Args:
      green: uint8 ``[H, W]``. painted: bool, flow and outline. near: bool, in and around the box.

    Bright tissue has tissue around half of it at least.
    """
    bright = (green > white) & near & ~painted
    if not bright.any():
        return bright
    count, labels = cv2.connectedComponents(bright.astype(np.uint8))
    around = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    ring = (around > 0) & ~bright
    whole = np.bincount(around[ring], minlength=count)
    core = np.bincount(around[ring & painted], minlength=count) > 0.8 * whole
    core[0] = False
    return core[labels]


def surrounded(painted: np.ndarray, level: np.ndarray, *, least: int = 5, grey: int = 3) -> np.ndarray:
    """bool ``[H, W]``: pixels that are not wholly grey and of which ``least`` of the eight neighbours are painted.

    Args:
      painted: bool, flow and outline. level: uint8, see `colour_level`.

    One white or black pixel of a colour map that is taken for tissue is filled into all that is hidden around it: on real
    clips with pasted colour closing these holes gives .01 to .24 SSIM under colour (112 and 224 rows).
    """
    count = cv2.boxFilter(painted.astype(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return (count >= least) & (level > grey)
