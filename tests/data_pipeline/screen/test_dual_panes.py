import dataclasses

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from data_pipeline.schema import Region
from data_pipeline.screen import dual_panes
from tests.data_pipeline.tiny_archive import dual_screen, grey_screen, simulated


@pytest.mark.parametrize("view, seed", [("A4C", 1), ("PLAX", 2), ("CAROTID_LONG", 2)])
@pytest.mark.parametrize("axis", [1, 0])
@pytest.mark.parametrize("swap", [False, True])
def test_panes_are_found_at_the_right_pitch(view, seed, axis, swap):
    screen = dual_screen(simulated(view, seed), axis=axis, swap=swap)
    panes, reason = dual_panes.find_panes(screen)
    assert panes is not None, reason
    colour, grey = panes.colour[axis], panes.grey[axis]
    assert colour.start - grey.start == (206 if swap else -206)
    assert colour.stop - colour.start == grey.stop - grey.start >= 170
    assert panes.colour[1 - axis] == panes.grey[1 - axis]
    assert panes.by == "pixels" and panes.ncc > 0.8


@pytest.mark.parametrize("view, seed", [("A4C", 1), ("PLAX", 1), ("KIDNEY", 1), ("CAROTID_LONG", 1), ("FETAL_4CH", 1)])
def test_single_pictures_have_no_panes(view, seed):
    for frames in (simulated(view, seed).cfd, grey_screen(simulated(view, seed))):
        assert dual_panes.find_panes(frames)[0] is None


def test_look_alikes_are_refused():
    pair, other = simulated("A4C", 1), simulated("A4C", 2)
    panes, _ = dual_panes.find_panes(dual_screen(pair, grey=other.grey))  # two planes
    assert panes is None
    both = dataclasses.replace(pair, cfd=grey_screen(pair))  # twice the same, without colour
    panes, reason = dual_panes.find_panes(dual_screen(both))
    assert panes is None and "not one with and one without colour" in reason


def region(x0, x1, *, scale=0.03, data_type=1):
    return Region(x0=x0, y0=20, x1=x1, y1=220, data_type=data_type, cm_per_px_x=scale, cm_per_px_y=scale)


def test_tags_are_a_hint_that_pixels_confirm():
    pair, other = simulated("A4C", 1), simulated("A4C", 2)
    tags = (region(5, 205, data_type=2), region(211, 411))
    panes, _ = dual_panes.find_panes(dual_screen(pair), regions=tags)
    assert panes.by == "tags"
    panes, reason = dual_panes.find_panes(dual_screen(pair, grey=other.grey), regions=tags)
    assert panes is None and "the header names two panes, but their pictures differ" in reason
    panes, reason = dual_panes.find_panes(dual_screen(pair), regions=(tags[0], region(211, 411, scale=0.04)))
    assert panes is None and "different scale" in reason


def luma_of(pair):
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair.cfd])


def moving(frames=6):
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (80, 120), np.uint8).astype(np.float32), (0, 0), 2)
    texture = np.clip((texture - 127) * 4 + 100, 0, 255).astype(np.uint8)
    return np.stack([np.roll(texture, t, axis=1)[:64, :64] for t in range(frames)])


def test_check_tells_paired_lagged_and_unpaired():
    clip = moving()
    everywhere = np.ones(clip.shape, bool)
    noisy = np.clip(clip + np.random.default_rng(1).normal(0, 1, clip.shape), 0, 255).astype(np.uint8)
    assert dual_panes.check_panes(clip, noisy, everywhere).verdict == "paired"
    late = dual_panes.check_panes(clip[1:], clip[:-1], everywhere[1:])
    assert (late.verdict, late.lag) == ("lagged", 1)
    early = dual_panes.check_panes(clip[:-1], clip[1:], everywhere[1:])
    assert (early.verdict, early.lag) == ("lagged", -1)
    assert dual_panes.check_panes(clip, clip[:, ::-1], everywhere).verdict == "unpaired"
    still = np.repeat(clip[:1], 6, axis=0)
    assert dual_panes.check_panes(still, still, everywhere).verdict == "paired"  # no motion: no lag to be told
    assert dual_panes.check_panes(clip, clip, ~everywhere).verdict == "unpaired"


def test_ssim_equals_an_independent_implementation():
    a, b = moving(2)
    own = dual_panes.ssim_map(a, b)
    _, theirs = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    np.testing.assert_allclose(own[5:-5, 5:-5], theirs[5:-5, 5:-5], atol=2e-4)
