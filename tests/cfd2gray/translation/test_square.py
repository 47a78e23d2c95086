import cv2
import numpy as np

from cfd2gray.translation.square import SquareMasks, analyse_square
from data_pipeline.geometry import Fan
from data_pipeline.schema import OUTLINE, SECTOR
from data_pipeline.screen.analysis import analyse
from data_pipeline.simulation.simulator import simulate_pair


def squeezed_screen(seed):
    pair = simulate_pair("A4C", seed, height=384, width=512, frames=8, split="test")
    size = (384, 384)
    strata = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in pair.strata])
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pair.cfd]), strata


def test_a_picture_that_was_squeezed_is_analysed_as_the_fan_that_it_was():
    frames, strata = squeezed_screen(11)
    true = (strata[0] & SECTOR) > 0
    found = analyse_square(frames, regions=(), aspect=1.0)
    assert found.kind == "cfd" and isinstance(found.geometry, Fan)
    assert np.sum(found.sector & true) / np.sum(found.sector | true) > 0.95
    line = (strata & OUTLINE) > 0
    recalls = [np.mean((one.strata & OUTLINE)[line] > 0) for one in (found, analyse(frames))]
    assert recalls[0] > 0.85 and recalls[0] >= recalls[1]
    masks = SquareMasks(frames, regions=(), aspect=1.0)
    np.testing.assert_array_equal(masks.sector, found.sector)
    assert np.mean(masks.analysis(frames).strata == found.strata) > 0.99
