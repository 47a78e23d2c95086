"""Two panes of one screen, B-mode beside colour ("colour compare"): find them, and prove that they are one acquisition.

A true dual clip is the best pair there is: both panes show the same echoes, so that outside the colour they agree up to
the codec. Screens that merely look alike (two planes, two halves of one organ, panes updated in turn) must not pass.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline import pixels
from data_pipeline.schema import Region, check_frames
from data_pipeline.screen.colour.mask import colour_level, fit_tint
from data_pipeline.screen.pane_fit import MAX_SCALE, fit_panes


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaneOptions:
    """Thresholds: priors, to be changed where they do not fit."""

    min_ncc: float = 0.4
    """Of the correlation of the screen with itself, shifted by the pitch of the panes."""
    min_contrast: float = 1.5
    """How many times the best correlation elsewhere that of the speckle must be (not asked when the header names two
    panes). Of the speckle, since fans also resemble themselves at a wrong pitch."""
    min_texture: float = 0.25
    """Least correlation of the speckle itself."""
    min_overlap: float = 0.2
    """Least share of the lit pixels whose partner at the pitch is lit too (half of them in a perfect dual screen)."""
    guard: float = 0.016
    """``Elsewhere`` begins this share of the width (12 px of 750) away."""
    coloured: float = 0.01
    """Least coloured share of the lit pixels of the colour pane."""
    uncoloured: float = 0.001
    """Greatest coloured share of the lit pixels of the other."""
    frames: int = 5
    """Frames looked at, spread over the clip."""
    max_mae: float = 4.0
    """Grey levels between the untouched pixels of both panes."""
    min_ssim: float = 0.95
    min_motion: float = 0.3
    """Mean change of a pixel between frames, grey levels, below which the lag of the panes cannot be told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DualPanes:
    """Rows and columns of both panes (equal sizes), and how they were found."""

    colour: tuple[slice, slice]
    grey: tuple[slice, slice]
    ncc: float
    by: str
    """``tags`` or ``pixels``."""
    scale: float = 1.0
    """Pixels of the grey pane for one of the colour pane, by the header."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaneCheck:
    """How well two panes agree. ``verdict``: ``paired``, ``unpaired`` or ``lagged``."""

    verdict: str
    mae: float
    """Over untouched pixels, grey levels."""
    ssim: float
    lag: int
    """Frames by which the grey pane is late; 0 where it cannot be told."""


def find_panes(
    frames: np.ndarray, *, regions: tuple[Region, ...] = (), options: PaneOptions | None = None
) -> tuple[DualPanes | None, str]:
    """Find a colour pane and its grey twin, side by side or one above the other.

    Args:
        frames: uint8 ``[T, H, W, 3]``, the whole screen.
        regions: of the header; two equal, adjacent 2-D regions are a hint that pixels must confirm.

    Returns:
        The panes, or None and the reason in one sentence.
    """
    check_frames(frames, channels=3)
    options = options or PaneOptions()
    some = frames[np.unique(np.linspace(0, len(frames) - 1, options.frames).astype(int))]
    luma = pixels.luma(some)
    tint = fit_tint(some, luma.max(axis=0) > 8)
    coloured = np.stack([colour_level(frame, tint) for frame in some])
    lit = (coloured < 12) & (luma > 8)
    shown = (coloured > 25) | (luma > 8)
    reason = "one picture only: it does not repeat beside or below itself"
    tagged = _tagged_pitch(regions)
    if tagged and tagged[2]:
        return None, tagged[2]
    if tagged and tagged[3] != 1.0:
        return _scaled_panes(regions, tagged, coloured, luma, lit, options)
    for axis in (1, 0) if not tagged else (tagged[0],):
        around = tagged[1] if tagged else None
        found, why = _panes_along(axis, luma, lit, shown, coloured, around=around, options=options)
        if found is not None:
            return found, why
        reason = why or reason
    return None, reason


def _panes_along(
    axis: int,
    luma: np.ndarray,
    lit: np.ndarray,
    shown: np.ndarray,
    coloured: np.ndarray,
    *,
    around: int | None,
    options: PaneOptions,
) -> tuple[DualPanes | None, str]:
    """Panes side by side (axis 1) or one above the other (0), and why, or why not ("" where nothing repeats).

    Args:
        luma, coloured: uint8 [n, H, W]. lit, shown: bool [n, H, W]: grey that is seen; that or colour.
        around: the pitch that the header names, in pixels.
    """
    if not axis:
        luma_along, lit_along, shown_along = (plane.swapaxes(1, 2) for plane in (luma, lit, shown))
    else:
        luma_along, lit_along, shown_along = luma, lit, shown
    length = luma_along.shape[2]
    texture = np.stack([_texture(frame, sigma=max(1.5, 0.01 * length)) for frame in luma_along])
    curve, overlap = _self_correlation(texture, lit_along)
    far = np.arange(length // 4, 3 * length // 4)
    near = far if around is None else np.arange(max(1, around - 3), min(length, around + 4))
    near = near[overlap[near] >= options.min_overlap]
    if len(near) == 0:
        return None, ""
    pitch = int(near[np.argmax(curve[near])])
    ncc = _correlation_at(luma_along, lit_along, pitch)
    far = far[np.abs(far - pitch) > max(4, options.guard * length)]
    elsewhere = float(curve[far].max()) if len(far) and around is None else 0.0
    if ncc < options.min_ncc or curve[pitch] < max(options.min_texture, options.min_contrast * elsewhere):
        named = f"the header names two panes, but their pictures differ (correlation {ncc:.2f})"
        return None, "" if around is None else named
    panes = _rectangles(lit_along, shown_along, pitch)
    if panes is None:
        return None, ""
    if not axis:
        panes = tuple((columns, rows) for rows, columns in panes)
    shares = [_coloured_share(coloured, luma, pane) for pane in panes]
    order = (0, 1) if shares[0] > shares[1] else (1, 0)
    if shares[order[0]] < options.coloured or shares[order[1]] > options.uncoloured:
        told = f"(coloured {shares[0]:.2%} and {shares[1]:.2%})"
        return None, f"two equal panes, but not one with and one without colour {told}"
    by = "pixels" if around is None else "tags"
    found = DualPanes(colour=panes[order[0]], grey=panes[order[1]], ncc=ncc, by=by)
    return found, f"two panes, correlation {ncc:.2f} at a pitch of {pitch} px"


def check_panes(
    colour: np.ndarray, grey: np.ndarray, untouched: np.ndarray, *, options: PaneOptions | None = None
) -> PaneCheck:
    """Judge whether two aligned clips are one acquisition.

    Args:
        colour, grey: luma, uint8 ``[T, H, W]``.
        untouched: bool ``[T, H, W]``: inside the sector, away from colour and outline by at least 5 px.
    """
    options = options or PaneOptions()
    if not untouched.any():
        return PaneCheck(verdict="unpaired", mae=255.0, ssim=0.0, lag=0)
    mae = _mae(colour, grey, untouched)
    ssim = np.concatenate([ssim_map(a, b)[keep] for a, b, keep in zip(colour, grey, untouched) if keep.any()]).mean()
    lag, errors = 0, {}
    if len(colour) > 2 and _mae(grey[1:], grey[:-1], untouched[1:]) > options.min_motion:
        errors = {0: _mae(colour[1:-1], grey[1:-1], untouched[1:-1])}
        errors[1] = _mae(colour[1:-1], grey[2:], untouched[1:-1])
        errors[-1] = _mae(colour[1:-1], grey[:-2], untouched[1:-1])
        lag = min(errors, key=lambda key: (errors[key], abs(key)))
    verdict = "paired" if mae < options.max_mae and ssim > options.min_ssim else "unpaired"
    if lag and errors[lag] < options.max_mae:
        verdict = "lagged"
    return PaneCheck(verdict=verdict, mae=mae, ssim=float(ssim), lag=lag)


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of uint8 ``[H, W]`` at every pixel, float32: Wang et al. 2004, Gaussian 11 x 11, sigma 1.5, L = 255."""
    a, b = a.astype(np.float32), b.astype(np.float32)

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    return ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )


def _mae(a: np.ndarray, b: np.ndarray, keep: np.ndarray) -> float:
    return float(cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b))[keep].mean()) if keep.any() else 255.0


def _two_regions(regions: tuple[Region, ...]) -> list[Region]:
    """The 2-D regions from top left to bottom right, when there are exactly two; else none."""
    flat = [region for region in regions if region.spatial_format == 1 and region.data_type in (1, 2)]
    return sorted(flat, key=lambda region: (region.y0 + region.x0, region.x0)) if len(flat) == 2 else []


def _tagged_pitch(regions: tuple[Region, ...]) -> tuple[int, int, str, float] | None:
    """``(axis, pitch in px, reason to refuse, scale)`` of exactly two equal, adjacent 2-D regions; None without such.

    ``scale``: pixels of the second over pixels of the first for one length; 1 where they agree or nothing is said.
    """
    flat = _two_regions(regions)
    if not flat:
        return None
    first, second = flat
    sizes = [(region.y1 - region.y0, region.x1 - region.x0) for region in (first, second)]
    if max(abs(a - b) for a, b in zip(*sizes)) > 2:
        return None
    dy, dx = second.y0 - first.y0, second.x0 - first.x0
    if abs(dy) <= 2 and dx >= sizes[0][1] - 2:
        found = (1, dx)
    elif abs(dx) <= 2 and dy >= sizes[0][0] - 2:
        found = (0, dy)
    else:
        return None
    scales = [region.cm_per_px_x for region in (first, second)]
    ratio = scales[0] / scales[1] if all(scales) else 1.0
    if abs(ratio - 1) > MAX_SCALE:
        return *found, f"two panes of different scale ({scales[0]:.4f} and {scales[1]:.4f} cm/px)", ratio
    return *found, "", ratio if abs(ratio - 1) > 0.002 else 1.0


def _scaled_panes(
    regions: tuple[Region, ...], tagged: tuple, coloured: np.ndarray, luma: np.ndarray, lit: np.ndarray,
    options: PaneOptions,
) -> tuple[DualPanes | None, str]:  # fmt: skip
    """Two regions that the header says are drawn at slightly different scales: laid over each other, then compared."""
    flat = _two_regions(regions)
    height, width = luma.shape[1:]
    rows = min(min(region.y1, height) - region.y0 for region in flat)
    columns = min(min(region.x1, width) - region.x0 for region in flat)
    panes = [(slice(r.y0, r.y0 + rows), slice(r.x0, r.x0 + columns)) for r in flat]
    shares = [_coloured_share(coloured, luma, pane) for pane in panes]
    first = 0 if shares[0] > shares[1] else 1
    if shares[first] < options.coloured or shares[1 - first] > options.uncoloured:
        return None, f"two panes, but not one with and one without colour ({shares[0]:.2%} and {shares[1]:.2%})"
    colour, grey = ((slice(None), *panes[n]) for n in (first, 1 - first))
    keep = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for mask in lit[colour]])
    scale = tagged[3] if first == 0 else 1 / tagged[3]
    fit = fit_panes(luma[colour], luma[grey], keep, scale=scale)
    a, b = luma[colour][keep], fit.apply(luma[grey])[keep]
    ncc = pixels.correlation(a, b) if len(a) > 100 else 0.0
    if ncc < max(options.min_ncc, 0.7):  # panes that are merely alike reach 0.5 once one may be moved and scaled
        return None, f"the header names two panes, but their pictures differ (correlation {ncc:.2f})"
    found = DualPanes(colour=panes[first], grey=panes[1 - first], ncc=ncc, by="tags", scale=scale)
    return found, f"two panes, correlation {ncc:.2f} at a scale of {fit.scale:.3f}"


def _texture(frame: np.ndarray, *, sigma: float) -> np.ndarray:
    """What is left of an image when its slow changes are taken out, float32."""
    frame = np.ascontiguousarray(frame, np.float32)
    return frame - cv2.GaussianBlur(frame, (0, 0), sigma)


def _self_correlation(luma: np.ndarray, lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of a screen with itself against the shift along its last axis, over pixels lit in both, ``[W]``, and
    their share of all lit pixels, ``[W]``.

    Masked normalised cross-correlation after Padfield (IEEE Trans. Image Process. 21(5), 2012), one axis, rows pooled.
    """
    width = luma.shape[2]
    size = 2 * width
    centre = float(luma[lit].mean()) if lit.any() else 0.0
    sums = np.zeros((6, size // 2 + 1), np.complex128)
    for frame, mask in zip(luma, lit):
        m = mask.astype(np.float32)
        f = (frame - np.float32(centre)) * m
        mask_f, value_f, square_f = (np.fft.rfft(array, size, axis=1) for array in (m, f, f * f))
        for number, (left, right) in enumerate(
            ((mask_f, mask_f), (value_f, mask_f), (mask_f, value_f), (square_f, mask_f), (mask_f, square_f),
             (value_f, value_f))
        ):  # fmt: skip
            sums[number] += (np.conj(left) * right).sum(axis=0)
    count, left, right, left2, right2, both = (np.fft.irfft(row, size)[:width] for row in sums)
    n = np.maximum(count, 1.0)
    spread = (left2 - left * left / n) * (right2 - right * right / n)
    curve = (both - left * right / n) / np.sqrt(np.maximum(spread, 1e-6))
    share = count / max(count[0], 1.0)
    return np.where(share > 0.05, curve, 0.0), share


def _correlation_at(luma: np.ndarray, lit: np.ndarray, pitch: int) -> float:
    """Correlation of a screen with itself at one shift along its last axis, over pixels lit in both."""
    keep = lit[:, :, :-pitch] & lit[:, :, pitch:]
    return pixels.correlation(luma[:, :, :-pitch][keep], luma[:, :, pitch:][keep])


def _rectangles(
    lit: np.ndarray, shown: np.ndarray, pitch: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Rows and columns of the left pane and of the right one: all rows, up to the seam between the panes.

    ``lit``: grey pixels, by which the panes were compared; ``shown``: whatever is not black.

    The seam is the middle of the emptiest columns between the part that repeats ``pitch`` px to the right and its
    repetition.
    """
    _, height, width = lit.shape
    profile = (lit[:, :, :-pitch] & lit[:, :, pitch:]).mean(axis=0).sum(axis=0)
    core = np.flatnonzero(profile > 0.02 * profile.max()) if profile.max() > 0 else []
    if len(core) < 16:
        return None
    first, last = int(core[0]), min(int(core[-1]), int(core[0]) + pitch - 1)
    between = shown[:, :, last + 1 : first + pitch + 1].mean(axis=0).sum(axis=0)
    empty = np.flatnonzero(between <= between.min() + 0.5)
    seam = last + 1 + int(empty[len(empty) // 2])
    start = max(0, seam - pitch)
    own = min(seam - start, width - start - pitch)
    rows = slice(0, height)
    return (rows, slice(start, start + own)), (rows, slice(start + pitch, start + pitch + own))


def _coloured_share(level: np.ndarray, luma: np.ndarray, pane: tuple[slice, slice]) -> float:
    """Median over frames of the strongly coloured share of a pane's lit pixels."""
    level, luma = level[(slice(None), *pane)], luma[(slice(None), *pane)]
    shares = [float((row > 25).sum() / max(((dim > 8) | (row > 25)).sum(), 1)) for row, dim in zip(level, luma)]
    return float(np.median(shares))
