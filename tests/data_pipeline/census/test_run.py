import csv
import dataclasses
import json
import os
import pathlib
import re
import shutil
import sqlite3
import stat
import subprocess
import sys

import cv2
import numpy as np
import pytest

from cfd2gray.pages import census as census_page
from data_pipeline import parallel
from data_pipeline.census import rows, sheets
from data_pipeline.census import run as census_module
from data_pipeline.census import tables as census_tables
from data_pipeline.census.rows import CensusOptions, CensusRow, SeenRows
from data_pipeline.census.run import Census, census
from data_pipeline.readers.archive import read_view_csv
from tests.data_pipeline.tiny_archive import make_archive

KEY = b"a secret of the hospital"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("census") / "archive")


@pytest.fixture(scope="module")
def found(archive):
    return census(archive, key=KEY)


def test_every_file_has_its_row(found):
    seen = [(row.modality, row.code or row.view) for row in found.rows]
    assert seen == [
        ("unreadable", "unknown_format"), ("bmode", "A4C"), ("cfd", "A4C"), ("cfd", "A4C"), ("cfd", "PLAX"),
        ("unreadable", "not_ultrasound"), ("dual", "A4C"), ("still", "PLAX"), ("unreadable", "truncated"),
    ]  # fmt: skip
    assert found.rows[7].shows == "bmode"
    assert len({row.patient for row in found.rows if row.patient_known}) == 3
    assert found.rows[1].patient == found.rows[2].patient != found.rows[3].patient
    assert (found.rows[1].fps, found.rows[1].n_frames, found.rows[1].vendor) == (20.0, 5, "Philips")


def test_gain_and_balance(found):
    total = census_tables.gain(found.rows)
    assert (total.clips, total.more_clips, total.patients, total.more_patients) == (2, 3, 2, 1)
    a4c, plax = (census_tables.balance(found)[view] for view in ("A4C", "PLAX"))
    assert (a4c.clips, a4c.more_clips, a4c.patients, a4c.more_patients) == (2, 2, 2, 1)
    assert (plax.clips, plax.more_clips, plax.patients, plax.more_patients) == (0, 1, 0, 1)
    assert census_tables.imbalance(census_tables.balance(found)) == (float("inf"), 4.0)
    assert census_tables.headline(found) == (
        "2 usable greyscale clips of 2 patients; translation would add 3 clips (150% more) and 1 patient who has none"
    )
    assert census_tables.patterns(found) == [(("both", "missing"), 2), (("recoverable", "recoverable"), 1)]


def test_summary_counts_every_file_once(found):
    summary = census_tables.summary(found)
    assert sum(summary["modalities"].values()) == summary["files"] == 9
    assert summary["unreadable"] == {"not_ultrasound": 1, "truncated": 1, "unknown_format": 1}
    assert summary["views"]["PLAX"]["clip_factor"] is None and summary["views"]["A4C"]["clip_factor"] == 2.0
    assert sum(clips for _, clips in census_tables.cells(found)) == 9


def test_files_carry_no_identifier(found, tmp_path):
    census_tables.write_csv(found, tmp_path / "c.csv")
    census_tables.write_json(found, tmp_path / "c.json")
    census_page.write_html(found, tmp_path / "c.html", title="Census <of> ours")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(texts) == {"c.csv", "c.json", "c.html"}
    for text in texts.values():
        assert not [secret for secret in ("SECRET", "Doe", "DOE", "IM1", "1.2.4", str(tmp_path)) if secret in text]
    rows = list(csv.DictReader(texts["c.csv"].splitlines()))
    assert sum(int(row["clips"]) for row in rows) == 9
    assert json.loads(texts["c.json"])["translation"]["more_clips"] == 3
    page = texts["c.html"]
    assert "Census &lt;of&gt; ours" in page and "http" not in page and "src=" not in page
    assert page.count('class="cell recoverable"') == 2 and "truncated" in page and "colour flow (cfd)" in page


def test_terminal_table_renders(found):
    import io

    import rich.console

    out = io.StringIO()
    rich.console.Console(file=out, width=160).print(census_tables.terminal_table(found))
    assert "A4C" in out.getvalue() and "unreadable" in out.getvalue() and "+2" in out.getvalue()


@pytest.fixture
def looked(monkeypatch):
    """Names of the files that were looked at."""
    names, run_ordered = [], parallel.run_ordered

    def counting(function, tasks, **options):
        for task, outcome in run_ordered(function, tasks, **options):
            names.append(pathlib.Path(task.item.path).name)
            yield task, outcome

    monkeypatch.setattr(parallel, "run_ordered", counting)
    return names


def test_workers_and_resume_give_the_same(archive, found, tmp_path, looked):
    out = tmp_path / "out"
    assert census(archive, out_dir=out, key=KEY, workers=2) == found and len(looked) == 9
    with sqlite3.connect(out / "census.sqlite") as file:
        file.execute("DELETE FROM rows WHERE rowid IN (SELECT rowid FROM rows LIMIT 5)")
    file.close()
    assert census(archive, out_dir=out, key=KEY) == found and len(looked) == 14
    assert census(archive, out_dir=out, key=KEY) == found and len(looked) == 14
    with pytest.raises(ValueError, match="holds a census; resume that"):
        census(archive, out_dir=out, key=KEY, resume=False)


def test_changed_options_look_again_at_what_they_change(archive, tmp_path, looked):
    out = tmp_path / "out"
    census(archive, out_dir=out, key=KEY)
    looked.clear()
    (tmp_path / "views.csv").write_text("file,view,patient\nb/IM1.dcm,A2C,P9\ncut SECRET-D,PSAX,\n")
    told = dict(view_csv=tmp_path / "views.csv", out_dir=out, key=KEY)
    rows = census(archive, **told, options=CensusOptions(salvage=True)).rows
    assert looked == ["cut SECRET-D.dcm"]
    assert rows == census(archive, **told | {"out_dir": None}, options=CensusOptions(salvage=True)).rows
    assert (rows[3].view, rows[8].view, rows[8].modality) == ("A2C", "PSAX", "bmode")
    looked.clear()
    rows = census(archive, out_dir=out, key=KEY).rows  # and back
    assert looked == ["cut SECRET-D.dcm"] and (rows[3].view, rows[8].code) == ("A4C", "truncated")
    census(archive, out_dir=out, key=KEY, options=CensusOptions(max_frames=3))
    assert len(looked) == 10


def test_failures_that_may_pass_are_looked_at_again(archive, tmp_path, looked):
    out = tmp_path / "out"
    census(archive, out_dir=out, key=KEY)
    with sqlite3.connect(out / "census.sqlite") as file:
        file.execute("UPDATE rows SET row = json_set(row, '$.code', 'worker_died') WHERE row LIKE '%unknown_format%'")
    file.close()
    looked.clear()
    census(archive, out_dir=out, key=KEY)
    assert looked == ["notes SECRET-E.dat"]


def test_parts_are_joined(archive, found, tmp_path, looked):
    for k in (2, 1, 3):
        census(archive, out_dir=tmp_path / "out", key=KEY, part=(k, 3))
    assert len(looked) == 9
    assert census(archive, out_dir=tmp_path / "out", key=KEY) == found and len(looked) == 9


def test_two_censuses_do_not_mix(archive, tmp_path):
    with SeenRows(tmp_path, CensusOptions()), pytest.raises(ValueError, match="in use by another run"):
        census(archive, out_dir=tmp_path, key=KEY)
    (tmp_path / "census.sqlite").write_bytes(b"no data base" * 100)
    with pytest.raises(ValueError, match="damaged"):
        census(archive, out_dir=tmp_path, key=KEY)


def test_key_is_kept_for_its_owner(archive, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    (small / "IM1.dcm").write_bytes((archive / "a" / "IM1.dcm").read_bytes())
    first = census(small, out_dir=tmp_path / "out")
    (tmp_path / "out" / "census.sqlite").unlink()
    assert census(small, out_dir=tmp_path / "out") == first
    assert stat.S_IMODE((tmp_path / "out" / "census.key").stat().st_mode) == 0o600
    assert census(small) != first  # a new key each time when there is nowhere to keep it


def test_view_csv_overrides(archive, tmp_path):
    table = tmp_path / "views.csv"
    table.write_text("file,view,patient\nb/IM1.dcm,A2C,P9\ncut SECRET-D,psax,\n")
    rows = census(archive, key=KEY, view_csv=table).rows
    assert rows[3].view == "A2C" and rows[8].view == "PSAX" and rows[8].modality == "unreadable"
    assert rows[3].patient != rows[4].patient


def test_out_dir_inside_the_archive_is_not_counted(tmp_path):
    (tmp_path / "x.dat").write_text("x")
    out = tmp_path / "census"
    assert len(census(tmp_path, out_dir=out, key=KEY).rows) == 1
    assert len(census(tmp_path, out_dir=out, key=KEY).rows) == 1


@pytest.mark.parametrize(
    "text, message",
    [("name,view\n", "must have the columns"), ("file,view\na,A5C\n", "line 2: needs a file and a view"),
     ("file,view\n,A4C\n", "for no file")],
)  # fmt: skip
def test_bad_csv_names_the_line(tmp_path, text, message):
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_view_csv(path)


def test_bad_folders(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        census(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no file"):
        census(tmp_path)
    with pytest.raises(ValueError, match="is no file"):
        read_view_csv(tmp_path / "v.csv")
    with pytest.raises(ValueError, match="max_frames"):
        CensusOptions(max_frames=1)


def test_many_patterns_are_cut(monkeypatch, tmp_path):
    monkeypatch.setattr(census_page, "MAX_PATTERNS", 2)
    views = ("A4C", "A2C", "PLAX", "PSAX")
    rows = [
        CensusRow(clip=f"{p}{v}", modality="cfd", patient=str(p), view=v)
        for p in range(16) for n, v in enumerate(views) if p >> n & 1
    ]  # fmt: skip
    census_page.write_html(Census(rows=tuple(rows)), tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert "in 13 rarer patterns" in page
    assert census_module.GREYSCALE == ("bmode", "dual")
    census_page.write_html(
        Census(rows=(CensusRow(clip="c", modality="unreadable", code="corrupt"),)), tmp_path / "e.html"
    )
    empty = (tmp_path / "e.html").read_text()
    assert "No greyscale and no colour-flow video was found" in empty


def test_pictures_are_a_fair_draw_and_hold_no_text(archive, tmp_path):
    options = CensusOptions(thumbnails=True)
    assert not census(archive, out_dir=tmp_path / "whole", key=KEY).thumbnails
    found = census(archive, out_dir=tmp_path / "whole", key=KEY, options=options)  # looks again
    assert stat.S_IMODE((tmp_path / "whole" / "census.sqlite").stat().st_mode) == 0o600
    for k in (1, 2):
        census(archive, out_dir=tmp_path / "parts", key=KEY, options=options, part=(k, 2))
    joined = census(archive, out_dir=tmp_path / "parts", key=KEY, options=options)
    assert joined.thumbnails == found.thumbnails and set(found.thumbnails) >= {"bmode", "cfd", "dual"}
    for kind, pictures in found.thumbnails.items():
        shown = [row.clip for row in found.rows if kind in (row.kind, "unsure" if row.unsure else "")]
        assert [clip for clip, _ in pictures] == sorted(shown)[: rows.SHOWN]
    lines = {row.clip: row.clip[:8] for row in found.rows}
    for path in sheets.write_sheets(found.thumbnails, lines, tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert cv2.imread(str(path)).shape[1] == 6 * sheets.SIDE
    sector = np.zeros((80, 100), bool)
    sector[20:70, 10:90] = True
    frames = np.full((3, 80, 100, 3), 90, np.uint8)
    (picture,) = [cv2.imdecode(np.frombuffer(sheets.thumbnail(frames, sector), np.uint8), 1)]
    assert picture.shape == (sheets.SIDE, sheets.SIDE, 3) and (picture[: 128 * 50 // 80] == 90).all()
    assert not cv2.imdecode(np.frombuffer(sheets.thumbnail(frames, sector & False), np.uint8), 1).any()


def test_the_private_list_says_which_file_is_what(archive, found, tmp_path):
    path = tmp_path / "list.csv"
    census_tables.write_private_list(found, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert [line["file"].removeprefix(f"{archive}/") for line in lines][1:3] == ["a/IM1.dcm", "a/IM2.dcm"]
    assert [line["use"] for line in lines] == ["", "pair", "translate", "translate", "translate", "", "pair", "", ""]
    assert [line["code"] for line in lines if line["code"]] == ["unknown_format", "not_ultrasound", "truncated"]
    assert [line["clip"] for line in lines] == [row.clip for row in found.rows]


def test_a_page_leads_to_what_would_be_translated(archive, found, tmp_path):
    path = tmp_path / "links.html"
    census_page.write_files_page(found, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wanted = [place for place, row in zip(found.paths, found.rows) if row.modality == "cfd"]
    part = path.read_text().split('id="translate"')[1].split('id="unsure"')[0]
    assert sorted(re.findall(r'href="(file://[^"]+)"', part)) == sorted(
        pathlib.Path(place).as_uri() for place in wanted
    )


def test_what_it_would_take(found):
    work = census_tables.work(found)
    assert (work["translate"].clips, work["translate"].frames) == (3, 15)
    assert work["translate"].gigabytes == round(3 * 200 * 200 * 3 * 5 / 1e9, 3)
    assert work["pack"].clips == 2 and work["pack"].frames == 10
    dull = dataclasses.replace(found.rows[1], score=0.6, seconds=2.0, n_frames=400, looked=40)
    told = census_tables.summary(Census(rows=(dull,)))
    assert told["unsure"] == {"bmode": 1} and told["work"]["pack"]["core_hours"] == round(20 / 3600, 3)


def test_links_are_followed_when_asked_for(archive, found, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("a", "b", "c", "notes SECRET-E.dat"):
        (tmp_path / "links" / name).symlink_to(archive / name)
    (tmp_path / "links" / "gone").symlink_to(archive / "nothing")
    (tmp_path / "links" / "real.dcm").write_bytes((archive / "a" / "IM1.dcm").read_bytes())
    assert census(tmp_path / "links", key=KEY).passed_over == {"link": 5}
    followed = census(tmp_path / "links", key=KEY, options=CensusOptions(follow_links=True))
    assert followed.passed_over == {"link": 1} and len(followed.rows) == len(found.rows) + 1
    assert [row.modality for row in followed.rows[2:]] == [row.modality for row in found.rows[1:]]


def test_two_censuses_on_one_folder_exclude_each_other(archive, tmp_path):
    with SeenRows(tmp_path, CensusOptions()), pytest.raises(ValueError, match="in use by another run"):
        census(archive, out_dir=tmp_path, key=KEY)


def test_what_cannot_be_opened_is_counted_and_named(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "archive")
    (tmp_path / "archive" / "b").chmod(0)
    # root may open everything, unless it gives that up
    less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*less, sys.executable, "-m", "cfd2gray.cli", "census", "--verbose", tmp_path / "archive"]
    command += ["-o", tmp_path / "out"]
    ran = subprocess.run(command, capture_output=True, text=True)
    (tmp_path / "archive" / "b").chmod(0o700)  # or the folder could not be cleared away
    assert ran.returncode == 1, ran.stderr  # as without it: two files of the archive are unreadable
    assert json.loads((tmp_path / "out" / "census.json").read_text())["passed_over"] == {"unreadable_folder": 1}
    assert "passed over: 1 unreadable_folder" in ran.stderr and "/b: unreadable_folder" in ran.stderr
