"""The command line in people's hands: help, misspelt words, dry runs, weights by name, the example, completion."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from cfd2gray import cli, doctor, example
from cfd2gray.commands.parsers import counted, listed_counts
from cfd2gray.weights.pretrained import available
from data_pipeline.readers import read_clip


def call(capsys, *argv):
    try:
        code = cli.main([str(a) for a in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def parsers(parser, names=()):
    yield names, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from parsers(sub, (*names, name))


def test_every_help_fits_80_columns_and_every_command_is_in_a_group(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    everything = dict(parsers(cli.build_parser()))
    for names in everything:
        code, out, _ = call(capsys, *names, "--help")
        wide = [line for line in out.splitlines() if len(line) > 80]
        assert code == 0 and not wide, (names, wide)
    _, out, _ = call(capsys, "--help")
    listed = re.findall(r"^  (\S+)  ", out, flags=re.M)
    assert {names[0] for names in everything if names} <= set(listed)


def test_no_words_show_the_help(capsys):
    code, out, _ = call(capsys)
    assert code == 2 and "translate --example" in out


@pytest.mark.parametrize(
    "argv, meant",
    [
        (["tranlsate", "x"], "'translate'"),
        (["translate", "x", "--outt", "y.dcm"], "'--out'"),
        (["pack", "x", "--pant=2"], "'--paint'"),
        (["reader-study", "score", "--jsn", "x"], "'--json'"),
    ],
)
def test_what_was_meant_is_said_in_one_line(capsys, argv, meant):
    code, _, err = call(capsys, *argv)
    assert code == 2 and len(err.splitlines()) == 1 and f"did you mean {meant}?" in err


def test_options_may_be_short_and_values_may_look_like_words(capsys, tmp_path):
    code, out, _ = call(capsys, "translate", "--example", "--out", tmp_path / "a", "--runt", "onnxruntime")
    assert code == 0 and "player.html" in out


def test_sweep_is_a_command(capsys, tmp_path):
    code, out, _ = call(capsys, "sweep", "rates", "--workdir", tmp_path / "s", "--list", "--config.data.batch_size=2")
    assert code == 0 and all("--config.data.batch_size=2" in line for line in out.splitlines()) and out.count("\n") > 2
    assert not (tmp_path / "s").exists()


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes(example.CLIP.read_bytes())
    return tmp_path / "in"


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["translate", "{}", "-o", "{}/../out"], "2 clips, 0.3 MB, to the folder"),
        (["translate", "{}/a.mp4", "-o", "{}/../out.dcm"], "1 clip, 0.1 MB, to"),
        (["census", "{}", "-o", "{}/../census"], "2 clips in"),
        (["pack", "{}", "-o", "{}/../records", "--paint", "2"], "2 clips in"),
        (["pair", "{}", "--contact-sheet", "{}/../sheet.png"], "2 clips in"),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(capsys, archive, argv, expected):
    before = sorted(archive.parent.rglob("*"))
    code, out, _ = call(capsys, *(a.format(archive) for a in argv), "--dry-run")
    assert code == 0 and expected in out and "nothing was done" in out
    assert sorted(archive.parent.rglob("*")) == before


def test_a_dry_run_refuses_what_the_run_would_refuse(capsys, archive):
    code, _, err = call(capsys, "translate", archive, "-o", archive.parent / "out.webm", "--dry-run")
    assert code == 2 and "cannot write .webm" in err


def test_pair_says_in_words_that_there_is_none_and_what_to_do(capsys, archive):
    code, out, _ = call(capsys, "pair", archive, "--workers", 0, "--contact-sheet", archive.parent / "sheet.png")
    assert code == 1 and "{" not in out and "--paint 2" in out and "no sheet was written" in out


def test_the_example_is_small_synthetic_and_translated_with_one_command(capsys, tmp_path):
    import av

    assert example.CLIP.stat().st_size <= 300_000
    with av.open(str(example.CLIP)) as container:
        assert "SYNTHETIC" in container.metadata["title"]
    out = tmp_path / "first"
    code, text, _ = call(capsys, "translate", "--example", "-o", out)
    assert code == 0 and "next, on clips of your own" in text
    assert {p.name for p in out.iterdir()} == {"colour.mp4", "grey.mp4", "grey.mp4.json", "player.html"}
    grey = read_clip(out / "grey.mp4").frames
    assert grey.shape == read_clip(example.CLIP).frames.shape and (grey[..., 0] == grey[..., 1]).mean() > 0.99
    code, _, err = call(capsys, "translate", "--example", "-o", out)
    assert code == 2 and "is there already" in err


def test_weights_by_name_and_by_file(capsys, tmp_path):
    for named in ("nosuch", tmp_path / "nosuch.safetensors"):
        code, _, err = call(capsys, "translate", example.CLIP, "--weights", named, "-o", tmp_path / "x.mkv")
        assert code == 2 and ("known: default, streaming" in err or "no such weights file" in err)
    code, _, _ = call(capsys, "translate", example.CLIP, "--weights", "streaming", "-o", tmp_path / "s.mkv")
    facts = json.loads((tmp_path / "s.mkv.json").read_text())
    assert code == 0 and facts["weights_sha256"] == available()["streaming"]["sha256"]


def test_the_doctor_says_what_is_fast(capsys):
    code, out, _ = call(capsys, "doctor")
    assert code == 0 and "translation runs on" in out and "OpenVINO yes" in out


@pytest.mark.parametrize(
    "text, names",
    [
        ("processor: 0\nflags\t\t: fpu avx2 avx512f amx_bf16\n", ["AMX-BF16", "AVX512", "AVX2"]),
        ("Features\t: fp asimd bf16\n", ["BF16", "NEON"]),
        ("nothing", []),
    ],
)
def test_processors_are_read_from_what_linux_says(tmp_path, text, names):
    (tmp_path / "cpuinfo").write_text(text)
    assert doctor.cpu_features(tmp_path / "cpuinfo") == names
    assert doctor.cpu_features(tmp_path / "missing") == []


def test_numbers_agree_with_their_nouns():
    assert (counted(1, "clip"), counted(0, "clip"), counted(2, "file")) == ("1 clip", "0 clips", "2 files")
    assert listed_counts({"b": 1, "a": 2, "c": 0}) == "2 a, 1 b" and listed_counts({}) == "none"


def test_a_shell_completes_commands_and_options(tmp_path):
    """As bash asks through argcomplete: the answer comes on file descriptor 8."""
    pytest.importorskip("argcomplete")

    def answers(line):
        found = tmp_path / "answer"
        env = os.environ | {
            "_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(found), "COMP_LINE": line,
            "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE_IFS": "\n",
        }  # fmt: skip
        subprocess.run([sys.executable, "-m", "cfd2gray.cli"], env=env, cwd=pathlib.Path(__file__).parents[3])
        return {word.strip() for word in found.read_text().split("\n")}

    assert "translate" in answers("cfd2gray tr") and "train" in answers("cfd2gray tr")
    assert "--confidence" in answers("cfd2gray translate --conf")
