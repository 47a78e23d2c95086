"""Simulated and painted records: shares, splits, and what is refused."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.pixels import luma
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, VIEWS
from data_pipeline.screen.analysis import analyse
from data_pipeline.simulation import export

SETTINGS = {"views": ("A4C", "KIDNEY"), "size": 48, "frames": 4}


def test_the_asked_share_of_clips_is_painted_in_every_view():
    jobs = export.simulation_jobs(clips={"train": 400}, painted=0.25, **SETTINGS)
    for view in SETTINGS["views"]:
        share = np.mean([job.painted for job in jobs if job.view == view])
        assert 0.15 < share < 0.35, view
    assert not any(job.painted for job in export.simulation_jobs(clips={"train": 50}, **SETTINGS))
    assert jobs[7:9] == export.simulation_jobs(
        clips={"train": 2}, seed=7, painted=0.25, **SETTINGS | {"views": ("KIDNEY", "A4C")}
    )


def test_a_painted_job_makes_a_painted_record_of_its_split_and_the_same_twice():
    job = export.SimulationJob("A4C", 5, 48, 4, "val", painted=True)
    first, second = job(), job()
    assert (first.kind, first.view, first.params["split"]) == ("painted", "A4C", "val")
    assert (first.strata & FLOW).any() and first.cfd.shape == (4, 48, 48, 3)
    np.testing.assert_array_equal(first.cfd, second.cfd)
    assert export.SimulationJob("A4C", 5, 48, 4, "train", painted=True)().patient_id != first.patient_id
    assert export.SimulationJob("A4C", 5, 48, 4, "val")().kind == "simulated"


def test_found_masks_are_those_of_the_screen_parser_and_pixels_stay():
    assert {job.found for job in export.simulation_jobs(clips={"train": 50}, found=0.5, **SETTINGS)} == {True, False}
    true, found = (export.SimulationJob("A4C", 7, 112, 8, "train", found=found)() for found in (False, True))
    np.testing.assert_array_equal(found.cfd, true.cfd)
    np.testing.assert_array_equal(found.grey, true.grey)
    np.testing.assert_array_equal(found.strata, analyse(true.cfd).strata)
    assert (found.strata != true.strata).any() and found.params["masks"] == "found"
    assert found.clip_id != true.clip_id and found.patient_id == true.patient_id
    grey = dataclasses.replace(true, cfd=np.repeat(true.grey, 3, axis=-1))
    assert export.with_found_masks(grey) is grey  # no colour to be found


def test_a_drawn_screen_is_a_record_whose_target_has_neither_colour_nor_marks():
    assert {
        job.drawn for job in export.simulation_jobs(clips={"train": 50}, screens=0.5, **SETTINGS | {"views": VIEWS[1:]})
    } == {True, False}
    records = [export.SimulationJob("A4C", seed, 96, 4, "train", drawn=True)() for seed in range(6)]
    shares = []
    for record in records:
        hidden, sector = (record.strata & (FLOW | OUTLINE)) > 0, (record.strata & SECTOR) > 0
        assert record.grey.shape == (*record.cfd.shape[:3], 1) and not (hidden & ~sector).any()
        assert not (((record.strata & FLOW) > 0) & ((record.strata & BOX) == 0)).any()
        differs = np.abs(luma(record.cfd).astype(int) - record.grey[..., 0])
        shares.append((hidden.mean(), differs[hidden].mean(), differs[sector & ~hidden].mean()))
    hidden, under, beside = np.mean(shares, axis=0)
    assert 0.01 < hidden < 0.4 and under > 3 * beside
    again = export.SimulationJob("A4C", 0, 96, 4, "train", drawn=True)()
    np.testing.assert_array_equal(again.cfd, records[0].cfd)
    assert len({record.patient_id for record in records}) == len(records)
    other = export.SimulationJob("A4C", 0, 96, 4, "val", drawn=True)()
    assert other.cfd.shape != again.cfd.shape or other.params["layout"] != again.params["layout"]  # another style too


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"painted": 1.5}, "painted is a share"),
        ({"painted": 0.5, "kind": "mp4"}, "records only"),
        ({"screens": 2.0, "views": VIEWS[1:]}, "screens is a share"),
        ({"screens": 0.5}, "screens are of every view"),
        ({"found": -0.1}, "found is a share"),
        ({"found": 0.5, "kind": "dicom"}, "records only"),
    ],
)
def test_impossible_shares_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        export.simulate(tmp_path / "out", clips=4, **SETTINGS | changes)
    assert not (tmp_path / "out").exists()
