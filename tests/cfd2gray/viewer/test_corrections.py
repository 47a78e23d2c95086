"""Corrections by hand: what is refused, what the brush covers, and the command line that does the same."""

import json
import shlex

import numpy as np
import pytest

from cfd2gray import cli
from cfd2gray.viewer.corrections import Corrections, around, outline
from data_pipeline.screen.said import Said, polygon_mask

SHAPE = (3, 40, 60)


def of(**said):
    return Corrections.of(said, shape=SHAPE)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"kind": "tissue"}, "kind must be one of"),
        ({"kind": ["cfd"]}, "kind must be one of"),
        ({"box": [[1, 2], [3, 4]]}, "3 to 64 corners"),
        ({"box": [[1, 2]] * 65}, "3 to 64 corners"),
        ({"box": "1,2,3,4"}, "3 to 64 corners"),
        ({"sector": [[1, 2], [3, 4], [5, "6"]]}, "two numbers"),
        ({"sector": [[1, 2], [3, 4], [5, float("nan")]]}, "two numbers"),
        ({"strokes": [{"points": []}]}, "needs points"),
        ({"strokes": [{"points": [[1, 1]], "radius": 1e9}]}, "radius of 0.5 to 60"),
        ({"strokes": [{"points": [[1, 1]], "radius": 3, "frame": 3}]}, "frame is 0 to 2"),
        ({"strokes": [{"points": [[1, 1]], "radius": 3, "frame": True}]}, "frame is 0 to 2"),
        ({"strokes": [{"points": [[1, 1]] * 20_001, "radius": 3}]}, "at most 20000 points"),
        ({"strokes": "all"}, "strokes are a list"),
        ({"strokes": [{"points": [[1, 1]], "radius": 3, "colour": 1}]}, "a stroke has"),
        ({"mask": "/etc/passwd"}, "a correction names"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_rule(said, rule):
    with pytest.raises(ValueError, match=rule):
        of(**said)


def test_nothing_but_an_object_is_a_correction():
    for said in (None, [], "cfd", 3):
        with pytest.raises(ValueError, match="a correction names"):
            Corrections.of(said, shape=SHAPE)


def test_corners_beside_the_frame_are_drawn_to_its_edge():
    assert of(box=[[-5, 3], [99, 3], [20, 99.26]]).box == ((0, 3), (59, 3), (20, 39))


def test_the_brush_covers_what_is_within_its_radius():
    stroke = {"points": [[10, 20], [40, 20]], "radius": 5}
    found = np.zeros(SHAPE, bool)
    painted = of(strokes=[stroke]).painted(found)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    distance = np.hypot(x - np.clip(x, 10, 40), y - 20)
    assert painted[:, distance <= 4].all() and not painted[:, distance >= 6.5].any()
    assert (painted == painted[:1]).all() and not found.any()


def test_one_frame_is_painted_alone_and_the_eraser_takes_away_in_order():
    erase = {"points": [[10, 10]], "radius": 4, "erase": True, "frame": 1}
    full = np.ones(SHAPE, bool)
    gone = of(strokes=[erase]).painted(full)
    assert gone[0].all() and gone[2].all() and not gone[1, 10, 10] and gone[1, 30, 30]
    again = of(strokes=[erase, erase | {"erase": False, "radius": 2}]).painted(full)
    assert again[1, 10, 10] and not again[1, 10, 13]


def test_what_is_told_to_the_page_can_come_back():
    stroke = {"points": [[10, 20.5]], "radius": 5, "frame": 2}
    made = of(kind="power", box=[[1, 2], [30, 2], [30, 30]], strokes=[stroke])
    assert Corrections.of(json.loads(json.dumps(made.as_json())), shape=SHAPE) == made
    assert Corrections.of(json.loads(json.dumps(Corrections().as_json())), shape=SHAPE) == Corrections()


def test_the_command_line_says_the_same():
    made = of(kind="cfd", box=[[1, 2], [30, 2], [30.5, 30]], strokes=[{"points": [[1, 1]], "radius": 2}])
    words = shlex.split(made.command("a clip; rm -rf.dcm"))
    args = cli.build_parser().parse_args(words[1:])
    assert [str(path) for path in args.inputs] == ["a clip; rm -rf.dcm"] and str(args.mask) == "mask.npy"
    assert Said.of(kind=args.kind, box=args.box).box == made.without_mask.box == made.box


def test_an_outline_has_few_corners_and_covers_the_same():
    mask = polygon_mask("box", ((5, 4), (50, 8), (44, 33), (9, 30)), SHAPE[1:])
    corners = outline(mask)
    assert 4 <= len(corners) <= 12
    again = polygon_mask("box", tuple(map(tuple, corners)), SHAPE[1:])
    assert (again & mask).sum() / (again | mask).sum() > 0.97
    noise = np.random.default_rng(0).random(SHAPE[1:]) > 0.5
    assert len(outline(noise)) <= 12 and outline(np.zeros(SHAPE[1:], bool)) == []


def test_the_window_around_a_mask_stays_within_the_frame():
    mask = np.zeros(SHAPE[1:], bool)
    assert around(mask) is None
    mask[0:39, 50:60] = True
    x, y, width, height = around(mask)
    assert (x, y) == (48, 0) and (x + width, y + height) == (60, 40)
