"""Text inside the sector."""

import cv2
import numpy as np
import pytest

from cfd2gray.parsing.names import draw_name
from data_pipeline.screen.burned_text import find_burned_text
from tests.benchmarks.burned_names import WHOLE, place, simulated
from tests.data_pipeline.screen.test_fan_fit import SHAPES, speckle


@pytest.mark.parametrize("scale", [0.45, 0.7])
def test_text_inside_the_sector_is_flagged(scale):
    frames = speckle(SHAPES["phased"], frames=8)
    frames = np.stack([cv2.resize(f, (800, 600)) for f in frames])
    sector = frames.max(axis=(0, 3)) > 8
    assert find_burned_text(frames, sector).mean() < 0.002
    for frame in frames:
        cv2.putText(frame, "rt hip inj 4711", (330, 330), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1)
    found = find_burned_text(frames, sector)
    (width, height), _ = cv2.getTextSize("rt hip inj 4711", cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    assert found[330 - height : 330, 330 : 330 + width].mean() > 0.7
    assert found.mean() < 0.03


def test_names_over_simulated_clips_are_gone_and_clean_tissue_stays():
    """A sample of tests/benchmarks/burned_names.py."""
    rng, gone = np.random.default_rng(11), []
    for kind, frames, sector in simulated(rng, 3):
        assert find_burned_text(frames, sector).sum() <= 0.02 * sector.sum(), kind
        for _ in range(4):
            extent = int(np.flatnonzero(sector.any(axis=0)).size * 0.9)
            drawn = place(rng, frames, sector, draw_name(rng, widest=extent))
            if drawn is not None:
                gone.append(find_burned_text(drawn[0], sector)[drawn[1]].mean() >= WHOLE)
    assert len(gone) >= 16 and np.mean(gone) >= 0.93


def test_nothing_is_found_where_there_is_nothing():
    assert not find_burned_text(np.zeros((1, 40, 60, 3), np.uint8), np.zeros((40, 60), bool)).any()
    assert not find_burned_text(np.zeros((3, 41, 63, 3), np.uint8), np.ones((41, 63), bool)).any()
