"""The colour chain on fields whose answer is known."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.simulation.console.box import OutlineStyle, ScanBox
from data_pipeline.simulation.console.colour import ColourFlow
from data_pipeline.simulation.console.colour_maps import make_colour_map
from data_pipeline.simulation.console.colour_settings import ColourSettings, draw_colour_settings, prf_hz
from data_pipeline.simulation.scan_grid import ScanGrid

FAN = ScanGrid.for_size("phased", 120, 120, depth_cm=15)
BOX = ScanBox(r0=40.0, r1=85.0, t0=-0.25, t1=0.25)
CLEAN = ColourSettings(
    nyquist_cm_s=60, amplitude=1.0, jitter=0.02, unsteady=0.0, wander=0.0, dropout_db=0.0, speckle=0.2, grain=0.0,
    noise=0.005, persistence=0.0, flash=0.0, lines_per_beam=1.0, attenuation_db_cm=0.0,
)  # fmt: skip


def paint(
    velocity=30.0, *, grey=20.0, blood=1.0, tissue=0.0, settings=CLEAN, frames=1, supersample=1, bar=None, box=BOX
):
    """Layers of a clip whose fields are the same everywhere and in every frame."""
    bar = bar or make_colour_map("red_blue", kind=settings.mode)
    flow = ColourFlow(
        FAN, (box,) * frames, settings, bar, np.random.default_rng(0), fps=20.0, supersample=supersample,
        outline=OutlineStyle(colour="none"),
    )  # fmt: skip
    full = [
        np.full(FAN.shape, value, np.float32) if np.isscalar(value) else value
        for value in (grey, velocity, blood, tissue)
    ]
    names = dict(zip(("grey", "velocity", "blood", "tissue_velocity"), full))
    return [flow.paint(k, flow.estimate(k, **names), names["grey"]) for k in range(frames)]


def velocity_of(layer):
    return layer.velocity[layer.flow].astype(np.float32)


@pytest.mark.parametrize(("true", "shown"), [(30, 30), (-30, -30), (50, 50), (78, -42), (-78, 42), (150, 30)])
def test_velocity_is_recovered_and_wraps_at_nyquist(true, shown):
    (layer,) = paint(float(true))
    assert layer.flow[layer.box].mean() > 0.95
    assert np.median(velocity_of(layer)) == pytest.approx(shown, abs=4)


def test_nothing_outside_the_box_and_colours_come_from_the_bar():
    bar = make_colour_map("fire_ice")
    (layer,) = paint(35.0, bar=bar)
    assert not (layer.flow & ~layer.box).any()
    painted = {tuple(c) for c in layer.rgb[layer.flow]}
    assert painted <= {tuple(c) for c in bar.table[:, 0]}
    image = np.full((120, 120, 3), 50, np.uint8)
    layer.over(image)
    outside = np.ones((120, 120), bool)
    outside[layer.window] = ~layer.flow
    assert (image[outside] == 50).all() and np.array_equal(image[layer.window][layer.flow], layer.rgb[layer.flow])


def test_aliasing_has_bright_seams_and_reversal_dark_ones():
    ramp = np.broadcast_to(np.linspace(-20, 140, FAN.n_r, dtype=np.float32)[:, None], FAN.shape)
    (layer,) = paint(np.ascontiguousarray(ramp))
    v, flow = layer.velocity.astype(np.float32) / 60, layer.flow
    down = flow[1:] & flow[:-1] & (np.abs(np.diff(v, axis=0)) > 1)
    assert down.any() and np.abs(v[:-1][down]).min() > 0.7  # a wrap never passes through dark


@pytest.mark.parametrize("silent", [{"velocity": 0.0}, {"blood": 0.0}, {"grey": 200.0}])
def test_wall_filter_tissue_and_priority_leave_the_picture_alone(silent):
    (layer,) = paint(**silent)
    assert layer.flow.mean() < 0.01


def test_priority_can_be_low():
    (layer,) = paint(grey=170.0, settings=dataclasses.replace(CLEAN, priority=255.0, priority_slope=0.2))
    assert layer.flow[layer.box].mean() > 0.5


def test_flash_paints_moving_tissue_for_its_frames_only():
    settings = dataclasses.replace(CLEAN, flash=0.3, flash_frames=(2,), flash_velocity=0.5)
    shares = [
        layer.flow[layer.box].mean() for layer in paint(blood=0.0, grey=120.0, tissue=2.0, settings=settings, frames=5)
    ]
    assert shares[2] > 0.5 and max(shares[:2] + shares[3:]) < 0.05


def test_blooming_carries_colour_over_the_wall():
    blood = np.zeros(FAN.shape, np.float32)
    middle = FAN.n_t // 2
    blood[:, middle - 6 : middle + 6] = 1
    shares = []
    for mm in (0.0, 4.0):
        settings = dataclasses.replace(CLEAN, bloom_mm=mm, roughness=0.0)
        (layer,) = paint(blood=blood, velocity=40.0 * blood, settings=settings)
        shares.append(layer.flow[layer.box].mean())
    assert shares[1] > 1.2 * shares[0] > 0.1


def test_persistence_makes_frames_alike():
    def change(persistence):
        settings = dataclasses.replace(CLEAN, jitter=0.3, persistence=persistence)
        layers = paint(20.0, settings=settings, frames=6)
        return np.mean(
            [np.nanmean(np.abs(a.velocity.astype(float) - b.velocity)) for a, b in zip(layers[2:], layers[3:])]
        )

    assert change(0.7) < 0.8 * change(0.0)


def test_supersampling_keeps_the_mask_and_softens_its_edge():
    plain, fine = paint(30.0)[0], paint(30.0, supersample=3)[0]
    assert plain.flow.shape == fine.flow.shape
    assert (plain.flow ^ fine.flow).mean() < 0.05
    assert ((fine.coverage > 0.05) & (fine.coverage < 0.95)).any() and not (
        (plain.coverage > 0) & (plain.coverage < 1)
    ).any()


def test_variance_turns_green_where_phases_disagree():
    bar = make_colour_map("red_blue", kind="variance", variance_gain=1.0)
    calm = dataclasses.replace(CLEAN, mode="variance")
    wild = dataclasses.replace(calm, jitter=1.5, wander=0.5)
    green = [paint(45.0, settings=s, bar=bar)[0] for s in (calm, wild)]
    assert green[1].rgb[green[1].flow][:, 1].mean() > green[0].rgb[green[0].flow][:, 1].mean() + 15


def test_power_shows_no_direction():
    bar = make_colour_map("power_gold", kind="power")
    settings = dataclasses.replace(CLEAN, mode="power")
    towards, away = (paint(v, settings=settings, bar=bar)[0] for v in (30.0, -30.0))
    assert np.abs(towards.rgb.astype(int) - away.rgb).mean() < 12
    with pytest.raises(ValueError, match="power"):
        paint(settings=settings, bar=make_colour_map("red_blue"))


def test_blended_paint_lets_grey_through():
    settings = dataclasses.replace(CLEAN, alpha=(0.5, 0.6))
    (layer,) = paint(30.0, settings=settings)
    assert layer.coverage[layer.flow].min() > 0.45 and layer.coverage.max() < 0.65


def test_a_moving_box_moves_its_paint():
    start = ScanBox(r0=25.0, r1=60.0, t0=-0.25, t1=0.25)
    boxes = (start, start.moved(20.0, 0.1))
    bar = make_colour_map("red_blue")
    flow = ColourFlow(FAN, boxes, CLEAN, bar, np.random.default_rng(0), fps=20.0)
    v = {
        name: np.full(FAN.shape, x, np.float32)
        for name, x in (("grey", 9), ("velocity", 30), ("blood", 1), ("tissue_velocity", 0))
    }
    first, second = (flow.paint(k, flow.estimate(k, **v), v["grey"]) for k in range(2))
    ys = [np.nonzero(layer.flow)[0].mean() for layer in (first, second)]
    assert ys[1] - ys[0] == pytest.approx(20, abs=3)


@pytest.mark.parametrize("nyquist", [0.0, -3.0])
def test_nyquist_must_be_positive(nyquist):
    with pytest.raises(ValueError, match=r"nyquist_cm_s must be > 0, got"):
        ColourSettings(nyquist_cm_s=nyquist)


def test_box_and_frames_are_checked():
    with pytest.raises(ValueError, match="r0..r1"):
        paint(box=ScanBox(r0=10, r1=900, t0=-0.1, t1=0.1))
    with pytest.raises(ValueError, match="T >= 1"):
        ColourFlow(FAN, (), CLEAN, make_colour_map("red_blue"), np.random.default_rng(0), fps=20.0)


def test_pulse_rate_and_the_price_of_frame_rate():
    assert prf_hz(59.3, 2.5) == pytest.approx(3850, rel=0.01)  # what one scanner wrote on its screen
    draw = {"nyquist_range": (60, 60), "domain": "heart", "frames": 10, "box_beams": 80}
    slow, fast = (
        draw_colour_settings(np.random.default_rng(3), fps=fps, packet=(12, 12), **draw)[0] for fps in (10, 60)
    )
    assert fast.lines_per_beam < slow.lines_per_beam
    few, many = (draw_colour_settings(np.random.default_rng(3), fps=20, packet=(n, n), **draw)[0] for n in (6, 16))
    assert few.jitter > many.jitter and few.lines_per_beam >= many.lines_per_beam
