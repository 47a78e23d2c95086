import dataclasses
import json

import cv2
import numpy as np
import pytest

from data_pipeline.pairs import pairing
from data_pipeline.pairs.door import NoPairError
from data_pipeline.pairs.jobs import WeakJob, archive_jobs
from data_pipeline.pairs.own import own_pair
from data_pipeline.pairs.weak import weak_pairs
from data_pipeline.readers.archive import list_archive, read_view_csv
from data_pipeline.readers.datasets import Item
from data_pipeline.records import example as records
from data_pipeline.records import pack
from data_pipeline.records.tfrecord import ShardSource
from data_pipeline.schema import FLOW, SECTOR, Clip, ClipInfo, Identity
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.crop import SectorCrop
from data_pipeline.screen.deidentify import KeyedHasher
from tests.data_pipeline.tiny_archive import dual_screen, grey_screen, make_archive, simulated, write_dicom

HASHER = KeyedHasher(b"a secret of the hospital")
NATIVE = pairing.PairingOptions(size=None)


def clip_of(frames, *, instance="1.2.3.4", patient="SECRET", view="A4C", **info):
    fields = dict(
        format="dicom", height=frames.shape[1], width=frames.shape[2], n_frames=len(frames), fps=20.0,
        fps_source="FrameTime", view=view, identity=Identity(patient=patient, study="SECRET-STUDY", instance=instance),
        source_digest="d" * 64,
    )  # fmt: skip
    return Clip(frames=np.ascontiguousarray(frames), info=ClipInfo(**{**fields, **info}))


@pytest.mark.parametrize("axis", [1, 0])
def test_dual_pair_holds_what_was_on_the_screen(axis):
    truth = simulated("A4C", 1)
    (pair,) = pairing.pairs_from_clip(clip_of(dual_screen(truth, axis=axis)), hasher=HASHER, options=NATIVE)
    assert (pair.kind, pair.shared, pair.view) == ("dual", True, "A4C")
    assert 0.4 < pair.score <= 1
    evidence = pair.params["pairing"]
    assert evidence["mae"] < 4 and evidence["ssim"] > 0.95 and evidence["shift"] == [0, 0]
    # The colour lies where it was painted: bring the truth into the crop's coordinates.
    dy, dx = (round(pair.geometry.dy), round(pair.geometry.dx))
    panes_y, panes_x = (20, 5) if axis else (5, 20)
    found = np.argwhere((pair.strata & FLOW)[0])
    true = np.argwhere((truth.strata & FLOW)[0])
    pane_start = np.array([panes_y, panes_x])
    shift = np.median(true, axis=0) - (np.median(found, axis=0) + (dy, dx))
    assert np.all(shift + pane_start >= -6) and np.all(shift <= 6)
    overlap = (pair.strata[0] & FLOW).astype(bool).sum() / (truth.strata[0] & FLOW).astype(bool).sum()
    assert 0.7 < overlap < 1.5
    outside = (pair.strata & SECTOR) == 0
    assert pair.grey[..., 0][outside].max() < 30 and pair.cfd[outside].max() < 30


def test_identifiers_stay_behind():
    pair = pairing.pairs_from_clip(clip_of(dual_screen(simulated())), hasher=HASHER)[0]
    data = records.encode(pair)
    for secret in (b"SECRET", b"1.2.3.4", b"d" * 64, b"DOE"):
        assert secret not in data
    assert pair.patient_id == HASHER.patient("SECRET") and pair.cfd.shape[1:3] == (256, 256)
    nobody = pairing.pairs_from_clip(clip_of(dual_screen(simulated()), patient=""), hasher=HASHER)[0]
    assert nobody.params["patient_known"] is False and nobody.patient_id != pair.patient_id


def test_refusals_have_codes():
    truth = simulated()
    for frames, code in [
        (truth.cfd, "no_panes"),
        (grey_screen(truth), "no_panes"),
        (dual_screen(truth, grey=np.roll(truth.grey, 1, axis=0)), "lagged"),
        (dual_screen(truth, grey=np.clip(truth.grey.astype(int) + 12, 0, 255).astype(np.uint8)), "unpaired"),
    ]:
        with pytest.raises(NoPairError) as caught:
            pairing.pairs_from_clip(clip_of(frames), hasher=HASHER)
        assert caught.value.code == code, str(caught.value)


def test_painted_pairs_come_from_greyscale_clips_only():
    truth = simulated()
    pairs = pairing.pairs_from_clip(
        clip_of(grey_screen(truth)), hasher=HASHER, options=pairing.PairingOptions(size=96), paint_seeds=(3, 4)
    )
    assert [pair.kind for pair in pairs] == ["painted"] * 2 and len({pair.clip_id for pair in pairs}) == 2
    assert {pair.patient_id for pair in pairs} == {HASHER.patient("SECRET")}
    assert pairs[0].cfd.shape == (5, 96, 96, 3) and pairs[0].params["source_clip"] == HASHER.clip("1.2.3.4")
    with pytest.raises(NoPairError, match="only greyscale clips are painted"):
        pairing.pairs_from_clip(clip_of(truth.cfd), hasher=HASHER, paint_seeds=(3,))


def test_colour_in_a_few_frames_forbids_painting():
    clip = clip_of(grey_screen(simulated()))
    analysis = dataclasses.replace(analyse(clip.frames), colour_seen=0.1)
    with pytest.raises(NoPairError, match="10% of frames show colour") as caught:
        pairing.painted_pairs(clip, analysis, [1], hasher=HASHER)
    assert caught.value.code == "colour_seen"


def test_weak_pairs_need_one_patient_study_and_view():
    truth = simulated("A4C", 1)
    cfd, grey = clip_of(truth.cfd, instance="1"), clip_of(grey_screen(truth), instance="2")
    known = [(clip, analyse(clip.frames)) for clip in (cfd, grey)]
    (pair,) = weak_pairs(known, hasher=HASHER)
    assert (pair.kind, pair.shared) == ("weak", False) and 0.1 <= pair.score <= 0.5
    assert pair.params["pairing"]["other_clip"] == HASHER.clip("2")
    for change in ({"view": "A2C"}, {"identity": dataclasses.replace(grey.info.identity, study="another")}):
        other = Clip(frames=grey.frames, info=dataclasses.replace(grey.info, **change))
        assert weak_pairs([known[0], (other, known[1][1])], hasher=HASHER) == []


def test_a_name_inside_the_sector_reaches_no_record():
    truth = simulated("A4C", 1)
    cfd, grey = truth.cfd.copy(), grey_screen(truth).copy()
    height, width = cfd.shape[1:3]
    ink = np.zeros((height, width), np.uint8)
    cv2.putText(ink, "DOE JANE", (width // 2 - 30, int(0.7 * height)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1)
    for frame in (*cfd, *grey):
        frame[ink > 0] = 255
    clips = [clip_of(cfd, instance="1"), clip_of(grey, instance="2")]
    known = [(clip, analyse(clip.frames)) for clip in clips]
    made = [
        *weak_pairs(known, hasher=HASHER, options=NATIVE),
        *pairing.painted_pairs(*known[1], [1], hasher=HASHER, options=NATIVE),
        own_pair(*clips, hasher=HASHER, options=NATIVE),
    ]
    assert [pair.kind for pair in made] == ["weak", "painted", "simulated"]
    for pair in made:
        x, y = round(pair.geometry.dx), round(pair.geometry.dy)
        rows, columns = np.nonzero(ink)
        inside = (rows - y < pair.grey.shape[1]) & (columns - x < pair.grey.shape[2]) & (rows >= y) & (columns >= x)
        at = (rows - y)[inside], (columns - x)[inside]
        assert inside.mean() > 0.9
        planes = [pair.grey[0, ..., 0]] + ([] if pair.kind == "painted" else [pair.cfd[0].min(axis=-1)])
        for plane in planes:
            assert np.mean(plane[at] > 200) < 0.02, pair.kind


def test_a_name_in_either_clip_of_a_weak_pair_enters_no_record():
    truth = simulated("A4C", 1)
    flow, other = analyse(truth.cfd), analyse(grey_screen(truth))
    y, x = np.argwhere(flow.sector & (flow.strata == SECTOR).all(axis=0)).mean(axis=0).astype(int)
    for named in (0, 1):
        screens = [truth.cfd.copy(), grey_screen(truth)]
        for frame in screens[named]:
            cv2.rectangle(frame, (x - 50, y - 16), (x + 50, y + 8), (9, 9, 9), -1)
            cv2.putText(frame, "DOE JANE", (x - 45, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        written = (screens[named] == 255).all(axis=(0, 3))
        clips = [clip_of(frames, instance=str(i)) for i, frames in enumerate(screens)]
        (pair,) = weak_pairs([(clips[0], flow), (clips[1], other)], hasher=HASHER, options=NATIVE)
        shown = pair.cfd[..., 0] if named == 0 else pair.grey[..., 0]
        crop = SectorCrop.from_geometry(flow.geometry, flow.sector, size=None)
        assert written.sum() > 50 and not shown[:, crop.apply_mask(written[None])[0]].any()


def test_an_archive_is_packed(tmp_path):
    archive = make_archive(tmp_path / "archive")
    (tmp_path / "views.csv").write_text("file,view,patient\nc/IM1.dcm,PLAX,Z\n")
    key = b"another secret of the hospital"
    jobs = archive_jobs(
        list_archive(archive, views=read_view_csv(tmp_path / "views.csv")).items, key=key,
        options=pairing.PairingOptions(size=64), paint_seeds=(1,),
    )  # fmt: skip
    assert key.decode() not in repr(jobs)
    manifest = pack.pack(jobs, tmp_path / "out", fractions=[("train", 1.0)])
    table = manifest.counts["train"]
    assert table["kind"] == {"dual": 1, "painted": 2} and table["view"] == {"A4C": 1, "PLAX": 2}
    assert manifest.errors == {"not_bmode": 3, "not_ultrasound": 1, "truncated": 1, "unknown_format": 1}
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for secret in (b"SECRET", b"DOE", b"Doe", b"IM1", b"1.2.5", key):
        assert secret not in everything
    source = ShardSource(tmp_path / "out")
    dual = next(clip for clip in (source[i] for i in range(len(source))) if clip.kind == "dual")
    assert dual.patient_id == KeyedHasher(key).patient("Z") and dual.view == "PLAX"
    json.dumps(dual.params)


def test_a_damaged_neighbour_costs_no_weak_pair(tmp_path):
    truth = simulated("A4C", 1)
    for name, frames in (("a", truth.cfd), ("b", grey_screen(truth)), ("c", truth.cfd)):
        write_dicom(tmp_path / name, frames, patient="P", view="A4C")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:20_000])
    items = tuple(Item(dataset="", path=str(tmp_path / name), patient="") for name in "cab")
    (pair,) = WeakJob(items=items, hasher=HASHER)()
    assert pair.kind == "weak"


def test_fans_are_circles_in_centimetres():
    """A screen whose pixels are twice as high as wide gives the pair that it gives with square ones."""
    screen = dual_screen(simulated("A4C", 1))
    whole = clip_of(screen)
    flat = Clip(frames=np.ascontiguousarray(screen[:, ::2]), info=dataclasses.replace(whole.info, pixel_aspect=2.0))
    (expected,), (found,) = (pairing.pairs_from_clip(clip, hasher=HASHER) for clip in (whole, flat))
    assert found.geometry.kind == expected.geometry.kind and found.geometry.kind in ("phased", "curvilinear")
    assert found.geometry.r1 == pytest.approx(expected.geometry.r1, rel=0.03)
    assert np.mean(np.abs(found.grey.astype(int) - expected.grey)) < 6


def test_a_target_with_colour_in_a_few_frames_is_none():
    truth = simulated("A4C", 1)
    cfd, grey = clip_of(truth.cfd, instance="1"), clip_of(grey_screen(truth), instance="2")
    flow, other = analyse(cfd.frames), dataclasses.replace(analyse(grey.frames), colour_seen=0.1)
    assert weak_pairs([(cfd, flow), (grey, other)], hasher=HASHER) == []
    with pytest.raises(NoPairError, match="frames show colour"):
        own_pair(cfd, cfd, hasher=HASHER)
