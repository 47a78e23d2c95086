"""Speckle of a fan with grain along the arcs: what is smoothed must get it back, from visible tissue alone."""

import cv2
import numpy as np
import pytest

from cfd2gray.translation.areas import beams_of
from cfd2gray.translation.speckle import Speckle
from cfd2gray.translation.translator import Translator
from cfd2gray.translation.view import View
from data_pipeline.geometry import Fan, Hull
from data_pipeline.schema import BOX, FLOW, SECTOR
from data_pipeline.screen.analysis import FlowAnalysis

SHAPE = (360, 400)
FAN = Fan(apex_x=200, apex_y=-20, r0=40, r1=370, t0=-0.65, t1=0.65)
SECTOR_ = FAN.mask(SHAPE)
FRAMES = 4


def grained(seed, *, level=70.0):
    """float32 [T, H, W]: grain 12 px along the arc and 3 px along the beam, as strong as a fifth of its level."""
    rng = np.random.default_rng(seed)
    depth, lateral = FAN.coordinates(SHAPE)
    out = []
    for _ in range(FRAMES):
        polar = cv2.GaussianBlur(rng.normal(size=(400, 600)).astype(np.float32), (0, 0), sigmaX=6, sigmaY=1.3)
        polar /= polar.std()
        noise = cv2.remap(polar, (lateral + 0.65) / 1.3 * 598, depth, cv2.INTER_CUBIC)
        out.append(level * (1 + 0.2 * noise))
    return np.stack(out)


def a_case(*, strength=1.0, shift=0):
    """Truth, luma with garbage under colour, hidden, the smooth translation, and the speckle drawn into it."""
    depth, lateral = FAN.coordinates(SHAPE)
    hidden = (depth > 150) & (depth < 260) & (np.abs(lateral - 0.1) < 0.2)
    level = np.where(lateral < 0.05, 60, 120).astype(np.float32)
    truth = np.clip(grained(1) / 70 * level, 0, 255) * SECTOR_
    smooth = truth.copy()
    smooth[:, hidden] = level[hidden]
    luma = np.where(hidden, shift, np.rint(truth)).astype(np.uint8)
    frames = np.repeat(luma[..., None], 3, axis=3)
    speckle = Speckle.of(hidden, SECTOR_, (FAN, 1.0), frames, strength=strength)
    view = View(rows=slice(60, 330), columns=slice(20, 380), scale=0.7, height=192, width=256)
    drawn = smooth[:, view.rows, view.columns].astype(np.float32)
    if speckle is not None:
        weights = np.repeat(hidden[None, view.rows, view.columns], FRAMES, axis=0).astype(np.float32)
        speckle.draw(drawn, luma, weights, view)
    return truth[:, view.rows, view.columns], hidden[view.rows, view.columns], drawn, level[view.rows, view.columns]


def test_strength_of_each_level_and_grain_are_those_of_visible_tissue():
    truth, hidden, drawn, level = a_case()
    inner = cv2.erode(hidden.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    fine = [clip - np.stack([cv2.GaussianBlur(frame, (0, 0), 2.8) for frame in clip]) for clip in (drawn, truth)]
    for grey in (60, 120):
        at = inner & (level == grey)
        at &= cv2.erode((level == grey).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert 0.75 < fine[0][:, at].std() / fine[1][:, at].std() < 1.15

    def grain(clip):  # correlation one grain away along the arc, and along the beam
        part = clip[:, inner] - clip[:, inner].mean()
        along, down = (np.roll(clip, by, axis)[:, inner] for by, axis in ((5, 2), (5, 1)))
        return [np.corrcoef(part.ravel(), other.ravel())[0, 1] for other in (along, down)]

    made, true = (grain(clip - level) for clip in (drawn, truth.astype(np.float32)))
    assert made[0] - made[1] > 0.5 * (true[0] - true[1]) > 0.1
    flicker = [np.abs(np.diff(clip, axis=0))[:, inner].mean() for clip in fine]
    assert 0.75 < flicker[0] / flicker[1] < 1.15


def test_visible_pixels_stay_and_nothing_under_colour_is_looked_at():
    truth, hidden, drawn, _ = a_case()
    np.testing.assert_array_equal(drawn[:, ~hidden], truth[:, ~hidden].astype(np.float32))
    np.testing.assert_array_equal(drawn, a_case(shift=200)[2])


def test_half_the_strength_is_half_the_amplitude_and_none_is_none():
    _, hidden, whole, level = a_case()
    half = a_case(strength=0.5)[2]
    np.testing.assert_allclose((half - level)[:, hidden], 0.5 * (whole - level)[:, hidden], atol=1e-3)
    nothing = np.zeros(SHAPE, bool)
    frames = np.full((2, *SHAPE, 3), 60, np.uint8)
    assert Speckle.of(nothing, SECTOR_, (FAN, 1.0), frames) is None
    assert Speckle.of(SECTOR_, SECTOR_, (FAN, 1.0), frames) is None  # nothing is visible
    assert Speckle.of(FAN.mask(SHAPE), SECTOR_, (FAN, 1.0), frames, strength=0.0) is None


def test_letters_beside_the_box_are_not_copied_into_it():
    depth, lateral = FAN.coordinates(SHAPE)
    hidden = (depth > 150) & (depth < 260) & (np.abs(lateral) < 0.15)
    luma = np.rint(np.clip(grained(3), 0, 255) * SECTOR_).astype(np.uint8)
    letters = np.zeros(SHAPE, np.uint8)
    for x, y in ((10, 150), (245, 150), (10, 190), (245, 190), (10, 230), (245, 230)):
        cv2.putText(letters, "DOE JANE", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    frames = np.repeat(np.maximum(luma, letters)[..., None], 3, axis=3)
    speckle = Speckle.of(hidden, SECTOR_, (FAN, 1.0), frames)
    strokes = (letters > 0).astype(np.float32)[speckle.donors]
    assert strokes.mean() > 0.03
    taken = [
        cv2.remap(strokes, *place, cv2.INTER_LINEAR) * weight for place, weight in zip(speckle.maps, speckle.weights)
    ]
    assert max(plane[hidden[speckle.part]].max() for plane in taken) < 0.05


def test_beams_of_sectors():
    assert beams_of(SECTOR_, FAN) == (FAN, 1.0)
    squeezed = cv2.resize(SECTOR_.astype(np.uint8), (300, 360)) > 0
    fan, aspect = beams_of(squeezed, Hull(x1=300.0, y1=360.0))
    assert aspect == pytest.approx(0.75, rel=0.05) and fan.anchor[0] == pytest.approx(150, abs=6)
    assert beams_of(np.ones((50, 60), bool), Hull(x1=60.0, y1=50.0)) is None


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
