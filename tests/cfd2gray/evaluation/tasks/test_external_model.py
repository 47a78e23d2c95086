"""A user's own model: imported by name, or as ONNX in every layout that is accepted."""

import numpy as np
import pytest

from cfd2gray.evaluation.tasks.external_model import OnnxModel, load_model

onnx = pytest.importorskip("onnx")

CLIPS = np.random.default_rng(0).integers(0, 255, (3, 4, 8, 8)).astype(np.uint8)


def save(path, shape, nodes, outputs, constants=()):
    """An ONNX file with one float input ``x`` and one output ``y``."""
    helper, tensor = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", tensor, shape)],
        [helper.make_tensor_value_info("y", tensor, outputs)],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return str(path)


def mean_and_rest(path, shape, axes, classes):
    """Two class scores: the mean and its negative."""
    node = onnx.helper.make_node
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=axes, keepdims=0),
        node("Unsqueeze", ["m", "one"], ["u"]),
        node("Neg", ["u"], ["n"]),
        node("Concat", ["u", "n"], ["y"], axis=1),
    ]
    one = onnx.numpy_helper.from_array(np.array([1]), "one")
    return save(path, shape, nodes, [None, classes], [one])


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        (["b", 1, "h", "w"], [1, 2, 3]),
        (["b", "h", "w", 3], [1, 2, 3]),
        ([1, 3, 8, 8], [1, 2, 3]),
        (["n", "t", "h", "w", 1], [1, 2, 3, 4]),
        (["n", "t", 3, "h", "w"], [1, 2, 3, 4]),
        (["n", 1, 4, "h", "w"], [1, 2, 3, 4]),
    ],
)
def test_classifiers_of_every_layout_agree(tmp_path, shape, axes):
    model = OnnxModel(mean_and_rest(tmp_path / "m.onnx", shape, axes, 2))
    expected = CLIPS.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(model(CLIPS), np.stack([expected, -expected], -1), atol=1e-5)


def test_a_segmenter_gives_label_maps(tmp_path):
    node = onnx.helper.make_node
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")
    nodes = [
        node("Sub", ["half", "x"], ["b"]),
        node("Sub", ["x", "half"], ["f"]),
        node("Concat", ["b", "f"], ["y"], axis=1),
    ]
    model = OnnxModel(save(tmp_path / "s.onnx", ["b", 1, "h", "w"], nodes, [None, 2, None, None], [half]))
    labels = model(CLIPS)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, (CLIPS > 127.5).astype(np.uint8))


def test_models_that_do_not_fit_are_named(tmp_path):
    node = onnx.helper.make_node
    flat = save(tmp_path / "flat.onnx", ["b", 64], [node("Identity", ["x"], ["y"])], [None, 64])
    with pytest.raises(ValueError, match="is not understood"):
        OnnxModel(flat)
    fixed = mean_and_rest(tmp_path / "fixed.onnx", ["b", 1, 16, 16], [1, 2, 3], 2)
    assert OnnxModel(fixed)(CLIPS).shape == (3, 2), "clips are resized to what the model wants"
    scalar = save(
        tmp_path / "scalar.onnx",
        ["b", 1, "h", "w"],
        [node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)],
        [None],
    )
    with pytest.raises(ValueError, match="neither class scores nor a label map"):
        OnnxModel(scalar)(CLIPS)
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="not a valid ONNX model"):
        OnnxModel(str(tmp_path / "broken.onnx"))
    with pytest.raises(ValueError, match="no such file"):
        load_model(str(tmp_path / "none.onnx"))


def test_callables_are_imported_by_name():
    assert load_model("numpy:mean") is np.mean
    with pytest.raises(ValueError, match="package.module:function"):
        load_model("numpy")
    with pytest.raises(ValueError, match="cannot be imported"):
        load_model("numpy:no_such_thing")
    with pytest.raises(ValueError, match="not something that can be called"):
        load_model("numpy:pi")
