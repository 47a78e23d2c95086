"""The parser's network: its exported graph computes the same, and a few steps of training lower the loss and resume."""

import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import numpy_helper

from cfd2gray.cli import main
from cfd2gray.parsing import network
from cfd2gray.parsing.examples import CANVAS, example_of
from cfd2gray.parsing.export import compare
from cfd2gray.parsing.train import augment
from data_pipeline.screen.parser.features import CHANNELS
from data_pipeline.screen.parser.network import WEIGHTS
from data_pipeline.simulation.screens.compose import draw_screen_clip
from data_pipeline.simulation.screens.tissue import make_tissue


def test_the_exported_graph_computes_what_the_network_computes(tmp_path):
    import cv2

    params = network.init_params(3)
    params = {
        name: {k: jnp.asarray(np.asarray(v, np.float16), jnp.float32) for k, v in p.items()}
        for name, p in params.items()
    }
    rng = np.random.default_rng(0)
    features = rng.random((2, 48, 64, CHANNELS), np.float32)
    seen = np.ones((2, 48, 64, 1), np.float32)
    seen[:, 40:] = 0
    planes, whole = network.apply(params, features, seen)
    (tmp_path / "net.onnx").write_bytes(network.to_onnx(params))
    net = cv2.dnn.readNetFromONNX(str(tmp_path / "net.onnx"), cv2.dnn.ENGINE_CLASSIC)
    net.setInput(np.ascontiguousarray(features.transpose(0, 3, 1, 2)), "features")
    net.setInput(np.ascontiguousarray(seen.transpose(0, 3, 1, 2)), "seen")
    shares, logits = net.forward(["planes", "whole"])
    np.testing.assert_allclose(shares.transpose(0, 2, 3, 1), jax.nn.sigmoid(planes) * seen, atol=1e-4)
    np.testing.assert_allclose(logits, whole, atol=1e-3)


def test_the_shipped_parser_is_exported_after_it_was_compared_with_jax(tmp_path, capsys):
    assert main(["export", "--screen-parser", "--onnx", str(tmp_path / "parser.onnx")]) == 0
    assert "furthest from JAX: planes" in capsys.readouterr().out
    assert (tmp_path / "parser.onnx").read_bytes() == WEIGHTS.read_bytes()
    assert main(["export", "--screen-parser", "--onnx", str(tmp_path / "parser.onnx")]) == 2
    assert main(["export", "--screen-parser", "-o", str(tmp_path / "parser.safetensors")]) == 2
    graph = onnx.load_from_string(WEIGHTS.read_bytes())
    for tensor in graph.graph.initializer:
        if tensor.name == "stem.bias":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1.0, tensor.name))
    assert max(compare(graph.SerializeToString()).values()) < 1e-4, "parameters are taken from the graph"


def test_examples_hold_the_screen_and_its_truth():
    rng = np.random.default_rng(2)
    tissues = [make_tissue(seed, size=96, frames=4) for seed in (0, 3)]
    for _ in range(5):
        features, truth, whole = example_of(rng, draw_screen_clip(rng, tissues, rows=(96, 160)))
        assert features.shape == (CANVAS, CANVAS, CHANNELS) and truth.shape == (CANVAS, CANVAS, 5)
        assert not features[truth[..., 4] == 0].any() and not truth[truth[..., 4] == 0].any()
        assert whole[0] < len(network.KINDS)


def test_augmentation_mirrors_screen_and_truth_together():
    features = np.zeros((4, 32, 32, CHANNELS), np.uint8)
    truth = np.zeros((4, 32, 32, 5), np.uint8)
    truth[:, :20, :24, 4] = 255
    features[:, 5, 3, :3], truth[:, 5, 3, 1] = 200, 255
    for key in range(4):
        x, y = augment(jax.random.key(key), jnp.asarray(features), jnp.asarray(truth))
        for k in range(4):
            place = np.argwhere(np.asarray(x[k, ..., 0]) > 0.3)
            np.testing.assert_array_equal(place, np.argwhere(np.asarray(y[k, ..., 1]) > 0))
            assert tuple(place[0]) in ((5, 3), (5, 20))


def test_training_saves_and_resumes(tmp_path):
    command = [sys.executable, "-m", "cfd2gray.parsing.train", "--out", tmp_path, "--minutes", "9", "--steps", "2"]
    for done in (2, 4):
        subprocess.run(
            [*map(str, command), "--batch", "1", "--pool", "32"], check=True, capture_output=True, timeout=500
        )
        assert pickle.loads((tmp_path / "parser_state.pkl").read_bytes())[3] == done
    names = ["parser_average.npz", "parser_log.jsonl", "parser_state.pkl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
