"""Which runtime computes a network, that it does not show, and that none of it needs JAX."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.cache_folder import keep_newest
from cfd2gray.metrics import ssim
from cfd2gray.models.spec import GeneratorSpec
from cfd2gray.runtimes import choose
from cfd2gray.runtimes.choose import fastest, open_network
from cfd2gray.runtimes.graph_network import SIZES, STEP, WINDOW
from cfd2gray.runtimes.kinds import CLIP
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import GeneratorWeights, load_pretrained
from data_pipeline.schema import FLOW
from data_pipeline.simulation.simulator import simulate_pair

HEAVY = [
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax",
    "grain",
    "tensorflow",
    "tensorflow_datasets",
    "onnx",
    "zstandard",
    "scipy",
    "ml_collections",
    "clu",
    "matplotlib",
]


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 3, height=97, width=113, frames=7, split="test")


@pytest.mark.parametrize(("runtime", "level"), [("onnxruntime", 1), ("openvino", 4)])
def test_runtimes_agree_on_a_clip(pair, runtime, level):
    reference = Translator.from_pretrained(runtime="jax").translate(pair.cfd)
    found = Translator.from_pretrained(runtime=runtime).translate(pair.cfd)
    difference = np.abs(found.grey.astype(int) - reference.grey)
    assert difference.max() <= level and difference.mean() < 0.02
    np.testing.assert_allclose(found.confidence, reference.confidence, atol=0.01 * level)
    np.testing.assert_array_equal(found.synthesised, reference.synthesised)


def test_what_auto_takes_keeps_ssim_within_a_thousandth_of_jax(pair):
    clips = [pair, simulate_pair("PLAX", 5, height=128, width=128, frames=6, split="test")]
    references = [Translator.from_pretrained(runtime="jax").translate(clip.cfd) for clip in clips]
    for runtime in ("openvino", "onnxruntime"):
        translator = Translator.from_pretrained(runtime=runtime)
        for clip, reference in zip(clips, references):
            found = translator.translate(clip.cfd, analysis=reference.analysis)
            ours, theirs = (_flow_ssim(grey, clip) for grey in (found.grey, reference.grey))
            assert abs(ours - theirs) < 0.001, (runtime, ours, theirs)


def _flow_ssim(grey, clip):
    a, b = (jnp.asarray(x[None], jnp.float32) / 255.0 for x in (grey, clip.grey[..., 0]))
    return float(ssim(a, b, data_range=1.0, mask=jnp.asarray((clip.strata & FLOW)[None] > 0))[0])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_window_of_a_graph_is_what_it_is_in_the_whole_clip(runtime):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (WINDOW[runtime] + STEP + 3, 32, 32, 3), dtype=np.uint8)
    hidden = np.zeros(frames.shape[:3], np.uint8)
    hidden[:, 8:20, 8:24] = 1
    own = open_network(load_pretrained(), runtime=runtime)
    radius = own.weights.spec.radius
    whole = dict(enumerate(_joined(own.windows(frames, hidden))))
    assert len(whole) == len(frames)
    first = _joined(own.windows(frames[: 2 * radius + 5], hidden[: 2 * radius + 5]))
    np.testing.assert_allclose(first[: radius + 5], np.stack([whole[i] for i in range(radius + 5)]), atol=4 / 255)


def _joined(windows):
    return np.concatenate([grey for _, (grey, _) in windows])


def test_auto_takes_an_accelerator_first_then_the_fastest_for_cpus(monkeypatch):
    fastest.cache_clear()
    assert fastest() == "openvino"
    fastest.cache_clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert fastest() == "jax"
    fastest.cache_clear()
    monkeypatch.undo()
    for present, expected in (({"jax", "onnxruntime"}, "jax"), ({"onnxruntime"}, "onnxruntime")):
        monkeypatch.setattr(choose, "installed", lambda name, present=present: name in present)
        fastest.cache_clear()
        assert fastest() == expected
    monkeypatch.setattr(choose, "installed", lambda name: False)
    fastest.cache_clear()
    with pytest.raises(ValueError, match="pip install openvino"):
        fastest()
    monkeypatch.undo()
    fastest.cache_clear()


def test_devices_mean_jax_and_mistakes_are_named():
    weights = load_pretrained()
    assert Translator(weights, devices=jax.devices()[:1]).runtime == "jax"
    with pytest.raises(ValueError, match="must be one of"):
        Translator(weights, runtime="tensorrt")
    with pytest.raises(ValueError, match="takes no devices"):
        Translator(weights, runtime="openvino", devices=jax.devices()[:1])
    assert isinstance(weights, GeneratorWeights) and isinstance(weights.spec, GeneratorSpec)


LIGHT = """
import sys
for name in {heavy}:
    sys.modules[name] = None  # as if it were not installed
import numpy as np
from cfd2gray.cli import main
from cfd2gray import Translator
{body}
"""


def light(body, *arguments):
    code = LIGHT.format(heavy=HEAVY, body=body)
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("runtime", ["auto", "onnxruntime"])
def test_a_clip_is_translated_without_jax_and_tensorflow(pair, tmp_path, runtime):
    np.save(tmp_path / "clip.npy", pair.cfd)
    done = light(
        "sys.exit(main(sys.argv[1:]))",
        "translate",
        tmp_path / "clip.npy",
        "-o",
        tmp_path / "grey.mkv",
        "--runtime",
        runtime,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grey.mkv").stat().st_size and "synthesised" in done.stdout


def test_a_stream_and_a_census_do_not_need_them_either(pair, tmp_path):
    np.save(tmp_path / "clip.npy", pair.cfd)
    body = """
frames = np.load(sys.argv[1])
live = Translator.from_pretrained("streaming").stream(size=frames.shape[1:3])
assert all(live.push(frame).shape == frame.shape[:2] for frame in frames) and live.kind == "cfd"
sys.exit(main(["census", sys.argv[2], "-o", sys.argv[3]]))
"""
    (tmp_path / "archive").mkdir()
    (tmp_path / "clip.npy").rename(tmp_path / "archive" / "clip.npy")
    done = light(body, tmp_path / "archive" / "clip.npy", tmp_path / "archive", tmp_path / "census")
    assert (tmp_path / "census" / "census.csv").is_file(), done.stderr


def test_what_needs_jax_says_so(tmp_path):
    done = light("sys.exit(main(sys.argv[1:]))", "translate", "x.npy", "-o", tmp_path / "y.npy", "--runtime", "jax")
    assert done.returncode == 2 and "not installed" in done.stderr


def test_the_cache_keeps_what_was_used_last(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.blob").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{number}.blob", (number, number))
    keep_newest(tmp_path, most_bytes=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.blob", "3.blob"]
    keep_newest(tmp_path, most_bytes=0)
    assert not list(tmp_path.iterdir())


def test_many_sizes_do_not_pile_up():
    own = open_network(load_pretrained(), runtime="openvino")
    for number in range(SIZES + 2):
        frames = np.zeros((3, 32, 32 + 16 * number, 3), np.uint8)
        assert [len(grey) for _, (grey, _) in own.windows(frames, np.ones(frames.shape[:3], np.uint8))] == [3]
    assert len(own._engine(CLIP)._ready) == SIZES
