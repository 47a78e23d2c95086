"""Text inside the sector."""

import cv2
import numpy as np
import pytest

from data_pipeline.screen.burned_text import find_burned_text
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
