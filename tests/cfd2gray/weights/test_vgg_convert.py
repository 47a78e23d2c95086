import numpy as np
import pytest

from cfd2gray.models.vgg import LAYERS
from cfd2gray.weights import vgg_convert

TORCH = dict(zip((name for name, _, _ in LAYERS), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)))
SHORT = LAYERS[:3]


def _weights(seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal((3, 3, i, o)).astype(np.float32), rng.standard_normal(o).astype(np.float32))
        for name, i, o in SHORT
    }


def _torch_names(weights):
    named = {f"features.{TORCH[n]}.weight": k.transpose(3, 2, 0, 1) for n, (k, _) in weights.items()}
    return named | {f"features.{TORCH[n]}.bias": b for n, (_, b) in weights.items()}


def _write(kind, path, weights):
    if kind == "npz":
        np.savez(path, **_torch_names(weights))
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(v) for name, v in _torch_names(weights).items()}, path)
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, (kernel, bias) in weights.items():
                block = name.replace("conv", "block").replace("_", "_conv")
                file[f"model_weights/{block}/{block}/kernel:0"] = kernel
                file[f"model_weights/{block}/{block}/bias:0"] = bias
    else:
        onnx = pytest.importorskip("onnx")
        tensors = []
        for name, (kernel, bias) in weights.items():
            number = [n for n, _, _ in LAYERS].index(name)
            tensors.append(onnx.numpy_helper.from_array(kernel.transpose(3, 2, 0, 1), f"vgg0_conv{number}_weight"))
            tensors.append(onnx.numpy_helper.from_array(bias, f"vgg0_conv{number}_bias"))
        graph = onnx.helper.make_graph([], "vgg", [], [], initializer=tensors)
        onnx.save(onnx.helper.make_model(graph), str(path))


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5", "onnx"])
def test_every_spelling_gives_the_same_network(tmp_path, kind):
    weights = _weights()
    source, target = tmp_path / f"vgg.{kind}", tmp_path / "out.safetensors"
    _write(kind, source, weights)
    vgg_convert.convert(source, target, preprocessing="torchvision", last="conv4_3")
    vgg = vgg_convert.load(target)
    assert vgg.preprocessing == vgg_convert.TORCHVISION
    assert set(vgg.kernels) == {name for name, _, _ in SHORT}
    for name, (kernel, bias) in weights.items():
        np.testing.assert_array_equal(vgg.kernels[name], kernel)
        np.testing.assert_array_equal(vgg.biases[name], bias)


def test_a_wrong_shape_is_named(tmp_path):
    weights = _weights()
    weights["conv1_2"] = (np.zeros((3, 3, 64, 32), np.float32), np.zeros(32, np.float32))
    _write("npz", tmp_path / "vgg.npz", weights)
    with pytest.raises(ValueError, match="conv1_2 has kernel"):
        vgg_convert.convert(tmp_path / "vgg.npz", tmp_path / "out.safetensors", preprocessing="caffe")


def test_other_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    np.savez(tmp_path / "b.npz", weights=np.zeros(3))
    for path, message in (("missing.npz", "no such file"), ("a.npz", "not a readable"), ("b.npz", "not VGG16 weights")):
        with pytest.raises(ValueError, match=message):
            vgg_convert.convert(tmp_path / path, tmp_path / "out.safetensors", preprocessing="caffe")
    with pytest.raises(ValueError, match="weights come as"):
        vgg_convert.read_tensors(__import__("pathlib").Path(__file__))


def test_an_existing_target_is_never_overwritten(tmp_path):
    _write("npz", tmp_path / "vgg.npz", _weights())
    target = tmp_path / "out.safetensors"
    target.write_text("mine")
    with pytest.raises(ValueError, match="not overwritten"):
        vgg_convert.convert(tmp_path / "vgg.npz", target, preprocessing="caffe")
    assert target.read_text() == "mine"


def test_a_file_without_preprocessing_is_not_used_blindly(tmp_path):
    _write("safetensors", tmp_path / "raw.safetensors", _weights())
    with pytest.raises(ValueError, match="convert-vgg"):
        vgg_convert.load(tmp_path / "raw.safetensors")
