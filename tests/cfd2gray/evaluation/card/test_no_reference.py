"""Real colour flow as it is, judged by the visible tissue beside it."""

import cv2
import numpy as np

from cfd2gray.evaluation.card.no_reference import STILL, Patches, elsewhere, no_reference, seam, told_apart
from cfd2gray.translation.translator import Translator
from data_pipeline.geometry import Fan
from data_pipeline.simulation.simulator import simulate_pair


def test_patches_tell_what_was_smoothed_and_not_what_was_left():
    rng = np.random.default_rng(0)
    sector = np.ones((160, 192), bool)
    hidden = np.zeros((9, 160, 192), np.uint8)
    hidden[:, 30:130, 60:150] = 1

    def clip(grain, *, smooth):
        made = rng.normal(size=(9, 160, 192))
        made = np.stack([cv2.GaussianBlur(frame, (0, 0), sigmaX=grain, sigmaY=0.8) for frame in made])
        made = 80 + 12 * made / made.std()
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in made])
        return np.rint(np.where(hidden * smooth > 0, soft, made)).astype(np.uint8)

    same, smoothed = ([Patches.of(clip(1.0, smooth=s), hidden, sector, None) for _ in range(3)] for s in (0, 1))
    assert [patches.hidden.sum() for patches in same] == [2 * 7 * 7] * 3  # whole patches within, in two frames
    for patches in same:
        np.testing.assert_allclose(patches.ratios, 1.0, atol=0.06)
    assert abs(np.mean(told_apart(same)) - 0.5) < 0.1 and np.mean(told_apart(smoothed, STILL)) > 0.98
    assert smoothed[0].ratios[0] < 0.5 and smoothed[0].ratios[4] > 1.3  # finest octave; grain along the beam
    assert told_apart(same[:1]) == []


def test_a_step_all_round_is_a_seam():
    frames = np.random.default_rng(1).integers(60, 100, (1, 60, 60)).astype(np.uint8)
    hidden = np.zeros((1, 60, 60), np.uint8)
    hidden[0, 20:40, 20:40] = 1
    sector = np.ones((60, 60), bool)
    assert abs(seam(frames, hidden, sector) - 1) < 0.15
    assert seam(frames + 60 * hidden, hidden, sector) > 3


def test_colour_clips_without_a_truth_are_judged_by_what_is_beside(tmp_path):
    for seed in (3, 5):
        np.save(
            tmp_path / f"{seed}.npy", simulate_pair("A4C", seed, height=480, width=480, frames=10, split="test").cfd
        )
    found = no_reference(Translator.from_pretrained(), tmp_path)
    assert [(clip["height"], clip["frames"]) for clip in found["clips"]] == [(480, 10), (480, 10)]
    for clip in found["clips"]:
        assert all(0.3 < value < 3 for value in clip["ratios"]) and 0.3 < clip["seam"] < 4
    assert len(found["auc"]["clip"]["each"]) == 2
    low, high = found["auc"]["frame"]["ci95"]
    assert low <= found["auc"]["frame"]["mean"] <= high
    assert len(found["auc"]["visible"]["each"]) == 2


def test_grain_is_measured_along_and_across_the_beam():
    fan = Fan(apex_x=96, apex_y=-40, r0=40, r1=210, t0=-0.8, t1=0.8)
    depth, lateral = fan.coordinates((160, 192))
    rng = np.random.default_rng(2)
    polar = np.stack([cv2.GaussianBlur(rng.normal(size=(260, 420)), (0, 0), sigmaX=3, sigmaY=0.8) for _ in range(9)])
    clip = [cv2.remap(frame.astype(np.float32), (lateral + 1) * 200, depth, cv2.INTER_CUBIC) for frame in polar]
    clip = np.rint(80 + 12 * np.stack(clip) / np.std(clip)).astype(np.uint8)
    sector = fan.mask((160, 192))
    side = np.repeat(((lateral > 0.3) & (depth > 90) & (depth < 180) & sector)[None], 9, axis=0)
    for beams, close in (((fan, 1.0), True), (None, False)):  # the middle is compared with the side
        ratios = Patches.of(clip, side, sector, beams).ratios[4:]
        assert (np.abs(np.log(ratios)) < 0.18).all() == close, ratios


def test_the_same_shape_is_laid_over_what_is_visible():
    sector, hidden = np.ones((160, 200), bool), np.zeros((3, 160, 200), np.uint8)
    hidden[1, 40:80, 20:60] = 7
    lit = np.zeros((160, 200), bool)
    lit[100:, 120:] = True
    moved = elsewhere(hidden, sector, lit)
    assert moved[1].sum() == hidden[1].astype(bool).sum() and not moved[[0, 2]].any()
    assert (lit & (moved[1] > 0)).sum() > 0.8 * moved[1].sum() and not (moved[1] & (hidden[1] > 0)).any()
