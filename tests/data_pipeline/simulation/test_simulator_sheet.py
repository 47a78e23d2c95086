"""The contact sheet and the screen."""

import numpy as np
import pytest

from data_pipeline.simulation.console.colour_maps import make_colour_map
from data_pipeline.simulation.console.ui import draw_screen, make_screen
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.simulator import simulate_pair
from data_pipeline.simulation.views_sheet import contact_sheet, label_picture


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 1, height=40, width=48, frames=3)


def test_sheet_layout(pair):
    sheet = contact_sheet([pair, pair, pair], tile=64, moments=2, columns=2)
    assert sheet.dtype == np.uint8 and sheet.shape == (2 * (64 + 18), 2 * 5 * 64, 3)
    assert np.array_equal(sheet[:82, :320], sheet[:82, 320:]) and not np.array_equal(sheet[82:, 320:], sheet[:82, :320])
    assert contact_sheet([pair], tile=64, moments=1, labels=False).shape == (82, 128, 3)


def test_labels_have_colours_of_their_own():
    picture = label_picture(np.arange(10, dtype=np.uint8)[None])
    assert len({tuple(c) for c in picture[0]}) == 10 and not picture[0, 0].any()


@pytest.mark.parametrize("bad", [{"tile": 4}, {"moments": 0}, {"columns": 0}])
def test_errors(pair, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        contact_sheet([pair], **bad)
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


@pytest.mark.parametrize("kind", ["phased", "curvilinear", "linear"])
def test_screens_repeat_and_the_ecg_moves(kind):
    fan = ScanGrid.for_size(kind, 160, 200, depth_cm=5 if kind == "linear" else 14, margin=0.2)
    phase = np.arange(6) / 6

    def drawn(seed):
        frames = np.zeros((6, 160, 200, 3), np.uint8)
        screen = make_screen(
            np.random.default_rng(seed), fan, make_colour_map("red_blue"), nyquist_cm_s=60, phase=phase, fps=20,
            shown={"prf_hz": 4000, "centre_mhz": 2.5, "wall_filter_hz": 300},
        )  # fmt: skip
        draw_screen(frames, screen)
        return frames

    for seed in range(6):
        assert np.array_equal(drawn(seed), drawn(seed)) and drawn(seed).any()
    assert any(not np.array_equal(drawn(seed)[0], drawn(seed)[-1]) for seed in range(6))
