"""The command and its page, on the quickest topic."""

import json
import sys

import pytest
from cfd2gray.benchmarks import page
from rich.console import Console

from cfd2gray.cli import main

SECTION = {
    "name": "translate", "about": "About.", "unit": "frames", "settings": {"size": 32}, "load": (0.5, 0.7),
    "rows": [
        {"name": "network", "ms": 12.0, "ms_low": 11.0, "ms_high": 13.0, "rate": 83.3, "mfu": 0.5, "first_call_s": 3.0},
        {"name": "peer", "ms": 24.0, "ms_low": 20.0, "ms_high": 30.0, "rate": 41.7, "first_call_s": 1.0},
    ],
    "ratios": [{"fast": "network", "slow": "peer", "median": 2.0, "low": 1.8, "high": 2.3}],
    "notes": ["A note."], "missing": {"other": "ModuleNotFoundError"},
}  # fmt: skip


MACHINE = {"date": "2026-01-02 03:04 UTC", "machine": "2 cores X, 24 GiB", "devices": "1 x cpu cpu", "python": "3.11",
           "versions": {"jax": "0.10"}, "load": 0.5}  # fmt: skip
RESULT = {"machine": MACHINE, "peaks": {"flops": {"float32": 1.5e11}, "bytes_per_s": 3e10}, "sections": [SECTION],
          "command": "cfd2gray bench translate"}  # fmt: skip
TOLD = ("2 cores X", "150 GFLOP/s float32", "30.0 GB/s", "A note.", "not measured: other", "load 0.5 - 0.7",
        "cfd2gray bench translate", "1.80 - 2.30")  # fmt: skip


def test_the_page_says_all_that_was_measured(tmp_path):
    page.write(tmp_path / "speed.md", [RESULT])
    text = (tmp_path / "speed.md").read_text()
    assert all(told in text for told in TOLD)
    assert "| network | 83.3 | 12 | 11 - 13 | 50 % | 3 |" in text
    assert "![translate: ratios](speed_translate.svg)" in text
    assert "network : peer" in (tmp_path / "speed_translate.svg").read_text()
    page.write(tmp_path / "speed.html", [RESULT, RESULT])
    html = (tmp_path / "speed.html").read_text()
    assert all(told in html for told in TOLD) and "<svg" in html and "network : peer" in html
    with pytest.raises(ValueError, match="or .md"):
        page.write(tmp_path / "speed.txt", [RESULT])


def test_a_section_measured_again_leaves_the_others(tmp_path):
    sheet = tmp_path / "speed.md"
    page.write(sheet, [RESULT | {"sections": [SECTION, SECTION | {"name": "ssim", "notes": ["Kept."]}]}])
    page.write(sheet, [RESULT | {"command": "again", "sections": [SECTION | {"notes": ["New."]}]}])
    text = sheet.read_text()
    assert text.count("## translate") == text.count("## ssim") == text.count("# Benchmarks") == 1
    assert text.count("Made by") == 2 and "New." in text and "Kept." in text and "A note." not in text


def test_a_terminal_of_80_columns_shows_every_number(capsys):
    long = {"name": "PyTorch compiled bf16", "ms": 1234.5, "ms_low": 1200.5, "ms_high": 1300.1, "cpu_ms": 2222.0,
            "rate": 999.9, "gflop_per_unit": 1.59, "mfu": 0.5, "roofline": 0.5, "first_call_s": 33.3}  # fmt: skip
    ratio = {
        "fast": "large file, onnxruntime",
        "slow": "PyTorch compiled bf16",
        "median": 10.123,
        "low": 9.1,
        "high": 11.7,
    }
    page.print_section(SECTION | {"rows": [long], "ratios": [ratio]}, Console(width=80, file=sys.stdout))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for told in (long["name"], "1234", "1200 - 1300", "2222", "1000", "50 %", "33.3", "10.12", "9.10 - 11.70"):
        assert told in text


def test_the_command_measures_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cfd2gray.benchmarks.machine.probe.__kwdefaults__", {"seconds": 0.01})
    out, sheet = tmp_path / "bench.json", tmp_path / "page.md"
    command = "bench ssim --size 32 --repeats 2 --seconds 0.01 --no-peers"
    assert main([*command.split(), "--json", str(out), "--page", str(sheet)]) == 0
    result = json.loads(out.read_text())
    (section,) = result["sections"]
    assert section["name"] == "ssim" and section["rows"][0]["rate"] > 0 and result["peaks"]["bytes_per_s"] > 0
    assert "## ssim" in sheet.read_text() and "cfd2gray bench ssim" in sheet.read_text()
    assert main(["bench", "--results", str(out), str(out), "--page", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text().count('id="ssim"') == 2


@pytest.mark.parametrize(
    "wrong, told",
    [
        ("ssim --repeats 0", "must be positive"),
        ("ssim --config.model.witdh=3", "did you mean 'model.width'"),
        ("ssim --size -1", "size"),
        ("", "name what to measure"),
        ("ssim --page x.txt", ".html or .md"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(wrong, told, capsys):
    assert main(["bench", *wrong.split()]) == 2
    assert told in capsys.readouterr().err
