"""Colour, box and kind of clip: on simulated screens with known truth, and on pictures made to fool the analysis."""

import dataclasses

import cv2
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from data_pipeline.readers import read_clip
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, Region
from data_pipeline.screen import kind as clip_kind
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip
from tests.data_pipeline.screen.test_fan_fit import SHAPES, speckle

BOXES = {"phased": (90.0, 190.0, -0.25, 0.3), "linear": (90.0, 190.0, 140.0, 250.0)}


def overlap(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def duplex(frames=10, shape="phased", *, seed=0, flow=True, outline=(250, 250, 250), hues=("red", "blue"), drift=0.0):
    """``(clip uint8 [T, 300, 400, 3], painted bool, box bool)``: moving coloured blobs in a box with a drawn outline."""
    geometry = SHAPES[shape]
    rng = np.random.default_rng(seed)
    clip = speckle(geometry, frames=frames, seed=seed)
    depth, lateral = geometry.coordinates((300, 400))
    r0, r1, t0, t1 = BOXES[shape]
    painted, boxes = np.zeros(clip.shape[:3], bool), np.zeros(clip.shape[:3], bool)
    px = 1.0 if shape == "linear" else depth
    for t in range(frames):
        a, b = t0 + drift * t, t1 + drift * t
        box = (depth >= r0) & (depth <= r1) & (lateral >= a) & (lateral <= b)
        boxes[t] = box
        edge = np.minimum(np.minimum(depth - r0, r1 - depth), np.minimum((lateral - a) * px, (b - lateral) * px))
        if flow:
            field = cv2.GaussianBlur(rng.standard_normal((300, 400)).astype(np.float32), (0, 0), 9)
            field /= field.std()
            mask = box & (np.abs(field) > 0.5)
            level = np.clip(np.abs(field), 0, 2.5)[..., None] / 2.5
            warm = np.concatenate([90 + 165 * level, 200 * level**2, 0 * level], axis=2)
            cool = np.concatenate([0 * level, 160 * level**2, 110 + 145 * level], axis=2)
            use = warm if hues == ("red",) else np.where(field[..., None] > 0, warm, cool)
            clip[t][mask] = use[mask].astype(np.uint8)
            painted[t] = mask & (edge > 1)
        if outline is not None:
            line = (np.abs(edge) <= 0.8) & box
            clip[t][line] = outline
    return clip, painted, boxes


def jpeg(clip, quality=90):
    out = []
    for frame in clip:
        data = cv2.imencode(".jpg", frame[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    return np.stack(out)


def flags(found, bit):
    return (found.strata & bit) > 0


@pytest.mark.parametrize("shape", ["phased", "linear"])
@pytest.mark.parametrize("outline", [(250, 250, 250), (240, 220, 70), (90, 230, 90)])
@pytest.mark.parametrize("codec", [False, True])
def test_box_flow_and_outline(shape, outline, codec):
    clip, painted, boxes = duplex(shape=shape, outline=outline)
    found = analyse(jpeg(clip) if codec else clip)
    assert found.kind == "cfd" and found.is_cfd and found.box_found and found.score > 0.8
    assert np.mean([overlap(a, b) for a, b in zip(flags(found, BOX), boxes)]) > 0.95
    hit = (flags(found, FLOW) & painted).sum()
    assert hit / painted.sum() > (0.98 if outline[0] == outline[1] else 0.95)  # beside a coloured line lies its bleed
    assert hit / flags(found, FLOW).sum() > (0.6 if codec else 0.85)
    assert (hidden_mask(found.strata) > 0)[painted].mean() > 0.995
    assert (flags(found, OUTLINE).sum(axis=(1, 2)) > 200).all()
    assert not (found.strata[:, ~found.sector]).any()


def test_without_an_outline_the_box_is_the_extent_of_the_colour():
    clip, painted, boxes = duplex(outline=None)
    found = analyse(clip)
    assert found.is_cfd and not found.box_found and not flags(found, OUTLINE).any()
    assert overlap(flags(found, BOX)[0], boxes[0]) > 0.9
    assert flags(found, FLOW)[painted].mean() > 0.98


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_few_frames(frames):
    clip, painted, boxes = duplex(frames)
    found = analyse(clip)
    assert found.is_cfd and found.strata.shape == clip.shape[:3]
    assert (hidden_mask(found.strata) > 0)[painted].mean() > 0.99
    assert overlap(flags(found, BOX)[0], boxes[0]) > 0.9


@pytest.mark.parametrize("scale", [0.22, 0.5, 2.5])
def test_sizes_from_64_to_1000_pixels(scale):
    clip, painted, boxes = duplex(8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    clip = np.stack([cv2.resize(f, None, fx=scale, fy=scale, interpolation=method) for f in clip])
    truth = np.stack([cv2.resize(m.astype(np.float32), clip.shape[2:0:-1], interpolation=method) for m in painted])
    found = analyse(clip)
    assert found.is_cfd
    assert (hidden_mask(found.strata) > 0)[truth > 0.5].mean() > 0.99
    box = cv2.resize(boxes[0].astype(np.float32), clip.shape[2:0:-1], interpolation=method) > 0.5
    assert overlap(flags(found, BOX)[0], box) > 0.8


@pytest.mark.parametrize("codec", [False, True])
def test_a_clip_without_colour_has_a_sector_and_nothing_else(codec):
    clip = speckle(SHAPES["phased"], frames=8)
    found = analyse(jpeg(clip) if codec else clip)
    assert found.kind == "bmode" and not found.is_cfd and not found.box_found
    assert set(np.unique(found.strata)) == {0, SECTOR}
    assert not hidden_mask(found.strata).any()


def test_a_moving_box_is_followed():
    clip, painted, boxes = duplex(40)
    later = duplex(40, seed=1)
    shift = 40
    moved = np.roll(later[0], shift, axis=2) * SHAPES["phased"].mask((300, 400))[..., None].astype(np.uint8)
    both = np.concatenate([clip, speckle(SHAPES["phased"], frames=40)])
    both[40:][np.roll(later[2], shift, axis=2)] = moved[np.roll(later[2], shift, axis=2)]
    found = analyse(both)
    first, second = flags(found, BOX)[5], flags(found, BOX)[75]
    assert overlap(first, boxes[0]) > 0.9 and overlap(first, second) < 0.7
    assert flags(found, FLOW)[:40][painted].mean() > 0.97


def test_screen_clutter_is_not_flow():
    clip = speckle(SHAPES["phased"], frames=12)
    for t, frame in enumerate(clip):
        x = np.arange(10 + 25 * t)
        trace = np.stack([60 + x, 250 + 8 * np.sin(x / 3)], axis=1).astype(np.int32)
        cv2.polylines(frame, [trace], False, (70, 235, 90), 1)  # an ECG across the sector
        cv2.drawMarker(frame, (180, 120), (255, 170, 40), cv2.MARKER_CROSS, 12, 1)  # a calliper
        cv2.putText(frame, "+ 3.45 cm", (150, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 170, 40), 1)
        frame[40:120, 380:390] = np.linspace((255, 220, 60), (20, 40, 220), 80)[:, None].astype(np.uint8)
    found = analyse(clip)
    assert found.kind == "bmode" and not flags(found, FLOW).any()


def test_clutter_beside_flow_does_not_stretch_the_box():
    clip, painted, boxes = duplex(12)
    for frame in clip:
        cv2.drawMarker(frame, (110, 150), (255, 170, 40), cv2.MARKER_CROSS, 14, 2)
        cv2.line(frame, (110, 150), (150, 230), (255, 170, 40), 1)
    found = analyse(jpeg(clip))
    assert overlap(flags(found, BOX)[0], boxes[0]) > 0.94


def test_a_tinted_grey_map_is_not_colour():
    clip, painted, boxes = duplex()
    tint = np.array([0.88, 0.95, 1.0])
    grey = np.abs(clip.astype(int) - clip.mean(axis=3, keepdims=True)).max(axis=3) < 2
    clip = np.where(grey[..., None], clip * tint, clip).astype(np.uint8)
    found = analyse(clip)
    assert found.is_cfd
    hit = (flags(found, FLOW) & painted).sum()
    assert hit / painted.sum() > 0.97 and hit / flags(found, FLOW).sum() > 0.8
    plain = speckle(SHAPES["phased"])
    assert analyse((plain * tint).astype(np.uint8)).kind == "bmode"


def with_bar(clip, *, velocity: bool):
    clip = clip.copy()
    up = np.linspace((250, 230, 90), (60, 0, 0), 50)
    down = np.linspace((0, 0, 70), (120, 200, 250), 50) if velocity else up[::-1]
    clip[:, 30:80, 375:387] = up[:, None].astype(np.uint8)
    clip[:, 80:130, 375:387] = down[:, None].astype(np.uint8)
    return clip


def test_the_legend_tells_power_from_flow_in_one_direction():
    clip, painted, _ = duplex(hues=("red",))
    power = analyse(with_bar(clip, velocity=False))
    flow = analyse(with_bar(clip, velocity=True))
    assert (power.kind, power.is_cfd) == ("power", False) and (flow.kind, flow.is_cfd) == ("cfd", True)
    for found in (power, flow):
        assert flags(found, FLOW)[painted].mean() > 0.98


def test_tissue_doppler_and_other_overlays_are_told_apart():
    clip = speckle(SHAPES["phased"], frames=10)
    depth, lateral = SHAPES["phased"].coordinates((300, 400))
    wave = np.sin(depth / 25) + np.cos(lateral * 6)
    blood = SHAPES["phased"].mask((300, 400)) & (np.hypot(depth - 140, 140 * lateral) < 50)
    box = (depth > 60) & (depth < 230) & (np.abs(lateral) < 0.45)
    tissue, overlay = clip.copy(), clip.copy()
    for t in range(10):
        tissue[t][blood] = 5
        sign = np.where(np.sin(wave + 0.6 * t) > 0, 1, 0)[..., None]
        colour = (
            ((sign * (200, 40, 0) + (1 - sign) * (0, 60, 210)) * (0.6 + clip[t] / 500)).clip(0, 255).astype(np.uint8)
        )
        where = box & ~blood
        tissue[t][where] = colour[where]
        inside = clip[t, ..., 0] > 0
        overlay[t][inside] = colour[inside]
    assert analyse(tissue).kind == "tissue"
    assert analyse(overlay).kind == "other"


def scrolling(kind: str, frames: int = 12):
    """A sweep that writes a few columns per frame, spectral or M-mode, under a frozen picture."""
    rng = np.random.default_rng(0)
    clip = np.zeros((frames, 300, 400, 3), np.uint8)
    if kind == "mmode":
        rows = cv2.GaussianBlur(rng.integers(40, 220, (150, 400)).astype(np.float32), (15, 1), 5)
    else:
        rows = np.zeros((150, 400), np.float32)
        for x in range(400):
            top = int(60 + 50 * np.sin(x / 15) ** 2)
            rows[75 - top // 2 : 75, x] = rng.integers(60, 250, top // 2)
    for t in range(frames):
        clip[t, 140:290] = rows[..., None]
        at = 20 * t
        layers = np.repeat(rng.integers(40, 220, (150, 1, 1)), 12, axis=1)
        fresh = layers if kind == "mmode" else rows[:, 200:212, None][:, ::-1] * 0.7
        clip[t:, 140:290, at : at + 12] = fresh
        rows = clip[t, 140:290, :, 0].astype(np.float32)
    return clip


def test_screens_that_are_no_2d_clip():
    assert analyse(scrolling("mmode")).kind == "mmode"
    assert analyse(scrolling("spectral")).kind == "spectral"
    quad = np.zeros((3, 300, 400, 3), np.uint8)
    for y in (10, 160):
        for x in (10, 210):
            quad[:, y : y + 130, x : x + 180] = speckle(SHAPES["linear"], frames=3)[:, 60:190, 100:280]
    assert analyse(quad).kind == "quad"
    black = analyse(np.zeros((4, 100, 120, 3), np.uint8))
    assert black.kind == "other" and "no signal" in black.reason
    clip, _, _ = duplex()
    region = Region(x0=0, y0=150, x1=400, y1=300, spatial_format=3, data_type=3)
    assert analyse(clip, regions=(region,)).kind == "spectral"


@pytest.mark.parametrize(
    ("view", "seed"), [("A4C", 5), ("PLAX", 3), ("FETAL_4CH", 6), ("CAROTID_LONG", 1), ("KIDNEY", 2), ("LIVER", 2)]
)
def test_simulated_screens(view, seed):
    options = SimulationOptions(screen=True)
    clip = simulate_clip(view, seed, height=300, width=400, frames=8, options=options, split="val")
    found = analyse(clip.cfd)
    assert found.kind in ("cfd", "power")
    assert overlap(found.sector, clip.fan[0]) > 0.9
    assert (hidden_mask(found.strata) > 0)[clip.mask].mean() > 0.985
    if clip.outline.any() and found.box_found:
        assert np.mean([overlap(a, b) for a, b in zip(flags(found, BOX), clip.box)]) > 0.8


REAL = {
    "examples_ybr_color.dcm": "bmode",
    "color3d_jpeg_baseline.dcm": "bmode",
    "JPGLosslessP14SV1_1s_1f_8b.dcm": "bmode",
    "gdcm-US-ALOKA-16.dcm": "bmode",
    "OBXXXX1A.dcm": "bmode",
    "US1_UNCR.dcm": "power",
    "examples_rgb_color.dcm": "power",
    "color-pl.dcm": "cfd",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("needs the package pydicom-data")
    clip = read_clip(path)
    found = analyse(clip.frames[:40], regions=clip.info.regions, image_type=clip.info.image_type)
    assert found.kind == REAL[name], found.reason
    assert flags(found, FLOW).any() == (REAL[name] != "bmode")


def test_hidden_mask_grows_inside_the_sector_only():
    strata = np.full((1, 600, 40), SECTOR, np.uint8)
    strata[0, :, 20:] = 0
    strata[0, 10, 10] |= FLOW
    strata[0, 25, 19] |= OUTLINE
    out = hidden_mask(strata)
    assert out.dtype == np.uint8 and set(np.unique(out)) == {0, 1}
    assert out[0, 8:13, 8:13].all() and out[0, 23:28, 17:20].all() and out.sum() == 5 * 5 + 5 * 3
    assert hidden_mask(strata[:, :140]).sum() == 2, "small pictures keep their neighbours"
    with pytest.raises(ValueError, match="uint8"):
        hidden_mask(strata.astype(np.int32))


def test_clean_neighbours_of_colour_are_kept_and_contaminated_ones_hidden():
    strata = np.full((1, 600, 40), SECTOR, np.uint8)
    strata[0, 10:20, 10:20] |= FLOW
    frames = np.full((1, 600, 40, 3), 90, np.uint8)
    frames[0, 10:20, 10:20] = (220, 40, 20)
    frames[0, 10:20, 20:22] = (110, 85, 80)
    out = hidden_mask(strata, frames)[0] > 0
    assert out[10:20, 10:22].all() and out.sum() == 10 * 12
    sepia = (frames * np.array([1.0, 0.85, 0.6])).astype(np.uint8)
    assert hidden_mask(strata, sepia).sum() < 14 * 14, "the grey map's own tint is no colour"
    with pytest.raises(ValueError, match="frames must be"):
        hidden_mask(strata, frames[:, :30])


def test_the_smooth_sides_of_drawn_lines_are_hidden_and_clean_ones_are_not():
    strata = np.full((1, 600, 40), SECTOR, np.uint8)
    strata[0, :, 20] |= OUTLINE
    frames = np.full((1, 600, 40, 3), 30, np.uint8)
    frames[0, :, 20], frames[0, :300, 21] = 240, 80
    out = hidden_mask(strata, frames)[0] > 0
    assert out[:, 20].all() and out[:300, 21].all() and out.sum() == 600 + 300
    cut = (
        hidden_mask(strata[:, 100:540], frames[:, 100:540])[0] > 0
    )  # chroma bleeds no further than the line's own side
    assert cut[:200, 20:22].all() and cut.sum() == 440 + 200
    assert hidden_mask(strata[:, :300], frames[:, :300]).sum() == 300, "reduced clips keep what is beside"


def test_wrong_frames_are_refused():
    with pytest.raises(ValueError, match="T, H, W, 3"):
        analyse(np.zeros((3, 20, 20), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        analyse(np.zeros((3, 20, 20, 3)))
    assert dataclasses.is_dataclass(analyse(speckle(SHAPES["phased"], frames=1)))


def test_a_frozen_clip_keeps_its_colour():
    clip, painted, _ = duplex(1)
    found = analyse(np.repeat(clip, 12, axis=0))
    assert found.is_cfd and flags(found, FLOW)[:, painted[0]].mean() > 0.97


def test_colour_in_few_frames_is_found_and_named():
    clip, painted, _ = duplex(16, outline=None)
    clip[3:] = speckle(SHAPES["phased"], frames=16)[3:]
    found = analyse(clip)
    assert found.is_cfd and found.colour_seen == pytest.approx(3 / 16)
    assert flags(found, FLOW)[:3][painted[:3]].mean() > 0.95 and not flags(found, FLOW)[3:].any()
    assert analyse(clip[3:]).colour_seen == 0


def test_colour_between_the_frames_looked_at_is_seen():
    clip = speckle(SHAPES["phased"], frames=72)
    clip[41:43] = duplex(2, outline=None)[0]
    found = analyse(clip)
    assert found.kind == "bmode" and found.colour_seen == pytest.approx(2 / 72)


@pytest.mark.parametrize("colour", [(240, 220, 60), (60, 230, 240), (250, 160, 40), (250, 50, 40)])
@pytest.mark.parametrize("width", [1, 2])
def test_a_trace_of_any_colour_is_not_flow(colour, width):
    clip = np.stack([cv2.resize(frame, (800, 600)) for frame in speckle(SHAPES["phased"], frames=12)])
    for t, frame in enumerate(clip):
        x = np.arange(100 + 50 * t)
        spikes = np.where(x % 120 < 8, 40, 0)
        trace = np.stack([120 + x, 500 + 6 * np.sin(x / 8) - spikes], axis=1).astype(np.int32)
        cv2.polylines(frame, [trace], False, colour, width, cv2.LINE_AA)
    found = analyse(clip)
    assert found.kind == "bmode", found.reason


@pytest.mark.parametrize("ground", [(0, 0, 90), (200, 200, 200), (255, 255, 255)])
def test_a_coloured_background_is_no_sector(ground):
    clip, painted, _ = duplex(8)
    truth = SHAPES["phased"].mask((300, 400))
    clip[:, ~truth] = ground
    found = analyse(clip)
    assert overlap(found.sector, truth) > 0.9 and found.is_cfd
    assert flags(found, FLOW)[painted].mean() > 0.95


@pytest.mark.parametrize("value, kind", [("VASCULAR", "cfd"), ("TTE", "cfd"), ("0011", "cfd"), ("0101", "power")])
def test_image_type_breaks_ties(value, kind):
    clip, _, _ = duplex(hues=("red",))
    assert analyse(clip, image_type=("ORIGINAL", "PRIMARY", "CARDIOLOGY", value)).kind == kind


@pytest.mark.parametrize(
    "value, bits", [("0003", 0x3), ("0019", 0x19), ("0010", 0x10), ("0101", 0x101), ("VASCULAR", 0), ("00", 0)]
)
def test_image_type_bits_are_hexadecimal(value, bits):
    assert clip_kind._type_bits(("ORIGINAL", "PRIMARY", "", value)) == bits
