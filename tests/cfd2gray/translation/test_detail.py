"""What other frames tell of hidden pixels, at the size of the screen: the graph that ships, and what comes of it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.models import detail as network
from cfd2gray.translation import detail
from cfd2gray.translation.files import translate_file
from cfd2gray.translation.motion import Sight
from cfd2gray.translation.output.result_files import Output
from cfd2gray.translation.output.video import write_video
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import load_pretrained
from data_pipeline.schema import FLOW, SECTOR
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.simulator import simulate_pair


def test_the_graph_computes_what_the_network_does(tmp_path, monkeypatch):
    params = network.init_params(0)
    rng = np.random.default_rng(0)
    params["head"]["kernel"] = jnp.asarray(rng.normal(size=params["head"]["kernel"].shape, scale=0.2), jnp.float32)
    params = jax.tree.map(lambda x: x.astype(jnp.float16).astype(jnp.float32), params)  # as they are stored
    (tmp_path / "detail.onnx").write_bytes(network.to_onnx(params))
    monkeypatch.setattr(detail, "_NETS", detail.Nets(tmp_path / "detail.onnx"))
    made = rng.uniform(0, 255, (1, 61, 83)).astype(np.float32)
    hidden = np.zeros(made.shape, np.uint8)
    hidden[0, 20:45, 30:71] = 1
    sides = [(rng.uniform(0, 255, made.shape), rng.integers(0, 4, made.shape)) for _ in range(2)]
    sights = [Sight(value.astype(np.float32), age.astype(np.uint8) * hidden) for value, age in sides]
    shown = made.copy()
    detail.add_detail(shown, hidden, *sights)
    np.testing.assert_array_equal(shown[hidden == 0], made[hidden == 0])
    planes, differs = detail.planes_of(
        jnp.asarray(made), hidden, *((jnp.asarray(s.value), jnp.asarray(s.age, jnp.float32)) for s in sights), xp=jnp
    )
    belief, added = network.apply(params, jnp.pad(planes, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge"))
    expected = made + 255.0 * detail.TAKEN * hidden * np.asarray(belief[:, :61, :83] * differs + added[:, :61, :83])
    np.testing.assert_allclose(shown, expected, atol=0.02)
    assert np.abs(shown - made).max() > 5


def test_openvino_and_opencv_find_the_same():
    pytest.importorskip("openvino")
    rng = np.random.default_rng(1)
    hidden = np.zeros((3, 90, 120), np.uint8)
    for t in range(3):
        hidden[t, 20 : 40 + 9 * t, 30 : 70 + 11 * t] = 1
    made = rng.uniform(60, 120, hidden.shape).astype(np.float32)
    sides = [Sight((made + rng.normal(0, 9, made.shape)).astype(np.float32), hidden.copy()) for _ in range(2)]
    shown = {runtime: made.copy() for runtime in ("openvino", "onnxruntime")}
    for runtime, result in shown.items():
        detail.add_detail(result, hidden, *sides, runtime=runtime)
    np.testing.assert_allclose(shown["openvino"], shown["onnxruntime"], atol=0.25)  # bfloat16
    assert np.abs(shown["openvino"] - made).max() > 1


def test_unseen_pixels_take_nothing_from_elsewhere():
    made = np.full((1, 40, 40), 100.0, np.float32)
    hidden = np.ones(made.shape, np.uint8)
    nothing = Sight(np.full(made.shape, 255.0, np.float32), np.zeros(made.shape, np.uint8))
    _, differs = detail.planes_of(made, hidden, *[(nothing.value, nothing.age)] * 2, xp=np)
    assert not differs.any()


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 5, height=320, width=320, frames=8, split="test")


def test_an_enlarged_result_is_nearer_to_truth_and_no_visible_pixel_changes(pair):
    known = FlowAnalysis(sector=((pair.strata & SECTOR) > 0).any(axis=0), strata=pair.strata)
    with_, without = (
        Translator(load_pretrained(), texture=0.0, detail=on).translate(pair.cfd, analysis=known, confidence=False).grey
        for on in (True, False)
    )
    hidden, covered = hidden_mask(pair.strata, pair.cfd) > 0, (pair.strata & FLOW) > 0
    assert covered.any() and (with_ != without).any()
    np.testing.assert_array_equal(with_[~hidden], without[~hidden])
    truth = pair.grey[..., 0].astype(float)
    errors = [np.abs(grey - truth)[covered].mean() for grey in (with_, without)]
    assert errors[0] < errors[1], errors


def test_a_result_says_which_network_brought_detail_of_other_frames(pair, tmp_path):
    write_video(tmp_path / "colour.mkv", pair.cfd, fps=pair.fps)
    output = Output(format=".mkv", hasher=KeyedHasher(b"k" * 32))
    for on in (True, False):
        translator = Translator(load_pretrained(), texture=0.0, detail=on)
        facts = translate_file(translator, tmp_path / "colour.mkv", tmp_path / f"{on}.mkv", output)
        told = json.loads((tmp_path / f"{on}.mkv.json").read_text())["detail_sha256"]
        assert told == facts["detail_sha256"] == (detail.digest() if on else "")
