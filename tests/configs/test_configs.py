"""Every shipped config: its keys are the default's, its docstring says how to run it, its step can be built."""

import dataclasses
import importlib

import jax
import pytest
from cfd2gray.launch.lowering import PROGRAMS, lower_train

from cfd2gray.config import flatten, load_config, shipped_configs
from cfd2gray.mesh import make_mesh
from cfd2gray.training.data import build_source
from cfd2gray.training.state import TrainSpec
from cfd2gray.weights.pretrained import load_pretrained

NAMES = sorted(shipped_configs())


def test_the_promised_configs_ship():
    promised = {"default", "tiny", "echo_128", "echo_256", "paper_scale", "finetune", "fsdp", "pretrained"}
    assert promised <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_changes_known_keys_and_says_how_to_run_it(name):
    config = load_config(name)
    assert flatten(config).keys() == flatten(load_config("default")).keys()
    about = importlib.import_module(f"cfd2gray.configs.{name}").__doc__
    assert "cfd2gray train --config" in about
    if name != "default":
        assert f"--config {name}" in about or f"--config configs/{name}.py" in about
    TrainSpec.from_config(config)


@pytest.mark.parametrize("name", NAMES)
def test_the_training_step_of_a_config_lowers_on_eight_devices(name):
    config = load_config(name)
    batch = max(config.data.batch_size, 8)  # the demo's and the shipped weights' are for one device
    config = load_config(name, [f"data.batch_size={batch}"])
    mesh = make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp, devices=jax.devices())
    (cfd, *_) = [x for x in jax.tree.leaves(lower_train(config, mesh).in_avals) if x.ndim == 5 and x.shape[-1] == 3]
    assert cfd.shape == (batch, config.data.frames, config.data.size, config.data.size, 3)


@pytest.mark.parametrize("program", ["warm-up", "eval", "translate"])
def test_the_other_programs_lower(program):
    config = load_config("tiny", ["data.batch_size=8"])
    mesh = make_mesh(devices=jax.devices())
    assert PROGRAMS[program](config, mesh).as_text("stablehlo").count("convolution") > 5


def test_finetuning_starts_from_a_network_of_the_shipped_shape():
    spec, shipped = TrainSpec.from_config(load_config("finetune")).generator, load_pretrained().spec
    assert spec == shipped


def test_simulated_clips_of_finetuning_are_as_large_as_the_records_that_were_cropped_in_training():
    config = load_config("finetune", ["data.mixture=(('simulation', 1.0),)", "data.simulated_clips=9"])
    source = build_source(config, "train")
    assert (source.height, source.width) == (2 * config.data.size, 2 * config.data.size)


@pytest.mark.parametrize("leg", ["first", "further", "longer", "mistakes", "streaming"])
def test_the_legs_of_the_shipped_weights_go_on_from_each_other(leg):
    config = load_config(f"pretrained:{leg}")
    spec = TrainSpec.from_config(config)
    assert dataclasses.replace(spec.generator, causal=False) == load_pretrained().spec
    assert (spec.generator.causal, bool(config.init)) == (leg == "streaming", leg != "first")
    assert spec == TrainSpec.from_config(load_config("pretrained")) or leg != "first"


def test_an_unknown_leg_is_named():
    with pytest.raises(ValueError, match="first, further, longer, mistakes, streaming; got 'last'"):
        load_config("pretrained:last")
