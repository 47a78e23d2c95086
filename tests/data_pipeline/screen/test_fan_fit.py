"""The sector is found for every kind of probe, whatever surrounds it."""

import cv2
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from data_pipeline.geometry import Fan, Geometry, Rectangle
from data_pipeline.readers import read_clip
from data_pipeline.screen.fan_fit import fit_fan, fit_sector

SHAPES = {
    "phased": Fan(apex_x=201.0, apex_y=20.0, r0=4.0, r1=260.0, t0=-0.72, t1=0.72),
    "tilted": Fan(apex_x=180.0, apex_y=25.0, r0=4.0, r1=250.0, t0=-0.5, t1=0.72),
    "curvilinear": Fan(kind="curvilinear", apex_x=205.0, apex_y=-60.0, r0=95.0, r1=330.0, t0=-0.5, t1=0.5),
    "linear": Rectangle(x0=90.0, x1=310.0, y0=40.0, y1=250.0),
}


def speckle(geometry: Geometry, shape=(300, 400), frames=6, seed=0) -> np.ndarray:
    """uint8 [T, H, W, 3]: noise inside the sector that fades towards depth and edges, black outside."""
    rng = np.random.default_rng(seed)
    sector = geometry.mask(shape)
    depth, lateral = geometry.coordinates(shape)
    low, high = lateral[sector].min(), lateral[sector].max()
    near, far = geometry.depth
    edge = np.abs(2 * (lateral - low) / (high - low) - 1)
    fade = np.clip(1.25 - 0.5 * (depth - near) / (far - near) - 0.45 * edge**4, 0.05, 1)
    out = []
    for _ in range(frames):
        noise = cv2.GaussianBlur(rng.rayleigh(1.0, shape).astype(np.float32), (5, 5), 1.2)
        out.append(np.clip(80 * noise * fade, 12, 255) * sector)
    return np.repeat(np.stack(out)[..., None], 3, axis=3).astype(np.uint8)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    truth = SHAPES[name]
    fit = fit_fan(speckle(truth))
    assert overlap(fit.sector, truth.mask((300, 400))) > 0.96
    assert fit.geometry.kind == truth.kind
    if truth.kind == "linear":
        assert (fit.geometry.x0, fit.geometry.y0) == (pytest.approx(90, abs=2), pytest.approx(40, abs=2))
    else:
        assert fit.geometry.apex_x == pytest.approx(truth.apex_x, abs=3)
        assert fit.geometry.apex_y == pytest.approx(truth.apex_y, abs=6)
        assert fit.geometry.r1 == pytest.approx(truth.r1, abs=6)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_sizes_from_64_pixels(scale):
    frames = speckle(SHAPES["phased"])
    small = np.stack([cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames])
    fit = fit_fan(small)
    truth = cv2.resize(SHAPES["phased"].mask((300, 400)).astype(np.float32), small.shape[2:0:-1]) > 0.5
    assert fit.geometry.kind == "phased" and overlap(fit.sector, truth) > 0.94


def test_text_bars_and_ecg_do_not_count():
    frames = speckle(SHAPES["phased"])
    for frame in frames:
        cv2.putText(frame, "PATIENT 12345", (8, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        cv2.putText(frame, "P", (172, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 180, 80), 1)
        frame[60:160, 380:392] = 200
        cv2.line(frame, (20, 280), (240, 288), (0, 255, 0), 2)
        frame[:, :6] = 0
    clean = fit_fan(speckle(SHAPES["phased"])).sector
    assert overlap(fit_fan(frames).sector, clean) > 0.97


def test_a_banner_is_no_sector():
    frames = speckle(SHAPES["linear"])
    frames[:, :36] = (60, 80, 130)
    frames[:, 270:] = (60, 80, 130)
    assert overlap(fit_fan(frames).sector, SHAPES["linear"].mask((300, 400))) > 0.96


def test_a_dark_vessel_does_not_cut_the_sector():
    frames = speckle(SHAPES["linear"])
    frames[:, 120:170] = 0
    assert overlap(fit_fan(frames).sector, SHAPES["linear"].mask((300, 400))) > 0.96


def test_other_outlines_give_their_hull():
    frames = np.zeros((2, 200, 200, 3), np.uint8)
    noise = np.random.default_rng(0).integers(40, 200, (200, 200, 1), dtype=np.uint8)
    shape = np.zeros((200, 200, 1), np.uint8)
    cv2.fillPoly(shape, [np.array([[10, 150], [60, 20], [80, 150], [190, 120], [185, 185], [20, 190]], np.int32)], 1)
    frames[:] = noise * shape
    fit = fit_fan(frames)
    assert fit.geometry.kind == "hull" and fit.sector[shape[..., 0] > 0].mean() > 0.97


def test_nothing_lit_is_the_whole_frame():
    fit = fit_fan(np.zeros((1, 64, 64, 3), np.uint8))
    assert fit.geometry.kind == "hull" and fit.sector.all() and fit.agreement == 0


def test_real_echo_agrees_with_a_fit_by_hand():
    path = get_testdata_file("color3d_jpeg_baseline.dcm", download=False)
    if path is None:
        pytest.skip("needs the package pydicom-data")
    geometry = fit_sector(read_clip(path).frames)
    assert geometry.kind == "phased"
    assert geometry.apex_x == pytest.approx(339.0, abs=1.5) and geometry.apex_y == pytest.approx(18.5, abs=1.5)
    assert geometry.r1 == pytest.approx(383, abs=2)
