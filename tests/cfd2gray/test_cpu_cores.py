"""A device per core: in a process of its own, since it must come before anything else of JAX."""

import os
import subprocess
import sys

import pytest

from cfd2gray.cpu_cores import devices_for


@pytest.mark.parametrize(
    "cores, shares, devices", [(2, 2, 2), (16, 12, 12), (4, 6, 3), (8, 7, 7), (2, 3, 1), (6, 0, 6), (0, 4, 1)]
)
def test_the_devices_share_the_work_evenly(cores, shares, devices):
    assert devices_for(cores, shares) == devices


CODE = "from cfd2gray.cpu_cores import device_per_core; device_per_core(); import jax; print(jax.device_count())"


@pytest.mark.parametrize(
    "chosen, devices",
    [
        ({}, len(os.sched_getaffinity(0))),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
    ],
)
def test_every_core_becomes_a_device_unless_somebody_has_chosen(chosen, devices):
    env = {key: value for key, value in os.environ.items() if key not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    done = subprocess.run([sys.executable, "-c", CODE], env=env | chosen, capture_output=True, text=True, check=True)
    assert int(done.stdout) == devices


def test_a_backend_that_runs_keeps_its_devices():
    code = f"import jax; before = jax.device_count(); {CODE}; assert jax.device_count() == before"
    env = {key: value for key, value in os.environ.items() if key not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
