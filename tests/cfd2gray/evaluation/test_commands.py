"""The evaluation's commands as a person runs them: evaluate, report, domains, reader-study."""

import dataclasses
import functools
import json

import jax
import pytest

from cfd2gray.cli import main
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.weights import pretrained
from data_pipeline.records import pack
from tests.cfd2gray import tiny


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.strip()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Packed clips, two weights files, and the arguments that every command here needs."""
    folder = tmp_path_factory.mktemp("commands")
    records = tiny.pack_tiny(folder / "records", clips=40)
    for seed in (0, 1):
        weights = pretrained.GeneratorWeights(
            params=jax.device_get(fresh_params(Generator, tiny.SPEC, seed)),
            spec=tiny.SPEC,
            settings={"window": 8, "feather": 1, "size": 32},
            name=f"untrained-{seed}",
            digest="",
        )
        pretrained.save_weights(folder / f"{seed}.safetensors", weights)
    config = ["--config", "tiny", f"--config.data.dir={records}", "--config.eval.bootstrap=200", "--split", "train"]
    config += ["--config.data.size=32", "--config.eval.frames=3", "--config.eval.perceptual_frames=0"]
    return folder, config


@pytest.fixture(scope="module")
def evaluated_runs(data):
    """Two evaluations of the same clips."""
    folder, config = data
    for seed in (0, 1):
        code = main(
            ["evaluate", *config, "--weights", str(folder / f"{seed}.safetensors"), "-o", str(folder / f"run{seed}")]
        )
        assert code == 0
    return folder / "run0", folder / "run1"


def test_report_of_one_run_keeps_its_clips(capsys, evaluated_runs, tmp_path):
    code, out, _ = run(capsys, "report", evaluated_runs[0], "-o", tmp_path / "page.html")
    assert code == 0 and "page.html" in out
    page = (tmp_path / "page.html").read_text()
    assert page.count('class="clip"') == (evaluated_runs[0] / "report.html").read_text().count('class="clip"') > 0


def test_report_of_several_runs_sets_them_side_by_side(capsys, evaluated_runs, tmp_path):
    code, _, _ = run(
        capsys, "report", *evaluated_runs, "-o", tmp_path / "page.html", "--json", tmp_path / "difference.json"
    )
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    assert "run1 against run0" in page
    assert 'class="clip"' in page, "the random clips are in both reports, so they can be watched together"
    difference = json.loads((tmp_path / "difference.json").read_text())
    first, second = (json.loads((r / "evaluation.json").read_text()) for r in evaluated_runs)
    assert difference["difference"]["run1"]["ssim"]["flow"]["mean"] == pytest.approx(
        second["ssim"]["flow"] - first["ssim"]["flow"], abs=1e-9
    )
    code, _, err = run(capsys, "report", *evaluated_runs, "--workdir", tmp_path, "-o", tmp_path / "no.html")
    assert code == 2 and "several runs" in err


def test_own_labels_and_models_reach_the_result(capsys, data, evaluated_runs, tmp_path, monkeypatch):
    folder, config = data
    (tmp_path / "own_models.py").write_text(
        "import numpy as np\n"
        "def views(clips):\n    return np.stack([clips.mean((1, 2, 3)), 115 + 0 * clips.mean((1, 2, 3))], -1)\n"
        "def chambers(clips):\n    return (clips > 100).astype(np.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = json.loads((evaluated_runs[0] / "evaluation.json").read_text())["per_clip"]
    labels = tmp_path / "labels.csv"
    labels.write_text("clip_id,label\n" + "".join(f"{r['clip_id']},{'ab'[i % 2]}\n" for i, r in enumerate(rows)))
    weights = ["--weights", folder / "0.safetensors"]
    own = ["--downstream", "--labels", labels, "--classifier", "own_models:views", "--segmenter", "own_models:chambers"]
    code, out, _ = run(capsys, "evaluate", *config, *weights, *own, "--margin", "0.2", "-o", tmp_path / "out")
    assert code == 0 and "F1" in out.splitlines()[0], "what the paper claimed is judged in the first line"
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())["downstream"]
    assert set(found["f1_per_class"]) == {"a", "b"}
    assert found["equivalence"]["margin"] == 0.2
    labels.write_text("clip_id,label\n" + "".join(f"{r['clip_id']},a\n" for r in rows[1:]))
    code, _, err = run(capsys, "evaluate", *config, *weights, *own, "-o", tmp_path / "bad")
    assert code == 2 and "1 of" in err and "have no label" in err
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--downstream"], "give val or test"),
        (["--recovery", "ten"], "separated by commas"),
        (["--downstream", "--label-maps", "maps"], "names of their values"),
        (["--downstream", "--classifier", "nosuch"], "package.module:function"),
        (["--labels", "labels.csv"], "--downstream, --recovery or --audit"),
        (["--lpips", "nosuch.npz"], "no such file"),
    ],
)
def test_mistakes_are_found_before_anything_is_scored(capsys, data, tmp_path, arguments, expected):
    folder, config = data
    weights = ["--weights", folder / "0.safetensors"]
    code, _, err = run(capsys, "evaluate", *config, *weights, *arguments, "-o", tmp_path / "out")
    assert code == 2 and expected in err and len(err.splitlines()) == 1, err
    assert not (tmp_path / "out").exists()


def test_the_evaluation_of_other_weights_and_foreign_pages_are_not_lost(capsys, data, evaluated_runs, tmp_path):
    folder, config = data
    before = (folder / "run0" / "evaluation.json").read_bytes()
    argv = ["evaluate", *config, "--weights", folder / "1.safetensors", "-o", folder / "run0"]
    code, _, err = run(capsys, *argv)
    assert code == 2 and "other weights" in err and "--overwrite" in err
    assert (folder / "run0" / "evaluation.json").read_bytes() == before
    (tmp_path / "mine.html").write_text("<html>my thesis</html>")
    code, _, err = run(capsys, "report", folder / "run0", "-o", tmp_path / "mine.html")
    assert code == 2 and "no page of cfd2gray" in err and "thesis" in (tmp_path / "mine.html").read_text()
    for _ in range(2):  # its own page is made again
        assert run(capsys, "report", folder / "run0", "-o", tmp_path / "page.html")[0] == 0


def test_a_reader_study_from_end_to_end(capsys, data, tmp_path):
    folder, config = data
    build = ["reader-study", "build", *config, "--weights", folder / "0.safetensors", "--items", "8", "--repeats", "2"]
    code, out, _ = run(capsys, *build, "-o", tmp_path / "study", "--json", tmp_path / "built.json")
    assert code == 0 and "send this file to your readers" in out
    assert json.loads((tmp_path / "built.json").read_text())["n_items"] == 10
    key = tmp_path / "study" / "key.json"
    rehearse = ["reader-study", "simulate", key, "--readers", "3", "--skill", "3", "-o", tmp_path / "answers"]
    assert run(capsys, *rehearse)[0] == 0
    answers = sorted((tmp_path / "answers").iterdir())
    score = ["reader-study", "score", key, *answers, "-o", tmp_path / "scores.html", "--json", tmp_path / "scores.json"]
    code, out, _ = run(capsys, *score)
    assert code == 0 and "3 readers told real from translated clips" in out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["pooled"]["n"] == 24 and scores["pooled"]["accuracy"] > 0.7
    assert (tmp_path / "scores.html").is_file()
    code, _, err = run(capsys, *build, "-o", tmp_path / "study")
    assert code == 2 and "not empty" in err
    body = json.loads(answers[0].read_text())
    body["body"] = body["body"].replace('"real"', '"synthetic"', 1)
    answers[0].write_text(json.dumps(body))
    code, _, err = run(capsys, "reader-study", "score", key, *answers)
    assert code == 2 and "edited or damaged" in err


def test_a_model_of_one_domain_is_tested_on_others(capsys, tmp_path):
    def make(i):
        return dataclasses.replace(tiny.make_pair(i), view="KIDNEY" if i % 2 else "A4C")

    pack.pack([functools.partial(make, i) for i in range(60)], tmp_path / "records", progress=False)
    keys = tiny._TINY | {"data.dir": tmp_path / "records", "eval.bootstrap": 200, "eval.perceptual_frames": 0}
    keys |= {"train.steps": 2, "train.warmup_anatomy": 2}  # AnatomyNet alone: one step to compile
    overrides = [f"--config.{key}={value}" for key, value in keys.items()]
    argv = ["domains", "--config", "tiny", *overrides, "--domains", "heart,kidney", "--trained-on", "heart"]
    code, out, _ = run(capsys, *argv, "-o", tmp_path / "domains")
    assert code == 0 and "unseen" in out
    found = json.loads((tmp_path / "domains" / "domains.json").read_text())
    assert found["trained_on"] == ["heart"]
    assert {name: row["trained_on"] for name, row in found["domains"].items()} == {"heart": True, "kidney": False}
    assert (tmp_path / "domains" / "domains.html").is_file()
    code, _, err = run(capsys, *argv[:-4], "--domains", "heart,brain", "-o", tmp_path / "no")
    assert code == 2 and "brain" in err


def test_power_is_told_before_a_study(capsys, tmp_path):
    argv = ["reader-study", "power", "--answers", "300", "--accuracy", "0.58", "--json", tmp_path / "power.json"]
    code, out, _ = run(capsys, *argv)
    assert code == 0 and "300 answers" in out
    found = json.loads((tmp_path / "power.json").read_text())
    assert 0 < found["power"]["0.55"] < found["power"]["0.58"] < found["power"]["0.60"] < 1
    assert found["answers_needed"]["0.58"] > 300
    assert run(capsys, "reader-study", "power", "--answers", "0")[0] == 2
    assert "build, score, power or simulate" in run(capsys, "reader-study")[2]
