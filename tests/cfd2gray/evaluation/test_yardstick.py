"""The redrawn speckle: simulated clips drawn again, and nothing drawn that would not be the same clip."""

import dataclasses

import numpy as np
import pytest

from cfd2gray.evaluation.yardstick import redraw_from, redraws
from data_pipeline.loading.transforms import ToExample
from data_pipeline.simulation.simulator import SimulationOptions, simulate_pair
from tests.data_pipeline.tiny_pairs import InMemory

SIZE = {"height": 64, "width": 64, "frames": 5, "split": "test"}


def test_a_redraw_has_the_anatomy_of_the_truth_but_other_speckle():
    record = simulate_pair("LIVER", 3, **SIZE)
    drawn = redraws(record, count=3, frames=3, size=48)
    truth = ToExample(3, 48).map(record)["grey"][..., 0]
    assert drawn.shape == (3, 3, 48, 48) and drawn.dtype == np.uint8
    assert not np.array_equal(drawn[0], drawn[1])
    other = simulate_pair("LIVER", 4, **SIZE)
    stranger = ToExample(3, 48).map(other)["grey"][..., 0]

    def error(a):
        return np.abs(a.astype(float) - truth).mean()

    assert 0 < error(drawn.mean(axis=0)) < error(drawn[0]) < error(stranger)
    again = redraws(record, count=3, frames=3, size=48)
    np.testing.assert_array_equal(drawn, again)


def test_only_clips_that_can_be_made_again_are_drawn():
    plain = simulate_pair("A4C", 1, **SIZE)
    special = simulate_pair("A4C", 1, options=SimulationOptions(fps=20.0), **SIZE)
    older = dataclasses.replace(plain, params={**plain.params, "simulator_version": "0"})
    painted = dataclasses.replace(plain, kind="painted")
    redraw = redraw_from(InMemory([plain, special, older, painted]), count=1, frames=5, size=64)
    assert redraw(0).shape == (1, 5, 64, 64)
    assert redraw(1) is None, "made with options that the record does not tell"
    assert redraw(2) is None and redraw(3) is None
    assert redraw_from(InMemory([plain]), count=0, frames=5, size=64) is None
    with pytest.raises(ValueError, match="must not be negative"):
        redraw_from(InMemory([plain]), count=-1, frames=5, size=64)
