"""Graphs compute what JAX does: the shipped ones, and those of any network of the package."""

import collections
import dataclasses
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import export as jax_export
from onnx import helper

from cfd2gray.cli import main
from cfd2gray.models.generator import Generator
from cfd2gray.models.layers import activation, depth_to_space, space_to_depth
from cfd2gray.models.pure import fresh_params
from cfd2gray.runtimes.graph import Graph, Value, straight
from cfd2gray.runtimes.kinds import CLIP, STREAM
from cfd2gray.runtimes.onnx_file import TOLERANCE, compare, onnx_model, write_graphs, write_onnx
from cfd2gray.runtimes.writer import Writer
from cfd2gray.weights.pretrained import GeneratorWeights, available, load_pretrained, load_weights, save_weights
from tests.cfd2gray.tiny import SPEC


def awake(spec):
    """Weights of a network in which no layer is zero."""
    leaves, tree = jax.tree.flatten(fresh_params(Generator, spec, 0))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    params = jax.tree.unflatten(tree, [x + 0.05 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])
    settings = {"window": 4, "feather": 2, "size": 96}
    return GeneratorWeights(params=params, spec=spec, settings=settings, name="test", digest="0" * 64)


def run(function, *arrays, symbols=None):
    """What ONNX Runtime makes of ``function``, written down with ``symbols`` for the sizes of the first array."""
    graph = Graph()
    shapes = [array.shape for array in arrays]
    if symbols:
        shape = graph.emit("Shape", ["x0"])
        names = symbols.split(", ")
        axes = [graph.tensor(np.array([axis], np.int64)) for axis in range(len(names))]
        graph.know({name: graph.emit("Gather", [shape, axis], axis=0) for name, axis in zip(names, axes)})
        shapes[0] = jax_export.symbolic_shape(symbols)
    values = [
        Value(f"x{i}", shape, straight(len(shape)), a.dtype.name) for i, (shape, a) in enumerate(zip(shapes, arrays))
    ]
    closed = jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(s, a.dtype) for s, a in zip(shapes, arrays)))
    (value,) = Writer(graph).write(closed.jaxpr, closed.consts, values)
    graph.nodes.append(helper.make_node("Identity", [graph.name(value, straight(len(value.shape)), whole=True)], ["y"]))
    types = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in arrays]
    inputs = [helper.make_tensor_value_info(f"x{i}", kind, None) for i, kind in enumerate(types)]
    outputs = [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype)), None)]
    model = graph.model(inputs, outputs, name="test", about="")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {f"x{i}": array for i, array in enumerate(arrays)})[0]


FUNCTIONS = {
    "shifts": lambda x: x[:, 1:] * 2.0 - x[:, :-1],
    "softmax": lambda x: jax.nn.softmax(x, axis=-1),
    "norm": lambda x: (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5),
    "gates": lambda x: jax.nn.sigmoid(x) * jnp.tanh(x) + jax.nn.silu(x) + jnp.where(x >= 0.2, x**3, jnp.abs(x)),
    "moved": lambda x: jnp.moveaxis(x, 1, 3).reshape(x.shape[0], -1),
    "padded": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (2, 0)), constant_values=0.5),
    "edges": lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0), (0, 0)), mode="edge"),
    "backwards": lambda x: jax.lax.rev(x, (1, 3)),
    "sums": lambda x: x.sum(axis=(1, 3)) + x.max(axis=(1, 3)),
    "scan": lambda x: jax.lax.scan(lambda c, y: (0.5 * c + y, c * y), jnp.zeros(x.shape[1:]), x, reverse=True)[1],
    "attention": lambda x: jnp.einsum("btij,btkj->btik", x, x) @ x,
    "units": lambda x: jnp.concatenate([x[None], x[None] + x[:1, None, :1]], axis=0).max(axis=0) * x[:, :, None, 1],
    "single": lambda x: jnp.broadcast_to(x[:1, :, :1], x.shape) + jnp.stack([x, x[..., :1] * x], axis=2)[:, :, 1],
    "blocks": lambda x: depth_to_space(
        activation(space_to_depth(jnp.concatenate([jnp.concatenate([x, x], 1)] * 2, 2)))[None]
    )[0],
    "mixed": lambda x: jnp.concatenate([x, jnp.broadcast_to(x[:, :1], x.shape), jnp.ones_like(x)], axis=1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("symbols", [None, "a, b, c, d"])
def test_functions_are_written_as_jax_computes_them(name, symbols):
    if symbols and name == "moved":
        symbols = "a, b, c, 7"
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    np.testing.assert_allclose(run(FUNCTIONS[name], x, symbols=symbols), FUNCTIONS[name](x), rtol=1e-5, atol=1e-5)


def test_layers_follow_each_other_without_copies():
    """Folding time into the batch is no operator, and blocks of pixels are one: runtimes keep their own layout."""
    graph = onnx.load(load_pretrained().file.with_suffix(".clip.onnx"), load_external_data=False).graph
    kinds = collections.Counter(node.op_type for node in graph.node)
    convolved = {name for node in graph.node if node.op_type == "Conv" for name in node.input[:1]}
    assert not [n.name for n in graph.node if n.op_type in ("Reshape", "Transpose") and n.output[0] in convolved]
    assert (kinds["SpaceToDepth"], kinds["DepthToSpace"]) == (5, 6)


def test_convolutions_of_every_kind_and_leaky_relu_as_one_operator():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 8, 4)).astype(np.float32), rng.normal(size=(3, 3, 2, 6)).astype(np.float32)
    layout = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))

    def grouped(x, kernel):
        y = jax.lax.conv_general_dilated(
            x, kernel, (2, 1), [(2, 1), (1, 1)], rhs_dilation=(1, 2), dimension_numbers=layout, feature_group_count=2
        )
        return jnp.where(y > 0, y, 0.1 * y)

    np.testing.assert_allclose(run(grouped, x, kernel), grouped(x, kernel), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_written_is_named():
    with pytest.raises(ValueError, match="'sort'"):
        run(lambda x: jnp.sort(x), np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="transposed"):
        run(
            lambda x: jax.lax.conv_transpose(x, jnp.ones((2, 2, 1, 1)), (2, 2), "SAME"),
            np.ones((1, 4, 4, 1), np.float32),
        )


CHANGES = {
    "plain": {},
    "causal": {"causal": True},
    "without time": {"temporal": False},
    "one network": {"width": 0},
    "other network": {"denoise_blocks": 0, "levels": 2, "fill_radius": 3},
    "bfloat16": {"dtype": "bfloat16"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_network_of_the_package_equals_jax(change):
    weights = awake(dataclasses.replace(SPEC, **CHANGES[change]))
    for kind in (CLIP, STREAM) if weights.spec.causal else (CLIP,):
        model = onnx_model(weights, kind=kind)
        assert max(compare(model.SerializeToString(), weights, kind=kind).values()) < TOLERANCE
        assert "Transpose" not in {node.op_type for node in model.graph.node[:4]}


@pytest.mark.parametrize("name", available())
def test_the_shipped_graphs_belong_to_the_shipped_weights_and_networks(name):
    weights = load_pretrained(name)
    for kind in (CLIP, STREAM) if weights.spec.causal else (CLIP,):
        path = weights.file.with_suffix(f".{kind}.onnx")
        assert max(compare(path, weights, kind=kind).values()) < TOLERANCE
        facts = {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}
        assert facts["weights_sha256"] == weights.digest and facts["kind"] == kind


def test_files_are_written_beside_weights_and_never_over_others(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, awake(dataclasses.replace(SPEC, causal=True)), dtype="bfloat16")
    written = write_graphs(load_weights(path))
    assert [file.name for file in written] == ["w.clip.onnx", "w.stream.onnx"]
    assert all(file.stat().st_size < path.stat().st_size + 200_000 for file in written)
    (tmp_path / "taken.onnx").write_text("mine")
    with pytest.raises(ValueError, match="not overwritten"):
        write_onnx(tmp_path / "taken.onnx", load_weights(path))
    with pytest.raises(ValueError, match="cannot stream"):
        onnx_model(awake(SPEC), kind=STREAM)


def test_the_command_writes_a_graph_that_says_what_it_is(tmp_path, capsys):
    save_weights(tmp_path / "w.safetensors", awake(SPEC))
    assert main(["export", "--weights", str(tmp_path / "w.safetensors"), "--onnx", str(tmp_path / "w.onnx")]) == 0
    assert "furthest from JAX: grey" in capsys.readouterr().out
    facts = {prop.key: prop.value for prop in onnx.load(tmp_path / "w.onnx").metadata_props}
    assert facts["radius"] == str(SPEC.radius) and facts["multiple"] == str(SPEC.multiple)
    assert main(["export", "--weights", str(tmp_path / "w.safetensors")]) == 2


@pytest.fixture
def coloured_clip():
    rng = np.random.default_rng(0)
    clip = rng.integers(20, 120, (4, 30, 41, 1), dtype=np.uint8).repeat(3, axis=3)
    clip[:, 10:20, 10:25] = (200, 30, 20)
    return clip


def test_the_numpy_example_needs_neither_jax_nor_this_package(tmp_path, coloured_clip):
    clip = coloured_clip
    write_onnx(tmp_path / "grey.onnx", awake(SPEC))
    np.save(tmp_path / "clip.npy", clip)
    without = "import runpy, sys; sys.modules |= dict.fromkeys(['jax', 'cfd2gray', 'cv2']); sys.argv.pop(0); "
    code = without + "runpy.run_path(sys.argv[0], run_name='__main__')"
    example = pathlib.Path(__file__).parents[3] / "docs" / "examples" / "onnx_numpy.py"
    files = [str(tmp_path / name) for name in ("grey.onnx", "clip.npy", "grey.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(example), *files], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grey = np.load(tmp_path / "grey.npy")
    assert grey.dtype == np.uint8 and grey.shape == clip.shape[:3] and "synthesised" in done.stdout
    np.testing.assert_array_equal(grey[:, :6], clip[:, :6, :, 0])


NODE = """
const ort = require("onnxruntime-web"), fs = require("fs")
const [page, graph, clip, target, radius, ...size] = process.argv.slice(1)
globalThis.ort = ort
const body = fs.readFileSync(page, "utf8").split("<script>")[1].split("</script>")[0]
const script = body.replace(/RADIUS = [0-9]+/, `RADIUS = ${radius}`)
const translate = new Function(script + "; return translate")(), [count, height, width] = size.map(Number)
delete ort.env.wasm.wasmPaths  // the page's own are beside it
ort.env.wasm.numThreads = 1
ort.InferenceSession.create(fs.readFileSync(graph)).then(async session => {
  const grey = await translate(session, { count, height, width, rgb: new Uint8Array(fs.readFileSync(clip)) })
  fs.writeFileSync(target, grey)
})
"""


def has_web_runtime():
    found = shutil.which("node") and subprocess.run(["node", "-e", "require('onnxruntime-web')"], capture_output=True)
    return bool(found) and found.returncode == 0


@pytest.mark.skipif(
    not has_web_runtime(), reason="no node with onnxruntime-web (npm install onnxruntime-web; NODE_PATH)"
)
def test_the_browser_page_translates_like_the_numpy_example(tmp_path, coloured_clip):
    weights = awake(SPEC)
    write_onnx(tmp_path / "grey.onnx", weights)
    np.save(tmp_path / "clip.npy", coloured_clip)
    (tmp_path / "clip.rgb").write_bytes(coloured_clip.tobytes())
    examples = pathlib.Path(__file__).parents[3] / "docs" / "examples"
    files = [str(tmp_path / name) for name in ("grey.onnx", "clip.npy", "grey.npy")]
    subprocess.run([sys.executable, str(examples / "onnx_numpy.py"), *files], check=True, timeout=120)
    files = [
        str(examples / "onnx_browser.html"),
        *(str(tmp_path / name) for name in ("grey.onnx", "clip.rgb", "grey.raw")),
    ]
    numbers = map(str, (weights.spec.radius, *coloured_clip.shape[:3]))
    done = subprocess.run(["node", "-e", NODE, *files, *numbers], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = np.load(tmp_path / "grey.npy")
    found = np.frombuffer((tmp_path / "grey.raw").read_bytes(), np.uint8).reshape(expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= 1
