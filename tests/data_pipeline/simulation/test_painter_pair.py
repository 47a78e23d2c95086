"""The painter on clips whose blood is known."""

import dataclasses

import cv2
import numpy as np
import pytest

from data_pipeline.geometry import Hull
from data_pipeline.schema import FLOW, OUTLINE, SECTOR
from data_pipeline.simulation.console.box import ScanBox
from data_pipeline.simulation.console.codec import Codec
from data_pipeline.simulation.painter import HELD_OUT, TRAIN, PainterOptions, paint_pair, painted_vendor
from data_pipeline.simulation.painter_flow import find_blood, invent_flow
from data_pipeline.simulation.scan_grid import ScanGrid

FAN = ScanGrid.for_size("phased", 96, 96, depth_cm=15)
CENTRE, RADIUS = (48, 54), 15
IDS = {"clip_id": "c" * 32, "patient_id": "p" * 32}


def beating(frames=8, fan=FAN, gain=1.0):
    """Bright speckled tissue with a dark chamber that grows and shrinks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: fan.height, : fan.width]
    out = np.zeros((frames, fan.height, fan.width), np.uint8)
    for k in range(frames):
        tissue = 110 + 25 * cv2.GaussianBlur(rng.standard_normal(out.shape[1:]).astype(np.float32), (0, 0), 1.2) * 2
        radius = RADIUS + 2.5 * np.sin(2 * np.pi * k / frames)
        chamber = np.hypot(x - CENTRE[0], y - CENTRE[1]) < radius
        out[k] = np.clip(gain * np.where(chamber, 10, tissue), 0, 255) * fan.mask
    return out


PLAIN = dataclasses.replace(
    TRAIN, artefacts=0.0, no_blood_share=0.0, bright_share=0.0, ui_share=0.0, moving_box=0.0, mode="velocity",
    codec=Codec(name="none"),
)  # fmt: skip


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.8])
def test_blood_is_found_whatever_the_gain(gain):
    clip = beating(gain=gain)
    polar = np.stack([FAN.to_polar(frame) for frame in clip])
    blood = FAN.to_image(find_blood(polar, FAN, bright=float(np.percentile(polar, 93))).mean(0))
    y, x = np.mgrid[:96, :96]
    distance = np.hypot(x - CENTRE[0], y - CENTRE[1])
    assert blood[distance < RADIUS - 5].mean() > 0.6
    assert blood[(distance > RADIUS + 6) & FAN.mask].mean() < 0.12


def test_colour_lies_on_blood_and_the_rest_is_untouched():
    y, x = np.mgrid[:96, :96]
    near = np.hypot(x - CENTRE[0], y - CENTRE[1]) < RADIUS + 7
    on, total = 0, 0
    for seed in range(4):
        record = paint_pair(beating(), seed, fps=25, fan=FAN, options=PLAIN, view="A4C", **IDS)
        flow = (record.strata & FLOW) > 0
        on, total = on + (flow & near).sum(), total + flow.sum()
        drawn = flow | ((record.strata & OUTLINE) > 0)
        drawn = np.stack([cv2.dilate(d.astype(np.uint8), np.ones((3, 3))) > 0 for d in drawn])
        # The target may be stored on its own codec; colourless pixels stay grey and equal to it up to that.
        off = record.cfd[~drawn].astype(int)
        assert np.ptp(off, axis=-1).max() == 0
    assert total > 200 and on / total > 0.9


def test_shared_target_is_the_picture_under_the_colour():
    options = dataclasses.replace(PLAIN, line_keep=(0.4, 0.5))
    record = paint_pair(beating(), 3, fps=25, fan=FAN, options=options, shared=True, **IDS)
    flow = np.stack([cv2.dilate(s & (FLOW | OUTLINE), np.ones((3, 3))) for s in record.strata]) > 0
    assert np.array_equal(record.cfd[~flow][:, 0], record.grey[~flow][:, 0])
    restored = paint_pair(beating(), 3, fps=25, fan=FAN, options=options, shared=False, **IDS)
    assert np.array_equal(record.cfd, restored.cfd) and record.clip_id != restored.clip_id


def test_counter_cases_colour_what_is_not_blood():
    bright = dataclasses.replace(PLAIN, bright_share=1.0)
    y, x = np.mgrid[:96, :96]
    far = np.hypot(x - CENTRE[0], y - CENTRE[1]) > RADIUS + 6
    covered = []
    for seed in range(6):
        record = paint_pair(beating(), seed, fps=25, fan=FAN, options=bright, view="A4C", **IDS)
        assert record.params["place"] == "bright"
        covered.append((((record.strata & FLOW) > 0) & far).sum() / max(((record.strata & FLOW) > 0).sum(), 1))
    assert np.median(covered) > 0.2
    empty = dataclasses.replace(PLAIN, no_blood_share=1.0)
    records = [paint_pair(beating(), s, fps=25, fan=FAN, options=empty, **IDS) for s in range(4)]
    assert all(((r.strata & FLOW) > 0).mean() < 0.05 for r in records)


def test_filling_comes_towards_the_probe_and_ejection_goes_away():
    blood = np.zeros((12, 60, 40), np.float32)
    y, x = np.mgrid[:60, :40]
    for k in range(12):
        blood[k] = np.clip(14 + 3 * np.sin(2 * np.pi * k / 12) - np.hypot(x - 20, y - 30), 0, 1)
    window = (slice(60, 120), slice(20, 60))
    sums = np.zeros(12)
    for seed in range(12):
        v = invent_flow(np.random.default_rng(seed), blood, FAN, window, nyquist_cm_s=60, fps=15, domain="heart")
        assert np.abs(v).max() <= 90.01 and not v[:, :5].any()
        sums += v.reshape(12, -1).sum(1)
    grows = np.cos(2 * np.pi * np.arange(12) / 12)
    assert np.corrcoef(sums, grows)[0, 1] > 0.5


def test_same_seed_same_bytes():
    first, again, other = (paint_pair(beating(), s, fps=25, fan=FAN, view="A4C", **IDS) for s in (4, 4, 5))
    assert first.cfd.tobytes() == again.cfd.tobytes() and first.params == again.params
    assert not np.array_equal(first.cfd, other.cfd) and first.clip_id == again.clip_id != other.clip_id


def test_presets_are_disjoint():
    assert not set(TRAIN.families) & set(HELD_OUT.families)
    for name in ("packet", "angle_deg", "depth_share", "width_share"):
        low, high = sorted((getattr(TRAIN, name), getattr(HELD_OUT, name)))
        assert low[1] < high[0], name
    drawn = {preset: {painted_vendor(s, preset) for s in range(80)} for preset in (TRAIN, HELD_OUT)}
    assert drawn[TRAIN] == set(TRAIN.families) and drawn[HELD_OUT] == set(HELD_OUT.families)
    record = paint_pair(beating(), 1, fps=25, fan=FAN, options=HELD_OUT, **IDS)
    assert record.vendor in HELD_OUT.families and record.params["colour"]["packet"] in (5, 6, 7)


def test_still_images_fixed_boxes_and_geometries():
    box = ScanBox(r0=30.0, r1=60.0, t0=-0.2, t1=0.2)
    options = dataclasses.replace(PLAIN, box=box)
    velocity = np.zeros((1, 96, 96), np.float16)
    pair = paint_pair(beating(1)[..., None], 2, fps=30, fan=FAN.geometry, options=options, velocity_out=velocity, **IDS)
    assert pair.cfd.shape == (1, 96, 96, 3) and pair.params["box"]["r1"] == 60
    assert np.array_equal(np.isfinite(velocity), (pair.strata & FLOW) > 0)
    with pytest.raises(ValueError, match="r0..r1"):
        paint_pair(
            beating(1),
            2,
            fps=30,
            fan=FAN,
            options=dataclasses.replace(options, box=ScanBox(r0=5, r1=500, t0=-0.2, t1=0.2)),
            **IDS,
        )


def test_linear_clips_get_a_steered_box():
    fan = ScanGrid.for_size("linear", 96, 96, depth_cm=4, steer=0.3)
    y = np.mgrid[:96, :96][0]
    clip = np.stack([np.where(np.abs(y - 50 - k % 2) < 9, 8, 120).astype(np.uint8) * fan.mask for k in range(4)])
    record = paint_pair(clip, 1, fps=20, fan=fan, options=PLAIN, view="CAROTID_LONG", **IDS)
    assert record.params["box"]["steer"] == pytest.approx(0.3) and ((record.strata & FLOW) > 0).any()
    assert not record.cfd[(record.strata & SECTOR) == 0].any()


def test_the_sector_is_fitted_when_unknown():
    fan = ScanGrid.for_size("phased", 160, 160, depth_cm=15)
    record = paint_pair(beating(4, fan), 1, fps=25, options=PLAIN, **IDS)
    fitted = (record.strata[0] & SECTOR) > 0
    assert (fitted & fan.mask).sum() / (fitted | fan.mask).sum() > 0.9


@pytest.mark.parametrize(
    ("clip", "options", "words"),
    [
        (np.zeros((0, 96, 96), np.uint8), {}, "T >= 1"), (np.zeros((2, 96, 96, 3), np.uint8), {}, "convert colour"),
        (np.zeros((2, 96, 96), np.float32), {}, "uint8"), (beating(1), {"view": "A5C"}, "view must be"),
        (np.zeros((2, 96, 96), np.uint8), {}, "does not look like ultrasound"),
        (np.full((2, 96, 96), 90, np.uint8), {}, "does not look like ultrasound"),
        (beating(1), {"fps": 0}, "fps"), (beating(1)[:, :90], {}, "the fan is for frames"),
        (beating(1), {"fan": Hull(x1=96, y1=96)}, "no sector found"),
    ],
)  # fmt: skip
def test_bad_clips_are_refused_with_a_reason(clip, options, words):
    with pytest.raises(ValueError, match=words):
        paint_pair(clip, 0, **{"fps": 25, "fan": FAN, **IDS, **options})
    with pytest.raises(ValueError, match="nyquist_cm_s"):
        PainterOptions(nyquist_cm_s=(-5.0, 20.0))
