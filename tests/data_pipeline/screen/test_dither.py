"""The dither of a small palette is no colour."""

import numpy as np

from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.kind import is_dithered
from data_pipeline.simulation.simulator import simulate_pair


def test_a_grey_clip_with_a_dithered_palette_is_grey():
    """What `ffmpeg -i clip.mp4 clip.gif` writes: three bits of red and green, two of blue, and Bayer's pattern."""
    grey = np.repeat(simulate_pair("A4C", 2, height=128, width=128, frames=4).grey, 3, axis=3)
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 0.5
    pattern = np.tile(bayer, (32, 32))[None, :, :, None]
    steps = np.array([255 / 7, 255 / 7, 255 / 3])
    dithered = (np.rint(grey / steps + pattern).clip(0, [7, 7, 3]) * steps).astype(np.uint8)
    assert (np.ptp(dithered, axis=3) > 40).mean() > 0.02
    found = analyse(dithered)
    assert found.kind == "bmode" and "dither" in found.reason
    assert not is_dithered(simulate_pair("A4C", 2, height=128, width=128, frames=2).cfd[0])
