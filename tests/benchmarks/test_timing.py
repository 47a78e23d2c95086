"""Paired runs, worker processes, costs and probes."""

import dataclasses
import io
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cfd2gray.benchmarks import cost, machine, worker
from cfd2gray.benchmarks.process import Contender, run_paired
from cfd2gray.benchmarks.timing import Ready, paired, ratio


def ready(name, seconds, log):
    def block(calls):
        log.append(name)
        elapsed = seconds[len([x for x in log if x == name]) % len(seconds)]
        return elapsed, 2 * elapsed

    return Ready(name=name, first_call_s=1.0, facts={"units": 2 if name == "b" else 1}, block=block)


def test_contenders_take_turns_and_ratios_are_those_of_a_round():
    log = []
    a, b = paired([ready("a", [1.0, 2.0], log), ready("b", [4.0, 8.0], log)], rounds=4, block_s=0.0)
    assert log == ["a", "b", *"abbaabba"], "the order moves on by one each round"
    found = ratio(a, b)  # b needs four times as long for twice the work
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.0)
    assert a.cpu_seconds == tuple(2 * x for x in a.seconds)
    assert a.median == 1.5 and a.spread == (1.0, 2.0) and str(found) == "2.00 [2.00-2.00]"


def test_figures_of_different_runs_have_no_ratio():
    first = paired([ready("a", [1.0], [])], rounds=2, block_s=0.0)[0]
    second = paired([ready("b", [1.0], [])], rounds=2, block_s=0.0)[0]
    with pytest.raises(ValueError, match="not measured in the same paired run"):
        ratio(first, second)
    with pytest.raises(ValueError, match="0 rounds"):
        paired([ready("a", [1.0], [])], rounds=0, block_s=0.0)
    assert ratio(first, dataclasses.replace(second, run=first.run)).median == 0.5


def sleeper(seconds):
    import time

    return lambda: time.sleep(seconds), {"units": 1}


def test_processes_are_timed_and_a_broken_contender_is_told(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parent))  # where the workers find this module
    here = f"{__name__}:sleeper"
    run = run_paired(
        [
            Contender(name="short", target=here, options={"seconds": 0.002}),
            Contender(name="long", target=here, options={"seconds": 0.02}),
            Contender(name="absent", target="no_such_module:work"),
        ],
        rounds=3, block_s=0.02,
    )  # fmt: skip
    assert 4 < ratio(run["short"], run["long"]).median < 11
    assert list(run.missing) == ["absent"] and "no_such_module" in run.missing["absent"]
    assert "absent" not in run and "long" in run
    with pytest.raises(KeyError, match="no_such_module"):
        run["absent"]
    with pytest.raises(ValueError, match="nothing could be measured"):
        run_paired([Contender(name="absent", target="no_such_module:work")], rounds=1, block_s=0.1)


def device_counter(expected):
    if jax.device_count() != expected:
        raise ValueError(f"{jax.device_count()} devices")
    return lambda: None, {"units": 1}


def test_a_contender_gets_one_device_or_every_core(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parent))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    here, cores = f"{__name__}:device_counter", len(os.sched_getaffinity(0))
    run = run_paired(
        [
            Contender(name="one", target=here, options={"expected": 1}),
            Contender(name="cores", target=here, options={"expected": cores}, cores=True),
        ],
        rounds=1, block_s=0.0,
    )  # fmt: skip
    assert not run.missing


def test_a_worker_answers_every_line_and_survives_what_fails():
    lines = [
        {"do": "build", "name": "x", "target": f"{__name__}:sleeper", "options": {"seconds": 0}},
        {"do": "run", "name": "x", "calls": 2},
        {"do": "run", "name": "y", "calls": 1},
    ]
    out = io.StringIO()
    worker.serve(io.StringIO("".join(json.dumps(line) + "\n" for line in lines)), out)
    built, ran, failed = map(json.loads, out.getvalue().splitlines())
    assert built["facts"] == {"units": 1} and ran["seconds"] >= 0 and "KeyError" in failed["error"]


def test_costs_are_counted_by_hand():
    def work(x, kernel, matrix):
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.scan(lambda carry, _: (carry @ matrix, None), y, None, length=3)[0]

    found = cost.count(jax.jit(work), jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5)), jnp.ones((5, 5)))
    conv, dot = 2 * (2 * 8 * 8 * 5) * 27, 2 * (2 * 8 * 8 * 5) * 5
    assert found.flops == conv + 3 * dot
    moved = 4 * (2 * 64 * 3 + 135 + 2 * 64 * 5) + 3 * 4 * (2 * 64 * 5 * 2 + 25)
    assert found.bytes == moved and cost.Cost.from_json(found.as_json()) == found
    peaks = machine.Peaks(flops={"float32": 1e9, "bfloat16": 1e9}, bytes_per_s=1e3)
    np.testing.assert_allclose(found.roofline_s(peaks), moved / 1e3)
    fast = dataclasses.replace(peaks, bytes_per_s=1e15)
    np.testing.assert_allclose(found.roofline_s(fast), found.flops / 1e9)


def test_zeros_of_a_dilated_convolution_are_not_work():
    def transposed(x, kernel):
        return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    found = cost.count(transposed, jnp.ones((1, 4, 4, 3)), jnp.ones((4, 4, 3, 5)))
    assert found.flops == 2 * (8 * 8 * 5) * 16 * 3 / 4


def test_the_machine_is_described_without_its_name():
    import platform

    facts = machine.describe()
    assert facts["versions"]["jax"] and "cores" in facts["machine"] and facts["load"] >= 0
    assert platform.node() not in json.dumps(facts)
    peaks = machine.probe(seconds=0.01)
    assert peaks.flops["float32"] > 1e8 and peaks.bytes_per_s > 1e7
