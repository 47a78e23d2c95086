import math

import numpy as np
import pytest

from data_pipeline.simulation.flow_fields import along, envelope, jet, normalised, towards_probe, windowed
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views.vessels import Segment, tree

PHASED = ScanGrid.for_size("phased", 96, 96, depth_cm=15)
LINEAR = ScanGrid.for_size("linear", 96, 96, depth_cm=4, steer=math.radians(20))


@pytest.mark.parametrize("fan", [PHASED, LINEAR])
def test_projection_of_curl_equals_projection_of_the_velocity(fan):
    # psi = a x + b y: uniform flow (dpsi/dy, -dpsi/dx) = (b, -a)
    a, b = 0.7, -0.4
    got = towards_probe((a * fan.X + b * fan.Y).astype(np.float32), fan)[4:-4, 4:-4]
    ones = np.ones(fan.shape, np.float32)
    expected = np.broadcast_to(along((b * ones, -a * ones), fan), fan.shape)[4:-4, 4:-4]
    inner = (fan.lateral_step_cm[4:-4, 0] > 0.03) if fan is PHASED else slice(None)
    assert got[inner] == pytest.approx(expected[inner], abs=0.02)


def test_jet_goes_up_and_leans():
    x, y = PHASED.X, PHASED.Y
    up = towards_probe(jet(x, y, origin=(0.0, 9.0), half_width=0.8, length=5), PHASED)
    row, column = np.unravel_index(np.argmax(up), up.shape)
    assert up[row, column] > 0 and abs(x[row, column]) < 0.8 and 3 < y[row, column] < 12
    down = towards_probe(jet(x, y, origin=(0.0, 6.0), angle=math.pi, half_width=0.8, length=5), PHASED)
    assert down[PHASED.n_r // 2, PHASED.n_t // 2] < 0


def test_full_return_flow_conserves_volume():
    window = ((np.abs(PHASED.X) < 3) & (PHASED.Y > 4)).astype(np.float32)
    psi = jet(PHASED.X, PHASED.Y, origin=(0.0, 10.0), half_width=0.8, length=6)
    flux = (windowed(psi, window, PHASED, return_flow=1.0) * PHASED.lateral_step_cm).sum(1)
    one_way = (windowed(psi, window, PHASED, return_flow=0.0) * PHASED.lateral_step_cm).sum(1)
    middle = slice(80, 120)
    assert np.abs(flux[middle]).max() < 0.02 * np.abs(one_way[middle]).max()


def test_envelopes_and_normalisation():
    phase = np.linspace(0, 1, 400, endpoint=False).astype(np.float32)
    assert phase[np.argmax(envelope(phase, "E"))] == pytest.approx(0.49, abs=0.01)
    assert envelope(phase, "A")[-1] > 0.05 < envelope(phase + 1, "S").max()
    field = np.random.default_rng(0).standard_normal(PHASED.shape).astype(np.float32) * 40
    unit = normalised(field, np.ones(PHASED.shape, np.float32))
    assert np.quantile(np.abs(unit), 0.985) == pytest.approx(1, abs=0.01) and np.abs(unit).max() <= 1.4


def test_vessel_flow_lies_in_the_lumen_and_follows_the_segment():
    segments = [Segment((0.0, 12.0), (0.0, 6.0), 0.6), Segment((3.0, 6.0), (3.0, 12.0), 0.5, bend=0.3)]
    distance, flow = tree(segments, PHASED.X, PHASED.Y, PHASED, turn=lambda dx, dy: (dx, dy))
    assert np.abs(flow[distance < 0]).max() == 0
    everywhere = np.maximum.reduce([s.lumen(PHASED.X, PHASED.Y)[0] for s in segments])  # not only nearby
    np.testing.assert_array_equal(distance[everywhere > -0.5], everywhere[everywhere > -0.5])
    assert (distance[everywhere <= -0.5] <= -0.5).all()
    r, t = PHASED.index_of(0, 9)
    at = int(round((r - PHASED.r[0]) / PHASED.dr)), int(round((t - PHASED.t[0]) / PHASED.dt))
    assert flow[at] > 0.8  # upwards is towards the probe
    assert flow[PHASED.X > 2].min() < -0.7
