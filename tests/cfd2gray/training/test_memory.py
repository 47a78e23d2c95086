"""Steps that do not fit are refused with the remedy, and what is free is what the machine and its container would give."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from cfd2gray.exit_codes import EXIT_MISTAKE
from cfd2gray.training.memory import check_memory, host_free_bytes, step_bytes
from data_pipeline.mistakes import Mistake
from tests.compiler import COMPILE_LESS

MIB = 2**20


def test_the_need_is_what_a_call_takes_beside_its_arguments():
    x = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    keep = jax.jit(lambda x: (x @ x) @ x).lower(x).compile()  # one product is held, one is given out
    assert 8 * MIB <= step_bytes(keep) < 12 * MIB
    donated = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
    assert step_bytes(donated) < MIB


def test_devices_of_a_cpu_share_its_memory_and_the_remedies_are_named():
    devices = jax.devices("cpu")[:1]
    check_memory(10, devices, free=10)
    check_memory(10, devices, free=None)
    with pytest.raises(Mistake, match="data.batch_size.*model.remat.*--config tiny"):
        check_memory(11, devices, free=10)
    with pytest.raises(Mistake):
        check_memory(6, devices * 2, free=10)


def test_a_container_may_give_less_than_the_machine(tmp_path):
    machine = host_free_bytes(tmp_path)  # no limit is set
    assert machine > 0
    (tmp_path / "memory.max").write_text(f"{500 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{300 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * MIB}\n")
    assert host_free_bytes(tmp_path) == min(machine, 300 * MIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert host_free_bytes(tmp_path) > 300 * MIB or machine <= 300 * MIB


def test_a_training_that_cannot_fit_ends_before_its_first_step_with_the_remedy(tmp_path):
    """The real command on painted clips, told that next to nothing is free."""
    keys = ["data.mixture=(('painted', 1.0),)", "data.size=64", "data.frames=12", "data.batch_size=2", "train.margin=1"]
    code = (
        "import sys; from cfd2gray.training import compile; from cfd2gray import cli\n"
        "compile.free_bytes = lambda device: 2**20\n"  # as on a machine that is nearly full
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    small = ["model.width=8", "model.levels=1", "model.denoise_width=8", "model.denoise_blocks=1", "loss.perceptual=0.0",
             "discriminator.width=8", "discriminator.levels=1", "model.fill_radius=1"]  # fmt: skip
    command = [sys.executable, "-c", code, "train", "--config", "tiny", "--workdir", str(tmp_path / "run")]
    one = os.environ | {"XLA_FLAGS": COMPILE_LESS}  # device, not the tests' eight
    words = [*command, *(f"--config.{key}" for key in keys + small)]
    done = subprocess.run(words, capture_output=True, text=True, env=one)
    assert done.returncode == EXIT_MISTAKE, done.stderr
    assert "data.batch_size" in done.stderr and "steps of 2 clips" in done.stderr and "compiling" in done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
