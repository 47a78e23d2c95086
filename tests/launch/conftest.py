import os

import pytest

from tests.cfd2gray.tiny import pack_tiny
from tests.compiler import COMPILE_LESS
from tests.launch import runs


@pytest.fixture(scope="session")
def machine():
    """Processes of one device, which leave a core to each other."""
    saved = {name: os.environ.get(name) for name in ("XLA_FLAGS", "OMP_NUM_THREADS")}
    os.environ["XLA_FLAGS"] = COMPILE_LESS
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return pack_tiny(tmp_path_factory.mktemp("data") / "records")


@pytest.fixture(scope="session")
def plain(machine, data, tmp_path_factory):
    """The work folder of an uninterrupted run in one process."""
    workdir = tmp_path_factory.mktemp("plain") / "run"
    code, output = runs.run(data, workdir)
    assert code == 0, output
    return workdir
