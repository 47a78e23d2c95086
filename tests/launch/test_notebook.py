"""The Colab notebook: outputs stripped, and every cell runs here with small settings, top to bottom and once more."""

import os
import pathlib
import tomllib
import types

import nbclient
import nbformat
import pytest

from tests.cfd2gray.tiny import _TINY
from tests.compiler import COMPILE_LESS

PATH = pathlib.Path(__file__).parents[2] / "launch" / "colab.ipynb"


def test_outputs_are_stripped_and_the_file_is_valid():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


def test_a_result_comes_first():
    """Nothing but the installation stands before the first player, and after it comes one's own clip."""
    code = [cell for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.id for cell in code[:3]] == ["install", "translate", "own"] and "result.show()" in code[1].source
    assert "command(" not in code[1].source and "simulate" not in code[1].source


def test_every_cell_runs(tmp_path, monkeypatch):
    small = {key: value for key, value in _TINY.items() if key.startswith(("model.", "discriminator.", "log."))}
    small |= {"data.batch_size": 2, "eval.bootstrap": 100, "train.warmup_anatomy": 1, "checkpoint.every": 2}
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_CLIPS", "10")
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_FOLDER", str(tmp_path / "notebook"))
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_OVERRIDES", " ".join(f"--config.{k}={v}" for k, v in small.items()))
    monkeypatch.setenv("XLA_FLAGS", COMPILE_LESS)
    notebook = nbformat.read(PATH, as_version=4)
    own = next(cell for cell in notebook.cells if cell.id == "own")
    own.source = "os.environ['CFD2GRAY_NOTEBOOK_OWN'] = str(CLIP)\n" + own.source
    for time in ("first", "second"):
        client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", cwd=os.fspath(PATH.parents[1]))
        client.execute()
        told = {cell.id: "".join(_texts(cell)) for cell in notebook.cells if cell.cell_type == "code"}
        assert "accelerator: none" in told["install"]
        assert "30 frames 320x320" in told["translate"]
        assert "<iframe" in told["translate"] and "<iframe" in told["own"], "players"
        assert "done at step 2" in told["train"]
        assert ("compiling" in told["train"]) == (time == "first"), "what is trained is not trained again"
        assert "model" in told["evaluate"] and "luma" in told["evaluate"] and "<iframe srcdoc=" in told["evaluate"]
        assert "synthesised" in told["own"]
    assert len(list((tmp_path / "notebook").glob("mine-*.mp4"))) == 2


def _texts(cell):
    for output in cell.outputs:
        yield output.get("text", "")
        yield "".join(output.get("data", {}).get("text/html", ""))


@pytest.mark.parametrize(
    ("there", "driver", "extra"),
    [
        ((), "", ""),
        (("accel0",), "", "tpu"),
        (("nvidia0",), "550.54.15", "cuda12"),
        (("nvidia0",), "580.65.06", "cuda13"),
    ],
)
def test_the_install_line_fits_the_runtime(there, driver, extra, monkeypatch):
    """The cell's own function, with devices and a driver that are told to be there."""
    notebook = nbformat.read(PATH, as_version=4)
    (source,) = (cell.source for cell in notebook.cells if cell.id == "install")
    space = {}
    exec(source.split("\n\nextra = ")[0], space)

    class Devices(pathlib.PurePosixPath):
        def exists(self):
            return self.name in there

        def glob(self, pattern):
            return []

    space["pathlib"] = types.SimpleNamespace(Path=Devices)
    space["subprocess"] = types.SimpleNamespace(run=lambda *_, **__: types.SimpleNamespace(stdout=f"{driver}\n"))
    assert space["extra_for_this_machine"]() == extra
    known = tomllib.loads((PATH.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not extra or extra in known
