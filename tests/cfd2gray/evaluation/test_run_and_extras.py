"""From weights and packed clips to a folder with scores, report and reader study; the additions that can be asked for."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from cfd2gray.evaluation import run
from cfd2gray.evaluation.extras import Extras, run_extras
from cfd2gray.evaluation.reader_study.build import StudyOptions
from cfd2gray.evaluation.report.task_sections import audit, downstream, recovery
from cfd2gray.evaluation.tasks.audit import AuditOptions
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.pages.page import write_page
from cfd2gray.weights.pretrained import GeneratorWeights
from tests.cfd2gray import tiny
from tests.cfd2gray.evaluation import shapes

FEW = Bootstrap(resamples=200)
TRAINING = dataclasses.replace(shapes.QUICK, steps=20)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Config of forty packed tiny clips and an untrained network."""
    folder = tiny.pack_tiny(tmp_path_factory.mktemp("clips") / "records", clips=40)
    config = tiny.tiny_config(f"data.dir={folder}", "eval.bootstrap=200")
    weights = GeneratorWeights(
        params=jax.device_get(fresh_params(Generator, tiny.SPEC, 0)),
        spec=tiny.SPEC,
        settings={"window": 8, "feather": 1, "size": 32},
        name="untrained",
        digest="0" * 64,
    )
    return config, weights


def test_folder_holds_scores_and_report_with_the_audit(packed, tmp_path):
    config, weights = packed
    extras = Extras(audit=True, training=TRAINING)
    result = run.evaluate_weights(config, weights, tmp_path, split="train", extras=extras)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "report.html"]
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert stored["n_clips"] == result["n_clips"] == len(stored["per_clip"])
    assert stored["settings"]["model"] == "untrained"
    assert 0 <= stored["audit"]["translation"]["auc"] <= 1
    assert set(stored["confidence"]["reliability"]) == {"claimed", "found", "share", "ece"}
    page = (tmp_path / "report.html").read_text()
    for part in ("Shortcut audit", "Can its confidence be trusted?", "Evaluation of untrained"):
        assert part in page


def test_reader_study_comes_from_the_same_weights(packed, tmp_path):
    config, weights = packed
    key = run.build_reader_study(config, weights, tmp_path / "study", options=StudyOptions(items=6), split="train")
    assert len(key["items"]) == 6
    assert (tmp_path / "study" / "study.html").is_file()


def test_training_split_cannot_be_scored_by_heads_trained_on_it(packed, tmp_path):
    config, weights = packed
    with pytest.raises(ValueError, match="give val or test"):
        run.evaluate_weights(config, weights, tmp_path, split="train", extras=Extras(downstream=True))


def test_domains_without_clips_are_refused_before_any_training(packed, tmp_path):
    with pytest.raises(ValueError, match="hold no clip with views KIDNEY"):
        run.leave_one_domain_out(packed[0], tmp_path, domains=("kidney", "liver"))
    assert not list(tmp_path.iterdir())


def test_all_additions_reach_the_report(tmp_path):
    train = dataclasses.replace(shapes.clip_set(24, seed=1, prefix="a"), maps=None)  # a segmenter takes long to compile
    test = shapes.clip_set(12, seed=2, prefix="b", damage=shapes.marked)
    test = dataclasses.replace(test, controls={"temporal_median": test.real[::-1], "speckle_redraw": test.real})
    extras = Extras(downstream=True, recovery=(2,), audit=True, training=TRAINING)
    result = run_extras(test, lambda: train, extras=extras, bootstrap=FEW)
    assert set(result) == {"downstream", "recovery", "audit"}
    parts = [part(result) for part in (downstream, recovery, audit)]
    page = write_page(tmp_path / "page.html", title="all", facts="", sections=parts).read_text()
    assert "Do translated clips work" in page
    assert "temporal median" in page and "speckle redraw" in page, "controls stand in every table"
    scores = result["downstream"]["f1_controls"]
    assert scores["speckle_redraw"] == result["downstream"]["f1_real"] > scores["temporal_median"]
    assert "had they been acquired" in page
    assert "Where the classifier looks" in page
    assert page.count('<img src="data:image/jpeg;base64,') == 3
    assert "one half of the patients" in result["audit"]["origin"]["parts"]
    assert "acquired clips of one half" in page
    assert downstream({}) is recovery({}) is audit({}) is None


def test_own_models_and_labels_need_no_training(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def views(clips):\n    return np.stack([clips.mean((1, 2, 3)), 255 - clips.mean((1, 2, 3))], -1)\n"
        "def chambers(clips):\n    return (clips > 100).astype(np.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    test = shapes.clip_set(12, seed=2)
    csv = tmp_path / "labels.csv"
    csv.write_text("clip_id,label\n" + "\n".join(f"pclip{i},{'ab'[i % 2]}" for i in range(12)))
    extras = Extras(downstream=True, class_labels=csv, classifier="mine:views", segmenter="mine:chambers")
    assert not extras.needs_training_clips
    result = run_extras(test, None, extras=extras, bootstrap=FEW)["downstream"]
    assert set(result["f1_per_class"]) == {"a", "b"}
    assert result["dice"] > 0.9
    with pytest.raises(ValueError, match="needs a training split"):
        run_extras(test, None, extras=Extras(downstream=True), bootstrap=FEW)
    with pytest.raises(ValueError, match="names of their values"):
        Extras(downstream=True, label_maps=tmp_path)


def test_different_labels_in_training_and_test_are_refused(tmp_path):
    train, test = shapes.clip_set(6, prefix="a"), shapes.clip_set(6, prefix="b")
    csv = tmp_path / "labels.csv"
    rows = [f"{p}clip{i},{'xyz'[(i % 2) + (p == 'b')]}" for p in "ab" for i in range(6)]
    csv.write_text("clip_id,label\n" + "\n".join(rows))
    with pytest.raises(ValueError, match="each label must occur in both"):
        run_extras(test, lambda: train, extras=Extras(downstream=True, class_labels=csv), bootstrap=FEW)


def test_audit_options_are_checked():
    with pytest.raises(ValueError, match="at least 2 folds"):
        AuditOptions(folds=1)
    assert np.isfinite(FEW.level)
