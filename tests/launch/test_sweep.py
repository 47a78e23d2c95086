"""Sweeps: what their files expand to, and real runs that are started, skipped, taken up again and put into one table."""

import csv
import importlib
import os
import random
import subprocess
import sys

import pytest
from cfd2gray.configs.sweeps import paper, space
from cfd2gray.launch import search, sweep, sweep_slurm, sweep_table

from cfd2gray.config import to_json
from tests.cfd2gray.tiny import tiny_config
from tests.launch import runs

SHIPPED = ("ablation", "paper", "rates", "search", "widths")


def test_grids_zips_draws_and_products():
    assert space.grid({"a": (1, 2), "b": (3, 4)}) == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4)]
    assert space.zipped({"a": (1, 2), "b": (3, 4)}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(ValueError, match="equally many"):
        space.zipped({"a": (1, 2), "b": (3,)})
    assert space.product([{"a": 1}], [{"b": 2}, {"b": 3}]) == [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
    with pytest.raises(ValueError, match="both sides"):
        space.product([{"a": 1}], [{"a": 2}])
    drawn = space.sample(40, {"rate": space.log_uniform(1e-4, 1e-2), "kind": space.choice(("x", "y"))}, seed=1)
    assert drawn == space.sample(40, {"rate": space.log_uniform(1e-4, 1e-2), "kind": space.choice(("x", "y"))}, seed=1)
    assert all(1e-4 <= run["rate"] <= 1e-2 for run in drawn) and {run["kind"] for run in drawn} == {"x", "y"}
    assert 10 <= sum(run["rate"] < 1e-3 for run in drawn) <= 30  # even in the logarithm
    assert 0.0 <= space.uniform(0, 1)(random.Random(0)) <= 1.0


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_are_valid_and_say_how_to_run_them(name):
    found = sweep.load_sweep(name, ["data.dir=records"])
    assert len({run.name for run in found.runs}) == len(found.runs) > 2
    assert f"cfd2gray sweep {name} " in importlib.import_module(f"cfd2gray.configs.sweeps.{name}").__doc__


def test_the_ablation_takes_away_each_loss_and_each_network():
    changed = {
        key for run in sweep.load_sweep("ablation", []).runs for key, value in run.overrides.items() if not value
    }
    terms = ("pixel", "adversarial", "perceptual", "structure", "texture", "shimmer", "temporal", "confidence")
    assert {f"loss.{term}" for term in terms} | {"model.width", "model.denoise_blocks"} <= changed


def test_mistakes_are_named_before_anything_starts(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("CONFIG = 'tiny'\ndef get_runs():\n    return [{'train.stepz': 1}]\n")
    assert sweep.main([str(file), "--workdir", str(tmp_path / "w")]) == 2
    assert "did you mean 'train.steps'" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
    file.write_text("CONFIG = 'tiny'\ndef get_runs():\n    return []\n")
    assert sweep.main([str(file), "--workdir", str(tmp_path / "w")]) == 2
    assert "gave no run" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory):
    """Two tiny runs that differ in a rate, two steps each."""
    settings = {key: value for key, value in runs.flatten(tiny_config()).items() if key != "data.dir"}
    settings |= {"train.steps": 2, "train.warmup_anatomy": 0, "loss.perceptual": 0.0}
    path = tmp_path_factory.mktemp("sweep") / "two.py"
    path.write_text(
        f"CONFIG = 'default'\nSETTINGS = {settings!r}\n"
        "def get_runs():\n    return [SETTINGS | {'train.learning_rate': rate} for rate in (1e-3, 1e-4)]\n"
    )
    return path


def test_runs_are_made_skipped_taken_up_and_collected(machine, data, sweep_file, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_name", lambda number, overrides: f"{number:03}-{overrides['train.learning_rate']}")
    arguments = [str(sweep_file), "--workdir", str(tmp_path / "w"), f"--config.data.dir={data}"]
    assert sweep.main([*arguments, "--only", "1"]) == 0
    first = tmp_path / "w" / "001-0.0001"
    written = (first / "metrics.jsonl").stat().st_mtime_ns
    assert [row["state"] for row in sweep_table.rows_of(tmp_path / "w")[2]] == ["waiting", "done"]

    assert sweep.main([*arguments, "--jobs", "2"]) == 0  # the rest, and not again what is done
    assert (first / "metrics.jsonl").stat().st_mtime_ns == written
    with open(tmp_path / "w" / "table.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["done", "done"] and [row["step"] for row in table] == ["2", "2"]
    for row in table:
        assert float(row["loss/total"]) == runs.losses(tmp_path / "w" / row["run"])[2]["loss/total"]
    page = (tmp_path / "w" / "table.html").read_text()
    assert page.count("<tr>") == 3 and page.count('<g class="mark"><title>run=') == 2

    other = [*arguments, "--config.seed=5"]
    assert sweep.main(other) == 2  # the folder holds another sweep


def test_a_failing_run_is_reported_and_the_others_go_on(machine, sweep_file, tmp_path, capsys):
    arguments = [str(sweep_file), "--workdir", str(tmp_path / "w"), "--config.data.dir=/nowhere", "--only", "0"]
    assert sweep.main(arguments) == 1
    assert "failed with 2" in capsys.readouterr().err
    (log,) = (tmp_path / "w" / "logs").iterdir()
    assert "no such folder" in log.read_text()


def test_parallel_coordinates_put_values_where_they_belong():
    rows = [{"rate": 1e-4, "kind": "a", "score": 0.5}, {"rate": 1e-2, "kind": "b", "score": 0.7}, {"rate": 1e-3}]
    plot = sweep_table.parallel_coordinates(["rate", "same", "kind", "score"], rows)
    assert list(plot.names) == ["rate", "kind", "score"]
    assert [list(heights) for heights in plot.heights] == [[0, 0, 0], [1, 1, 1], [pytest.approx(0.5), None, None]]
    assert plot.ends[0] == ("0.0001", "0.01")
    assert sweep_table.parallel_coordinates(["rate"], rows) is None


def test_markdown_joins_seeds_and_says_how_far_they_spread():
    rows = [
        {"run": "a", "loss.pixel": 0.0, "seed": 0, "step": 5, "test/clips": 4, "test/ssim_flow": 0.5},
        {"run": "b", "loss.pixel": 0.0, "seed": 1, "step": 5, "test/clips": 4, "test/ssim_flow": 0.7},
        {"run": "c", "step": 5, "test/ssim_flow": 0.25},
        {"run": "", "setting": "*luma*", "test/clips": 4, "test/ssim_flow": 0.125},
        {"run": "d", "loss.pixel": 1.0},
        {"run": "e", "loss.pixel": 1.0, "setting": "named", "test/ssim_flow": 0.125},
    ]
    lines = sweep_table.markdown(["loss.pixel"], ["step", "test/clips", "test/ssim_flow"], rows).splitlines()
    assert lines[0] == "|  | runs | clips | ssim flow |"
    assert lines[2:] == [
        "| loss.pixel=0.0 | 2 | 4 | 0.600 ± 0.141 |",
        "| nothing changed | 1 |  | 0.250 |",
        "| *luma* |  | 4 | 0.125 |",
        "| loss.pixel=1.0 | 1 |  |  |",
        "| named | 1 |  | 0.125 |",
    ]


def test_the_paper_sweep_gives_every_run_about_the_same_computation():
    found = sweep.load_sweep("paper", ["data.dir=records"]).runs
    with_critics = [run for run in found if run.overrides["train.warmup_anatomy"] == 0]
    assert len(with_critics) == 2 and all(run.overrides["train.steps"] < paper.STEPS for run in with_critics)
    assert [run.overrides["seed"] for run in found if run.setting == "the whole"] == [0, 1, 2]
    names = sweep_table.markdown([], ["step"], [{"setting": run.setting, "run": run.name} for run in found])
    assert "| pixel + perceptual | 1 |" in names and "| the whole | 3 |" in names


def test_what_slurm_needs_is_said(sweep_file, tmp_path):
    """The command itself: submitit keeps the standard error that it finds when it is imported."""
    pytest.importorskip("submitit")
    code = "import sys; {}from cfd2gray.launch.sweep import main; sys.exit(main(sys.argv[1:]))"
    hide = "sys.modules['submitit'] = None; "
    for option, before, words in (
        (["--slurm-option", "partition"], "", "must be like partition=gpu"),
        ([], "", "start the sweep where sbatch is"),
        ([], hide, "pip install 'cfd2gray[sweep]'"),
    ):
        command = [
            sys.executable,
            "-c",
            code.format(before),
            str(sweep_file),
            "--workdir",
            str(tmp_path / "w"),
            "--slurm",
        ]
        environment = os.environ | {"PATH": str(tmp_path)}
        done = subprocess.run([*command, *option], env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_task_that_must_end_lets_its_run_save_and_comes_back(machine, data, sweep_file, tmp_path):
    """What submitit calls in a task, here: the call, and from its signal handler the checkpoint."""
    submitit = pytest.importorskip("submitit")
    workdir = tmp_path / "w"
    arguments = [str(sweep_file), "--workdir", str(workdir), f"--config.data.dir={data}"]
    assert sweep_slurm.OneRun(arguments, 1)() == 0
    assert [row["state"] for row in sweep_table.rows_of(workdir)[2]] == ["waiting", "done"]
    task = sweep_slurm.OneRun([*arguments, "--config.seed=1"], 0)  # another sweep's folder: it ends at once
    assert task() == 2
    later = task.checkpoint()
    assert isinstance(later, submitit.helpers.DelayedSubmission) and later.function.number == 0


@pytest.mark.parametrize("board", [True, False])
def test_tensorboard_knows_what_a_run_changed_and_how_it_ended(tmp_path, board):
    """A run that is trained already: its settings and last scores are read back from the event file."""
    plugin = pytest.importorskip("tensorboard.plugins.hparams.metadata")
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    tensor_util = pytest.importorskip("tensorboard.util.tensor_util")
    changed = {"train.learning_rate": 1e-3, "data.views": ("A4C", "PLAX"), "augment.mirror": False}
    run = sweep.Run(0, "000-named", changed, "named")
    folder = tmp_path / run.name
    folder.mkdir()
    (folder / "config.json").write_text(to_json(tiny_config(f"log.tensorboard={board}")))
    (folder / "metrics.jsonl").write_text('{"step": 7, "loss/total": 0.5, "val/ssim_flow": 0.75}\n')

    class Trained:
        def call(self, *_):
            return 0

    options = {"evaluate": False, "gpu": None, "running": Trained()}
    assert sweep.run_one(sweep.Sweep("tiny", (run,), ()), run, tmp_path, **options) == 0
    files = list(folder.glob("tensorboard/*"))
    assert len(files) == board
    settings, scores = {}, {}
    for event in (event for file in files for event in loader.EventFileLoader(str(file)).Load()):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == plugin.PLUGIN_NAME:
                told = plugin.parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
                settings |= {name: getattr(v, v.WhichOneof("kind")) for name, v in told.hparams.items()}
            else:
                scores[value.tag, event.step] = float(tensor_util.make_ndarray(value.tensor))
    if board:
        assert settings == changed | {"data.views": "('A4C', 'PLAX')", "setting": "named"}
        assert scores == {("loss/total", 7): 0.5, ("val/ssim_flow", 7): 0.75}


def test_a_search_asks_tells_and_goes_on_with_what_it_was_told(tmp_path):
    """Twelve trials of a parabola by `ask` and `tell` as tasks call them, each with a storage of its own."""
    pytest.importorskip("optuna")
    for number in range(12):
        settings = search.ask(lambda trial: {"x": trial.suggest_float("x", -4.0, 4.0)}, tmp_path, number)
        assert settings == search.ask(lambda trial: {"x": 99.0}, tmp_path, number) == search.chosen(tmp_path, number)
        for _ in range(2):  # a task that was queued again tells once more
            search.tell(tmp_path, number, {search.GOAL: -((settings["x"] - 1.0) ** 2)} if number else {})
    study = search._study(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 11
    assert study.best_value == max(-((search.chosen(tmp_path, n)["x"] - 1.0) ** 2) for n in range(1, 12))


def test_a_search_trains_and_makes_a_table(machine, data, tmp_path):
    pytest.importorskip("optuna")
    settings = {key: value for key, value in runs.flatten(tiny_config()).items() if key != "data.dir"}
    settings |= {"train.steps": 2, "train.warmup_anatomy": 0, "loss.perceptual": 0.0, "eval.every": 2}
    file = tmp_path / "mine.py"
    file.write_text(
        f"CONFIG, TRIALS, SETTINGS = 'default', 2, {settings!r}\n"
        "def suggest(trial):\n    rate = trial.suggest_float('train.learning_rate', 1e-4, 1e-3, log=True)\n"
        "    return SETTINGS | {'train.learning_rate': rate}\n"
    )
    arguments = [str(file), "--workdir", str(tmp_path / "w"), f"--config.data.dir={data}"]
    assert sweep.main(arguments) == 0
    keys, results, rows = sweep_table.rows_of(tmp_path / "w")
    assert "train.learning_rate" in keys and search.GOAL in results
    study = search._study(tmp_path / "w")
    assert [trial.value for trial in study.trials] == [pytest.approx(row[search.GOAL]) for row in rows]
    assert [trial.params["train.learning_rate"] for trial in study.trials] == [
        row["train.learning_rate"] for row in rows
    ]
