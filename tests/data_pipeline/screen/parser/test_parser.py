"""The learned parser on screens of styles that it never saw in training, alone and within the analysis."""

import concurrent.futures
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_pipeline.schema import FLOW, OUTLINE
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.parser.features import CHANNELS, clip_features, working_size
from data_pipeline.screen.parser.network import KINDS, WEIGHTS, parse_screen
from data_pipeline.simulation.screens.compose import draw_screen_clip
from data_pipeline.simulation.screens.styles import HELD_OUT, Styles
from data_pipeline.simulation.screens.tissue import make_tissue


@pytest.fixture(scope="module")
def tissues():
    return [make_tissue(seed, size=224, frames=8, split="test") for seed in range(6)]


def drawn(tissues, seed, **options):
    styles = Styles(
        forms=HELD_OUT.forms, strokes=("solid",), inks=("white", *HELD_OUT.inks), tints=("none", *HELD_OUT.tints),
        codecs=HELD_OUT.codecs, text_inks=HELD_OUT.text_inks,
    )  # fmt: skip
    rng = np.random.default_rng([5, seed])
    return draw_screen_clip(rng, tissues, styles=styles, rows=(224, 288), **options)


def test_kinds_of_held_out_screens(tissues):
    right = []
    for kind in ("bmode", "cfd", "tissue", "other"):
        for seed in range(5):
            clip = drawn(tissues, seed, kind=kind, layout="single")
            wanted = kind if (clip.flow > 0.3).any() else "bmode"
            got = parse_screen(clip.frames).kind
            right.append(wanted == got or {wanted, got} == {"cfd", "power"})
    assert np.mean(right) >= 0.9


def test_colour_and_outline_of_held_out_screens(tissues):
    judged, found, lines, sectors = [], [], [], []
    for seed in range(10):
        clip = drawn(tissues, seed, kind="cfd", layout="single")
        if not (clip.flow > 0.3).any():
            continue
        seen = analyse(clip.frames)
        judged.append(seen.kind in ("cfd", "power") or seen.unsure)
        if seen.kind not in ("cfd", "power"):
            continue
        flow, line = clip.flow > 0.5, (clip.outline > 0.3) & (clip.flow < 0.1)
        marked = (seen.strata & (FLOW | OUTLINE)) > 0
        found.append(marked[flow].mean())
        lines.append(marked[line].mean())
        sector = clip.sector[0] > 0.5
        sectors.append((sector & seen.sector).sum() / (sector | seen.sector).sum())
    assert np.mean(judged) >= 0.85 and np.mean(found) > 0.9 and np.mean(lines) > 0.55 and np.median(sectors) > 0.9


def test_both_planes_of_a_biplane_screen_are_found(tissues):
    recall = []
    for seed in range(4):
        clip = drawn(tissues, seed, kind="cfd", layout="biplane")
        marked = (analyse(clip.frames).strata & FLOW) > 0
        middle = clip.frames.shape[2] // 2
        for half in (np.s_[..., :middle], np.s_[..., middle:]):
            if (clip.flow[half] > 0.5).sum() > 500:
                recall.append(marked[half][clip.flow[half] > 0.5].mean())
    assert len(recall) >= 4 and np.mean(recall) > 0.8


def test_a_single_frame_is_parsed(tissues):
    clip = drawn(tissues, 1, kind="cfd", layout="single")
    parse = parse_screen(clip.frames[:1])
    assert parse.kinds.shape == (len(KINDS),) and parse.kinds.sum() == pytest.approx(1, abs=1e-5)
    seen = parse.native(parse.flow[0], clip.frames.shape[1:3]) > 0.3
    assert seen[clip.flow[0] > 0.5].mean() > 0.85


def test_features_at_their_own_size_are_the_pixels():
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), np.uint8)
    features = clip_features(frames, np.array([1]))
    assert features.shape == (1, 40, 56, CHANNELS)
    np.testing.assert_array_equal(features[0, ..., :3], frames[1])
    spread = frames[1].max(axis=-1).astype(int) - frames[1].min(axis=-1)
    np.testing.assert_array_equal(features[0, ..., 5], spread)
    assert (features[0, ..., 11] == 255).all() and (clip_features(frames[:1], np.array([0]))[..., 11] == 0).all()


def test_thin_lines_survive_reduction():
    frames = np.zeros((1, 600, 800, 3), np.uint8)
    cv2.line(frames[0], (100, 50), (700, 50), (255, 255, 255), 1)
    features = clip_features(frames, np.array([0]))
    assert features.shape[1:3] == working_size(600, 800) == (216, 288)
    assert (features[0, :, 144, 3] == 255).any() and features[0, :, 144, 0].max() < 200


def test_weights_are_small_and_wrong_frames_are_refused():
    assert WEIGHTS.stat().st_size <= 2_000_000
    with pytest.raises(ValueError, match="uint8"):
        parse_screen(np.zeros((2, 30, 30, 3)))


def test_threads_do_not_disturb_each_other(tissues):
    clips = [drawn(tissues, seed, kind=kind).frames for seed, kind in enumerate(("cfd", "bmode", "cfd", "bmode"))]
    alone = [parse_screen(frames) for frames in clips]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(parse_screen, clips * 3))
    for one, other in zip(alone * 3, together):
        np.testing.assert_allclose(one.kinds, other.kinds, atol=1e-5)
        np.testing.assert_allclose(one.flow, other.flow, atol=1e-4)


def test_workers_need_no_jax():
    code = (
        "import sys, numpy as np\nfrom data_pipeline.screen.analysis import analyse\n"
        "analyse(np.zeros((2, 64, 64, 3), np.uint8))\nassert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
