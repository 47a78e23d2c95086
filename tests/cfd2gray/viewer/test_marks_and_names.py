"""Marks on disk, and names of files as strangers make them."""

import csv
import stat

import pytest

from cfd2gray.viewer.marks import COLUMNS, Marks
from cfd2gray.viewer.names import LONGEST, shown_name


def rows(path):
    return list(csv.reader(path.open(newline="")))


def test_a_mark_is_on_disk_at_once_beside_the_folder(tmp_path):
    (tmp_path / "archive").mkdir()
    marks = Marks(tmp_path / "archive")
    marks.set('a "quoted",\nname.dcm', "keep", kind="cfd", certainty="0.5", reason="colour")
    marks.set("b.dcm", "reject")
    assert marks.path == tmp_path / "archive.marks.csv" and stat.S_IMODE(marks.path.stat().st_mode) == 0o600
    assert rows(marks.path) == [
        list(COLUMNS), ['a "quoted",\nname.dcm', "keep", "cfd", "0.5", "colour"], ["b.dcm", "reject", "", "", ""]
    ]  # fmt: skip
    again = Marks(tmp_path / "archive")
    assert again.of('a "quoted",\nname.dcm') == "keep" and again.of("c") == ""
    again.set("b.dcm", "")
    assert len(rows(marks.path)) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "archive.marks.csv"]


def test_rows_of_clips_that_are_gone_stay(tmp_path):
    Marks(tmp_path / "archive").set("gone.dcm", "reject", reason="mine")
    Marks(tmp_path / "archive").set("here.dcm", "keep")
    assert Marks(tmp_path / "archive").of("gone.dcm") == "reject"


def test_names_that_a_spreadsheet_would_run_are_defused_and_found_again(tmp_path):
    marks = Marks(tmp_path / "archive")
    for name in ("=cmd()", "+1", "@x", "-2", " =y"):
        marks.set(name, "keep")
    assert not any(row[0].startswith(("=", "+", "@", "-")) for row in rows(marks.path))
    assert [Marks(tmp_path / "archive").of(name) for name in ("=cmd()", "+1", "@x", "-2")] == ["keep"] * 4


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path):
    other = tmp_path / "archive.marks.csv"
    other.write_text("my,own,table\n1,2,3\n")
    with pytest.raises(ValueError, match="move it away"):
        Marks(tmp_path / "archive")
    assert other.read_text() == "my,own,table\n1,2,3\n"


def test_a_mark_that_cannot_be_written_is_not_taken(tmp_path):
    marks = Marks(tmp_path / "archive")
    marks.path.mkdir()
    with pytest.raises(OSError):
        marks.set("a.dcm", "keep")
    assert marks.of("a.dcm") == ""
    with pytest.raises(ValueError, match="keep or reject"):
        marks.set("a.dcm", "perhaps")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip.dcm", "clip.dcm"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("a\x00b\nc\x1b[31m", "a·b·c·[31m"),
        ("gnp\u202e.exe", "gnp·.exe"),
        ("\udcff\ud800", "··"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("", "unnamed clip"),
        ("  ", "unnamed clip"),
    ],
)
def test_a_name_is_one_harmless_line(name, shown):
    assert shown_name(name) == shown
    shown_name(name).encode()


def test_a_long_name_keeps_both_ends():
    shown = shown_name("A" * 5000 + ".dcm")
    assert len(shown) <= LONGEST and shown.startswith("AAA") and shown.endswith(".dcm")
