import dataclasses

import numpy as np
import pytest

from data_pipeline.simulation.bmode import (
    GREY_MAPS,
    BModeChain,
    Scatterers,
    beam_fixed_db,
    clutter_db,
    draw_look,
    exposed,
)
from data_pipeline.simulation.scan_grid import ScanGrid

FAN = ScanGrid.for_size("phased", 300, 400, depth_cm=15)


def plain_look(**changes):
    look = draw_look(np.random.default_rng(0), domain="heart", poor=0.0, grey_map="linear")
    plain = {
        "sharpen": 0.0,
        "persistence": 0.0,
        "display_px": 0.0,
        "defocus": 0.0,
        "axial_mm": 1.0,
        "lateral_deg": 2.0,
        "gain_db": 0.0,
    }
    return dataclasses.replace(look, **(plain | changes))


def homogeneous(look, *, echo_db=-25.0, blood=0.0, frames=1, fan=FAN, shift=0.0):
    chain = BModeChain(
        look, fan, Scatterers(np.random.default_rng(1), fan), fixed_db=np.zeros(fan.shape, np.float32),
        clutter=np.full(fan.shape, -90, np.float32),
    )  # fmt: skip
    columns, rows = np.meshgrid(np.arange(fan.n_t, dtype=np.float32), np.arange(fan.n_r, dtype=np.float32))
    echo, full = np.full(fan.shape, echo_db, np.float32), np.full(fan.shape, blood, np.float32)
    return [chain.form(echo, full, columns, rows + np.float32(k * shift)) for k in range(frames)]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_envelope_of_homogeneous_tissue_is_rayleigh():
    look = plain_look(dynamic_range_db=80.0, noise_db=-100.0, grey_anchors=((0, 0), (1, 1)))
    grey = homogeneous(look, echo_db=-30.0)[0]
    level_db = grey[10:-10, 5:-5] / 255 * 80 - 80
    amplitude = 10 ** (level_db / 20)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, abs=0.12)  # fully developed speckle
    assert 10 * np.log10((amplitude**2).mean()) == pytest.approx(-30, abs=0.7)


def test_speckle_size_follows_the_point_spread():
    def half_lags(look):
        grey = homogeneous(look)[0][20:-20, 10:-10]
        grey = grey - grey.mean()
        lags = []
        for axis in (0, 1):
            values = [
                (
                    np.take(grey, range(k, grey.shape[axis]), axis) * np.take(grey, range(grey.shape[axis] - k), axis)
                ).mean()
                for k in range(12)
            ]
            below = int(np.argmax(np.array(values) < 0.5 * values[0]))
            part = (values[below - 1] - 0.5 * values[0]) / (values[below - 1] - values[below])
            lags.append(below - 1 + part)
        return lags[0] * FAN.axial_step_cm * 10, np.degrees(lags[1] * FAN.dt)

    axial, lateral = half_lags(plain_look(axial_mm=1.3, display_px=0.3))
    assert 0.4 < axial < 0.8 and 0.8 < lateral < 1.5  # measured on a real scanner: 0.6 mm and 1.1 degrees
    coarse_axial, coarse_lateral = half_lags(plain_look(axial_mm=2.6, lateral_deg=4.0, display_px=0.3))
    assert coarse_axial > 1.5 * axial and coarse_lateral > 1.5 * lateral


def test_beam_widens_away_from_the_focus_and_keeps_its_brightness():
    grey = homogeneous(plain_look(focus=0.4, defocus=1.0, noise_db=-100.0))[0]
    rows = [slice(int(f * FAN.n_r) - 15, int(f * FAN.n_r) + 15) for f in (0.4, 0.93)]
    focused, far = (np.corrcoef(grey[r, 8:-10].ravel(), grey[r, 10:-8].ravel())[0, 1] for r in rows)
    assert far > focused + 0.1
    assert grey[rows[1]].mean() == pytest.approx(grey[rows[0]].mean(), rel=0.08)


def test_tissue_speckle_stays_and_blood_speckle_does_not():
    still = homogeneous(plain_look(noise_db=-90.0), frames=2)
    assert correlation(*still) > 0.99
    flowing = homogeneous(plain_look(noise_db=-90.0), frames=2, blood=1.0)
    assert correlation(*flowing) < 0.5


def test_small_movements_do_not_flicker():
    frames = homogeneous(plain_look(noise_db=-90.0), frames=5, shift=0.25)
    means = np.array([f.mean() for f in frames])
    assert means.std() < 0.02 * means.mean()
    assert correlation(frames[0][:-1], frames[4][:-1]) < correlation(frames[0][1:], frames[4][:-1])  # one sample


def test_every_grey_map_rises_and_gain_meets_its_target():
    rng = np.random.default_rng(5)
    level = (-36 + 8 * rng.standard_normal(FAN.shape)).astype(np.float32)
    for name in GREY_MAPS:
        look = draw_look(rng, domain="heart", poor=0.0, grey_map=name)
        assert (np.diff(look.lut) >= -1e-3).all() and look.lut.min() >= 0 and look.lut.max() <= 255.001
        look = exposed(look, level, FAN.lateral_step_cm, mean_grey=55.0)
        index = np.clip((level - 2.5 + look.gain_db) / look.dynamic_range_db + 1, 0, 1) * 1024
        shown = (look.lut[index.astype(int)] * FAN.lateral_step_cm).sum() / (FAN.lateral_step_cm.sum() * FAN.n_t)
        assert shown == pytest.approx(55.0, abs=4)
    with pytest.raises(ValueError, match="grey_map"):
        draw_look(rng, domain="heart", poor=0.0, grey_map="sepia")


def test_fixed_and_clutter_fields():
    rng = np.random.default_rng(2)
    look = draw_look(rng, domain="heart", poor=0.0)
    fixed, clutter = beam_fixed_db(rng, FAN, poor=0.0), clutter_db(rng, FAN, look)
    assert fixed.dtype == clutter.dtype == np.float32 and fixed.shape == clutter.shape == FAN.shape
    assert fixed[:, [0, -1]].mean() < fixed[:, FAN.n_t // 2 - 8 : FAN.n_t // 2 + 8].mean() - 4  # edges fade
    assert clutter[: FAN.n_r // 8].mean() > clutter[FAN.n_r // 2 :].mean() + 12  # haze belongs to the near field
