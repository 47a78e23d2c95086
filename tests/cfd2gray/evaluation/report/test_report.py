"""The report in a real browser: offline, playable in lock-step, usable by keyboard, honest about what it shows."""

import dataclasses
import re

import numpy as np
import pytest

from cfd2gray.evaluation.report.gallery import Gallery, ReportClip
from cfd2gray.evaluation.report.page import write_report
from cfd2gray.evaluation.report.sprites import clip_panels, error_colours
from cfd2gray.pages.charts import Dot, Facet, Line, interval_plot, line_plot
from tests.cfd2gray.evaluation import synthetic
from tests.cfd2gray.evaluation.browser import browser, needs_browser

HISTORY = [{"step": s, "loss/total": 1 / (s + 1), "eval/ssim_flow": s / 9 if s else None} for s in range(10)]


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    result, gallery = evaluated
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, result, gallery.clips(), history=HISTORY, title="Evaluation of a <test>")


def test_page_is_one_file_that_fetches_nothing(page):
    text = page.read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", text)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "Evaluation of a &lt;test&gt;" in text
    assert [p.name for p in page.parent.iterdir()] == ["report.html"]


def test_page_says_intervals_baselines_settings_and_limits(page):
    text = page.read_text()
    for part in ("temporal median", "95 % interval", "Gaussian 11x11", "not for diagnosis", "synthetic oracle", "jax"):
        assert part in text


@needs_browser
def test_clips_play_in_lock_step_and_answer_the_keyboard(page, tmp_path):
    with browser(tmp_path) as chrome:
        chrome.open(page)
        chrome.wait("[...document.querySelectorAll('.clip')].every(c => c.dataset.ready === 'true')")
        frames = "return [...document.querySelectorAll('.clip.current canvas')].map(c => c.dataset.frame)"
        chrome.key(" ")
        if chrome.script("return document.querySelector('.clip.current .play').textContent") == "Pause":
            chrome.key(" ")
        before = chrome.script(frames)
        assert len(before) == 5
        assert len(set(before)) == 1
        chrome.key("\ue014")  # right arrow
        after = chrome.script(frames)
        assert len(set(after)) == 1
        assert int(after[0]) == (int(before[0]) + 1) % 5
        drawn = chrome.script(
            "const c = document.querySelector('.clip canvas');"
            "const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return [...data].some((v, i) => i % 4 < 3 && v > 40)"
        )
        assert drawn, "the sheet must be painted"
        chrome.key("n")
        assert chrome.script(
            "return [...document.querySelectorAll('.clip')].map(c => c.classList.contains('current'))"
        )[1]
        chrome.key("o")
        assert chrome.script("return document.querySelector('.outline').getAttribute('aria-pressed')") == "true"
        assert chrome.errors() == []


@needs_browser
def test_tabs_show_one_measure_and_the_theme_switches(page, tmp_path):
    with browser(tmp_path) as chrome:
        chrome.open(page)
        visible = "return [...document.querySelectorAll('[id^=measure-]')].filter(e => !e.hidden).map(e => e.id)"
        assert chrome.script(visible) == ["measure-ssim"]
        chrome.script("document.querySelector('[data-panel=measure-flicker_ratio]').click()")
        assert chrome.script(visible) == ["measure-flicker_ratio"]
        colour = "return getComputedStyle(document.body).backgroundColor"
        first = chrome.script(colour)
        chrome.key("t")
        second = chrome.script(colour)
        assert first != second
        chrome.refresh()
        assert chrome.script(colour) == second, "the choice is remembered"
        assert chrome.script("return document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"


def test_sheets_hold_every_frame_and_bound_their_size():
    rng = np.random.default_rng(0)
    clip = synthetic.clip(0, t=7)
    shown = ReportClip(name="a", cfd=clip["cfd"], grey=clip["grey"][..., 0], strata=clip["strata"], fps=10)
    facts = clip_panels(shown, max_frames=4, max_side=24)
    assert (facts["frames"], facts["total"], facts["width"], facts["height"]) == (4, 7, 24, 20)
    assert [panel["name"] for panel in facts["panels"]] == ["colour flow", "translation"]
    truth = rng.integers(0, 255, (7, 40, 48)).astype(np.uint8)
    whole = clip_panels(dataclasses.replace(shown, truth=truth))
    assert [panel["name"] for panel in whole["panels"]] == ["colour flow", "translation", "truth", "error"]
    assert error_colours(truth, truth).max() < 10, "no error is black"
    with pytest.raises(ValueError, match=r"ReportClip\.truth"):
        dataclasses.replace(shown, truth=truth[:3])


def _filled(order):
    gallery = Gallery(per_group=2, candidates=4)
    arrays = synthetic.clip(0) | {"output_composited": synthetic.clip(0)["grey"][..., 0]}
    for value in order:
        scores = {"ssim": {"flow": float(value), "box": 0.0, "frame": 0.0}}
        scores |= {"psnr": {"flow": 0.0}, "flicker_ratio": {"flow": 1.0}}
        facts = {"view": "A4C", "clip_id": f"{value * 7 % 30:08d}", "colour_fraction": 0.1, "fps": 0.0}
        gallery.offer(facts | {"scores": {"composited": scores}}, arrays)
    return gallery.clips()


def test_gallery_keeps_worst_median_best_and_random_without_repeats():
    order = np.random.default_rng(0).permutation(30)
    clips = _filled(order)
    assert [c.tag for c in clips][:6] == ["worst", "worst", "median", "median", "best", "best"]
    assert {c.name for c in clips if c.tag == "worst"} == {"A4C 00000000", "A4C 00000007"}
    assert {c.name for c in clips if c.tag == "best"} == {"A4C 00000016", "A4C 00000023"}
    assert len({c.name for c in clips}) == len(clips)
    for shown in (clips, _filled(order[::-1])):
        assert {"A4C 00000000", "A4C 00000001"} <= {c.name for c in shown}, "smallest ids are in every run's report"


def test_plots_state_their_numbers_and_survive_gaps():
    plot = interval_plot(
        [Facet(title="flow", dots=[Dot(label="m", value=0.5, ends=(0.4, 0.6)), Dot(label="b", value=None)])]
    )
    assert "m, flow: 0.500 (0.400 to 0.600)" in plot
    assert "no such pixels" in plot
    gap = line_plot("loss", [Line(label="a <b>", x=np.arange(5.0), y=np.array([1, 2, np.nan, 3, 4]))], x_label="step")
    curve = re.search(r"<title>a &lt;b&gt;</title>\s*<path d=\"([^\"]*)\"", gap)
    assert curve[1].count("M") == 2, "a gap breaks the curve"
    assert line_plot("empty", [], x_label="step").strip().endswith("</svg>")


def test_charts_are_equal_for_equal_input_follow_the_theme_and_share_no_id():
    one, again, other = (
        interval_plot([Facet(title="flow", dots=[Dot(label="m", value=value, kind="model")])])
        for value in (0.5, 0.5, 0.6)
    )
    assert one == again
    ids = [set(re.findall(r' id="([^"]+)"', chart)) for chart in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
    assert "var(--accent)" in one
    assert not re.search(r"(?:fill|stroke): #0a6a81", one)


def test_report_refuses_what_is_not_a_result(tmp_path):
    with pytest.raises(ValueError, match="not an evaluation result"):
        write_report(tmp_path / "r.html", {"loss": 1}, [])
    assert not list(tmp_path.iterdir())
