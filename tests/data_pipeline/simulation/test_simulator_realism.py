"""The measures find what was put in, and simulated and painted clips measure like the real one, within wide bounds."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.schema import BOX, FLOW, SECTOR
from data_pipeline.simulation.console.codec import Codec
from data_pipeline.simulation.painter import TRAIN, paint_pair
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.scene import SceneOptions
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip, simulate_grey
from tests.data_pipeline.simulation.realism import REAL, measure, outside, summarise, table

SIZE = {"height": 256, "width": 320, "frames": 6}
CALM = SimulationOptions(
    fps=18.0, mode="velocity", artefacts=0.0, shared=True, ui_share=0.0, moving_box=0.0, codec=Codec(name="ybr"),
    scene=SceneOptions(pathology="none", poor_window=0.0),
)  # fmt: skip


def _measured(clip, velocity, nyquist):
    fan = ScanGrid.from_geometry(clip.geometry, height=clip.cfd.shape[1], width=clip.cfd.shape[2])
    return measure(clip.cfd, clip.grey, clip.strata, velocity.astype(np.float32) / nyquist, fan)


@pytest.fixture(scope="module")
def simulated():
    clips = [simulate_clip("A4C", seed, **SIZE, options=CALM) for seed in range(3)]
    return [_measured(c, c.velocity, c.acquisition.settings.nyquist_cm_s) for c in clips]


@pytest.fixture(scope="module")
def painted():
    out = []
    options = dataclasses.replace(
        TRAIN, artefacts=0.0, no_blood_share=0.0, bright_share=0.0, mode="velocity", ui_share=0.0
    )
    for seed in range(3):
        base = simulate_grey("A4C", seed, **SIZE, options=CALM)
        velocity = np.empty(base.grey.shape, np.float16)
        pair = paint_pair(
            base.grey, seed, fps=18.0, fan=base.fan, options=options, clip_id="c", patient_id="p", view="A4C",
            velocity_out=velocity,
        )  # fmt: skip
        out.append(_measured(pair, velocity, pair.params["colour"]["nyquist_cm_s"]))
    return out


@pytest.mark.parametrize("group", ["simulated", "painted"])
def test_clips_measure_like_the_real_one(group, request):
    measured = request.getfixturevalue(group)
    print("\n" + table({group: measured}))
    medians = {name: middle for name, (_, middle, _) in summarise(measured).items()}
    # Counts and greys of three small clips scatter; the shape of the colour must not.
    loose = {"components", "holes", "chroma_step_ratio", *(n for n in REAL if n.startswith(("grey", "speckle")))}
    assert not set(outside(medians)) - loose, outside(medians)


def test_constructed_masks_are_counted():
    fan = ScanGrid.for_size("phased", 96, 96, depth_cm=15)
    strata = np.zeros((2, 96, 96), np.uint8)
    strata[:] = fan.mask * np.uint8(SECTOR)
    strata[:, 40:70, 36:60] |= BOX
    strata[:, 44:54, 40:50] |= FLOW
    strata[:, 48, 44] &= ~np.uint8(FLOW)
    strata[:, 60:64, 52:56] |= FLOW
    strata[1, 44:54, 40:45] &= ~np.uint8(FLOW)
    velocity = np.where((strata & FLOW) > 0, 0.25, np.nan).astype(np.float32)
    figures = measure(np.zeros((2, 96, 96, 3), np.uint8), np.zeros((2, 96, 96), np.uint8), strata, velocity, fan)
    assert figures["components"] == 2 and figures["sign_agreement"] == 1 and figures["speed_p50"] == 0.25
    assert figures["holes"] == 0.5  # the second frame's mask has lost the hole with its left half
    flow = (strata & FLOW) > 0
    assert figures["mask_iou"] == pytest.approx((flow[0] & flow[1]).sum() / (flow[0] | flow[1]).sum())


def test_nothing_cannot_be_summarised():
    with pytest.raises(ValueError, match="at least one"):
        summarise([])


@pytest.mark.parametrize("view", ["KIDNEY", "LIVER"])
def test_boxes_over_abdominal_vessels_are_as_full_as_real_ones(view):
    shares = []
    for seed in range(8):
        clip = simulate_clip(view, seed, height=96, width=96, frames=2)
        shares.append(np.median(clip.mask.sum((1, 2)) / clip.box.sum((1, 2))))
    assert 0.15 < np.median(shares) < 0.5, shares
