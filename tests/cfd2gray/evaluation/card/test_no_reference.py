"""Real colour flow as it is, judged by the visible tissue beside it."""

import cv2
import numpy as np

from cfd2gray.evaluation.card.no_reference import STILL, Patches, no_reference, seam, told_apart
from cfd2gray.translation.translator import Translator
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

    same, smoothed = ([Patches.of(clip(1.0, smooth=s), hidden, sector) for _ in range(3)] for s in (0, 1))
    assert [patches.hidden.sum() for patches in same] == [2 * 7 * 7] * 3  # whole patches within, in two frames
    for patches in same:
        np.testing.assert_allclose(patches.ratios, 1.0, atol=0.06)
    assert abs(np.mean(told_apart(same)) - 0.5) < 0.1 and np.mean(told_apart(smoothed, STILL)) > 0.98
    assert smoothed[0].ratios[0] < 0.5 and smoothed[0].ratios[4] > 1.3  # finest octave; grain down
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
