"""The installed command as a person meets it: help, one-line errors, exit codes, nothing overwritten, no TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cfd2gray.cli import build_parser, main
from tests.cfd2gray.tiny import pack_tiny, tiny_config
from tests.compiler import COMPILE_LESS


def run(capsys, *argv):
    try:
        code = main([str(a) for a in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def commands():
    (action,) = [a for a in build_parser()._actions if a.dest == "command"]
    return sorted(action.choices)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0 and f"cfd2gray {name}" in out and "example:" in out


def test_the_contracted_commands_exist():
    wanted = {"demo", "simulate", "paint", "census", "pair", "pack", "train", "evaluate", "translate", "report",
              "convert-vgg", "doctor"}  # fmt: skip
    assert wanted <= set(commands())


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("not a clip")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\0")
    np.save(tmp_path / "wrong.npy", np.zeros((4, 5), np.float64))
    return tmp_path


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["translate", "{}/missing.dcm", "-o", "{}/o.mp4"], "missing.dcm"),
        (["translate", "{}/note.txt", "-o", "{}/o.mp4"], "note.txt"),
        (["translate", "{}/cut.dcm", "-o", "{}/o.mp4"], "cut.dcm"),
        (["translate", "{}/wrong.npy", "-o", "{}/o.mp4"], "wrong.npy"),
        (["translate", "{}/empty", "-o", "{}/out"], "holds no file"),
        (["translate", "{}/note.txt", "--checkpoint", "{}/empty", "-o", "{}/o.mp4"], "holds no checkpoint"),
        (["train", "--config", "tiny", "--workdir", "{}/run"], "data.dir is empty"),
        (["train", "--config", "tiny", "--config.data.dir={}/empty", "--workdir", "{}/run"], "not a packed data set"),
        (["train", "--config", "tiny", "--config.model.widht=3", "--workdir", "{}/run"], "did you mean 'model.width'"),
        (["train", "--config", "tiny", "--config.model.width=wide", "--workdir", "{}/run"], "model.width is int"),
        (["train", "--config", "nosuch", "--workdir", "{}/run"], "neither a .py file nor a shipped config"),
        (["simulate", "--view", "A5C", "-o", "{}/sim"], "A5C"),
        (["card", "--workdir", "{}/empty", "-o", "{}/out"], "not written any metrics"),
        (["simulate", "--clips", "0", "-o", "{}/sim"], "clips must be at least 1"),
        (["paint", "{}/note.txt", "-o", "{}/pair"], "note.txt"),
        (["report", "{}/note.txt", "-o", "{}/page.html"], "not JSON"),
        (["convert-vgg", "{}/note.txt", "--preprocessing", "caffe", "-o", "{}/v.safetensors"], "weights come as"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_and_a_non_zero_exit(capsys, bad, argv, expected):
    before = sorted(p.name for p in bad.iterdir())
    code, _, err = run(capsys, *(a.format(bad) for a in argv))
    assert code not in (0, None)
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1 and expected in lines[0], err
    assert sorted(p.name for p in bad.iterdir()) == before, "a failed command leaves nothing behind"


def test_debug_shows_the_traceback(bad):
    with pytest.raises(ValueError):
        main(["train", "--config", "tiny", "--workdir", str(bad / "run"), "--debug"])


def test_unknown_arguments_are_named(capsys):
    code, _, err = run(capsys, "doctor", "--colour")
    assert code == 2 and "--colour" in err


def test_simulate_makes_records_that_training_reads_and_keeps_what_is_there(capsys, tmp_path):
    argv = ("simulate", "--view", "A4C,KIDNEY", "--clips", 12, "--size", 48, "--frames", 4, "--workers", 1, "-o")
    assert run(capsys, *argv, tmp_path / "records")[0] == 0
    code, out, _ = run(capsys, "doctor", "--data", tmp_path / "records")
    assert code == 0 and "records: train" in out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    assert run(capsys, *argv, tmp_path / "mine")[0] == 2
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


WITHOUT_TENSORFLOW = """
import importlib.machinery, sys
found = importlib.machinery.PathFinder.find_spec
def absent(name, path=None, target=None):  # as on a machine where it was never installed
    return None if name.split(".")[0] in ("tensorflow", "tensorboard") else found(name, path, target)
importlib.machinery.PathFinder.find_spec = staticmethod(absent)
from cfd2gray.cli import main
code = main(sys.argv[1:])
assert "tensorflow" not in sys.modules
sys.exit(code)
"""


def test_training_evaluation_and_translation_run_without_tensorflow(tmp_path):
    from cfd2gray.config import flatten, load_config

    records = pack_tiny(tmp_path / "records")
    tiny = flatten(load_config("tiny"))
    config = flatten(
        tiny_config(f"data.dir={records}", "train.steps=2", "train.warmup_anatomy=1", "log.tensorboard=True")
    )
    keys = [f"--config.{k}={v}" for k, v in config.items() if tiny[k] != v]
    clip = tmp_path / "clip.npy"
    rng = np.random.default_rng(0)
    np.save(clip, np.repeat(rng.integers(0, 255, (3, 64, 64, 1), np.uint8), 3, -1))

    def call(*argv):
        command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, argv)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=400, env=os.environ | {"XLA_FLAGS": COMPILE_LESS}
        )
        assert done.returncode == 0, done.stderr[-2000:]

    run_dir = tmp_path / "run"
    call("train", "--config", "tiny", *keys, "--workdir", run_dir)
    call("evaluate", "--config", "tiny", *keys, "--checkpoint", run_dir, "-o", tmp_path / "evaluation")
    call("translate", clip, "--checkpoint", run_dir, "-o", tmp_path / "grey.mkv")
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert {"frame", "sector", "box", "flow"} <= set(result["ssim"]) and {"luma", "desaturate", "inpaint"} <= set(
        result["baselines"]
    )
    assert "<html" in (tmp_path / "evaluation" / "report.html").read_text()
