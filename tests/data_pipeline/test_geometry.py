"""Shapes of sectors: coordinates, masks, cuts, and what records hold of them."""

import dataclasses
import json
import math

import numpy as np
import pytest

from data_pipeline.geometry import Fan, Hull, Rectangle, from_fields

SHAPE = (120, 160)
SHAPES = {
    "phased": Fan(apex_x=80.0, apex_y=-3.0, r0=4.0, r1=100.0, t0=-0.6, t1=0.7, cm_per_px=0.1),
    "curvilinear": Fan(kind="curvilinear", apex_x=80.0, apex_y=-60.0, r0=62.0, r1=160.0, t0=-0.4, t1=0.4),
    "linear": Rectangle(x0=20.0, x1=140.0, y0=10.0, y1=100.0, steer=0.2, native_height=120),
    "hull": Hull(x0=20.0, x1=140.0, y0=10.0, y1=100.0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_records_hold_the_same_fields_for_every_shape(name):
    shape = SHAPES[name]
    text = json.loads(json.dumps(shape.fields()))
    assert text["kind"] == name and from_fields(text) == shape
    assert set(text) == set(SHAPES["phased"].fields()) and len(text) == 16


def test_fields_of_a_linear_record_are_those_of_old():
    cut = dataclasses.replace(SHAPES["linear"].moved(12.5, 4.0, scale=2.0), scale=2.0, dx=12.5, dy=4.0)
    old = {
        "kind": "linear", "apex_x": -6.25, "apex_y": -2.0, "r0": 3.0, "r1": 48.0, "t0": 0.0, "t1": 0.0, "x0": 3.75,
        "x1": 63.75, "steer": 0.2, "cm_per_px": 0.0, "native_height": 120, "native_width": 0, "scale": 2.0, "dx": 12.5,
        "dy": 4.0,
    }  # fmt: skip
    assert cut.fields() == old and from_fields(old) == cut


def test_what_is_no_geometry_is_refused():
    with pytest.raises(ValueError, match="round"):
        from_fields({"kind": "round"})
    with pytest.raises(ValueError, match="colour"):
        from_fields({"colour": 1})
    with pytest.raises(ValueError, match="linear"):
        Fan(kind="linear")


@pytest.mark.parametrize("name", SHAPES)
def test_points_invert_coordinates(name):
    shape = SHAPES[name]
    depth = np.linspace(*shape.depth, 7, dtype=np.float32)[1:-1]
    lateral = np.linspace(*shape.lateral, 5, dtype=np.float32)
    x, y = shape.points(depth, lateral)
    rows, columns = shape.coordinates(SHAPE)
    seen = 0
    for i, j in np.ndindex(x.shape):
        if not (0 <= y[i, j] <= SHAPE[0] - 1 and 0 <= x[i, j] <= SHAPE[1] - 1):
            continue
        at = int(round(float(y[i, j]))), int(round(float(x[i, j])))
        assert rows[at] == pytest.approx(depth[i], abs=1)
        assert columns[at] == pytest.approx(lateral[j], abs=1 / float(np.max(shape.lateral_px(depth[i]))) + 1e-6)
        seen += 1
    assert seen > 10


@pytest.mark.parametrize("name", SHAPES)
def test_a_moved_shape_covers_the_moved_pixels(name):
    shape = SHAPES[name]
    moved = shape.moved(7, 5)
    np.testing.assert_array_equal(moved.mask((110, 150)), shape.mask(SHAPE)[5:115, 7:157])
    half = shape.moved(0, 0, scale=2.0)
    assert half.mask((60, 80)).sum() == pytest.approx(shape.mask(SHAPE).sum() / 4, rel=0.03)
    assert half.cm_per_px == 2 * shape.cm_per_px


def test_only_linear_probes_lean():
    assert SHAPES["phased"].leaning(0.3) is SHAPES["phased"]
    rows, columns = SHAPES["linear"].leaning(0.3).coordinates(SHAPE)
    assert columns[60, 100] == pytest.approx(100 - 50 * math.tan(0.3), abs=1e-3) and rows[60, 100] == 60
