"""Downstream tasks on clips whose answers are known: equal, damaged and swapped translations."""

import dataclasses

import numpy as np
import pytest
import sklearn.metrics

from cfd2gray.evaluation.equivalence import compare_f1, confusion_by_patient, macro_f1
from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.tasks import recovery as recovery_module
from cfd2gray.evaluation.tasks.downstream import (
    ClipCollector,
    DownstreamOptions,
    check_disjoint,
    downstream,
    translate_to,
    untranslated,
)
from cfd2gray.evaluation.tasks.head_training import HeadTraining, fit_classifier, fit_segmenter, reduce_clips
from cfd2gray.evaluation.tasks.recovery import recovery
from cfd2gray.evaluation.tasks.user_labels import with_class_labels, with_label_maps
from cfd2gray.metrics.accumulate import Bootstrap
from data_pipeline.schema import VIEWS
from tests.cfd2gray.evaluation import shapes, synthetic

OPTIONS = DownstreamOptions(
    training=dataclasses.replace(shapes.QUICK, steps=100), bootstrap=Bootstrap(resamples=300), margin=0.1
)


def by_brightness(clips):
    """A model of the user's own: which of the three places is brightest?"""
    means = [clips[:, :, y - 4 : y + 4, x - 4 : x + 4].mean(axis=(1, 2, 3)) for y, x in shapes.CENTRES]
    return np.stack(means, axis=-1)


def by_threshold(clips):
    return (clips > 100).astype(np.uint8)


@pytest.fixture(scope="module")
def trained():
    train, test = shapes.clip_set(36, seed=1, prefix="a"), shapes.clip_set(18, seed=2, prefix="b")
    return downstream(train, test, options=OPTIONS)


def test_trained_heads_find_good_translations_equivalent(trained):
    assert trained["f1_real"] > 0.9
    assert abs(trained["f1_difference"]) < 0.1
    assert trained["equivalence"]["equivalent"] is True
    assert trained["dice"] > 0.9
    assert trained["dice_truth_synthetic"] > 0.5
    assert set(trained["dice_per_label"]) == {"left", "right", "low"}
    assert trained["n_clips"] == 18
    assert trained["n_patients"] == 9


def test_damaged_translations_are_caught_with_a_users_own_model():
    swapped = shapes.clip_set(18, damage=lambda rng, clip: clip[:, ::-1, ::-1])
    found = downstream(None, swapped, options=OPTIONS, classifier=by_brightness, segmenter=by_threshold)
    assert found["f1_real"] == 1
    assert found["f1_synthetic"] < 0.5
    assert found["equivalence"]["equivalent"] is False
    assert found["dice"] < 0.5
    assert found["changed_predictions"] > 6


def test_macro_f1_and_interval_match_scikit_learn_and_are_paired():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    real = np.where(rng.random(90) < 0.8, truth, rng.integers(0, 3, 90))
    patients = [f"p{i // 3}" for i in range(90)]
    matrices = confusion_by_patient(truth, real, patients, n_classes=3)
    expected = sklearn.metrics.f1_score(truth, real, average="macro")
    assert macro_f1(matrices.sum(axis=0)) == pytest.approx(expected, abs=1e-12)
    options = {"n_classes": 3, "margin": 0.02, "bootstrap": Bootstrap(resamples=300)}
    same = compare_f1(truth, real, real, patients, **options)
    assert same["f1_ci95"]["difference"] == [0, 0], "pairing removes what both share"
    assert same["equivalence"]["equivalent"] is True
    single = compare_f1(truth, real, real, ["p"] * 90, **options)
    assert single["equivalence"]["equivalent"] is None, "one patient proves nothing"


def test_few_noisy_patients_are_not_called_equivalent():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 12)
    real, synthetic_ = (np.where(rng.random(12) < 0.7, truth, 1 - truth) for _ in range(2))
    found = compare_f1(
        truth,
        real,
        synthetic_,
        [f"p{i}" for i in range(12)],
        n_classes=2,
        margin=0.05,
        bootstrap=Bootstrap(resamples=300),
    )
    assert found["equivalence"]["equivalent"] is False


def test_recovery_gains_from_translated_clips_where_grey_is_scarce():
    clips = shapes.clip_set(36, seed=1)
    curves = recovery(clips, patients=[2], training=shapes.QUICK, bootstrap=Bootstrap(resamples=200))
    assert curves["arms"]["with_translated"][0]["f1"] > curves["arms"]["greyscale_alone"][0]["f1"] - 0.05
    assert curves["arms"]["with_acquired"][0]["n_clips"] == 18, "the other half tests"
    assert curves["arms"]["greyscale_alone"][0]["n_clips"] == 4
    with pytest.raises(ValueError, match=r"2\.\.8, fewer than half of the 18"):
        recovery(clips, patients=[9], training=shapes.QUICK, bootstrap=Bootstrap())


def test_recovery_never_tests_on_patients_that_trained_it(monkeypatch):
    clips, seen = shapes.clip_set(36, seed=1), []
    of = {clip.tobytes(): patient for clip, patient in zip(clips.real, clips.patients)}
    of |= {clip.tobytes(): patient for clip, patient in zip(clips.synthetic, clips.patients)}
    monkeypatch.setattr(recovery_module, "fit_classifier", lambda shown, *_, **__: seen.append([shown]))
    monkeypatch.setattr(
        recovery_module, "classify", lambda _, shown, **__: seen[-1].append(shown) or np.zeros((len(shown), 3))
    )
    recovery(clips, patients=[3], training=shapes.QUICK, bootstrap=Bootstrap(resamples=0))
    names = [[{of[clip.tobytes()] for clip in part} for part in parts] for parts in seen]
    assert len(names) == 6 and not any(trained & tested for trained, tested in names)
    tested = [tested for _, tested in names]
    assert tested[0] | tested[1] == set(clips.patients) and not tested[0] & tested[1]


def test_collector_gathers_translations_and_leaves_padding_out():
    collector = ClipCollector(options=HeadTraining(size=16, frames=2))
    translate_to([collector], synthetic.oracle, synthetic.batches(6), synthetic.ids)
    clips = collector.clip_set()
    assert clips.real.shape == clips.synthetic.shape == (6, 2, 16, 16)
    assert clips.flow.tolist() == [True] * 4 + [False, True]
    assert clips.patients == ("patient0", "patient0", "patient1", "patient1", "patient2", "patient2")
    assert clips.class_names == VIEWS
    assert clips.maps is None
    scored = ClipCollector(options=HeadTraining(size=16, frames=2))
    options = EvaluateOptions(baselines=(), bootstrap=Bootstrap(resamples=0))
    evaluate(synthetic.oracle, synthetic.batches(6), synthetic.ids, options=options, observers=[scored])
    np.testing.assert_array_equal(scored.clip_set().synthetic, clips.synthetic)
    truth = ClipCollector()
    translate_to([truth], untranslated, synthetic.batches(2), synthetic.ids)
    np.testing.assert_array_equal(truth.clip_set().real, truth.clip_set().synthetic)
    with pytest.raises(ValueError, match="no clips"):
        ClipCollector().clip_set()


def test_labels_from_a_csv(tmp_path):
    clips = shapes.clip_set(4)
    path = tmp_path / "labels.csv"
    path.write_text("clip_id,label\n" + "\n".join(f"pclip{i},{'sick' if i % 2 else 'well'}" for i in range(5)))
    found = with_class_labels(clips, path)
    assert found.class_names == ("sick", "well")
    assert found.classes.tolist() == [1, 0, 1, 0]
    path.write_text("clip_id,label\npclip0,a\npclip1,b\n")
    with pytest.raises(ValueError, match="2 of 4 clips have no label"):
        with_class_labels(clips, path)
    path.write_text("clip_id,label\n" + "\n".join(f"pclip{i},a" for i in range(4)))
    with pytest.raises(ValueError, match="at least two"):
        with_class_labels(clips, path)
    path.write_text("clip_id,label\npclip0,a\npclip0,b\n")
    with pytest.raises(ValueError, match="two labels"):
        with_class_labels(clips, path)
    path.write_text("id,class\n")
    with pytest.raises(ValueError, match="no column clip_id, label"):
        with_class_labels(clips, path)
    with pytest.raises(ValueError, match="no such file"):
        with_class_labels(clips, tmp_path / "none.csv")


def test_label_maps_from_a_folder(tmp_path):
    clips = shapes.clip_set(2)
    for i in range(2):
        np.save(tmp_path / f"pclip{i}.npy", np.full((3, 16, 16), i, np.uint8))
    found = with_label_maps(clips, tmp_path, names=("background", "lv"))
    assert found.maps.shape == (2, 3, 32, 32)
    assert found.maps[1].min() == 1
    with pytest.raises(ValueError, match="holds label 1"):
        with_label_maps(clips, tmp_path, names=("background",))
    np.save(tmp_path / "pclip1.npy", np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(ValueError, match="does not fit"):
        with_label_maps(clips, tmp_path, names=("background", "lv"))
    (tmp_path / "pclip1.npy").unlink()
    with pytest.raises(ValueError, match="1 of 2 clips have no label map"):
        with_label_maps(clips, tmp_path, names=("background", "lv"))


def test_bad_sets_are_refused():
    clips = shapes.clip_set(6)
    with pytest.raises(ValueError, match="in the training and in the test set"):
        check_disjoint(clips, clips)
    with pytest.raises(ValueError, match="no test clip has flow"):
        downstream(None, shapes.clip_set(6, flow=False), classifier=by_brightness)
    with pytest.raises(ValueError, match="give training clips"):
        downstream(None, clips)
    with pytest.raises(ValueError, match=r"one score per clip and class, \[6, 3\]"):
        downstream(None, clips, classifier=lambda x: np.zeros((len(x), 2)))
    with pytest.raises(ValueError, match="at least two classes"):
        fit_classifier(clips.real[:2], np.zeros(2, int), n_classes=3, options=shapes.QUICK)
    with pytest.raises(ValueError, match="same shape"):
        fit_segmenter(clips.real, clips.maps[:, :1], n_classes=3, options=shapes.QUICK)
    with pytest.raises(ValueError, match="patient id"):
        shapes.clip_set(2, prefix="").select(np.array([0, 1])).__class__(
            **{**clips.select(np.array([0])).__dict__, "patients": ("",)}
        )
    one = clips.select(clips.classes == 0)
    assert "one class" in downstream(None, one, classifier=by_brightness, options=OPTIONS)["note"]


def test_reduced_clips_keep_even_frames_and_label_values():
    clips = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None, None], 16, -1).repeat(16, -2)
    options = HeadTraining(size=16, frames=4)
    np.testing.assert_array_equal(reduce_clips(clips, options=options)[0, :, 0, 0], [1, 3, 5, 7])
    with pytest.raises(ValueError, match="multiple of 8"):
        HeadTraining(size=20)
