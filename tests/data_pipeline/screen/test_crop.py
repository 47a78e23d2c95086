"""Cutting to the sector."""

import cv2
import numpy as np
import pytest

from data_pipeline.geometry import Fan, Rectangle
from data_pipeline.screen.crop import SectorCrop

FAN = Fan(apex_x=150.0, apex_y=12.0, r0=4.0, r1=190.0, t0=-0.7, t1=0.7, cm_per_px=0.08)
LINEAR = Rectangle(x0=40.0, x1=260.0, y0=30.0, y1=170.0, cm_per_px=0.03)


def clip(shape=(4, 220, 300, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("geometry", [FAN, LINEAR])
def test_a_native_cut_is_the_sector_exactly_and_nothing_else(geometry):
    frames = clip()
    sector = geometry.mask(frames.shape[1:3])
    crop = SectorCrop.from_geometry(geometry, sector)
    cut = crop.apply(frames)
    assert cut.shape == (4, crop.size, crop.size, 3) and crop.size == crop.side
    ys, xs = np.nonzero(sector)
    np.testing.assert_array_equal(cut[:, ys - crop.y0, xs - crop.x0], frames[:, ys, xs])
    assert not crop.apply(np.where(sector[..., None], np.uint8(0), frames)).any()


@pytest.mark.parametrize("size", [64, 112, 500])
def test_resizing_keeps_a_smooth_picture_in_its_place(size):
    y, x = np.mgrid[:220, :300]
    frames = np.repeat((40 + 0.4 * x + 0.3 * y)[None], 2, axis=0).astype(np.uint8)
    sector = FAN.mask(frames.shape[1:])
    crop = SectorCrop.from_geometry(FAN, sector, size=size)
    inner = crop.apply_mask(cv2.erode(sector.astype(np.uint8), np.ones((15, 15)))[None])[0] > 0
    rows, columns = np.nonzero(inner)
    g = crop.geometry
    expected = 40 + 0.4 * (columns * g.scale + g.dx) + 0.3 * (rows * g.scale + g.dy)
    assert np.abs(crop.apply(frames)[:, inner] - expected).max() <= 2


def test_geometry_of_the_cut_leads_back():
    sector = FAN.mask((220, 300))
    crop = SectorCrop.from_geometry(FAN, sector, size=112)
    g = crop.geometry
    assert g.apex_x * g.scale + g.dx == pytest.approx(FAN.apex_x)
    assert g.apex_y * g.scale + g.dy == pytest.approx(FAN.apex_y)
    assert g.r1 * g.scale == pytest.approx(FAN.r1)
    assert g.cm_per_px == pytest.approx(FAN.cm_per_px * g.scale)
    assert (g.native_height, g.native_width) == (220, 300)
    again = g.mask((112, 112))
    cut = crop.apply_mask(sector[None])[0]
    assert (again & cut).sum() / (again | cut).sum() > 0.97


def test_masks_keep_thin_lines_and_flags():
    sector = FAN.mask((220, 300))
    strata = np.zeros((1, 220, 300), np.uint8)
    strata[0, sector] = 1
    strata[0, 100:102, 120:180] |= 8
    strata[0, 120:140, 130:170] |= 4
    crop = SectorCrop.from_geometry(FAN, sector, size=112)
    small = crop.apply_strata(strata)
    assert set(np.unique(small)) == {0, 1, 5, 9}
    assert (small & 8 > 0).any(axis=1).sum() >= 24  # a 2 px line survives a reduction by 1.9
    mask = crop.apply_mask(strata & 4 > 0)
    assert mask.dtype == bool and mask.sum() == (small & 4 > 0).sum()


def test_wrong_arguments():
    sector = FAN.mask((220, 300))
    with pytest.raises(ValueError, match="at least one pixel"):
        SectorCrop.from_geometry(FAN, np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="margin"):
        SectorCrop.from_geometry(FAN, sector, margin=-1)
    crop = SectorCrop.from_geometry(FAN, sector)
    with pytest.raises(ValueError, match="220"):
        crop.apply(clip((1, 100, 100, 3)))
