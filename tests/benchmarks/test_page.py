"""The command and its page, on the quickest topic."""

import json

import pytest
from cfd2gray.benchmarks import page

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


def test_the_page_says_all_that_was_measured():
    machine = {"date": "2026-01-02 03:04 UTC", "machine": "2 cores X, 24 GiB", "devices": "1 x cpu cpu", "python": "3.11",
               "versions": {"jax": "0.10"}, "load": 0.5}  # fmt: skip
    peaks = {"flops": {"float32": 1.5e11}, "bytes_per_s": 3e10}
    text = page.markdown(
        {"machine": machine, "peaks": peaks, "sections": [SECTION]}, command="cfd2gray bench translate"
    )
    assert "| network | 12.0 | 11.0 - 13.0 | 83.3 | 50 % | 3 |" in text
    assert "network is 2.00 times as fast as peer [1.80 - 2.30]" in text
    for told in ("2 cores X", "150 GFLOP/s float32", "30.0 GB/s", "A note.", "not measured: other", "load 0.5 - 0.7"):
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


@pytest.mark.parametrize(
    "wrong, told",
    [
        ("--repeats 0", "must be positive"),
        ("--config.model.witdh=3", "did you mean 'model.width'"),
        ("--size -1", "size"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(wrong, told, capsys):
    assert main(["bench", "ssim", *wrong.split()]) == 2
    assert told in capsys.readouterr().err
