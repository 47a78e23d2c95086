"""Colour bars: measured anchors, symmetries, variance, errors."""

import numpy as np
import pytest

from data_pipeline.simulation.console.colour_maps import (
    KINDS,
    POWER_FAMILIES,
    VELOCITY_FAMILIES,
    draw_colour_map,
    make_colour_map,
)


def test_measured_bar_is_reproduced():
    bar = make_colour_map("fire_ice")
    towards = {0.07: (60, 1, 3), 0.36: (144, 7, 3), 0.5: (175, 53, 0), 0.57: (191, 88, 0), 0.71: (220, 160, 2)}
    away = {0.07: (2, 3, 90), 0.36: (6, 44, 207), 0.5: (23, 96, 231), 0.64: (47, 147, 243), 0.78: (71, 200, 253)}
    for sign, anchors in ((1, towards), (-1, away)):
        for speed, rgb in anchors.items():
            assert np.abs(bar.colours(np.array([sign * speed])).astype(int)[0] - rgb).max() <= 4, (sign, speed)


def test_there_are_enough_families_and_they_differ():
    bars = [make_colour_map(family).table[:, 0].astype(float) for family in VELOCITY_FAMILIES]
    assert len(bars) >= 6
    for i, first in enumerate(bars):
        for second in bars[:i]:
            assert np.abs(first - second).mean() > 8


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_towards_is_warm_and_away_is_cold(family):
    bar = make_colour_map(family)
    warm, cold = bar.colours(np.array([0.4, -0.4])).astype(int)
    assert warm[0] > warm[2] and cold[2] > cold[0]


def test_invert_mirrors_the_bar():
    v = np.linspace(-0.97, 0.97, 42)
    plain, inverted = make_colour_map("red_blue"), make_colour_map("red_blue", invert=True)
    assert np.abs(plain.colours(v).astype(int) - inverted.colours(-v)).max() <= 3


def test_wrap_and_baseline():
    bar = make_colour_map("red_blue", baseline=0.4)
    # Nyquist is now 1.4 towards and 0.6 away: a wrapped -0.7 is 1.3 towards the probe, the top of the warm path.
    hot = bar.colours(np.array([-0.7])).astype(int)[0]
    assert hot[0] > 240 and hot[0] > hot[2]
    assert bar.colours(np.array([-0.5])).astype(int)[0][2] > 100
    picture = bar.bar(100, 4).astype(int)
    assert (picture[:68, 0, 0] > picture[:68, 0, 2]).all() and (picture[72:, 0, 2] > picture[72:, 0, 0]).all()


def test_variance_adds_green():
    bar = make_colour_map("fire_ice", kind="variance", variance_gain=0.8)
    v = np.full(5, 0.4)
    green = bar.colours(v, np.linspace(0, 1, 5)).astype(int)[:, 1]
    assert (np.diff(green) > 0).all() and green[-1] > 150
    assert np.array_equal(bar.colours(v), make_colour_map("fire_ice").colours(v))


def test_power_is_one_warm_path():
    for family in POWER_FAMILIES:
        bar = make_colour_map(family, kind="power").colours(np.linspace(0, 1, 9)).astype(int)
        assert (bar[:, 0] >= bar[:, 2]).all() and (np.diff(bar.sum(1)) > 0).all()


def test_draws_repeat_and_vary():
    first = [draw_colour_map(np.random.default_rng(s)) for s in range(12)]
    second = [draw_colour_map(np.random.default_rng(s)) for s in range(12)]
    assert all(np.array_equal(a.table, b.table) for a, b in zip(first, second))
    assert len({a.table.tobytes() for a in first}) == 12
    rebuilt = make_colour_map(**first[3].settings)
    assert np.array_equal(rebuilt.table, first[3].table)
    still = draw_colour_map(
        np.random.default_rng(1), jitter=0, families=("fire_ice",), baseline_chance=0, invert_chance=0
    )
    assert (still.settings["hue"], still.settings["gain"], still.settings["gamma"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("nothing", {}, "nothing"), ("red_blue", {"kind": "power"}, "power"),
        ("red_blue", {"kind": "sparkle"}, "sparkle"),
        ("red_blue", {"baseline": 1.2}, "1.2"), ("red_blue", {"levels": 1}, "levels"),
    ],
)  # fmt: skip
def test_errors_name_the_value(family, options, words):
    with pytest.raises(ValueError, match=words):
        make_colour_map(family, **options)


def test_a_kind_needs_a_family_of_its_own():
    with pytest.raises(ValueError, match="families"):
        draw_colour_map(np.random.default_rng(0), kind="power", families=("red_blue",))
    assert set(KINDS) == {"velocity", "variance", "power"}
