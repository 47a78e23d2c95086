"""The reader study from building to score: blinded, balanced, resumable, signed, and right about known readers."""

import json
import re

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from cfd2gray.evaluation.reader_study.build import StudyClip, StudyOptions, build_study
from cfd2gray.evaluation.reader_study.results_page import print_scores, reader_findings, write_reader_page
from cfd2gray.evaluation.reader_study.score import (
    answers_needed,
    cohen_kappa,
    exact_interval,
    fleiss_kappa,
    power,
    read_answers,
    read_key,
    score_study,
    sign,
)
from cfd2gray.evaluation.reader_study.simulate import simulate_reader
from tests.cfd2gray.evaluation.browser import browser, needs_browser


def clips(n=16, shape=(4, 24, 24)):
    """Real clips are noise; translations are smooth, so their JPEGs would be shorter."""
    rng = np.random.default_rng(0)
    return [
        StudyClip(
            clip_id=f"clip{i}",
            patient_id=f"p{i}",
            view=("A4C", "KIDNEY", "LIVER")[i % 3],
            real=rng.integers(0, 255, shape).astype(np.uint8),
            synthetic=np.full(shape, i % 200, np.uint8),
        )
        for i in range(n)
    ]


@pytest.fixture
def study(tmp_path):
    key = build_study(tmp_path / "study", clips(), options=StudyOptions(items=8, repeats=2))
    return tmp_path / "study", key


def test_study_is_balanced_and_shows_each_clip_once(study):
    _, key = study
    once = [item for item in key["items"] if not item["repeat"]]
    assert len(once) == 8
    assert sum(item["synthetic"] for item in once) == 4
    assert len({item["clip_id"] for item in once}) == 8
    assert sum(item["repeat"] for item in key["items"]) == 2
    for view in {item["view"] for item in once}:
        kinds = [item["synthetic"] for item in once if item["view"] == view]
        assert abs(sum(kinds) - len(kinds) / 2) <= 0.5
    assert read_key(study[0] / "key.json") == key


def test_page_gives_nothing_away(study):
    folder, key = study
    text = (folder / "study.html").read_text()
    data = json.loads(re.search(r'id="study-data">(.*?)</script>', text, re.S)[1])
    assert len({len(item["sheet"]) for item in data["items"]}) == 1, "all sheets have one length"
    assert all(set(item) == {"item", "sheet"} for item in data["items"])
    assert all(re.fullmatch(r"[0-9a-f]{12}", item["item"]) for item in data["items"])
    for item in key["items"]:
        assert item["clip_id"] not in text
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)
    assert "http" not in text


def test_studies_that_cannot_be_fair_are_refused(tmp_path):
    with pytest.raises(ValueError, match="only 16 were given"):
        build_study(tmp_path / "a", clips(), options=StudyOptions(items=20))
    with pytest.raises(ValueError, match="one shape"):
        build_study(tmp_path / "a", clips(4) + clips(4, (4, 30, 24)), options=StudyOptions(items=8))
    with pytest.raises(ValueError, match="even number"):
        StudyOptions(items=7)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        build_study(tmp_path / "mine", clips(), options=StudyOptions(items=8))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ValueError, match="same frames and size"):
        StudyClip(
            clip_id="c",
            patient_id="p",
            view="A4C",
            real=np.zeros((2, 9, 9), np.uint8),
            synthetic=np.zeros((1, 9, 9), np.uint8),
        )


@needs_browser
def test_a_reader_answers_reloads_and_hands_in(study, tmp_path):
    folder, key = study
    truth = {item["item"]: item["synthetic"] for item in key["items"]}
    with browser(tmp_path) as chrome:
        chrome.open(folder / "study.html")
        chrome.type("#reader", "Dr. A/1")
        chrome.type("#experience", "12")
        chrome.click("#begin")
        place = "return document.getElementById('place').textContent"
        assert chrome.script(place) == "1 / 10"
        assert chrome.script("return document.getElementById('next').disabled"), "an answer is needed first"
        chrome.key("\ue007")
        assert chrome.script(place) == "1 / 10", "Enter without an answer does nothing"
        for i in range(4):
            chrome.key("s" if i % 2 else "r")
            chrome.key(str(i + 1))
            chrome.key("\ue007")
        assert chrome.script(place) == "5 / 10"
        chrome.wait("document.getElementById('clip').dataset.frame !== undefined")
        chrome.refresh()
        assert chrome.script(place) == "5 / 10", "the place survives a reload"
        chrome.key("b")
        assert chrome.script(place) == "4 / 10"
        pressed = "return [...document.querySelectorAll('[aria-pressed=true]')].map(b => b.textContent.trim()[0])"
        assert chrome.script(pressed) == ["S", "4"]
        chrome.click("[data-choice=real]")
        chrome.click("[data-confidence='2']")
        chrome.click("#next")
        for _ in range(6):
            chrome.key("s")
            chrome.key("5")
            chrome.key("\ue007")
        chrome.wait("!document.getElementById('end').hidden")
        assert chrome.errors() == []
        chrome.click("#download")
        for _ in range(100):
            found = [p for p in tmp_path.glob("answers-*.json") if p.stat().st_size]
            if found:
                break
            chrome.script("return 1")
            __import__("time").sleep(0.05)
    assert len(found) == 1
    assert "Dr_A_1" in found[0].name
    body = read_answers(found[0], key)
    assert body["reader"] == "Dr. A/1"
    choices = [a["choice"] for a in body["answers"]]
    assert choices == ["real", "synthetic", "real", "real"] + ["synthetic"] * 6
    assert [a["confidence"] for a in body["answers"]] == [1, 2, 3, 2] + [5] * 6
    scores = score_study(key, [body])
    once = {item["item"] for item in key["items"] if not item["repeat"]}
    right = sum((a["choice"] == "synthetic") == truth[a["item"]] for a in body["answers"] if a["item"] in once)
    assert scores["readers"][0]["right"] == right
    assert scores["readers"][0]["experience"] == "12"


@needs_browser
def test_readers_see_different_orders_and_a_pause_holds_the_frame(study, tmp_path):
    folder, _ = study
    orders = []
    for reader in ("a", "b"):
        with browser(tmp_path) as chrome:
            chrome.open(folder / "study.html")
            chrome.type("#reader", reader)
            chrome.click("#begin")
            chrome.wait("document.getElementById('clip').dataset.frame !== undefined")
            chrome.key(" ")
            chrome.key("\ue014")
            first = chrome.script("return document.getElementById('clip').dataset.frame")
            chrome.script("return new Promise(done => setTimeout(done, 150))")
            assert chrome.script("return document.getElementById('clip').dataset.frame") == first
            for _ in range(10):
                for key in ("r", "1", "\ue007"):
                    chrome.key(key)
            chrome.script("document.getElementById('download').click()")
            stored = chrome.script("return Object.keys(JSON.parse(Object.values(localStorage)[0]).answers)")
            orders.append(stored)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def answers(study, path, **reader):
    path.write_text(json.dumps(simulate_reader(study[1], **reader)))
    return path


def test_edited_foreign_and_incomplete_files_are_refused(study, tmp_path):
    folder, key = study
    good = answers(study, tmp_path / "good.json", name="a", skill=1)
    assert read_answers(good, key)["reader"] == "a"
    file = json.loads(good.read_text())
    file["body"] = file["body"].replace('"confidence": 1', '"confidence": 5', 1).replace("real", "synthetic", 1)
    (tmp_path / "edited.json").write_text(json.dumps(file))
    with pytest.raises(ValueError, match="edited or damaged"):
        read_answers(tmp_path / "edited.json", key)
    other = build_study(tmp_path / "other", clips(), options=StudyOptions(items=8))
    with pytest.raises(ValueError, match=f"key is of study {other['study']}"):
        read_answers(good, other)
    body = json.loads(json.loads(good.read_text())["body"])
    body["answers"].pop()
    short = json.dumps(body)
    (tmp_path / "short.json").write_text(
        json.dumps({"format": "cfd2gray-reader-answers-1", "body": short, "signature": sign(short, key["secret"])})
    )
    with pytest.raises(ValueError, match="1 of 10 items are unanswered"):
        read_answers(tmp_path / "short.json", key)
    with pytest.raises(ValueError, match="2 answer files"):
        score_study(key, [read_answers(good, key)] * 2)
    with pytest.raises(ValueError, match="no answers"):
        score_study(key, [])
    with pytest.raises(ValueError, match="not a reader study's key"):
        read_key(good)
    with pytest.raises(ValueError, match="no such file"):
        read_key(folder / "none.json")


def test_simulated_readers_of_known_skill_are_scored_as_they_are(tmp_path):
    many = clips(300, (1, 12, 12))
    key = build_study(tmp_path / "s", many, options=StudyOptions(items=200, repeats=40))
    files = [simulate_reader(key, name=f"r{i}", skill=s, seed=i) for i, s in enumerate((0, 0, 2, 2))]
    readers = [read_answers(answers_file(tmp_path / f"{i}.json", f), key) for i, f in enumerate(files)]
    scores = score_study(key, readers)
    rows = scores["readers"]
    for row in rows[:2]:
        assert row["ci95"][0] < 0.5 < row["ci95"][1]
    for row in rows[2:]:
        expected = scipy.stats.norm.cdf(1)
        assert row["ci95"][0] < expected < row["ci95"][1]
        assert row["auc"] == pytest.approx(scipy.stats.norm.cdf(2 / np.sqrt(2)), abs=0.06)
        assert row["p_against_guessing"] < 1e-6
        assert row["self_agreement"]["n"] == 40
        assert row["self_agreement"]["share"] > 0.8
    assert scores["agreement"]["fleiss_kappa"] < scores["agreement"]["pairs"]["r2 / r3"]
    assert scores["pooled"]["n"] == 800
    assert scores["roc"]["sensitivity"][-1] == scores["roc"]["false_alarms"][-1] == 1
    assert "they can tell" in reader_findings(scores)[0]
    guessing = score_study(key, readers[:2])
    assert "would have been noticed" in reader_findings(guessing)[1]
    page = write_reader_page(tmp_path / "scores.html", scores).read_text()
    assert "ROC by confidence" in page
    assert "r3" in page


def answers_file(path, content):
    path.write_text(json.dumps(content))
    return path


def test_terminal_shows_every_reader(study, capsys):
    print_scores(score_study(study[1], [json.loads(simulate_reader(study[1], name="eva", skill=1)["body"])]))
    assert "eva" in capsys.readouterr().out


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (27, 50), (54, 100)])
def test_exact_intervals_equal_scipy(k, n):
    expected = scipy.stats.binomtest(k, n).proportion_ci(method="exact")
    np.testing.assert_allclose(exact_interval(k, n), [expected.low, expected.high], atol=1e-10)


def test_kappas_equal_independent_ones():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 50))
    assert cohen_kappa(a, b) == pytest.approx(sklearn.metrics.cohen_kappa_score(a, b))
    assert cohen_kappa(a, a) == pytest.approx(1)
    assert cohen_kappa(np.ones(5), np.ones(5)) is None
    # Worked example of Fleiss (1971) as tabulated widely: 14 raters, 10 items, 5 categories, kappa 0.210.
    table = np.array(
        [
            [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
        ]
    )  # fmt: skip
    ratings = np.stack([np.repeat(np.arange(5), row) for row in table], axis=1)
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)


def test_power_agrees_with_simulation_and_answers_needed_with_power():
    rng = np.random.default_rng(0)
    hits = rng.binomial(100, 0.65, 1500)
    found = np.mean([scipy.stats.binomtest(int(k), 100).pvalue <= 0.05 for k in hits])
    assert power(100, 0.65) == pytest.approx(found, abs=0.03)
    assert power(100, 0.5) <= 0.05, "the exact test is no more generous than it says"
    n = answers_needed(0.7)
    assert power(n, 0.7) >= 0.8 > power(n - 1, 0.7)
    assert answers_needed(0.501) is None
    with pytest.raises(ValueError, match="differ from"):
        answers_needed(0.5)
