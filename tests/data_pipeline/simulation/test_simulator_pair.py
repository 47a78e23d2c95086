"""Simulated pairs: contract, reproducibility, shared and restored targets, truths, errors."""

import json

import numpy as np
import pytest

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.simulation.console.codec import Codec
from data_pipeline.simulation.simulator import (
    SimulationOptions,
    simulate_clip,
    simulate_grey,
    simulate_pair,
    simulate_truths,
)

SIZE = {"height": 48, "width": 56, "frames": 3}
CLEAN = SimulationOptions(codec=Codec(name="none"), shared=True, ui_share=0.0)


@pytest.fixture(scope="module")
def clip():
    return simulate_clip("A4C", 5, **SIZE, options=CLEAN)


def test_the_record_keeps_the_contract(clip):
    record = clip.record()
    assert record.cfd.shape == (3, 48, 56, 3) and record.grey.shape == (3, 48, 56, 1)
    assert record.kind == "simulated" and record.view == "A4C" and record.shared and record.score == 1.0
    assert len(record.clip_id) == 32 and len(record.patient_id) == 32 and record.vendor
    assert json.loads(json.dumps(record.params)) == record.params
    sector = (record.strata & SECTOR) > 0
    assert not record.cfd[~sector].any() and not record.grey[~sector].any()
    for flag in (BOX, FLOW):
        assert not ((record.strata & flag) > 0)[~sector].any()
    assert not (clip.mask & ~clip.box).any() and clip.box.any() and clip.labels.any()
    assert np.array_equal(np.isfinite(clip.velocity), clip.mask)
    assert np.nanmax(np.abs(clip.velocity.astype(float))) <= 1.001 * clip.acquisition.settings.nyquist_cm_s


def test_a_shared_target_agrees_wherever_nothing_is_drawn(clip):
    untouched = clip.fan & ~clip.mask & ~clip.outline
    # Pixels with a trace of colour below the mask's threshold are few and near the mask.
    differs = (clip.cfd != clip.grey).any(-1) & untouched
    assert differs.sum() < 0.05 * untouched.sum()
    assert np.array_equal(clip.grey[..., 0], clip.duplex)


def test_a_restored_target_is_the_full_quality_picture():
    seed = next(s for s in range(30) if simulate_clip("A4C", s, **SIZE, options=CLEAN).acquisition.line_keep < 0.8)
    options = SimulationOptions(codec=Codec(name="none"), shared=False, ui_share=0.0)
    restored = simulate_clip("A4C", seed, **SIZE, options=options)
    assert not restored.shared and np.abs(restored.full.astype(int) - restored.duplex).mean() > 0.3
    to_full = np.abs(restored.grey[..., 0].astype(int) - restored.full).mean()
    assert to_full < np.abs(restored.grey[..., 0].astype(int) - restored.duplex).mean()


def test_same_seed_same_bytes_and_other_seeds_differ():
    first, again = (simulate_pair("CAROTID_LONG", 11, **SIZE) for _ in range(2))
    assert first.params == again.params and first.clip_id == again.clip_id
    for name in ("cfd", "grey", "strata", "labels"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    others = [simulate_pair("CAROTID_LONG", 12, **SIZE), simulate_pair("CAROTID_LONG", 11, split="val", **SIZE)]
    for other in others:
        assert other.clip_id != first.clip_id and other.patient_id != first.patient_id
        assert not np.array_equal(other.cfd, first.cfd)


def test_seeds_can_share_a_patient():
    options = SimulationOptions(clips_per_patient=2)
    ids = [simulate_pair("A4C", seed, height=32, width=32, frames=1, options=options).patient_id for seed in (4, 5, 6)]
    assert ids[0] == ids[1] != ids[2]


def test_truths_differ_in_speckle_only():
    truths = simulate_truths("A4C", 5, count=2, **SIZE, options=CLEAN)
    assert truths.shape == (2, 3, 48, 56, 1) and truths.dtype == np.uint8
    clip = simulate_clip("A4C", 5, **SIZE, options=CLEAN)
    assert not np.array_equal(truths[0], truths[1]) and not np.array_equal(truths[0], clip.grey)
    low = [t.reshape(3, 6, 8, 7, 8).mean((2, 4)) for t in (truths[0][..., 0], truths[1][..., 0], clip.grey[..., 0])]
    for other in low[:2]:
        assert np.corrcoef(low[2].ravel(), other.ravel())[0, 1] > 0.85


def test_grey_alone_is_the_same_anatomy(clip):
    grey = simulate_grey("A4C", 5, **SIZE, options=CLEAN)
    assert np.array_equal(grey.grey, clip.full) and np.array_equal(grey.labels, clip.labels)
    assert grey.fps == clip.fps and np.array_equal(grey.phase, clip.phase)


def test_a_screen_has_something_outside_the_sector():
    record = simulate_pair("A4C", 1, height=120, width=160, frames=2, options=SimulationOptions(screen=True))
    sector = (record.strata & SECTOR) > 0
    assert record.cfd[~sector].any() and not record.grey[~sector].any()
    assert sector.mean() < 0.6


def test_ui_runs_over_the_sector_when_asked():
    plain, marked = (
        simulate_pair("A4C", 2, **SIZE, options=SimulationOptions(ui_share=share, codec=Codec(name="none")))
        for share in (0.0, 1.0)
    )
    assert np.array_equal(plain.grey, marked.grey) and not np.array_equal(plain.cfd, marked.cfd)
    assert not marked.cfd[(marked.strata & SECTOR) == 0].any()


def test_one_frame_is_enough():
    assert simulate_pair("A4C", 0, height=32, width=32, frames=1).cfd.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("mode", ["velocity", "variance", "power"])
def test_modes(mode):
    options = SimulationOptions(mode=mode, codec=Codec(name="none"))
    record = simulate_pair("A4C", 3, **SIZE, options=options)
    assert record.params["colour"]["mode"] == mode and record.params["colour_map"]["kind"] == mode
    assert ((record.strata & FLOW) > 0).any() and ((record.strata & OUTLINE) > 0).any()


@pytest.mark.parametrize(
    ("view", "change", "words"),
    [
        ("A9C", {}, "view must be one of"), ("UNKNOWN", {}, "view must be one of"),
        ("A4C", {"frames": 0}, "frames must be"),
        ("A4C", {"height": 8}, "height must be"), ("A4C", {"split": "dev"}, "split must be one of"),
    ],
)  # fmt: skip
def test_bad_requests_name_what_is_wrong(view, change, words):
    with pytest.raises(ValueError, match=words):
        simulate_pair(view, 0, **{**SIZE, **change})
    with pytest.raises(ValueError, match="seed must be"):
        simulate_pair("A4C", -1, **SIZE)


@pytest.mark.parametrize(
    "bad", [{"nyquist_cm_s": (0.0, 40.0)}, {"fps": 0.5}, {"ui_share": 2.0}, {"line_keep": (0.0, 1.0)},
            {"mode": "bmode"}, {"clips_per_patient": 0}, {"supersample": (1.0, 1.0, 1.0)}]
)  # fmt: skip
def test_bad_options(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        SimulationOptions(**bad)


def test_what_the_screen_writes_over_the_sector_is_flagged():
    written = 0
    for seed in range(4):
        clip = simulate_clip(
            "A4C", seed, height=160, width=160, frames=3,
            options=SimulationOptions(codec=Codec(name="none"), shared=True, ui_share=1.0),
        )  # fmt: skip
        gap = np.abs(clip.cfd.astype(int) - clip.grey).max(-1)
        seen = (gap > 60) & clip.fan & ~clip.mask
        assert (clip.outline[seen]).mean() > 0.97
        written += int((clip.outline & ~clip.box).sum())
    assert written > 100  # there was text outside the box
