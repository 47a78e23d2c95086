import math

import numpy as np
import pytest

from data_pipeline.geometry import Fan
from data_pipeline.simulation.scan_grid import ScanGrid, grid_for_size

KINDS = ("phased", "curvilinear", "linear")


def fan_of(kind, height=96, width=112, depth_cm=None):
    return ScanGrid.for_size(kind, height, width, depth_cm=depth_cm or (4.0 if kind == "linear" else 15.0))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_float32_and_in_centimetres(kind):
    fan = fan_of(kind)
    for array in (fan.r, fan.t, fan.depth_cm, fan.X, fan.Y, *fan.RT, *fan.image_map, *fan.polar_map, *fan.beam):
        assert array.dtype == np.float32
    assert fan.X.shape == fan.Y.shape == fan.shape == (fan.n_r, fan.n_t)
    assert fan.mask.shape == (96, 112) and fan.mask.dtype == bool
    depth = 4.0 if kind == "linear" else 15.0
    assert fan.depth_cm[0] == 0 and fan.depth_cm[-1] == pytest.approx(depth, rel=1e-4)
    assert fan.Y[-1, fan.n_t // 2] == pytest.approx(depth, rel=0.01)
    assert abs(fan.X[:, 0] + fan.X[:, -1]).max() < 1e-3  # symmetric


@pytest.mark.parametrize("kind", KINDS)
def test_fan_fills_the_frame_and_stays_in_it(kind):
    fan = fan_of(kind)
    ys, xs = np.nonzero(fan.mask)
    assert min(ys.min(), 95 - ys.max(), xs.min(), 111 - xs.max()) >= 0
    assert ys.max() - ys.min() > 0.9 * 96 or xs.max() - xs.min() > 0.9 * 112
    assert not fan.mask.all()


@pytest.mark.parametrize("kind", KINDS)
def test_scan_conversion_round_trip(kind):
    fan = fan_of(kind)
    smooth = np.cos(fan.X / 2) + fan.Y / 10
    image = fan.to_image(smooth.astype(np.float32))
    assert image.dtype == np.float32 and (image[~fan.mask] == 0).all()
    back = fan.to_polar(image)
    assert np.abs(back - smooth)[24:-6, 6:-6].max() < 0.05
    labels = (fan.Y.mean() < fan.Y).astype(np.uint8) * 7
    assert set(np.unique(fan.to_image(labels, nearest=True))) <= {0, 7}


def test_scan_conversion_agrees_with_geometry():
    fan = fan_of("phased")
    image = fan.to_image(np.repeat(fan.r[:, None], fan.n_t, 1))
    g = fan.geometry
    for y, x in ((60, 56), (50, 40), (70, 80)):
        assert fan.mask[y, x] and image[y, x] == pytest.approx(math.hypot(x - g.apex_x, y - g.apex_y), abs=0.02)


def test_physical_widths():
    fan, linear = fan_of("phased"), fan_of("linear")
    assert fan.axial_px(10 * fan.axial_step_cm) == pytest.approx(1)
    assert fan.lateral_px(5, at_cm=14) < fan.lateral_px(5, at_cm=4)
    assert fan.angle_px(math.degrees(fan.dt)) == pytest.approx(1)
    assert linear.lateral_px(10 * linear.dt * linear.cm_per_px) == pytest.approx(1, rel=1e-3)
    r, t = fan.index_of(0.0, 7.0)
    assert t == 0 and (r - fan.geometry.r0) * fan.cm_per_px == pytest.approx(7, rel=1e-3)


def test_grid_follows_output_size():
    assert grid_for_size(112, 112) == grid_for_size(128, 128) == (160, 80)
    assert grid_for_size(300, 400) == grid_for_size(600, 800) == (288, 128)
    assert (160, 80) < grid_for_size(200, 220) < (288, 128)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "matrix"}, "kind"), ({"depth_cm": -3.0}, "depth_cm"), ({"half_angle": 3.0}, "half_angle"),
        ({"steer": 1.0}, "steer"), ({"height": 4}, "height"), ({"margin": 0.9}, "margin"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(change, word):
    arguments = {"kind": "phased", "height": 96, "width": 96, "depth_cm": 12.0} | change
    kind, height, width = (arguments.pop(name) for name in ("kind", "height", "width"))
    with pytest.raises(ValueError, match=word):
        ScanGrid.for_size(kind, height, width, **arguments)


def test_bad_geometry_is_refused():
    with pytest.raises(ValueError, match="cm_per_px"):
        ScanGrid.from_geometry(Fan(r0=1, r1=80, t0=-0.5, t1=0.5), height=96, width=96)
    with pytest.raises(ValueError, match="r0 < r1"):
        ScanGrid.from_geometry(Fan(r0=90, r1=80, t0=-0.5, t1=0.5, cm_per_px=0.1), height=96, width=96)
    with pytest.raises(ValueError, match="shape"):
        fan_of("phased").to_image(np.zeros((3, 3), np.float32))
