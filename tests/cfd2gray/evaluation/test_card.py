"""The model card: masses under colour, the sets it is judged on, the page."""

import json

import cv2
import numpy as np
import pytest

from cfd2gray.evaluation import card_sets
from cfd2gray.evaluation.card import Card, CardOptions
from cfd2gray.evaluation.card_page import markdown, write_card
from cfd2gray.evaluation.mass_recall import mass_recall
from data_pipeline.schema import FLOW, LABELS


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


def test_the_real_echo_is_one_patient_with_flow_in_every_painting():
    found = card_sets.painted_echo(48, paintings=2, shared=True)
    assert {pair.patient_id for pair in found.pairs} == {"real-echo"}
    for batch in found.batches():
        assert batch["grey"].shape == (1, card_sets.FRAMES, 48, 48, 1)
        assert ((batch["strata"] & FLOW) > 0).any() and batch["hidden"].any()


def test_page_has_a_table_per_set_and_a_picture(evaluated, tmp_path):
    result, gallery = evaluated
    card = Card(
        results={"simulated 32": result},
        clips={"simulated 32": gallery.clips()},
        masses={"truth": {"kept": 1.0, "contrast": 1.0, "frames": 3, "clips": 1}},
        sizes={96: result},
        facts={"model": "oracle", "digest": "0" * 64, "real_echo": "echo.dcm", "parameters": 10},
    )
    page = write_card(tmp_path, card, title="Some weights", commit="abc")
    text = page.read_text()
    assert text == markdown(card, title="Some weights", picture="some_weights.jpg", commit="abc")
    assert "## Simulated 32" in text and "| **model** |" in text and "| luma |" in text and "| 96 |" in text
    assert f"{result['ssim']['flow']:.3f}".lstrip("0") in text
    assert "per_clip" not in json.loads((tmp_path / "some_weights.json").read_text())["sets"]["simulated 32"]
    assert cv2.imread(str(tmp_path / "some_weights.jpg")) is not None


def test_an_empty_card_is_refused():
    with pytest.raises(ValueError, match="paintings must be at least 1"):
        CardOptions(paintings=0)
