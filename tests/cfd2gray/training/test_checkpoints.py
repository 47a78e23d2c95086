"""When checkpoints and evaluations are due, which are kept, and what becomes of one that cannot be read."""

import shutil

import pytest

from cfd2gray.training import loop
from cfd2gray.training.checkpoint import _is_damage
from cfd2gray.training.stop import Timer, Vote
from cfd2gray.training.writer import read_history
from cfd2gray.weights.find import find_checkpoint
from data_pipeline.mistakes import Mistake
from tests.cfd2gray.tiny import pack_tiny, tiny_config


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return pack_tiny(tmp_path_factory.mktemp("data") / "records")


def saved(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def test_a_timer_says_once_that_its_time_is_over():
    now = [0.0]
    timer = Timer(2.0, clock=lambda: now[0])
    assert not timer.over()
    now[0] = 121.0
    assert timer.over() and not timer.over(), "the answer to a vote takes steps"
    timer.start()
    assert not timer.over()
    now[0] = 241.0
    assert timer.over()
    never = Timer(0.0, clock=lambda: now[0])
    now[0] = 1e9
    assert not never.over()
    with pytest.raises(Mistake, match="must not be negative"):
        Timer(-1.0)


def test_one_process_alone_has_its_answer_at_once():
    from cfd2gray.mesh import make_mesh

    assert Vote(make_mesh(), questions=3)(False, True, False) == [False, True, False]


def test_by_time_as_well_as_by_steps_and_the_best_is_kept(records, tmp_path):
    scores = iter([0.5, 0.9, 0.4, 0.3, 0.2, 0.1])
    config = tiny_config(
        f"data.dir={records}", "train.warmup_anatomy=0", "checkpoint.every=0", "checkpoint.minutes=1000.0",
        "checkpoint.keep=1", "eval.every=0", "eval.minutes=1e-9",
    )  # fmt: skip
    asked = []

    def validate(config, spec, params, mesh):
        asked.append(len(asked) + 1)
        return {"val/ssim_flow": next(scores)}

    assert loop.train(config, tmp_path / "run", validate=validate).step == 6
    assert asked == [1, 2, 3, 4, 5, 6], "a billionth of a minute is over after every step"
    assert saved(tmp_path / "run") == [2, 6], "the best and the newest"
    assert find_checkpoint(tmp_path / "run").name == "6"
    assert sum("val/ssim_flow" in line for line in read_history(tmp_path / "run")) == 6
    with pytest.raises(ValueError, match="are both 0"):
        loop.train(tiny_config(f"data.dir={records}", "checkpoint.every=0"), tmp_path / "other")


def _settings(records, steps):
    return tiny_config(
        f"data.dir={records}", "train.warmup_anatomy=0", "checkpoint.every=2", f"train.steps={steps}"
    )  # fmt: skip


@pytest.fixture(scope="module")
def four(records, tmp_path_factory):
    """A run of four steps with checkpoints at 2 and 4."""
    workdir = tmp_path_factory.mktemp("four") / "run"
    loop.train(_settings(records, 4), workdir)
    return workdir


@pytest.mark.parametrize("lost", ["state/d", "run/metadata"])
def test_a_checkpoint_of_which_a_part_is_lost_is_passed_over(records, four, tmp_path, lost, caplog):
    workdir = shutil.copytree(four, tmp_path / "run")
    place = workdir / "checkpoints" / "4" / lost
    for path in list(place.iterdir()) if place.is_dir() else [place]:
        path.unlink()
    with caplog.at_level("WARNING"):
        assert loop.train(_settings(records, 6), workdir).step == 6
    assert "checkpoint 4 cannot be read and is removed; going on from 2" in caplog.text
    assert [line["step"] for line in read_history(workdir)] == [1, 2, 3, 4, 5, 6]


def test_where_nothing_can_be_read_nothing_is_removed(records, four, tmp_path):
    workdir = shutil.copytree(four, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "4")
    (workdir / "checkpoints" / "2" / "run" / "metadata").unlink()
    with pytest.raises(FileNotFoundError):
        loop.train(_settings(records, 6), workdir)
    assert saved(workdir) == [2]


def test_a_store_that_does_not_answer_is_no_damage():
    assert _is_damage(FileNotFoundError("gone")) and _is_damage(ValueError("NOT_FOUND: ..."))
    assert not _is_damage(TimeoutError()) and not _is_damage(PermissionError()) and not _is_damage(Mistake("other run"))
    assert not _is_damage(ValueError("UNAVAILABLE: Error reading gs://bucket/..."))
