"""What a person says of a clip: kind and box override the analysis, and a picture shows what was seen."""

import cv2
import numpy as np
import pytest

from cfd2gray import cli
from data_pipeline.readers import read_clip
from data_pipeline.schema import BOX, FLOW
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.remembered import BY_HAND, BY_SIGHT, console, known_sectors, remember
from data_pipeline.screen.said import Said, polygon_mask
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
        polygon_mask("box", ((900, 900), (990, 990)), (100, 100))


def test_a_picture_explains_what_was_seen(clip, tmp_path, capsys):
    np.save(tmp_path / "clip.npy", clip.cfd)
    command = ["translate", str(tmp_path / "clip.npy"), "--explain", str(tmp_path / "seen.png")]
    assert cli.main(command) == 0
    assert "% sure that this is colour flow (cfd): " in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "seen.png"))[..., ::-1]
    assert picture.shape[0] == 2 * 160 + 40 and (np.abs(picture.astype(int) - (255, 0, 255)).sum(-1) < 200).sum() > 50
    assert cli.main(command) == 2 and sorted(p.name for p in tmp_path.iterdir()) == ["clip.npy", "seen.png"]
    assert cli.main(["translate", str(tmp_path / "clip.npy")]) == 2
    assert cli.main([*command[:-1], str(tmp_path / "new.png"), "-o", str(tmp_path / "grey.npy")]) == 2
    assert "--explain draws what was seen" in capsys.readouterr().err and not (tmp_path / "new.png").exists()


def test_a_mask_that_is_said_is_what_is_hidden_and_nothing_else(clip, tmp_path):
    painted = clip.mask.any(axis=0)
    cv2.imwrite(str(tmp_path / "mask.png"), 255 * painted.astype(np.uint8))
    found = analyse(clip.cfd, said=Said.of(mask=tmp_path / "mask.png"))
    assert found.is_cfd and (((found.strata & FLOW) > 0) == (painted & found.sector)).all()
    each = analyse(clip.cfd, said=Said(mask=clip.mask))
    assert (((each.strata & FLOW) > 0) == (clip.mask & each.sector)).all()
    grey = analyse(np.repeat(clip.grey, 3, axis=-1), said=Said(mask=painted))
    assert grey.is_cfd and grey.reason == "said by the user"
    with pytest.raises(ValueError, match="like the frames"):
        analyse(clip.cfd, said=Said(mask=painted[:50]))
    with pytest.raises(ValueError, match="no mask at"):
        Said.of(mask=tmp_path / "none.png")


def test_a_sector_that_is_said_holds_and_is_remembered_for_the_console(clip, tmp_path):
    said = Said.of(sector="20,10,180,10,180,150,20,150")
    drawn = polygon_mask("sector", said.sector, (160, 200))
    assert (analyse(clip.cfd, said=said).sector == drawn).all()
    memory, found = tmp_path / "consoles.json", analyse(clip.cfd)
    key = console("Acme", "One", (160, 200))
    remember(memory, key, found.sector, by_hand=False)
    remember(memory, key, found.sector, by_hand=False)
    (only,) = known_sectors(memory, key)
    assert only[1] == BY_SIGHT and known_sectors(memory, console("Acme", "Two", (160, 200))) == ()
    rough = polygon_mask("sector", only[0], (160, 200))
    assert np.count_nonzero(rough ^ found.sector) < 0.02 * np.count_nonzero(found.sector)
    moved = np.roll(found.sector, 3, axis=1)
    remember(memory, key, moved, by_hand=True)
    ((corners, least),) = known_sectors(memory, key)
    assert least == BY_HAND and (analyse(clip.cfd, said=Said(known=((corners, least),))).sector != found.sector).any()
    memory.write_text("[]")
    with pytest.raises(ValueError, match="no remembered sectors"):
        known_sectors(memory, key)


def test_what_was_seen_is_drawn_over_every_frame_of_a_video(clip, tmp_path):
    np.save(tmp_path / "clip.npy", clip.cfd)
    command = ["translate", str(tmp_path / "clip.npy"), "--explain", str(tmp_path / "seen.mkv")]
    assert cli.main([*command, "--remember", str(tmp_path / "consoles.json")]) == 0
    seen = read_clip(tmp_path / "seen.mkv").frames
    assert seen.shape == (8, 160, 400, 3) and np.abs(seen[:, :, :200].astype(int) - clip.cfd).mean() < 2
    found = analyse(clip.cfd)
    flow = (found.strata & FLOW) > 0
    assert (np.abs(seen[:, :, 200:].astype(int) - clip.cfd).sum(-1) > 60)[flow].mean() > 0.9
    assert "unknown | unknown | 200 x 160" in (tmp_path / "consoles.json").read_text()
    assert cli.main(["translate", str(tmp_path / "clip.npy"), "--explain", str(tmp_path / "seen.txt")]) == 2
