"""Ahead-of-time compile: arguments, the roofline, tables; and real compiles by the TPU compiler and for fake GPUs."""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys

import jax
import pytest
from cfd2gray.launch import aot, aot_table, scaling
from cfd2gray.launch.chips import CHIPS, GIB, parse_topology
from cfd2gray.launch.collectives import Collective
from cfd2gray.launch.program import Cost, describe

from cfd2gray.config import flatten, load_config
from cfd2gray.mesh import make_mesh
from cfd2gray.training.state import TrainSpec, abstract_state
from tests.cfd2gray.tiny import tiny_config

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the extra [tpu-aot] is not installed"
)
COST = Cost(
    arguments=GIB, outputs=0, temporaries=2 * GIB, code=0, peak=3 * GIB, limit=int(15.5 * GIB), flops=197e12 * 0.2,
    bytes=819e9 * 0.5, collectives=(Collective("all-reduce", (("f32", (1000, 250)),), 256, 1),), work_seconds=0.2,
    memory_seconds=0.5, link_seconds=0.1,
)  # fmt: skip


def test_topologies():
    assert (parse_topology("v5e:16x16").chips, parse_topology("v5p:4x4x8").chips, parse_topology("h100:8").chips) == (
        256,
        128,
        8,
    )
    for wrong in ("v9:2x2", "v5e:16", "v5e:0x4", "v4:4x4", "h100:2x2", "v5e"):
        with pytest.raises(ValueError):
            parse_topology(wrong)


def test_meshes():
    assert aot.parse_mesh("data=64,fsdp=4") == ["mesh.data=64", "mesh.fsdp=4"]
    with pytest.raises(ValueError, match="--mesh must be like"):
        aot.parse_mesh("model=4")


def test_the_roofline_takes_the_slower_of_work_and_memory_and_adds_links():
    assert COST.seconds == pytest.approx(0.6) and COST.efficiency == pytest.approx(1 / 3) and COST.fits
    assert not dataclasses.replace(COST, peak=16 * GIB).fits
    shown = "\n".join(describe("train", COST))
    assert "600.0 ms" in shown and "all-reduce" in shown and "3.00 of 15.50 GiB" in shown


def _result(**changes):
    step = COST.as_json()
    return {
        "config": "paper_scale", "topology": "v5e:16x16", "chip": {"name": "v5e"}, "chips": 256, "batch_size": 512,
        "frames": 32, "size": 256, "mesh": {"data": -1, "fsdp": 4}, "jax": "0.10.2", "quick": True,
        "programs": {"train": step},
    } | changes  # fmt: skip


def test_the_scaling_page_is_arithmetic_on_its_stated_assumptions():
    text = scaling.page([_result()], date="2026-01-01")
    rate = 512 / (0.6 * scaling.OVERHEAD)
    minutes, dollars = scaling.CLIPS / rate / 60, scaling.CLIPS / rate / 3600 * 256 * CHIPS["v5e"].price
    (row,) = re.findall(r"\| v5e:16x16 .*", text)
    assert (
        f"| {rate:.0f} | {rate:.0f} | chips | {minutes:.2f} | {dollars:.2f} | {rate * 32 * 256 * 256 * 6 / 4e6:.0f} MB/s |"
        in row
    )
    assert "**predicted**" in text and "| h100:8 |" in text
    # A chip ten times as fast waits for storage, or where it has few cores for them.
    clip = 32 * 256 * 256 * 6
    fast = scaling.tpu_row(_result(programs={"train": COST.as_json() | {"seconds": 0.03}}), clip)
    assert fast["limit"] == "storage" and fast["fed"] == pytest.approx(4 * scaling.STORAGE_RATE / clip)
    assert fast["fed"] < fast["rate"]
    assert scaling.gpu_row("h100", 1, 1e11, clip, batch_size=8)["limit"] == "cores"
    with pytest.raises(ValueError, match="of which a100-40 gives too little"):
        scaling.gpu_row("a100-40", 1, 4e12, clip, batch_size=9)
    with pytest.raises(ValueError, match="one config"):
        scaling.page([_result(), _result(size=128)], date="2026-01-01")


def test_the_table_goes_between_its_marks(tmp_path):
    page, file = tmp_path / "page.md", tmp_path / "a.json"
    page.write_text(f"before\n{aot_table.BEGIN}\nold\n{aot_table.END}\nafter\n")
    file.write_text(json.dumps(_result()))
    assert aot_table.main(["--aot", str(file), "--date", "2026-01-01", "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "| paper_scale | v5e:16x16 | 64 x 4 | 512 | 3.0 GiB |" in text and "| 853 |" in text
    page.write_text("no marks")
    assert aot_table.main(["--aot", str(file), "--date", "2026-01-01", "--page", str(page)]) == 2


def _aot(tmp_path, *arguments):
    config = flatten(tiny_config("translate.size=32", "translate.window=4"))
    keys = [f"--config.{key}={value!r}" for key, value in config.items()]
    command = [sys.executable, "-m", "cfd2gray.launch.aot", "--json", str(tmp_path / "aot.json"), *keys, *arguments]
    env = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    found = json.loads((tmp_path / "aot.json").read_text()) if (tmp_path / "aot.json").exists() else None
    return done, found


@needs_libtpu
def test_a_tpu_slice_that_is_not_here(tmp_path):
    arguments = ("--topology", "v5e:2x4", "--mesh", "data=2,fsdp=4", "--quick", "--config.mesh.fsdp_min_size=64")
    done, found = _aot(tmp_path, *arguments, "--programs", "warm-up,translate")
    assert done.returncode == 0, done.stderr
    step = found["programs"]["warm-up"]
    assert 0 < step["memory"]["arguments"] < step["memory"]["peak"] < 0.1 * GIB and step["fits"]
    assert {"all-reduce", "all-gather"} <= set(step["collectives"])
    others = set(step["collectives"]) - {"all-reduce", "reduce-scatter", "all-gather"}
    assert all(step["largest"][kind] < 2**12 for kind in others)  # the compiler may shift a few numbers, but no image
    assert step["seconds"] > 0 and 0 < step["efficiency"] < 1 and step["flops"] > 1e6
    assert not found["programs"]["translate"]["collectives"]
    assert "memory per chip" in done.stdout


@needs_libtpu
def test_paper_scale_fits_its_pod_and_sends_gradients_and_parameters_only(tmp_path):
    """The real config for the real slice: a minute of compiling."""
    command = [sys.executable, "-m", "cfd2gray.launch.aot", "--config", "paper_scale", "--topology", "v5e:16x16"]
    command += ["--quick", "--programs", "train", "--json", str(tmp_path / "aot.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    step = json.loads((tmp_path / "aot.json").read_text())["programs"]["train"]
    assert step["fits"] and step["memory"]["peak"] < 15.68 * GIB
    spec = TrainSpec.from_config(load_config("paper_scale"))
    shapes = abstract_state(spec, make_mesh(devices=jax.devices()[:1]), seed=0, fsdp_min_size=1)
    parameters = sum(4 * x.size for x in jax.tree.leaves((shapes.generator, shapes.discriminator)))
    state = sum(4 * x.size for x in jax.tree.leaves((shapes.generator, shapes.ema, shapes.generator_opt)))
    assert step["memory"]["arguments"] < 0.5 * state + 2**28  # split over four chips, beside clips and VGG
    sent = step["collectives"]
    assert sum(sent[kind]["bytes"] for kind in sent if kind in ("all-reduce", "reduce-scatter")) < 3 * parameters
    others = set(sent) - {"all-reduce", "reduce-scatter", "all-gather"}
    assert all(step["largest"][kind] < 2**12 for kind in others)


@needs_libtpu
def test_what_does_not_fit_fails(tmp_path):
    arguments = ("--topology", "v5e:1x1", "--mesh", "data=1,fsdp=1", "--quick", "--programs", "translate")
    large = ("--config.translate.size=4096", "--config.translate.window=96", "--config.model.width=64")
    done, _ = _aot(tmp_path, *arguments, *large)
    assert done.returncode == 1 and ("does not fit" in done.stderr or "than a v5e chip holds" in done.stderr), (
        done.stderr
    )


def test_gpus_are_stood_in_for(tmp_path):
    done, found = _aot(tmp_path, "--topology", "h100:4", "--mesh", "data=4,fsdp=1", "--programs", "warm-up")
    assert done.returncode == 0, done.stderr
    step = found["programs"]["warm-up"]
    assert set(step["collectives"]) == {"all-reduce"} and step["seconds"] is None and step["flops"] > 1e6


def test_mistakes_are_named(tmp_path):
    for arguments, message in (
        (("--topology", "v5e:2x4", "--programs", "lunch"), "--programs must be among"),
        (("--topology", "h100:3"), "must be a multiple of"),
    ):
        done, _ = _aot(tmp_path, *arguments)
        assert done.returncode == 2 and message in done.stderr
