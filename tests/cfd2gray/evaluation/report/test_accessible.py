"""Every kind of page before axe-core, in both themes, wide and narrow. The viewer's are in tests/cfd2gray/viewer."""

import copy
import json

import numpy as np
import pytest

from cfd2gray.evaluation.reader_study.build import StudyOptions, build_study
from cfd2gray.evaluation.reader_study.results_page import write_reader_page
from cfd2gray.evaluation.reader_study.score import score_study
from cfd2gray.evaluation.reader_study.simulate import simulate_reader
from cfd2gray.evaluation.report.compare import write_comparison
from cfd2gray.evaluation.report.domain_page import write_domain_page
from cfd2gray.evaluation.report.page import write_report
from cfd2gray.pages import census as census_page
from cfd2gray.pages.player import clip_player
from cfd2gray.translation.folders.gallery import write_gallery
from cfd2gray.translation.folders.private_map import Row
from data_pipeline.census.rows import CensusRow
from data_pipeline.census.run import Census
from launch import sweep_table
from tests.cfd2gray.evaluation.browser import as_wide_as, browser, needs_browser, violations
from tests.cfd2gray.evaluation.reader_study.test_reader_study import clips
from tests.cfd2gray.evaluation.report.test_report import HISTORY
from tests.cfd2gray.evaluation.tasks.test_audit_and_domains import block, row_of

pytestmark = needs_browser


def report(folder, evaluated):
    result, gallery = evaluated
    write_report(folder / "page.html", result, gallery.clips(), history=HISTORY, title="Evaluation")


def comparison(folder, evaluated):
    other = copy.deepcopy(evaluated[0])
    for row in other["per_clip"]:
        if row["scores"]["composited"]["ssim"]["flow"] is not None:
            row["scores"]["composited"]["ssim"]["flow"] += 0.04
    write_comparison(folder / "page.html", {"a": evaluated[0], "b": other})


def domains(folder, evaluated):
    rows = {"heart": row_of(block(0.6)), "liver": row_of(block(0.4))}
    outcome = {"trained_on": None, "domains": {d: {"seen": row, "unseen": row} for d, row in rows.items()}}
    write_domain_page(folder / "page.html", outcome)


def census(folder, evaluated):
    kinds = [("cfd", "A4C"), ("bmode", "A4C"), ("dual", "PLAX"), ("cfd", "PLAX"), ("unreadable", "UNKNOWN")]
    rows = [
        CensusRow(
            clip=f"{p}{k}{view}", modality=kind, patient=str(p), view=view, code="corrupt" * (kind == "unreadable")
        )
        for p in range(3)
        for k, (kind, view) in enumerate(kinds[p:])
    ]
    census_page.write_html(Census(rows=tuple(rows)), folder / "page.html")


def study(folder, evaluated):
    build_study(folder / "study", clips(), options=StudyOptions(items=8, repeats=2))
    (folder / "study" / "study.html").rename(folder / "page.html")


def scores(folder, evaluated):
    key = build_study(folder / "study", clips(), options=StudyOptions(items=8, repeats=2))
    bodies = [json.loads(simulate_reader(key, name=f"r{n}", skill=0.5, seed=n)["body"]) for n in range(2)]
    write_reader_page(folder / "page.html", score_study(key, bodies))


def sweep(folder, evaluated):
    (folder / "sweep.json").write_text(json.dumps({}))
    keys, results = ["rate", "kind"], ["step", "loss/total"]
    rows = [
        {"run": f"r{n}", "state": "done", "rate": n, "kind": "ab"[n], "step": 2, "loss/total": n / 3} for n in (0, 1)
    ]
    columns = ["run", "state", *keys, *results]
    plot = sweep_table.parallel_coordinates([*keys, *results], rows)
    sweep_table.write_page(
        folder / "page.html", title="A sweep", facts="2 runs", sections=sweep_table._sections(columns, rows, plot)
    )


def translated(folder, evaluated):
    shared = {"kind": "cfd", "reason": "a colour box", "share": "0.05"}
    write_gallery(folder, [
        Row(source="a", output="a.dcm", state="translated", certainty="0.40", **shared),
        Row(source="b", output="b.dcm", state="copied", certainty="0.98", **shared),
    ])  # fmt: skip
    (folder / "index.html").rename(folder / "page.html")


def player(folder, evaluated):
    grey = np.random.default_rng(0).integers(0, 255, (4, 40, 60), np.uint8)
    panels = {"colour flow": np.repeat(grey[..., None], 3, 3), "greyscale, synthetic": grey}
    clip_player(
        panels, outline=grey > 200, fps=20, name="cfd", numbers={"synthesised": "5 %"}, max_frames=9, max_side=90
    ).save(folder / "page.html")


PAGES = (report, comparison, domains, census, study, scores, sweep, translated, player)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("downloads")) as found:
        yield found


@pytest.mark.parametrize("make", PAGES, ids=lambda make: make.__name__)
def test_nothing_fails_the_rules_of_accessibility(make, evaluated, chrome, tmp_path):
    make(tmp_path, evaluated)
    for theme, width in (("light", 1280), ("dark", 420)):
        with as_wide_as(chrome, width):
            chrome.open(tmp_path / "page.html")
            chrome.script("document.documentElement.dataset.theme = arguments[0]", theme)
            assert not violations(chrome), (theme, width)
            assert chrome.script("return document.documentElement.scrollWidth <= innerWidth"), f"sideways at {width} px"
