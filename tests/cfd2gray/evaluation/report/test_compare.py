"""Several runs side by side: paired differences, settings that differ, refusals."""

import copy
import json

import pytest

from cfd2gray.evaluation.report.compare import compare, load_result, run_names, write_comparison
from cfd2gray.evaluation.results import write_result
from cfd2gray.metrics.accumulate import Bootstrap


def shifted(result, by):
    """The same run with every SSIM in flow moved."""
    other = copy.deepcopy(result)
    for row in other["per_clip"]:
        ssim = row["scores"]["composited"]["ssim"]
        if ssim["flow"] is not None:
            ssim["flow"] += by
    return other


def test_differences_are_paired_over_common_clips(evaluated):
    result, _ = evaluated
    worse = shifted(result, -0.05)
    worse["per_clip"] = worse["per_clip"][:7]
    outcome = compare({"a": result, "b": worse}, bootstrap=Bootstrap(resamples=200))
    flow = outcome["difference"]["b"]["ssim"]["flow"]
    assert flow["mean"] == pytest.approx(-0.05)
    assert flow["ci95"] == pytest.approx([-0.05, -0.05]), "pairing leaves no spread"
    assert outcome["common_clips"]["b"] == 7
    assert outcome["settings"] == {}


def test_settings_that_differ_are_named_and_models_are_not(evaluated):
    result, _ = evaluated
    other = copy.deepcopy(result)
    other["settings"] |= {"size": 64, "model": "another", "seconds": 1.0}
    other["settings"]["intervals"]["seed"] = 7
    assert set(compare({"a": result, "b": other})["settings"]) == {"size", "intervals.seed"}


def test_page_says_better_worse_and_unpaired(evaluated, tmp_path):
    result, _ = evaluated
    foreign = copy.deepcopy(result)
    for row in foreign["per_clip"]:
        row["clip_id"] = "x" + row["clip_id"]
    foreign["downstream"] = {"f1_real": 0.912, "f1_synthetic": 0.907, "dice": 0.961}
    runs = {"first": result, "up <b>": shifted(result, 0.04), "down": shifted(result, -0.04), "other": foreign}
    text = write_comparison(tmp_path / "c.html", runs).read_text()
    assert "SSIM in flow +0.040" in text
    assert "better" in text
    assert "worse" in text
    assert "shares no clip" in text
    assert "up &lt;b&gt;" in text
    assert "<td>0.912</td><td>0.907</td><td>0.961</td><td>–</td>" in text
    assert "<b>" not in text.replace("<b>A", "")


def test_runs_are_found_in_their_folders_and_named_shortly(evaluated, tmp_path):
    result, _ = evaluated
    for name in ("one", "two"):
        write_result(tmp_path / name / "run" / "evaluation" / "evaluation.json", result)
    paths = [tmp_path / name / "run" for name in ("one", "two")]
    assert load_result(paths[0])["n_clips"] == 10
    assert run_names(paths) == ["one/run", "two/run"]
    assert run_names([tmp_path / "one", tmp_path / "two"]) == ["one", "two"]
    with pytest.raises(ValueError, match=r"no evaluation\.json"):
        load_result(tmp_path / "none")
    (tmp_path / "bad.json").write_text(json.dumps({"loss": 1}))
    with pytest.raises(ValueError, match="not an evaluation result"):
        load_result(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        load_result(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="at least two runs"):
        compare({"a": result})
