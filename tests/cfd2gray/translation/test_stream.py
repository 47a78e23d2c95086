"""Live translation: the same pictures as the whole clip, one frame at a time."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params, graph_of
from cfd2gray.runtimes.grain import match_grain
from cfd2gray.translation.stream import LAG, REVIEW
from cfd2gray.translation.translator import Translator
from cfd2gray.translation.view import View
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline import pixels
from data_pipeline.schema import FLOW
from data_pipeline.screen.analysis import LiveMasks
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.tiny import SPEC


def make_translator(*, causal, runtime="auto"):
    spec = dataclasses.replace(SPEC, causal=causal)
    leaves, tree = jax.tree.flatten(fresh_params(Generator, spec, 0))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    params = jax.tree.unflatten(tree, [x + 0.05 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])
    settings = {"window": 4, "feather": 2, "size": 128}
    return Translator(
        GeneratorWeights(params=params, spec=spec, settings=settings, name="test", digest="0" * 64), runtime=runtime
    )


@pytest.fixture(scope="module")
def pair():
    return simulate_pair("A4C", 3, height=97, width=113, frames=REVIEW + 3, split="test")


@pytest.mark.parametrize(("runtime", "levels"), [("jax", 1), ("onnxruntime", 1), ("openvino", 2)])
def test_a_stream_shows_under_colour_what_the_network_makes_of_the_whole_clip(pair, runtime, levels):
    translator = make_translator(causal=True, runtime=runtime)
    stream, masks = translator.stream(example=pair.cfd), LiveMasks(pair.cfd)
    live = np.stack([stream.push(frame) for frame in pair.cfd])
    assert stream.kind == "cfd" and live.dtype == np.uint8 and live.shape == pair.cfd.shape[:3]
    hidden = hidden_mask(np.stack([masks.strata(frame) for frame in pair.cfd]))
    view = View.around(masks.box, masks.sector, translator.weights)
    assert view.scale == 1.0
    small, mask = view.shrink(pair.cfd, hidden, sector=masks.sector)
    network = nnx.merge(graph_of(Generator, translator.weights.spec), translator.weights.params)
    cfd, mask = small[None] / np.float32(255), mask[None, ..., None].astype(np.float32)
    grey = match_grain(jax.jit(network)(cfd, mask).grey, luma(cfd), mask)
    made = np.rint(255 * np.clip(view.enlarge(np.asarray(grey[0, ..., 0])), 0, 1))
    covered = hidden[:, view.rows, view.columns] > 0
    np.testing.assert_allclose(live[:, view.rows, view.columns][covered], made[covered], atol=levels)
    untouched = ~masks.box & (hidden == 0)  # what is drawn over tissue is hidden outside the box too
    np.testing.assert_array_equal(live[untouched], pixels.luma(pair.cfd)[untouched])


def test_a_stream_finds_the_view_by_itself_and_a_clip_without_colour_passes_through(pair):
    stream = make_translator(causal=True).stream()
    live = np.stack([stream.push(frame) for frame in pair.cfd])
    assert stream.kind == "cfd" and (live[-1] != pixels.luma(pair.cfd[-1:])[0]).any()
    grey = np.repeat(pair.grey, 3, axis=-1)
    still = make_translator(causal=True).stream()
    np.testing.assert_array_equal(np.stack([still.push(frame) for frame in grey[:3]]), pair.grey[:3, ..., 0])


def test_another_decision_holds_after_a_fixed_number_of_frames_whatever_it_took_to_make(pair):
    frames = np.concatenate([np.repeat(pair.grey, 3, axis=-1)[:REVIEW], pair.cfd, pair.cfd])[: 2 * REVIEW + 2 * LAG + 2]
    streams = [make_translator(causal=True, runtime="onnxruntime").stream() for _ in range(2)]
    kinds, shown, buffer = [], [], np.empty_like(frames[0])
    for frame in frames:
        np.copyto(buffer, frame)  # as callers do who have one buffer for all frames
        pushed = [stream.push(given) for stream, given in zip(streams, (frame, buffer))]
        kinds.append(streams[0].kind)
        shown.append((pushed[0] != pixels.luma(frame[None])[0]).any())
        np.testing.assert_array_equal(*pushed)
    first = 2 * (REVIEW + LAG) - 1  # the second review is the first with colour in it
    assert "cfd" not in kinds[:first] and set(kinds[first:]) == {"cfd"}
    assert not any(shown[:first]) and all(shown[first:])


def test_the_shipped_streaming_weights_come_far_nearer_to_truth_than_luma(pair):
    stream = Translator.from_pretrained("streaming").stream(example=pair.cfd)
    live = np.stack([stream.push(frame) for frame in pair.cfd]).astype(float)
    truth, flow = pair.grey[..., 0].astype(float), (pair.strata & FLOW) > 0
    assert np.abs(live - truth)[flow].mean() < 0.7 * np.abs(pixels.luma(pair.cfd) - truth)[flow].mean()


def test_what_cannot_stream_is_refused(pair):
    with pytest.raises(ValueError, match="model.causal=True"):
        make_translator(causal=False).stream()
    stream = make_translator(causal=True).stream(example=pair.cfd)
    with pytest.raises(ValueError, match=r"must be uint8 \[97, 113, 3\], got uint8 \[50, 50, 3\]"):
        stream.push(np.zeros((50, 50, 3), np.uint8))


def test_each_plane_of_a_biplane_stream_has_a_network_of_its_own():
    pair = simulate_pair("A4C", 5, height=192, width=192, frames=6, split="test")
    gap = np.zeros((6, 192, 48, 3), np.uint8)
    wide = np.concatenate([pair.cfd, gap, pair.cfd], axis=2)
    stream = make_translator(causal=True).stream(example=wide)
    views = [sector.area.view for sector in stream._decision.sectors]
    assert len(views) == 2 and all(view.columns.stop - view.columns.start < 200 for view in views)
    live, plain = np.stack([stream.push(frame) for frame in wide]), pixels.luma(wide)
    for columns in (slice(0, 192), slice(240, 432)):
        flow = (pair.strata & FLOW) > 0
        assert (live[..., columns] != plain[..., columns])[flow].mean() > 0.9
