"""The light distribution is the full one without what only training needs."""

import pathlib
import tomllib

import pytest
from cfd2gray.launch.light import NAME, ROOT, light_project


def test_it_leaves_out_what_it_says_and_keeps_the_rest():
    text = (ROOT / "pyproject.toml").read_text()
    full, light = tomllib.loads(text), tomllib.loads(light_project(text))
    without = set(full["tool"][NAME]["without"])
    kept = [line for line in full["project"]["dependencies"] if not any(line.startswith(name) for name in without)]
    assert light["project"]["dependencies"] == kept and len(kept) == len(full["project"]["dependencies"]) - len(without)
    assert light["project"]["name"] == NAME and "optional-dependencies" not in light["project"]
    assert light["tool"]["setuptools"] == full["tool"]["setuptools"]
    assert pathlib.Path(ROOT / "cfd2gray").is_dir()


def test_a_name_that_is_no_dependency_is_an_error():
    text = (ROOT / "pyproject.toml").read_text().replace('"jax", "flax"', '"jaxx", "flax"')
    with pytest.raises(ValueError, match="jaxx"):
        light_project(text)
