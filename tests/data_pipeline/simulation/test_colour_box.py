"""The colour box: masks agree with the polygon, draws stay inside the fan, outlines lie on the edge."""

import math

import cv2
import numpy as np
import pytest

from data_pipeline.simulation.console.box import OutlineStyle, ScanBox, draw_box, draw_box_path, outline_coverage
from data_pipeline.simulation.scan_grid import ScanGrid

FANS = {
    "phased": ScanGrid.for_size("phased", 96, 120, depth_cm=15),
    "curvilinear": ScanGrid.for_size("curvilinear", 96, 120, depth_cm=12, half_angle=0.6),
    "linear": ScanGrid.for_size("linear", 96, 96, depth_cm=4, steer=math.radians(18)),
}


def _box(fan, seed=0):
    steer = fan.geometry.steer if fan.linear else 0.0
    return draw_box(
        np.random.default_rng(seed), fan, (float(fan.r[fan.n_r // 2]), float(fan.t[fan.n_t // 2])), steer=steer
    )


@pytest.mark.parametrize("kind", FANS)
def test_mask_agrees_with_the_drawn_polygon(kind):
    fan = FANS[kind]
    for seed in range(5):
        box = _box(fan, seed)
        mask = box.contains(*fan.RT)
        polygon = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(polygon, [np.round(box.corners(fan)).astype(np.int32)], 1)
        both = (mask & (polygon > 0)).sum() / (mask | (polygon > 0)).sum()
        assert both > 0.92
        assert not (mask & ~fan.mask).any()


@pytest.mark.parametrize("kind", FANS)
def test_paths_stay_inside(kind):
    fan = FANS[kind]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        path = draw_box_path(rng, fan, _box(fan, seed), 20, chance=1.0)
        assert len(path) == 20 and path[0] != path[-1]
        for box in path:
            box.check(fan)


def test_a_steered_box_leans():
    fan = FANS["linear"]
    corners = _box(fan).corners(fan, samples=8)
    top, bottom = corners[0], corners[24]
    assert bottom[1] > top[1] and (bottom[0] - top[0]) / (bottom[1] - top[1]) == pytest.approx(
        math.tan(math.radians(18)), rel=0.01
    )


@pytest.mark.parametrize("dashed", [False, True])
def test_the_outline_lies_on_the_edge(dashed):
    fan = FANS["phased"]
    box, window = _box(fan), (slice(0, 96), slice(0, 120))
    cover = outline_coverage(box, fan, OutlineStyle(dashed=dashed, crisp=1.0), window=window, supersample=2)
    near = cv2.dilate(box.contains(*fan.RT).astype(np.uint8), np.ones((5, 5))) - cv2.erode(
        box.contains(*fan.RT).astype(np.uint8), np.ones((5, 5))
    )
    assert cover.max() > 0.4 and not (cover[near == 0] > 0.05).any()
    assert outline_coverage(box, fan, OutlineStyle(colour="none"), window=window, supersample=1) is None


def test_a_box_outside_the_fan_is_refused():
    fan = FANS["phased"]
    with pytest.raises(ValueError, match="r0..r1"):
        ScanBox(r0=5, r1=1000, t0=-0.1, t1=0.1).check(fan)
    with pytest.raises(ValueError, match="t0..t1"):
        ScanBox(r0=20, r1=60, t0=-0.1, t1=2.1).check(fan)
    with pytest.raises(ValueError, match="t0..t1"):
        ScanBox(r0=20, r1=60, t0=0.1, t1=0.1).check(fan)
    with pytest.raises(ValueError, match="purple"):
        OutlineStyle(colour="purple")
