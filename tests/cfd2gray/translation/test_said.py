"""What a person says of a clip: kind and box override the analysis, and a picture shows what was seen."""

import cv2
import numpy as np
import pytest

from cfd2gray import cli
from data_pipeline.schema import BOX, FLOW
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.said import Said
from data_pipeline.simulation.simulator import SimulationOptions, simulate_clip


@pytest.fixture(scope="module")
def clip():
    return simulate_clip("A4C", 3, height=160, width=200, frames=8, options=SimulationOptions(screen=True))


def test_the_kind_that_is_said_holds(clip):
    grey = np.repeat(clip.grey, 3, axis=-1)
    assert analyse(clip.cfd).is_cfd and not analyse(grey).is_cfd
    forced, denied = analyse(grey, said=Said(kind="cfd")), analyse(clip.cfd, said=Said(kind="bmode"))
    assert forced.is_cfd and forced.score == 1.0 and not forced.unsure
    assert not denied.is_cfd and not (denied.strata & (BOX | FLOW)).any()


def test_colour_is_looked_for_in_the_box_that_is_said(clip):
    ys, xs = np.nonzero(clip.mask.any(axis=0))
    middle = (int(xs.min()) + int(xs.max())) // 2
    said = Said.of(box=f"{xs.min() - 3},{ys.min() - 3},{middle},{ys.max() + 3}")
    found = analyse(clip.cfd, said=said)
    assert not (found.strata[..., middle + 8 :] & FLOW).any()
    left = clip.mask[..., : middle - 2]
    assert ((found.strata[..., : middle - 2] & FLOW) > 0)[left].mean() > 0.9


@pytest.mark.parametrize(("box", "rule"), [("1,2,3", "pairs"), ("a,b,c,d", "x0,y0,x1,y1"), ("5,5", "two opposite")])
def test_a_box_that_is_none_is_named(box, rule):
    with pytest.raises(ValueError, match=rule):
        Said.of(box=box)
    with pytest.raises(ValueError, match="beside the frame"):
        Said.of(box="900,900,990,990").box_mask((100, 100))


def test_a_picture_explains_what_was_seen(clip, tmp_path, capsys):
    np.save(tmp_path / "clip.npy", clip.cfd)
    command = ["translate", str(tmp_path / "clip.npy"), "--explain", str(tmp_path / "seen.png")]
    assert cli.main(command) == 0
    assert "cfd, certainty" in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "seen.png"))[..., ::-1]
    assert picture.shape[0] == 2 * 160 + 40 and (np.abs(picture.astype(int) - (255, 0, 255)).sum(-1) < 200).sum() > 50
    assert cli.main(command) == 2 and sorted(p.name for p in tmp_path.iterdir()) == ["clip.npy", "seen.png"]
    assert cli.main(["translate", str(tmp_path / "clip.npy")]) == 2
