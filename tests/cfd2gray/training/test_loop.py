"""Runs: from nothing, resumed, stopped, broken. Real checkpoints, real records, no mocks."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cfd2gray.config import flatten, load_config
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.training import loop
from cfd2gray.training.meter import Diverged, describe
from cfd2gray.training.state import TrainSpec
from cfd2gray.training.writer import read_history
from cfd2gray.weights.find import checkpoint_weights, find_checkpoint, restore_average
from tests.cfd2gray.tiny import SPEC, pack_tiny, tiny_config


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return pack_tiny(tmp_path_factory.mktemp("data") / "records")


def _config(records, *overrides):
    return tiny_config(f"data.dir={records}", "train.warmup_anatomy=3", *overrides)


@pytest.fixture(scope="module")
def unbroken(records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    loop.train(_config(records), workdir)
    return workdir


def _losses(workdir):
    return {line["step"]: line["loss/total"] for line in read_history(workdir)}


def test_training_ends_early_when_validation_stops_rising_and_stays_ended(records, tmp_path):
    scores = {2: 0.5, 3: 0.6, 4: 0.55, 5: 0.6}
    asked = []

    def validate(config, spec, params, mesh):
        asked.append(len(asked) + 1)
        return {"val/ssim_flow": scores.get(asked[-1], 0.4)}

    config = _config(records, "train.steps=9", "eval.every=1", "eval.patience=2")
    outcome = loop.train(config, tmp_path / "run", validate=validate)
    assert (outcome.step, outcome.stopped) == (5, False)
    assert find_checkpoint(tmp_path / "run").name == "5"
    again = loop.train(config, tmp_path / "run", validate=validate)
    assert (again.step, again.stopped, len(asked)) == (5, False, 5)
    with pytest.raises(ValueError, match="patience"):
        loop.train(_config(records, "eval.patience=-1"), tmp_path / "other")


def test_a_resumed_run_repeats_the_unbroken_one_bit_for_bit(records, unbroken, tmp_path):
    workdir = tmp_path / "run"
    calls = {"n": 0}

    class Stopped(loop.StopRequest):
        """Asks to stop after four steps, as SIGTERM would."""

        @property
        def requested(self):
            calls["n"] += 1
            return calls["n"] > 3

        @requested.setter
        def requested(self, value):
            pass

    first = tiny_config(f"data.dir={records}", "train.warmup_anatomy=3", "train.steps=6")
    original, loop.StopRequest = loop.StopRequest, Stopped
    try:
        outcome = loop.train(first, workdir)
    finally:
        loop.StopRequest = original
    assert outcome.stopped and 0 < outcome.step < 6
    assert loop.train(_config(records), workdir).step == 6
    assert _losses(workdir) == _losses(unbroken)
    a, b = checkpoint_weights(workdir), checkpoint_weights(unbroken)
    assert a.digest == b.digest, "parameters must agree bit for bit"


def test_a_finished_run_started_again_does_nothing_and_says_so(records, unbroken):
    before = (unbroken / "metrics.jsonl").read_bytes()
    assert loop.train(_config(records), unbroken).step == 6
    assert (unbroken / "metrics.jsonl").read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(records, unbroken):
    with pytest.raises(ValueError, match="model.width: then 8, now 16"):
        loop.train(_config(records, "model.width=16"), unbroken)


def test_other_data_under_the_same_run_is_refused(unbroken, tmp_path):
    other = pack_tiny(tmp_path / "other", clips=30)
    with pytest.raises(ValueError, match="digest"):
        loop.train(tiny_config(f"data.dir={other}", "train.warmup_anatomy=3", "train.steps=8"), unbroken)


def test_a_folder_of_something_else_is_never_touched(records, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not a training run"):
        loop.train(_config(records), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_divergence_names_the_term_and_keeps_the_last_checkpoint(records, tmp_path):
    config = _config(
        records, "train.learning_rate=1e30", "train.warmup=1", "train.clip_norm=1e30", "train.warmup_anatomy=6",
        "checkpoint.every=1",
    )  # fmt: skip
    with pytest.raises(Diverged, match=r"between steps \d+ and \d+: .*loss/"):
        loop.train(config, tmp_path / "run")
    weights = checkpoint_weights(tmp_path / "run")  # the first step's, which raises when there is none
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(weights.params))


def test_a_checkpoint_of_another_model_is_named(unbroken):
    other = dataclasses.replace(SPEC, width=16)
    with pytest.raises(ValueError, match="another network: anatomy"):
        restore_average(find_checkpoint(unbroken), jax.eval_shape(lambda: fresh_params(Generator, other, 0)))


def test_starting_from_weights_of_a_run(records, unbroken, tmp_path):
    def distance(a, b):
        return max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))

    config = _config(records, f"init={unbroken}", "train.steps=1", "seed=5")
    loop.train(config, tmp_path / "run")
    start, end = (checkpoint_weights(folder).params for folder in (unbroken, tmp_path / "run"))
    assert distance(start, end) < 0.02 < 0.1 < distance(start, fresh_params(Generator, SPEC, 5))
    with pytest.raises(ValueError, match="init: the weights are of"):
        loop.train(_config(records, f"init={unbroken}", "model.width=16"), tmp_path / "other")


def test_a_run_ended_by_signals_goes_on_where_it_was(records, unbroken, tmp_path):
    """Real processes, ended after a checkpoint each: SIGTERM saves and exits with 75, SIGKILL cannot."""
    workdir = tmp_path / "run"
    tiny = flatten(load_config("tiny"))
    overrides = [f"--config.{k}={v}" for k, v in flatten(_config(records)).items() if tiny[k] != v]
    command = [sys.executable, "-m", "cfd2gray.cli", "train", "--config", "tiny", *overrides, "--workdir", str(workdir)]
    for how, after, codes in ((signal.SIGTERM, 2, (75, 0)), (signal.SIGKILL, 4, (-9, 0))):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            if (workdir / "metrics.jsonl").is_file() and len(_losses(workdir)) >= after:
                process.send_signal(how)
                break
            time.sleep(0.02)
        _, errors = process.communicate(timeout=240)
        assert process.returncode in codes, errors
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert _losses(workdir) == _losses(unbroken)


def test_every_loss_weight_and_spec_comes_from_the_config():
    spec = TrainSpec.from_config(tiny_config("loss.temporal=0.25", "train.ema=0.9"))
    assert spec.loss.temporal == 0.25 and spec.ema == 0.9
    with pytest.raises(ValueError, match="adversarial_kind"):
        TrainSpec.from_config(tiny_config("loss.adversarial_kind=wgan"))
    with pytest.raises(ValueError, match="must not be negative"):
        TrainSpec.from_config(tiny_config("loss.pixel=-1.0"))


def test_metrics_are_json_lines_with_speed(unbroken):
    lines = [json.loads(line) for line in (unbroken / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert all({"speed/clips_per_s", "speed/data_wait_percent", "loss/pixel"} <= set(line) for line in lines)


def test_a_step_is_told_in_grey_levels_and_not_by_an_objective_that_may_be_negative():
    read = {"loss/total": -0.05, "loss/pixel": 0.02, "speed/clips_per_s": 2.0, "speed/data_wait_percent": 3.0}
    assert describe(read, clips_left=14).startswith(
        "error 5.1 grey levels  2.00 clips/s"
    ) and "0:00:07 left" in describe(read, clips_left=14)
    del read["loss/pixel"]
    assert describe(read, clips_left=14).startswith("loss -0.0500")
