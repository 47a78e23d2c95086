"""Frames written twice by screen captures."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.schema import Clip, ClipInfo
from data_pipeline.screen.repeats import drop_repeats


def clip(frames: np.ndarray) -> Clip:
    info = ClipInfo(
        format="avi",
        height=frames.shape[1],
        width=frames.shape[2],
        n_frames=len(frames),
        fps=60.0,
        fps_source="container",
    )
    return Clip(frames=frames, info=info)


def moving(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)


def test_repeats_go_and_the_rate_follows():
    doubled = drop_repeats(clip(np.repeat(moving(), 3, axis=0)))
    np.testing.assert_array_equal(doubled.frames, moving())
    assert doubled.info.fps == pytest.approx(20.0) and doubled.info.n_frames == 5
    assert "repeats_dropped" in doubled.info.flags


def test_a_clip_without_repeats_is_returned_as_it_is():
    original = clip(moving())
    assert drop_repeats(original) is original


def test_a_running_clock_outside_the_sector_is_no_new_frame():
    frames = np.repeat(moving(2), 4, axis=0)
    frames[:, :5] = np.arange(8, dtype=np.uint8)[:, None, None, None] * 20
    sector = np.zeros((40, 50), bool)
    sector[10:] = True
    assert len(drop_repeats(clip(frames)).frames) == 8
    assert len(drop_repeats(clip(frames), sector=sector).frames) == 2


def test_a_frozen_picture_is_a_still():
    frozen = drop_repeats(clip(np.repeat(moving(1), 7, axis=0)))
    assert len(frozen.frames) == 1 and "still" in frozen.info.flags
    with pytest.raises(ValueError, match="sector"):
        drop_repeats(frozen, sector=np.zeros((40, 50), bool))
    assert dataclasses.is_dataclass(frozen.info)
