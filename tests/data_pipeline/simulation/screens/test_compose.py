"""Screens to learn from: what is drawn is what the truth says, the same from the same seed, and styles stay apart."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.simulation.screens.boxes import FORMS, STROKES, BoxStyle, box_polygon, stroke_alpha
from data_pipeline.simulation.screens.compose import KINDS, draw_screen_clip
from data_pipeline.simulation.screens.storage import CODECS, store
from data_pipeline.simulation.screens.styles import HELD_OUT, Styles, without
from data_pipeline.simulation.screens.tissue import make_tissue


@pytest.fixture(scope="module")
def tissues():
    return [make_tissue(seed, size=128, frames=4) for seed in (0, 7)]


def plain(tissues, seed, **options):
    styles = Styles(codecs=("none",), tints=("none",))
    return draw_screen_clip(np.random.default_rng(seed), tissues, styles=styles, rows=(150, 200), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_what_differs_from_the_clean_screen_is_named(tissues, kind):
    for seed in range(6):
        clip = plain(tissues, seed, kind=kind, layout="single")
        changed = np.abs(clip.frames.astype(int) - clip.clean).max(axis=-1) > 40
        named = (clip.flow > 0.02) | (clip.outline > 0.02) | (clip.overlay > 0.02)
        assert (changed & ~named).sum() <= 0.002 * changed.size, seed
        if kind == "bmode":
            assert not clip.flow.any() and not clip.outline.any() and clip.box is None


def test_the_same_seed_gives_the_same_screen(tissues):
    first, second = (draw_screen_clip(np.random.default_rng(3), tissues) for _ in range(2))
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_colour_and_outline_lie_on_the_picture(tissues):
    for seed in range(8):
        clip = plain(tissues, seed, kind="cfd", layout="biplane")
        assert not (clip.flow[clip.sector < 0.01] > 0.5).any()
        assert clip.frames.shape[:3] == clip.sector.shape == clip.flow.shape == clip.outline.shape == clip.overlay.shape


def test_held_out_families_are_never_trained_on():
    trained = without(Styles(), HELD_OUT)
    for field in dataclasses.fields(Styles):
        kept, held = set(getattr(trained, field.name)), set(getattr(HELD_OUT, field.name))
        assert kept and not kept & held
        assert kept | held == set(getattr(Styles(), field.name))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stroke", STROKES)
def test_every_form_in_every_stroke(tissues, form, stroke):
    rng, tissue = np.random.default_rng(1), tissues[0]
    flow = ~np.isnan(tissue.velocity).all(axis=0)
    polygon = box_polygon(rng, form, flow, tissue.box.any(axis=0), tissue.sector)
    style = BoxStyle(form=form, stroke=stroke, ink="white", thickness=1, opacity=1.0, smooth=False)
    cover = stroke_alpha(rng, polygon, style, tissue.sector.shape)
    assert cover.shape == tissue.sector.shape and cover.min() >= 0 and cover.max() <= 1
    whole = stroke_alpha(rng, polygon, dataclasses.replace(style, stroke="solid"), tissue.sector.shape)
    if stroke == "none":
        assert not cover.any()
    else:
        assert 0.02 * whole.sum() < cover.sum() <= 1.1 * whole.sum()


@pytest.mark.parametrize("codec", CODECS)
def test_storage_keeps_shape_and_most_of_the_picture(tissues, codec):
    clip = plain(tissues, 1, kind="cfd", layout="single")
    stored = store(np.random.default_rng(0), clip.frames, codec)
    assert stored.shape == clip.frames.shape and stored.dtype == np.uint8
    error = np.abs(stored.astype(int) - clip.frames).mean()
    assert error == 0 if codec == "none" else 0 < error < 25
