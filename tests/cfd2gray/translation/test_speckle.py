"""Speckle of a fan with grain along the arcs: what is smoothed must get it back, from visible tissue alone."""

import cv2
import numpy as np
import pytest

from cfd2gray.translation.areas import beams_of
from cfd2gray.translation.speckle.draw import Speckle, in_pairs
from cfd2gray.translation.speckle.octaves import LEVELS, strength
from cfd2gray.translation.translator import Translator
from cfd2gray.translation.view import View
from data_pipeline.geometry import Fan, Hull
from data_pipeline.schema import BOX, FLOW, SECTOR
from data_pipeline.screen.analysis import FlowAnalysis

SHAPE = (360, 400)
FAN = Fan(apex_x=200, apex_y=-20, r0=40, r1=370, t0=-0.65, t1=0.65)
SECTOR_ = FAN.mask(SHAPE)
FRAMES = 4


def grained(seed, *, level=70.0, still=0.0):
    """float32 [T, H, W]: grain 12 px along the arc and 3 px along the beam, as strong as a fifth of its level; ``still`` is its
    correlation from frame to frame."""
    rng = np.random.default_rng(seed)
    depth, lateral = FAN.coordinates(SHAPE)
    white, out = rng.normal(size=(400, 600)), []
    for _ in range(FRAMES):
        polar = cv2.GaussianBlur(white.astype(np.float32), (0, 0), sigmaX=6, sigmaY=1.3)
        polar /= polar.std()
        noise = cv2.remap(polar, (lateral + 0.65) / 1.3 * 598, depth, cv2.INTER_CUBIC)
        out.append(level * (1 + 0.2 * noise))
        white = still * white + np.sqrt(1 - still**2) * rng.normal(size=white.shape)
    return np.stack(out)


def a_case(*, amount=1.0, still=0.0, under=0, pieces=(FRAMES,)):
    """Truth, hidden, the smooth translation with speckle drawn into it, and the grey level; ``under`` colour lies garbage."""
    depth, lateral = FAN.coordinates(SHAPE)
    hidden = (depth > 150) & (depth < 260) & (np.abs(lateral - 0.1) < 0.2)
    level = np.where(lateral < 0.05, 60, 120).astype(np.float32)
    truth = np.clip(grained(1, still=still) / 70 * level, 0, 255) * SECTOR_
    smooth = truth.copy()
    smooth[:, hidden] = level[hidden]
    luma = np.where(hidden, under, np.rint(truth)).astype(np.uint8)
    speckle = Speckle.of(hidden, SECTOR_, (FAN, 1.0), in_pairs(np.repeat(luma[..., None], 3, axis=3)), amount=amount)
    view = View(rows=slice(60, 330), columns=slice(20, 380), scale=0.7, height=192, width=256)
    drawn = smooth[:, view.rows, view.columns].astype(np.float32)
    weights = np.repeat(hidden[None, view.rows, view.columns], FRAMES, axis=0).astype(np.float32)
    first = 0
    for count in pieces:
        part = slice(first, first + count)
        speckle.draw(drawn[part], weights[part], view, first)
        first += count
    return truth[:, view.rows, view.columns], hidden[view.rows, view.columns], drawn, level[view.rows, view.columns]


@pytest.mark.parametrize("still", [0.0, 0.8])
def test_strength_of_each_level_grain_and_change_are_those_of_visible_tissue(still):
    truth, hidden, drawn, level = a_case(still=still)
    inner = cv2.erode(hidden.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    fine = [clip - np.stack([cv2.GaussianBlur(frame, (0, 0), 2.8) for frame in clip]) for clip in (drawn, truth)]
    for grey in (60, 120):
        at = inner & (level == grey)
        at &= cv2.erode((level == grey).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert 0.8 < fine[0][:, at].std() / fine[1][:, at].std() < 1.15

    def grain(clip):  # correlation one grain away along the arc, and along the beam
        part = clip[:, inner] - clip[:, inner].mean()
        along, down = (np.roll(clip, by, axis)[:, inner] for by, axis in ((5, 2), (5, 1)))
        return [np.corrcoef(part.ravel(), other.ravel())[0, 1] for other in (along, down)]

    made, true = (grain(clip - level) for clip in (drawn, truth.astype(np.float32)))
    assert made[0] - made[1] > 0.6 * (true[0] - true[1]) > 0.1
    flicker = [np.abs(np.diff(clip, axis=0))[:, inner].mean() for clip in (drawn, truth)]
    assert 0.8 < flicker[0] / flicker[1] < 1.2


def test_visible_pixels_stay_and_nothing_under_colour_is_looked_at():
    truth, hidden, drawn, _ = a_case()
    np.testing.assert_array_equal(drawn[:, ~hidden], truth[:, ~hidden].astype(np.float32))
    np.testing.assert_array_equal(drawn, a_case(under=200)[2])


@pytest.mark.parametrize("still", [0.0, 0.8])
def test_a_clip_in_pieces_has_the_same_speckle(still):
    np.testing.assert_array_equal(a_case(still=still)[2], a_case(still=still, pieces=(1, 2, 1))[2])


def test_half_the_amount_is_half_the_amplitude_and_none_is_none():
    _, hidden, whole, level = a_case()
    half = a_case(amount=0.5)[2]
    np.testing.assert_allclose((half - level)[:, hidden], 0.5 * (whole - level)[:, hidden], atol=1e-3)
    nothing = np.zeros(SHAPE, bool)
    luma = np.full((2, *SHAPE), 60, np.uint8)
    assert Speckle.of(nothing, SECTOR_, (FAN, 1.0), luma) is None
    assert Speckle.of(SECTOR_, SECTOR_, (FAN, 1.0), luma) is None  # nothing is visible
    assert Speckle.of(FAN.mask(SHAPE), SECTOR_, (FAN, 1.0), luma, amount=0.0) is None
    thin = np.zeros((9, 40), bool)
    thin[4, 5:] = True
    assert Speckle.of(thin & (np.arange(40) > 30), thin, None, np.full((2, 9, 40), 60, np.uint8)) is None


def test_letters_beside_the_box_are_not_taken_for_speckle():
    depth, lateral = FAN.coordinates(SHAPE)
    hidden = (depth > 150) & (depth < 260) & (np.abs(lateral) < 0.15)
    luma = np.rint(np.clip(grained(3), 0, 255) * SECTOR_).astype(np.uint8)
    letters = np.zeros(SHAPE, np.uint8)
    for x, y in ((10, 150), (245, 150), (10, 190), (245, 190), (10, 230), (245, 230)):
        cv2.putText(letters, "DOE JANE", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    assert (letters[SECTOR_ & ~hidden] > 0).mean() > 0.03
    plain, written = (
        Speckle.of(hidden, SECTOR_, (FAN, 1.0), clip).bands[-1].grain for clip in (luma, np.maximum(luma, letters))
    )
    middle = np.searchsorted(LEVELS, 70, side="right") - 1
    np.testing.assert_allclose(strength(written.seen)[:, middle], strength(plain.seen)[:, middle], rtol=0.2)
    grains = [(f[:, 2:] * f[:, :-2]).mean() - (f[2:] * f[:-2]).mean() for f in (plain.field, written.field)]
    assert grains[1] == pytest.approx(grains[0], abs=0.1) and grains[0] > 0.3


def test_probes_with_parallel_beams_and_single_frames_have_speckle_too():
    rng = np.random.default_rng(4)
    sector, hidden = np.ones((120, 160), bool), np.zeros((120, 160), bool)
    hidden[40:80, 50:110] = True
    frame = cv2.GaussianBlur(rng.normal(size=sector.shape).astype(np.float32), (0, 0), sigmaX=3, sigmaY=0.8)
    luma = np.rint(80 + 15 * frame / frame.std()).astype(np.uint8)[None]
    speckle = Speckle.of(hidden, sector, None, luma)
    made = luma.astype(np.float32)
    made[:, hidden] = 80
    view = View(rows=slice(0, 120), columns=slice(0, 160), scale=1.0, height=120, width=160)
    speckle.draw(made, hidden[None].astype(np.float32), view, 7)
    inner = slice(46, 74), slice(56, 104)
    assert 0.75 < made[0][inner].std() / luma[0][inner].std() < 1.25
    steps = [np.abs(np.diff(made[0][inner], axis=axis)).mean() for axis in (0, 1)]
    assert steps[0] > 1.5 * steps[1]  # grain lies across


def test_beams_of_sectors():
    assert beams_of(SECTOR_, FAN) == (FAN, 1.0)
    squeezed = cv2.resize(SECTOR_.astype(np.uint8), (300, 360)) > 0
    fan, aspect = beams_of(squeezed, Hull(x1=300.0, y1=360.0))
    assert aspect == pytest.approx(0.75, rel=0.05) and fan.anchor[0] == pytest.approx(150, abs=6)
    assert beams_of(np.ones((50, 60), bool), Hull(x1=60.0, y1=50.0)) is None
    assert beams_of(np.ones((4, 4000), bool), Hull(x1=4000.0, y1=4.0)) is None


def test_translations_above_the_network_s_size_have_it_and_others_do_not():
    luma = np.rint(np.clip(grained(2), 0, 255) * SECTOR_).astype(np.uint8)
    depth, lateral = FAN.coordinates(SHAPE)
    flow = (depth > 180) & (depth < 250) & (np.abs(lateral) < 0.15)
    frames = np.repeat(luma[..., None], 3, axis=3)
    frames[:, flow] = (200, 30, 0)
    strata = (SECTOR_ * SECTOR + flow * (FLOW + BOX)).astype(np.uint8)
    analysis = FlowAnalysis(sector=SECTOR_, strata=np.repeat(strata[None], FRAMES, axis=0), geometry=FAN)
    smooth, default, full = (
        Translator.from_pretrained(texture=texture).translate(frames, analysis=analysis) for texture in (0.0, None, 1.0)
    )
    assert (smooth.texture, default.texture, full.texture) == (0.0, 1.0, 1.0)
    np.testing.assert_array_equal(default.grey, full.grey)
    assert default.grey[:, flow].std() > 1.3 * smooth.grey[:, flow].std()
    np.testing.assert_array_equal(default.grey[:, ~flow], luma[:, ~flow])
    small, flags = frames[:, ::2, ::2].copy(), np.repeat(strata[None, ::2, ::2], FRAMES, axis=0)
    known = FlowAnalysis(sector=SECTOR_[::2, ::2], strata=flags, geometry=FAN.moved(0, 0, scale=2))
    assert Translator.from_pretrained().translate(small, analysis=known).texture == 0.0
    with pytest.raises(ValueError, match=r"texture must lie in 0\.\.1, got 1\.5"):
        Translator.from_pretrained(texture=1.5)
