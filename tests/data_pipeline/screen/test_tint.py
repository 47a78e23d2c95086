"""Tinted (chroma) grey maps: what is tissue stays tissue, what is flow stays flow."""

import numpy as np
import pytest

from data_pipeline.schema import FLOW
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.colour.mask import fit_tint
from data_pipeline.screen.dual_panes import find_panes
from data_pipeline.screen.hidden import hidden_mask
from tests.data_pipeline.tiny_archive import dual_screen, grey_screen, simulated

MAPS = {
    "sepia": ((0, 0, 0), (255, 255, 196)),
    "strong sepia": ((0, 0, 0), (255, 213, 160)),
    "orange": ((0, 0, 0), (255, 204, 122)),
    "amber": ((0, 0, 0), (255, 196, 79)),
    "blue": ((0, 0, 0), (191, 224, 255)),
    "curved warm": ((0, 0, 0), (150, 125, 95), (250, 250, 245)),
    "curved mild": ((0, 0, 0), (140, 126, 110), (250, 250, 245)),
    "curved blue": ((0, 0, 0), (100, 122, 150), (240, 245, 250)),
}


def tinted(frames, name):
    """``frames`` with their grey pixels shown through a colour map."""
    table = np.array(MAPS[name], float)
    at = np.linspace(0, 255, len(table))
    lut = np.stack([np.interp(np.arange(256), at, table[:, i]) for i in range(3)], axis=1).astype(np.uint8)
    grey = np.ptp(frames.astype(np.int16), axis=-1) <= 3
    return np.where(grey[..., None], lut[frames[..., 1]], frames)


@pytest.mark.parametrize("name", MAPS)
def test_tinted_tissue_is_no_colour(name):
    found = analyse(tinted(grey_screen(simulated("A4C", 1)), name))
    assert found.kind == "bmode" and not (found.strata & FLOW).any(), found.reason


@pytest.mark.parametrize("name", MAPS)
def test_flow_in_tinted_tissue_is_found(name):
    pair = simulated("A4C", 1)
    plain, found = analyse(pair.cfd), analyse(tinted(pair.cfd, name))
    truth = (pair.strata & FLOW) > 0
    assert found.is_cfd, found.reason
    hidden = hidden_mask(found.strata) > 0
    assert hidden[truth].mean() > 0.95
    assert hidden.sum() < 1.3 * (hidden_mask(plain.strata) > 0).sum()


@pytest.mark.parametrize("name", ["sepia", "orange", "curved warm", "blue"])
def test_tinted_panes_are_found(name):
    panes, reason = find_panes(tinted(dual_screen(simulated("A4C", 1)), name))
    assert panes is not None, reason


def test_plain_grey_and_plain_flow_have_no_tint():
    pair = simulated("A4C", 1)
    everywhere = np.ones(pair.cfd.shape[1:3], bool)
    assert fit_tint(pair.cfd, everywhere) is None and fit_tint(grey_screen(pair), everywhere) is None
