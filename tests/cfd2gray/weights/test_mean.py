"""The mean of two sets of weights, from the command line to the file."""

import dataclasses

import jax
import numpy as np
import pytest

from cfd2gray import cli
from cfd2gray.weights.pretrained import flat_params, load_pretrained, load_weights, mean_weights, save_weights


def test_the_mean_of_two_files_is_a_file_of_its_own(tmp_path):
    default = load_pretrained()
    doubled = dataclasses.replace(default, params=jax.tree.map(lambda x: 2.0 * x, default.params))
    save_weights(tmp_path / "other.safetensors", doubled)
    command = ["export", "--mean", str(tmp_path / "other.safetensors"), "-o", str(tmp_path / "mean.safetensors")]
    assert cli.main(command) == 0
    mean = flat_params(load_weights(tmp_path / "mean.safetensors").params)
    for name, x in flat_params(default.params).items():
        np.testing.assert_allclose(mean[name], 1.5 * x, rtol=1e-6)


def test_different_networks_have_no_mean():
    with pytest.raises(ValueError, match="different networks"):
        mean_weights(load_pretrained(), load_pretrained("streaming"))
