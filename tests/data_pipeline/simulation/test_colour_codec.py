"""Codecs: shapes, what chroma subsampling does, determinism, errors."""

import cv2
import numpy as np
import pytest

from data_pipeline.simulation.console.codec import CHROMAS, Codec, draw_codec, transcode


@pytest.fixture(scope="module")
def frames():
    y, x = np.mgrid[:41, :37].astype(np.float32)
    clip = [np.stack([120 + 90 * np.sin(x / 3 + k), 90 + 60 * np.cos(y / 4), 40 + 3 * x], -1) for k in range(5)]
    return np.clip(clip, 0, 255).astype(np.uint8)


CODECS = [
    Codec(name="ybr"), Codec(name="jpeg", quality=90), Codec(name="jpeg", upscale=2), Codec(name="h264", quality=18),
    Codec(name="hevc", quality=24),
    Codec(name="mpeg4", quality=3),
]  # fmt: skip


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}{c.upscale}")
def test_shape_noise_and_repeatability(frames, codec):
    for clip in (frames, frames[..., :1]):
        out = transcode(clip, codec)
        assert out.shape == clip.shape and out.dtype == np.uint8
        assert np.array_equal(out, transcode(clip, codec))
        assert np.abs(out.astype(int) - clip).mean() < 12


def test_none_is_the_identity(frames):
    assert transcode(frames, Codec(name="none")) is frames


def test_less_chroma_means_more_loss(frames):
    loss = [np.abs(transcode(frames, Codec(quality=95, chroma=c)).astype(int) - frames).mean() for c in CHROMAS]
    assert loss[0] < loss[1] < loss[2]


def test_uncompressed_422_repeats_chroma_in_column_pairs(frames):
    out = transcode(frames, Codec(name="ybr", chroma="422"))[0]
    chroma = cv2.cvtColor(out, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(int)
    inside, between = np.abs(np.diff(chroma, axis=1))[:, 0::2].mean(), np.abs(np.diff(chroma, axis=1))[:, 1::2].mean()
    assert inside < 1.0 < between


def test_draws_cover_the_kinds():
    drawn = [draw_codec(np.random.default_rng(s), video_share=0.3) for s in range(200)]
    assert {c.name for c in drawn} == {"jpeg", "ybr", "h264", "mpeg4"}
    assert {c.chroma for c in drawn if c.name == "jpeg"} == set(CHROMAS)


@pytest.mark.parametrize(
    "bad", [{"name": "webp"}, {"chroma": "411"}, {"quality": 0}, {"name": "h264", "quality": 60}, {"upscale": 9}]
)
def test_errors(bad):
    with pytest.raises(ValueError, match=str(next(reversed(bad.values())))):
        Codec(**bad)
