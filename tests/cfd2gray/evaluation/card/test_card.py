"""The model card: masses under colour, the sets it is judged on, the page."""

import dataclasses
import json
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from cfd2gray.evaluation.card import sets as card_sets
from cfd2gray.evaluation.card.as_translated import as_translated
from cfd2gray.evaluation.card.judge import Card, CardOptions
from cfd2gray.evaluation.card.page import markdown, write_card
from cfd2gray.evaluation.card.real_colour import real_colour
from cfd2gray.evaluation.tasks.lumen import LumenErrors, lumen_errors
from cfd2gray.evaluation.tasks.mass_recall import mass_recall
from cfd2gray.pages.curves import training_picture
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import load_pretrained
from data_pipeline.pixels import luma
from data_pipeline.schema import BOX, FLOW, LABELS, OUTLINE, SECTOR
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.simulator import simulate_pair

SVG = "{http://www.w3.org/2000/svg}"


def mass_clip(*, hidden=True):
    """A bright square mass in a dark ventricle, all of it under colour."""
    labels = np.full((3, 40, 40), LABELS.index("lv"), np.uint8)
    labels[:, 15:25, 15:25] = LABELS.index("other")
    grey = np.where(labels == LABELS.index("other"), 120, 20).astype(np.uint8)
    return {"grey": grey[..., None], "labels": labels, "hidden": np.full(labels.shape, hidden, np.uint8)}


def test_a_mass_is_kept_painted_away_or_half_there():
    example = mass_clip()
    truth = example["grey"][..., 0]
    whole, gone = mass_recall([(example, truth)]), mass_recall([(example, np.full_like(truth, 20))])
    assert (whole.kept, whole.contrast, whole.frames, whole.clips) == (1.0, 1.0, 3, 1)
    assert (gone.kept, gone.contrast) == (0.0, 0.0)
    half = mass_recall([(example, np.where(truth > 100, 60, 20).astype(np.uint8))])
    assert half.contrast == pytest.approx(0.4) and half.kept == 0.0


def test_what_colour_does_not_hide_is_not_judged():
    example = mass_clip(hidden=False)
    with pytest.raises(ValueError, match="no frame shows a mass"):
        mass_recall([(example, example["grey"][..., 0])])


@pytest.fixture(scope="module")
def echo():
    """Two paintings of the real echo, reduced to 48 px."""
    return card_sets.painted_echo(48, paintings=2, shared=True)


def test_the_real_echo_is_one_patient_with_flow_in_every_painting(echo):
    assert {pair.patient_id for pair in echo.pairs} == {"real-echo"}
    for batch in echo.batches():
        assert batch["grey"].shape == (1, card_sets.FRAMES, 48, 48, 1)
        assert ((batch["strata"] & FLOW) > 0).any() and batch["hidden"].any()


def test_batches_hold_every_clip_once(echo):
    found = card_sets.card_set("three", "", 32, [*echo.pairs, echo.pairs[0]])
    batches = list(found.batches(2))
    assert [batch["mask"].tolist() for batch in batches] == [[1.0, 1.0], [1.0, 0.0]]
    assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2, 2]]


def lumen_clip(level=20):
    """Left half blood, right half tissue, a band of rows under colour; the translation has ``level`` in the band."""
    labels = np.full((2, 40, 40), LABELS.index("myocardium"), np.uint8)
    labels[:, :, :20] = LABELS.index("lv")
    grey = np.where(labels == LABELS.index("lv"), 20, 120).astype(np.uint8)
    hidden = np.zeros_like(labels)
    hidden[:, 10:30] = 1
    found = np.where(hidden > 0, level, grey).astype(np.uint8)
    return {"grey": grey[..., None], "labels": labels, "strata": np.full_like(labels, SECTOR), "hidden": hidden}, found


def test_chambers_invented_and_closed_are_told_apart():
    example, dark = lumen_clip(20)
    truth = example["grey"][..., 0]
    assert lumen_errors([(example, truth)]) == LumenErrors(invented=0.0, closed=0.0, clips=1)
    found = lumen_errors([(example, dark)])
    assert found.closed == 0.0 and found.invented > 0.9
    found = lumen_errors([(example, lumen_clip(120)[1])])
    assert found.invented == 0.0 and found.closed > 0.9
    grain = truth.copy()
    grain[:, 15:25:3, 25:40:3] = 0  # dark grains of speckle are no chamber
    assert lumen_errors([(example, grain)]).invented == 0.0
    with pytest.raises(ValueError, match="no clip shows blood"):
        lumen_errors([(example | {"labels": np.zeros_like(example["labels"])}, truth)])


def test_what_users_see_is_scored_at_a_size_above_the_working_one(echo):
    """Colour is only replaced where the batch says it is; everything else comes back to the bit."""
    weights = load_pretrained()
    small = dataclasses.replace(weights, settings=weights.settings | {"size": 48})
    clips = card_sets.card_set("one", "", 64, list(echo.pairs[:1]))
    batch = next(clips.batches())
    found = as_translated(Translator(small))(batch)
    assert found["composited"].shape == batch["grey"].shape == found["confidence"].shape
    levels = np.rint(255 * np.asarray(found["composited"]))[..., 0]
    outside = (batch["strata"] & BOX == 0) & (hidden_mask(batch["strata"][0])[None] == 0)
    np.testing.assert_array_equal(levels[outside], luma(batch["cfd"][0])[None][outside])
    assert np.ptp(np.asarray(found["confidence"])) > 0.1


def test_curves_stand_alone_as_a_picture(tmp_path):
    history = [{"step": s, "loss/pixel": 1 / s, "val/ssim_flow": s / 9, "speed/clips_per_s": 3.0} for s in range(1, 9)]
    drawn = training_picture(history)
    root = ElementTree.fromstring(drawn)
    plots = [part for part in root.iter(SVG + "g") if part.get("id", "").startswith("axes_")]
    curves = [[mark.find(SVG + "title").text for mark in plot.iter(SVG + "g") if mark.get("class")] for plot in plots]
    assert curves == [["pixel"], ["ssim flow"]], "a plot per family of metrics, none of the machine's own"
    points = [plot.find(f".//{SVG}g[@class='mark']/{SVG}path").get("d") for plot in plots]
    assert [path.count("L") for path in points] == [7, 7], "every step is a point of the curve"
    with pytest.raises(ValueError, match="not written any metrics"):
        training_picture([])


def test_page_has_a_table_per_set_and_a_picture(evaluated, tmp_path):
    result, gallery = evaluated
    card = Card(
        results={"simulated 32": result},
        clips={"simulated 32": gallery.clips()},
        masses={"truth": {"kept": 1.0, "contrast": 1.0, "frames": 3, "clips": 1}},
        lumens={"truth": {"invented": 0.0, "closed": None, "clips": 1}},
        sizes={96: result},
        no_truth={
            "clips": [
                {
                    "height": 300,
                    "width": 400,
                    "frames": 16,
                    "patches": 321,
                    "ratios": [0.9] * 6,
                    "seam": 1.1,
                    "levels": 7.4,
                }
            ],
            "auc": {name: {"mean": 0.63, "ci95": [0.5, 0.7], "each": [0.63]} for name in ("frame", "clip", "visible")},
        },
        facts={"model": "oracle", "digest": "0" * 64, "real_echo": "echo.dcm", "parameters": 10},
    )
    page = write_card(tmp_path, card, title="Some weights", commit="abc", curves="<svg/>")
    text = page.read_text()
    assert (tmp_path / "some_weights_training.svg").read_text() == "<svg/>" and "_training.svg)" in text
    assert text.split("\n## Training")[0] == markdown(
        card, title="Some weights", picture="some_weights.jpg", commit="abc"
    )
    assert "## Simulated 32" in text and "| **model** |" in text and "| luma |" in text and "| 96 |" in text
    assert "| 1 | 300x400 | 321 | .90 |" in text and "by one frame .63 [.50, .70]" in text
    assert f"{result['ssim']['flow']:.3f}".lstrip("0") in text
    assert "per_clip" not in json.loads((tmp_path / "some_weights.json").read_text())["sets"]["simulated 32"]
    assert cv2.imread(str(tmp_path / "some_weights.jpg")) is not None


def test_an_empty_card_is_refused():
    with pytest.raises(ValueError, match="paintings must be at least 1"):
        CardOptions(paintings=0)


def test_flow_of_a_real_clip_hides_the_echo_and_nothing_else_changes(tmp_path):
    clip = simulate_pair("A4C", 3, height=200, width=240, frames=5, split="test")
    (tmp_path / "clips").mkdir()
    np.save(tmp_path / "clips" / "a.npy", clip.cfd)
    np.save(tmp_path / "clips" / "grey.npy", np.repeat(clip.grey, 3, axis=-1))
    made = real_colour(tmp_path / "clips", size=64)
    (pair,) = made.pairs
    hidden = (pair.strata & (FLOW | OUTLINE)) > 0
    assert 0.005 < hidden.mean() < 0.4 and not (hidden & ~((pair.strata & SECTOR) > 0)).any()
    np.testing.assert_array_equal(luma(pair.cfd)[~hidden], pair.grey[..., 0][~hidden])
    coloured = np.ptp(pair.cfd.astype(int), axis=-1)[(pair.strata & FLOW) > 0]
    assert np.median(coloured) > 40, "it is colour that is laid over it"
    np.testing.assert_array_equal(pair.strata[0], pair.strata[8])  # forth and back
    assert made.examples[0]["cfd"].shape[:3] == (card_sets.FRAMES, 64, 64)
    with pytest.raises(ValueError, match="no clip with colour flow"):
        real_colour(tmp_path / "clips" / "grey.npy", size=64)
