"""Panes that lie at parts of a pixel or at slightly different scales."""

import cv2
import numpy as np
import pytest

from data_pipeline.pairs import pairing
from data_pipeline.pairs.door import NoPairError
from data_pipeline.schema import Region
from data_pipeline.screen import dual_panes, pane_fit
from tests.data_pipeline.pairs.test_pairing import HASHER, clip_of
from tests.data_pipeline.screen.test_dual_panes import moving
from tests.data_pipeline.tiny_archive import dual_screen, grey_screen, simulated


def warped(frames, *, scale=1.0, dy=0.0, dx=0.0):
    """Frames ``[T, H, W, C]`` drawn ``scale`` times larger about their middle and moved."""
    height, width = frames.shape[1:3]
    cy, cx = (height - 1) / 2, (width - 1) / 2
    matrix = np.float64([[scale, 0, cx - scale * cx + dx], [0, scale, cy - scale * cy + dy]])
    out = [cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LANCZOS4) for frame in frames]
    return np.stack(out).reshape(frames.shape)


@pytest.mark.parametrize("dy, dx", [(0, 0), (1, -2), (-2, 1)])
def test_whole_pixels_are_found_and_nothing_is_resampled(dy, dx):
    clip = moving(2)
    everywhere = np.ones(clip.shape, bool)
    moved = pane_fit.shifted(clip, -dy, -dx)
    assert pane_fit.align(clip, moved, everywhere) == (dy, dx)
    fit = pane_fit.fit_panes(clip, moved, everywhere)
    assert (fit.dy, fit.dx, fit.scale, fit.whole) == (dy, dx, 1.0, True)
    np.testing.assert_array_equal(fit.apply(moved)[:, 4:-4, 4:-4], clip[:, 4:-4, 4:-4])


@pytest.mark.parametrize("scale, dy, dx", [(1.0, 0.5, -0.4), (1.02, 0.0, 0.0), (0.975, 1.3, 0.6)])
def test_parts_of_a_pixel_and_scales_are_found(scale, dy, dx):
    pair = simulated("A4C", 1)
    grey = pair.grey[:3, ..., 0]
    moved = warped(pair.grey[:3], scale=scale, dy=dy, dx=dx)[..., 0]
    inside = np.repeat((cv2.erode(pair.strata[0] & 1, np.ones((9, 9), np.uint8)) > 0)[None], 3, axis=0)
    fit = pane_fit.fit_panes(grey, moved, inside)
    assert fit.scale == pytest.approx(scale, abs=0.001) and not fit.whole
    assert (fit.dy, fit.dx) == pytest.approx((dy, dx), abs=0.06)
    error = np.abs(fit.apply(moved).astype(int) - grey)[inside].mean()
    assert error < 0.4 * np.abs(moved.astype(int) - grey)[inside].mean() and error < 3


def test_strangers_are_not_bent_to_fit():
    one, other = (simulated("A4C", seed).grey[:2, ..., 0] for seed in (1, 2))
    fit = pane_fit.fit_panes(one, other, np.ones(one.shape, bool))
    assert abs(fit.scale - 1) <= pane_fit.MAX_SCALE + 0.005
    check = dual_panes.check_panes(one, fit.apply(other), np.ones(one.shape, bool))
    assert check.verdict == "unpaired"


def test_a_pair_at_half_a_pixel_becomes_a_record():
    truth = simulated("A4C", 1)
    screen = dual_screen(truth, grey=warped(truth.grey, dy=0.5, dx=0.4), quality=0)
    (pair,) = pairing.pairs_from_clip(clip_of(screen), hasher=HASHER)
    evidence = pair.params["pairing"]
    assert evidence["shift"] == pytest.approx([0.5, 0.4], abs=0.1) and evidence["mae"] < 3


def test_panes_of_other_scale_are_paired_by_the_header_up_to_three_percent():
    truth = simulated("A4C", 1)
    region = lambda x, scale: Region(x0=x, y0=20, x1=x + 200, y1=220, cm_per_px_x=scale, cm_per_px_y=scale)  # noqa: E731
    for factor, paired in ((1.02, True), (0.98, True), (1.06, False)):
        screen = dual_screen(truth, grey=warped(truth.grey, scale=factor), quality=0)
        regions = (region(5, 0.03), region(211, 0.03 / factor))
        clip = clip_of(screen, regions=regions)
        if not paired:
            with pytest.raises(NoPairError, match="different scale"):
                pairing.pairs_from_clip(clip, hasher=HASHER)
            continue
        (pair,) = pairing.pairs_from_clip(clip, hasher=HASHER)
        assert pair.params["pairing"]["scale"] == pytest.approx(factor, abs=0.003) and pair.kind == "dual"
    stranger = dual_screen(truth, grey=simulated("A4C", 2).grey, quality=0)
    panes, reason = dual_panes.find_panes(stranger, regions=(region(5, 0.03), region(211, 0.0294)))
    assert panes is None and "differ" in reason
    both = dual_screen(truth, quality=0)
    both[:, 20:220, 5:205] = grey_screen(truth)
    panes, reason = dual_panes.find_panes(both, regions=(region(5, 0.03), region(211, 0.0294)))
    assert panes is None and "without colour" in reason
