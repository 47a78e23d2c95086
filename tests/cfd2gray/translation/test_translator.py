"""The public translator on simulated screens of awkward sizes."""

import dataclasses
import json

import cv2
import jax
import numpy as np
import pydicom
import pytest

import cfd2gray
from cfd2gray.models.generator import EVIDENCE_CHANNELS, Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.translation.files import Output, translate_file
from cfd2gray.translation.folders.batch import translate_files
from cfd2gray.translation.output.video import write_video
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import GeneratorWeights, load_weights, save_weights
from data_pipeline.readers import IngestError, read_clip
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.tiny import SPEC

SETTINGS = {"window": 4, "feather": 2, "size": 96}


def make_translator(runtime="auto", **changes):
    params = fresh_params(Generator, SPEC, 0)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [x + 0.05 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
    weights = GeneratorWeights(
        params=jax.tree.unflatten(tree, leaves), spec=SPEC, settings=SETTINGS | changes, name="test", digest="0" * 64
    )
    return Translator(weights, runtime=runtime)


@pytest.fixture(scope="module")
def translator():
    return make_translator()


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 3, height=97, width=113, frames=7, split="test")


def test_any_size_and_length_comes_back_as_it_went_in(translator, pair):
    for frames in (pair.cfd, pair.cfd[:1], pair.cfd[:3, :90, :101]):
        grey = translator(frames)
        assert grey.dtype == np.uint8 and grey.shape == frames.shape[:3]


def test_outside_the_synthesised_area_luma_is_bit_exact(translator, pair):
    result = translator.translate(pair.cfd)
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair.cfd])
    passed = result.confidence == 1.0
    assert result.analysis.is_cfd and 0 < result.synthesised.mean() < 0.5
    outside = (result.analysis.strata & (BOX | OUTLINE)) == 0
    assert (outside & ~passed).mean() < 0.01, "only what is drawn over tissue may lie outside the box"
    np.testing.assert_array_equal(result.grey[passed], luma[passed])
    assert (result.grey != luma).any(), "the colour must be replaced"


def test_windows_do_not_show(pair):
    short, long = make_translator(window=2)(pair.cfd), make_translator(window=32)(pair.cfd)
    assert np.abs(short.astype(int) - long.astype(int)).max() <= 1


class Counting:
    """A network that says for how many frames it was asked."""

    def __init__(self, network):
        self.network, self.weights, self.runtime, self.frames = network, network.weights, network.runtime, 0

    def windows(self, frames, hidden, wanted=None, *, confidence=True):
        for part, found in self.network.windows(frames, hidden, wanted, confidence=confidence):
            self.frames += part.stop - part.start
            yield part, found


@pytest.mark.parametrize("runtime", ["jax", "onnxruntime"])
def test_frames_without_colour_cost_nothing_and_are_passed_through(runtime):
    pair = simulate_pair("A4C", 3, height=64, width=64, frames=40, split="test")
    frames = pair.cfd.copy()
    plain = np.r_[0:9, 14:34, 37:40]
    frames[plain] = pair.grey[plain]
    analysis = analyse(pair.cfd)
    strata = analysis.strata.copy()
    strata[plain] &= ~np.uint8(FLOW | OUTLINE)
    analysis = dataclasses.replace(analysis, strata=strata)
    translator = make_translator(runtime)
    whole = translator.translate(frames, analysis=analysis)
    np.testing.assert_array_equal(whole.grey[plain], pair.grey[plain, ..., 0])
    assert whole.synthesised[9:14].all() and not whole.synthesised[plain].any()
    counting = Counting(translator._network)
    pieces = list(Translator._of(counting).pieces(frames, analysis=analysis))
    assert counting.frames <= 32 if runtime == "onnxruntime" else counting.frames <= 16
    assert [part.start for part, _ in pieces] == [0, *(part.stop for part, _ in pieces[:-1])] and pieces[-1][
        0
    ].stop == 40
    for part, piece in pieces:
        np.testing.assert_array_equal(piece.grey, whole.grey[part])
        np.testing.assert_array_equal(piece.confidence, whole.confidence[part])
    counting.frames = 0
    (only,) = (piece for _, piece in Translator._of(counting).pieces(frames, analysis=analysis, only=slice(14, 30)))
    assert counting.frames == 0 and len(only.grey) == 16, "colour around it is looked at, not translated"


def test_devices_do_not_show():
    clip = simulate_pair("A4C", 3, height=64, width=64, frames=37, split="test").cfd
    several = make_translator(runtime="jax")
    results = [Translator(several.weights, devices=jax.devices()[:count])(clip).astype(int) for count in (1, 3)]
    for found in (*results, several(clip).astype(int)):
        assert np.abs(found - results[0]).max() <= 1


def test_a_clip_without_colour_comes_back_unchanged(translator, pair):
    grey = pair.grey[..., 0]
    result = translator.translate(np.repeat(pair.grey, 3, axis=-1))
    np.testing.assert_array_equal(result.grey, grey)
    assert not result.synthesised.any() and (result.confidence == 1).all()


def test_confidence_is_a_probability_and_lower_under_colour(translator, pair):
    _, confidence = translator.with_confidence(pair.cfd)
    assert confidence.shape == pair.cfd.shape[:3] and confidence.min() >= 0 and confidence.max() == 1
    assert confidence[(pair.strata & 4) > 0].mean() < 1


@pytest.mark.parametrize("runtime", ["jax", "openvino", "onnxruntime"])
def test_confidence_that_nobody_asks_for_is_not_made_and_changes_nothing(pair, runtime):
    translator = make_translator(runtime)
    with_it, without = (translator.translate(pair.cfd, confidence=wanted) for wanted in (True, False))
    assert without.confidence.shape == (0, *pair.cfd.shape[1:3])
    np.testing.assert_array_equal(with_it.grey, without.grey)
    small = pair.cfd[:, :96, :96], (pair.strata[:, :96, :96] & FLOW).astype(bool).astype(np.uint8)
    _, found = next(translator._network.windows(*small, confidence=False))
    assert len(found) == 1


def test_whole_frame_touches_the_whole_sector(translator, pair):
    result = translator.translate(pair.cfd, whole_frame=True)
    assert result.synthesised.mean() > 0.9 * result.analysis.sector.mean()


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 9, 9, 3)), np.zeros((2, 9, 9), np.uint8), np.zeros((0, 9, 9, 3), np.uint8)]
)
def test_wrong_frames_are_named(translator, bad):
    with pytest.raises(ValueError, match="frames must"):
        translator(bad)


def test_weights_survive_a_file_and_damage_is_noticed(translator, tmp_path):
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, translator.weights)
    loaded = load_weights(path, expected_digest=digest)
    assert loaded.spec == SPEC and loaded.settings == SETTINGS
    for a, b in zip(jax.tree.leaves(loaded.params), jax.tree.leaves(translator.weights.params)):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="not overwritten"):
        save_weights(path, translator.weights)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        load_weights(path, expected_digest=digest)


def test_the_shipped_weights_translate(pair):
    grey, confidence = cfd2gray.Translator.from_pretrained().with_confidence(pair.cfd)
    truth, flow = pair.grey[..., 0].astype(float), (pair.strata & 4) > 0
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair.cfd]).astype(float)
    assert np.abs(grey - truth)[flow].mean() < 0.7 * np.abs(luma - truth)[flow].mean()
    assert confidence[flow].mean() < 1
    with pytest.raises(ValueError, match="no pretrained weights named 'x'; known: default, streaming"):
        cfd2gray.Translator.from_pretrained("x")


@pytest.fixture(scope="module")
def screen(tmp_path_factory, pair):
    folder = tmp_path_factory.mktemp("screen")
    write_video(folder / "colour.mkv", pair.cfd, fps=pair.fps)
    return folder / "colour.mkv"


@pytest.mark.parametrize("suffix", [".dcm", ".mp4", ".mkv", ".avi", ".gif", ".npy"])
def test_files_of_every_format_are_marked_synthetic(translator, screen, pair, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    output = Output(format=suffix, hasher=KeyedHasher(b"k" * 32))
    facts = translate_file(translator, screen, target, output)
    assert facts["frames"] == len(pair.cfd) and facts["synthesised_share"] > 0
    if suffix == ".dcm":
        ds = pydicom.dcmread(target)
        assert ds.SyntheticData == "YES" and ds.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert (ds.NumberOfFrames, ds.Rows, ds.Columns) == pair.cfd.shape[:3]
    else:
        assert json.loads((tmp_path / f"out{suffix}.json").read_text())["synthetic"] is True
    shape = np.load(target).shape if suffix == ".npy" else read_clip(target).frames.shape
    assert tuple(shape[:3]) == pair.cfd.shape[:3]
    with pytest.raises(ValueError, match="not overwritten"):
        translate_file(translator, screen, target, output)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing temporary is left"


def test_unreadable_input_leaves_nothing_behind(translator, tmp_path):
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 200)
    output = Output(format=".mkv", hasher=KeyedHasher(b"k" * 32))
    with pytest.raises(IngestError):
        translate_file(translator, tmp_path / "broken.dcm", tmp_path / "out.mkv", output)
    assert [p.name for p in tmp_path.iterdir()] == ["broken.dcm"]
    with pytest.raises(ValueError, match="results are written as"):
        dataclasses.replace(output, format=".exe")


def test_evidence_channels_are_what_the_first_layer_takes():
    stem = fresh_params(Generator, SPEC, 0)["anatomy"]["stem"]["conv"]["kernel"]
    assert stem.shape[2] == 4 * EVIDENCE_CHANNELS


def test_many_files_are_translated_side_by_side_and_told_in_order(translator, pair, tmp_path):
    sources = []
    for number in range(5):
        sources.append(tmp_path / f"in{number}.npy")
        np.save(sources[-1], pair.cfd[: number + 1])
    sources.insert(2, tmp_path / "broken.avi")
    sources[2].write_bytes(b"not a video")
    found = translate_files(translator, sources, tmp_path / "out", format=".npy", clean=False)
    assert [facts["frames"] for facts in found["translated"]] == [1, 2, 3, 4, 5]
    assert [failure["input"] for failure in found["failed"]] == [str(sources[2])]
    for facts in found["translated"]:
        grey = np.load(tmp_path / "out" / facts["output"])
        np.testing.assert_array_equal(grey, translator(pair.cfd[: facts["frames"]]))


def test_each_plane_of_a_biplane_screen_is_translated_as_if_it_were_alone():
    pair = simulate_pair("A4C", 5, height=96, width=96, frames=6, split="test")
    translator, gap = make_translator(), np.zeros((6, 96, 64), np.uint8)
    wide = np.concatenate([pair.cfd, np.repeat(gap[..., None], 3, axis=-1), pair.cfd], axis=2)
    strata = np.concatenate([pair.strata, gap, pair.strata], axis=2)

    def translated(columns):
        shown = np.zeros(wide.shape[2], np.uint8)
        shown[columns] = 1
        flags = strata * shown
        analysis = FlowAnalysis(sector=(flags[0] & SECTOR) > 0, strata=flags)
        return translator.translate(wide * shown[:, None], analysis=analysis)

    left, right = slice(0, 96), slice(160, 256)
    both, total = translated(slice(None)), 0.0
    for columns in (left, right):
        alone = translated(columns)
        np.testing.assert_array_equal(both.grey[..., columns], alone.grey[..., columns])
        np.testing.assert_array_equal(both.confidence[..., columns], alone.confidence[..., columns])
        total = total + alone.synthesised
    assert total.min() > 0
    np.testing.assert_allclose(both.synthesised, total, rtol=1e-6)

    translator.texture = 1.0  # the number of the first frame, of which speckle depends, reaches either plane
    analysis = FlowAnalysis(sector=(strata[0] & SECTOR) > 0, strata=strata)
    begun, later = (translator.translate(wide, analysis=analysis, first=first).grey for first in (0, 40))
    assert all((begun != later)[..., columns].any() for columns in (left, right))
