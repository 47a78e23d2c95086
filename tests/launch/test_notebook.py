"""The Colab notebook: outputs stripped, and every cell runs, top to bottom, here with small settings."""

import os
import pathlib

import nbclient
import nbformat

from tests.cfd2gray.tiny import _TINY

PATH = pathlib.Path(__file__).parents[2] / "launch" / "colab.ipynb"


def test_outputs_are_stripped_and_the_file_is_valid():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


def test_every_cell_runs(tmp_path, monkeypatch):
    small = {key: value for key, value in _TINY.items() if key.startswith(("model.", "discriminator.", "log."))}
    small |= {"data.batch_size": 2, "eval.bootstrap": 100, "train.warmup_anatomy": 1, "checkpoint.every": 2}
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_CLIPS", "10")
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_FOLDER", str(tmp_path / "notebook"))
    monkeypatch.setenv("CFD2GRAY_NOTEBOOK_OVERRIDES", " ".join(f"--config.{k}={v}" for k, v in small.items()))
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
    notebook = nbformat.read(PATH, as_version=4)
    own = next(cell for cell in notebook.cells if cell.id == "own")
    own.source = "os.environ['CFD2GRAY_NOTEBOOK_OWN'] = str(clip)\n" + own.source
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", cwd=os.fspath(PATH.parents[1])).execute()
    texts = {cell.id: "".join(o.get("text", "") for o in cell.outputs) for cell in notebook.cells if "outputs" in cell}
    assert "(12, 128, 128, 3) -> (12, 128, 128)" in texts["translate"]
    assert "done at step 2" in texts["train"]
    assert "model" in texts["evaluate"] and "luma" in texts["evaluate"]
    assert "of the pixels were synthesised" in texts["own"]
    (picture,) = (cell for cell in notebook.cells if cell.id == "look")
    assert "image/gif" in picture.outputs[0].data
