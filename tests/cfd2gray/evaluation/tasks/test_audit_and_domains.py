"""The shortcut audit on translations with and without a tell-tale, and the table of domains."""

import numpy as np
import pytest
import scipy.stats

from cfd2gray.evaluation.domains import KNOWN, leave_one_out, row_of, split_by_training_domain, views_of
from cfd2gray.evaluation.report.domain_page import print_domains, write_domain_page
from cfd2gray.evaluation.tasks.audit import (
    AuditOptions,
    auc_interval,
    audit_label,
    audit_origin,
    audit_translation,
)
from cfd2gray.metrics.accumulate import Bootstrap
from tests.cfd2gray.evaluation import shapes

QUICK = AuditOptions(training=shapes.QUICK, folds=2, bootstrap=Bootstrap(resamples=200))


def test_a_tell_tale_is_found_where_it_is_and_warned_about():
    found = audit_translation(shapes.clip_set(24, damage=shapes.marked), options=QUICK)
    assert found["auc"] > 0.9
    assert found["readable"]
    assert "tells translated clips from real ones" in found["warning"]
    flow = found["saliency"]["flow"]
    assert flow["share"] > 2 * flow["area"], "it looks at the flow, where the mark is"


def test_identical_translations_cannot_be_told_apart():
    found = audit_translation(shapes.clip_set(24, damage=lambda rng, clip: clip), options=QUICK)
    assert found["auc"] == pytest.approx(0.5, abs=0.02)
    assert not found["readable"]
    assert found["warning"] is None


def test_origin_needs_both_and_enough_patients():
    clips = shapes.clip_set(6)
    with pytest.raises(ValueError, match="both origins"):
        audit_origin(clips.real, clips.real[:0], (clips.patients, ()), options=QUICK)
    with pytest.raises(ValueError, match="at least 2 patients, got 1"):
        audit_translation(clips.select(np.array([0, 1])), options=QUICK)
    with pytest.raises(ValueError, match="no clip has flow"):
        audit_translation(shapes.clip_set(6, flow=False), options=QUICK)


def test_a_label_leaks_only_when_it_goes_with_a_readable_origin():
    origin = [0] * 20 + [1] * 20
    confounded = ["well"] * 18 + ["sick"] * 2 + ["well"] * 3 + ["sick"] * 17
    balanced = ["well", "sick"] * 20
    readable, hidden = {"auc": 0.95, "readable": True}, {"auc": 0.52, "readable": False}
    leak = audit_label(confounded, origin, readable)
    assert leak["leaks"]
    assert "89 % of 'sick'" in leak["warning"]
    assert not audit_label(confounded, origin, hidden)["leaks"]
    assert not audit_label(balanced, origin, readable)["leaks"]
    with pytest.raises(ValueError, match="at least two labels"):
        audit_label(["a"] * 40, origin, readable)
    with pytest.raises(ValueError, match="one label per clip"):
        audit_label(["a"], origin, readable)


def test_auc_interval_covers_the_truth_and_widens_with_clustering():
    rng = np.random.default_rng(0)
    effect = np.repeat(rng.standard_normal(20), 10)
    positive = np.arange(200) % 2 == 0
    scores = effect + 0.3 * rng.standard_normal(200) + 0.8 * positive
    loose = auc_interval(scores, positive, [f"{i}" for i in range(200)], bootstrap=Bootstrap(resamples=500))
    grouped = auc_interval(scores, positive, [f"{i // 10}" for i in range(200)], bootstrap=Bootstrap(resamples=500))
    assert loose[0] < scipy.stats.norm.cdf(0.8 / np.sqrt(2 * 1.09)) < loose[1]
    assert grouped is not None
    assert auc_interval(scores, positive, ["p"] * 200, bootstrap=Bootstrap()) is None


def block(value):
    measure = {"flow": value, "box": value, "ci95": {"flow": [value - 0.1, value + 0.1], "box": None}}
    return {
        "n_clips": 4,
        "n_patients": 2,
        "ssim": measure,
        "psnr": measure,
        "flicker_ratio": measure,
        "baselines": {"luma": {"flow": 0.2}},
    }


def test_leaving_one_domain_out_trains_without_it_and_tests_on_it():
    calls = []

    def run(train_views, test_views, name):
        calls.append((set(train_views), set(test_views), name))
        return block(0.5) | {"by_domain": {d: block(0.7) for d in ("heart", "kidney")}}

    table = leave_one_out(run, domains=("heart", "kidney"))
    assert calls[0][2] == "all"
    assert calls[1] == ({"KIDNEY"}, set(views_of(["heart"])), "without-heart")
    assert table["kidney"]["unseen"]["ssim_flow"]["mean"] == 0.5
    assert table["kidney"]["seen"]["ssim_flow"]["mean"] == 0.7
    with pytest.raises(ValueError, match="at least two domains"):
        leave_one_out(run, domains=("heart",))


def test_tables_of_domains_tell_seen_from_unseen(tmp_path, capsys):
    rows = {"heart": row_of(block(0.6)), "liver": row_of(block(0.4))}
    left_out = {"trained_on": None, "domains": {d: {"seen": row, "unseen": row} for d, row in rows.items()}}
    print_domains(left_out)
    shown = capsys.readouterr().out
    assert shown.count("unseen") == 3 and ".400" in shown and "…" not in shown
    alone = {"trained_on": ["heart"], "domains": {d: {"trained_on": d == "heart", **row} for d, row in rows.items()}}
    page = write_domain_page(tmp_path / "domains.html", alone).read_text()
    assert "trained on heart alone" in page and page.count("<td>unseen</td>") == 1 and "0.600" in page


def test_domains_of_one_evaluation_are_marked_as_trained_on_or_not():
    table = split_by_training_domain({"by_domain": {"heart": block(0.6), "liver": block(0.4)}}, trained_on=["heart"])
    assert table["heart"]["trained_on"] is True
    assert table["liver"]["trained_on"] is False
    with pytest.raises(ValueError, match="must be among"):
        split_by_training_domain({"by_domain": {}}, trained_on=["brain"])
    assert set(KNOWN) == {"heart", "fetal", "vessel", "kidney", "liver"}
