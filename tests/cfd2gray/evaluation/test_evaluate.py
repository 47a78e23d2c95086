"""The evaluation JSON: its contract, its numbers against an independent computation, and its refusals."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics

from cfd2gray.evaluation.baselines import BASELINES, redrawn_speckle
from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.report.findings import findings
from cfd2gray.evaluation.report.tables import print_result
from cfd2gray.evaluation.results import colour_bin, write_result
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.metrics.strata import STRATA
from cfd2gray.translation.composite import blend_weights
from data_pipeline.schema import BOX, FLOW
from tests.cfd2gray.evaluation import synthetic

FAST = EvaluateOptions(baselines=("luma",), bootstrap=Bootstrap(resamples=200))


def test_contract(evaluated):
    result, _ = evaluated
    for stratum in ("frame", "sector", "box", "flow"):
        assert 0 < result["ssim"][stratum] < 1
        low, high = result["ssim"]["ci95"][stratum]
        assert low <= result["ssim"][stratum] <= high
        for name in ("luma", "desaturate", "inpaint", "temporal_median"):
            assert result["baselines"][name][stratum] == result["baselines"][name]["ssim"][stratum]
    assert (result["n_clips"], result["n_patients"]) == (10, 5)
    assert set(result["by_domain"]) == {"heart", "kidney"}
    assert set(result["by_view"]) == {"A4C", "KIDNEY"}
    assert sum(block["n_clips"] for block in result["by_colour_fraction"].values()) == 10
    assert list(result["by_kind"]) == ["simulated"]
    assert result["settings"]["ssim"]["data_range"] == 255
    assert result["settings"]["checkpoint"] == "synthetic oracle"
    assert len(result["per_clip"]) == 10
    assert result["ssim"]["n"]["flow"] == 8, "two clips have no flow and must be counted out, not scored"


def test_scores_equal_scikit_image_on_the_quantised_composite(evaluated):
    result, _ = evaluated
    rows = {row["index"]: row for row in result["per_clip"]}
    batch = synthetic.batches()[0]
    out = np.asarray(synthetic.oracle({k: jnp.asarray(v) for k, v in batch.items()})["composited"])
    for n in range(2):
        predicted = np.round(np.clip(out[n, ..., 0], 0, 1) * 255).astype(np.uint8)
        maps = [
            skimage.metrics.structural_similarity(
                p, t, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
            )[1]
            for p, t in zip(predicted, batch["grey"][n, ..., 0])
        ]
        ssim = rows[n]["scores"]["composited"]["ssim"]
        flow = batch["strata"][n] & FLOW > 0
        assert ssim["frame"] == pytest.approx(np.mean(maps), abs=1e-5)
        assert ssim["flow"] == pytest.approx(np.stack(maps)[flow].mean(), abs=1e-5)


def test_means_are_means_over_clips_and_gains_are_paired(evaluated):
    result, _ = evaluated
    rows = [row["scores"] for row in result["per_clip"]]
    flow = [s["composited"]["ssim"]["flow"] for s in rows]
    known = [v for v in flow if v is not None]
    assert result["ssim"]["flow"] == pytest.approx(np.mean(known))
    assert result["ssim"]["sd"]["flow"] == pytest.approx(np.std(known, ddof=1))
    gain = result["gain"]["inpaint"]
    assert gain["flow"] == pytest.approx(result["ssim"]["flow"] - result["baselines"]["inpaint"]["flow"], abs=1e-9)
    assert gain["ci95"]["flow"][0] > 0


def test_clips_without_flow_come_back_unchanged(evaluated):
    result, _ = evaluated
    assert result["identity"]["n_clips_without_flow"] == 2
    assert result["identity"]["ssim_without_flow"] == pytest.approx(1, abs=1e-6)
    assert result["identity"]["max_change_outside_box"] == 0
    assert result["identity"]["without_colour"] == {"n_clips": 4, "ssim": pytest.approx(1, abs=1e-6), "max_change": 0}
    assert any("unchanged but for rounding" in finding["text"] for finding in findings(result))
    darker = evaluate(synthetic.oracle_without_noise, synthetic.batches(3), synthetic.ids, options=FAST)
    assert darker["identity"]["without_colour"]["n_clips"] == 3, "padding does not count"
    assert any("changed although nothing was hidden" in finding["text"] for finding in findings(darker))


def test_batching_and_padding_do_not_matter():
    one = evaluate(synthetic.oracle_without_noise, synthetic.batches(3, batch=4), synthetic.ids, options=FAST)
    other = evaluate(synthetic.oracle_without_noise, synthetic.batches(3, batch=1), synthetic.ids, options=FAST)
    for stratum in STRATA:
        assert one["ssim"][stratum] == pytest.approx(other["ssim"][stratum], abs=1e-5)
    assert one["n_clips"] == other["n_clips"] == 3


def test_json_has_no_nan_and_round_trips(evaluated, tmp_path):
    result, _ = evaluated
    write_result(tmp_path / "deep" / "evaluation.json", result)
    text = (tmp_path / "deep" / "evaluation.json").read_text()
    assert "NaN" not in text
    assert text == json.dumps(json.loads(text), indent=1), "the same bytes as ever"
    assert json.loads(text)["ssim"]["flow"] == result["ssim"]["flow"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["evaluation.json"]


def test_findings_name_the_best_baseline_and_warn(evaluated):
    result, _ = evaluated
    texts = [f["text"] for f in findings(result)]
    assert findings(result)[0]["level"] == "good"
    assert "inpaint" in texts[0] or "temporal median" in texts[0]
    assert any("bit for bit" in text for text in texts)
    worse = json.loads(json.dumps(result))
    for gain in worse["gain"].values():
        gain["flow"], gain["ci95"]["flow"] = -0.1, [-0.2, -0.05]
    assert findings(worse)[0]["level"] == "warning"
    assert "below" in findings(worse)[0]["text"]


def test_terminal_tables_show_every_row(evaluated, capsys):
    print_result(evaluated[0])
    shown = capsys.readouterr().out
    for name in ("model", "luma", "inpaint", "temporal median", "inner flow", "heart"):
        assert name in shown
    assert "…" not in shown, "fits 80 columns"


@pytest.mark.parametrize(("fraction", "name"), [(0, "none"), (0.01, "<5 %"), (0.1, "5-15 %"), (0.4, ">15 %")])
def test_colour_bins(fraction, name):
    assert colour_bin(fraction) == name


def test_nothing_is_scored_on_fewer_clips_than_given():
    few = EvaluateOptions(baselines=(), expected_clips=4)
    with pytest.raises(ValueError, match="4 clips were given but 3 were scored"):
        evaluate(synthetic.oracle, synthetic.batches(3), synthetic.ids, options=few)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(synthetic.oracle, [], synthetic.ids)
    with pytest.raises(ValueError, match="came twice"):
        evaluate(synthetic.oracle, synthetic.batches(3) * 2, synthetic.ids, options=FAST)


def test_bad_batches_predictions_and_ids_are_named():
    batch = synthetic.batches(2)[0]
    with pytest.raises(ValueError, match=r"lacks \['hidden'\]"):
        evaluate(synthetic.oracle, [{k: v for k, v in batch.items() if k != "hidden"}], synthetic.ids)
    with pytest.raises(ValueError, match="must agree"):
        evaluate(synthetic.oracle, [batch | {"grey": batch["grey"][:, :-1]}], synthetic.ids)
    with pytest.raises(ValueError, match="must return 'grey' and 'composited'"):
        evaluate(lambda b: {"grey": synthetic.oracle(b)["grey"]}, [batch], synthetic.ids)
    with pytest.raises(ValueError, match="like the batch's grey"):
        evaluate(lambda b: {k: v[..., 0] for k, v in synthetic.oracle(b).items()}, [batch], synthetic.ids)
    with pytest.raises(ValueError, match="no clip id or patient id"):
        evaluate(synthetic.oracle, [batch], lambda i: (f"c{i}", ""), options=FAST)
    with pytest.raises(ValueError, match="unknown baselines"):
        EvaluateOptions(baselines=("telea",))


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_keep_shape_and_grey_input(name):
    plain, coloured = synthetic.clip(0, flow=False), synthetic.clip(1)
    out = BASELINES[name](plain["cfd"], plain["hidden"])
    np.testing.assert_array_equal(out, plain["grey"][..., 0])
    out = BASELINES[name](coloured["cfd"], coloured["hidden"])
    assert out.dtype == np.uint8
    assert out.shape == coloured["cfd"].shape[:3]
    seen = coloured["hidden"] == 0
    np.testing.assert_array_equal(out[seen], coloured["grey"][..., 0][seen])


def test_temporal_median_takes_what_was_seen_and_inpaints_the_rest():
    grey = np.arange(1, 6, dtype=np.uint8)[:, None, None] * np.full((5, 12, 12), 10, np.uint8)
    cfd, hidden = np.repeat(grey[..., None], 3, -1), np.zeros((5, 12, 12), np.uint8)
    hidden[:2, 3, 3] = 1
    hidden[:, 8, 8] = 1
    out = BASELINES["temporal_median"](cfd, hidden)
    assert out[0, 3, 3] == out[1, 3, 3] == 40, "the median of 30, 40, 50"
    assert out[3, 3, 3] == 40
    np.testing.assert_allclose(out[:, 8, 8], grey[:, 0, 0], atol=1)


def test_speckle_yardstick_changes_hidden_pixels_only_and_reaches_the_table():
    clip = synthetic.clip(0)
    redraws = np.random.default_rng(0).integers(0, 255, (3, *clip["grey"].shape[:3])).astype(np.uint8)
    given = (clip["hidden"], clip["strata"] & BOX)
    yardstick = redrawn_speckle(clip["grey"][..., 0], redraws, *given, feather=2)
    hidden = clip["hidden"] > 0
    np.testing.assert_array_equal(yardstick["speckle_redraw"][hidden], redraws[0][hidden])
    near = blend_weights(*given, feather=2) > 0
    assert near.sum() > hidden.sum(), "blended in like a result"
    np.testing.assert_array_equal(yardstick["speckle_mean"][~near], clip["grey"][..., 0][~near])
    asked = []

    def redraw(index):
        asked.append(index)
        return None if index == 1 else redraws

    options = dataclasses.replace(FAST, redraw=redraw)
    result = evaluate(synthetic.oracle, synthetic.batches(3), synthetic.ids, options=options)
    assert asked == [0, 1, 2], "padding is not drawn"
    assert {"speckle_redraw", "speckle_mean", "luma"} == set(result["baselines"])
    assert result["baselines"]["speckle_mean"]["ssim"]["n"]["flow"] == 2, "the clip without draws is left out"
    assert any("new speckle" in finding["text"] for finding in findings(result))
    with pytest.raises(ValueError, match="redraws must be"):
        redrawn_speckle(clip["grey"][..., 0], redraws[:, :2], *given, feather=2)


def test_first_lines_say_what_failed(evaluated):
    result = json.loads(json.dumps(evaluated[0]))
    result["confidence"] = {"reliability": {"ece": 0.2}, "sparsification": {"ause": 1.1}}
    result["downstream"] = {"f1_real": 0.9, "f1_synthetic": 0.85, "f1_difference": -0.05, "dice": 0.9}
    result["downstream"]["dice_controls"] = {"speckle_redraw": {"dice": 0.95}}
    said = findings(result)
    assert [finding["level"] for finding in said[:2]] == ["warning", "warning"]
    assert "do not classify as real ones do" in said[0]["text"]
    assert "target 0.97" in said[1]["text"] and "0.950" in said[1]["text"]
    assert any("does not tell good pixels from bad" in finding["text"] for finding in said)
    result["downstream"] = {"note": "all test clips are of one class (A4C), so F1 says nothing and was left out"}
    assert findings(result)[0]["text"].startswith("All test clips are of one class")
