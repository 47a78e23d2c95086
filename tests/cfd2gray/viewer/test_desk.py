"""The desk and its worker on real clips: layers, corrections, refusals, what is forgotten and made again."""

import json
import os
import time

import av
import cv2
import numpy as np
import pytest

from cfd2gray.example import CLIP
from cfd2gray.translation.translator import Translator
from cfd2gray.viewer import desk as desk_module
from cfd2gray.viewer import work
from cfd2gray.viewer.corrections import Corrections
from cfd2gray.viewer.desk import Desk
from cfd2gray.viewer.downloads import download_name, write_download
from cfd2gray.viewer.layers import LAYERS, layer_png
from cfd2gray.viewer.viewed import BUSY
from data_pipeline.readers import read_clip
from data_pipeline.schema import BOX, FLOW, OUTLINE


@pytest.fixture(scope="module")
def translator():
    return Translator.from_pretrained()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "short.npy"
    frames = read_clip(CLIP).frames[:6]
    np.save(path, np.stack([cv2.resize(frame, (160, 160), interpolation=cv2.INTER_AREA) for frame in frames]))
    return path


@pytest.fixture
def desk(translator, tmp_path):
    (tmp_path / "scratch").mkdir(mode=0o700)
    made = Desk(lambda: translator, tmp_path / "scratch")
    yield made
    made.close()


def finished(clip, *, seconds=240):
    end = time.monotonic() + seconds
    while clip.state in BUSY:
        assert time.monotonic() < end, clip.told()
        time.sleep(0.02)
    return clip


def decoded(png):
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture if picture.ndim == 2 else picture[..., [2, 1, 0, 3][: picture.shape[2]]]


def test_what_is_shown_is_what_was_computed_bit_for_bit(desk, translator, short):
    clip = finished(desk.add(short, "short", owned=False))
    assert clip.state == "ready", clip.told()
    seen, alone = desk.seen(clip), translator(short)
    assert np.array_equal(seen.result.grey, alone.grey) and np.array_equal(seen.result.confidence, alone.confidence)
    for frame in (0, 5):
        layers = {layer: decoded(layer_png(seen, layer, frame)) for layer in LAYERS}
        assert np.array_equal(layers["colour"], read_clip(short).frames[frame])
        assert np.array_equal(layers["grey"], alone.grey[frame])
        assert (layers["confidence"][..., 3] > 0).mean() > 0.01
        untouched = layers["synthesised"][..., 3] == 0
        assert (alone.confidence[frame][untouched] == 1).all() and 0.5 < untouched.mean() < 1
        strata = alone.analysis.strata[frame]
        assert (layers["hidden"][(strata & (FLOW | OUTLINE)) > 0, 3] == 165).all()
        line = layers["box"][..., 3] > 0
        assert line.any() and ((strata & BOX) > 0)[line].all()
    with pytest.raises(ValueError, match="frames are 0 to 5"):
        layer_png(seen, "grey", 6)
    with pytest.raises(ValueError, match="a layer is one of"):
        layer_png(seen, "../grey", 0)


def test_a_correction_does_what_the_command_line_does(desk, translator, short, tmp_path):
    clip = finished(desk.add(short, "short", owned=False))
    before = desk.seen(clip).result.grey
    said = {
        "box": [[60, 60], [110, 60], [110, 110], [60, 110]],
        "strokes": [
            {"points": [[80, 70], [90, 80]], "radius": 6},
            {"points": [[100, 100]], "radius": 9, "erase": True},
        ],
    }
    desk.correct(clip, Corrections.of(said, shape=(6, 160, 160)))
    assert finished(clip).state == "ready" and not clip.error, clip.error
    seen = desk.seen(clip)
    assert not np.array_equal(seen.result.grey, before)
    write_download(seen, "mask.npy", tmp_path / "mask.npy", keep_screen=False)
    box = "60,60,110,60,110,110,60,110"
    assert np.array_equal(translator.of_clip(short, box=box, mask=tmp_path / "mask.npy").grey, seen.result.grey)
    assert np.load(tmp_path / "mask.npy")[:, 75, 85].all()


def test_a_correction_that_cannot_be_leaves_what_was_there(desk, short):
    clip = finished(desk.add(short, "short", owned=False))
    version = clip.version
    everything = [{"points": [[0, y], [159, y]], "radius": 8} for y in range(0, 160, 8)]
    desk.correct(clip, Corrections.of({"strokes": everything}, shape=(6, 160, 160)))
    assert finished(clip).state == "ready" and "was taken for colour" in clip.error
    assert clip.version == version and desk.seen(clip).result is not None and not clip.corrections.strokes


def test_a_refused_clip_can_be_looked_at_and_called_by_another_kind(desk, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 120, 160, 3), np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    clip = finished(desk.add(tmp_path / "noise.npy", "noise", owned=False))
    if clip.state == "refused":
        assert clip.error and str(tmp_path) not in clip.error
        assert np.array_equal(decoded(layer_png(desk.seen(clip), "colour", 0)), noise[0])
    desk.correct(clip, Corrections(kind="bmode"))
    assert finished(clip).state == "ready" and not desk.seen(clip).result.coloured


def test_what_cannot_be_read_is_refused_without_its_path(desk, tmp_path):
    path = desk.new_path()
    path.write_bytes(b"nothing that is a clip" * 99)
    clip = finished(desk.add(path, "../../x.dcm", owned=True))
    assert clip.state == "refused" and "expected DICOM" in clip.error and str(tmp_path) not in clip.error
    desk.remove(clip)
    assert not path.exists() and clip.id not in desk.clips


def test_what_was_forgotten_is_made_again_alike(desk, short, monkeypatch):
    monkeypatch.setattr(desk_module, "HELD", 1)
    first = finished(desk.add(short, "first", owned=False))
    grey = desk.seen(first).result.grey
    second = finished(desk.add(short, "second", owned=False))
    assert list(desk._held) == [second.id]
    version = first.version
    assert np.array_equal(desk.seen(first).result.grey, grey)
    assert list(desk._held) == [first.id] and first.version == version and first.state == "ready"


def test_a_clip_too_long_to_be_held_is_refused_with_the_remedy(desk, short, monkeypatch):
    monkeypatch.setattr(work, "MOST_DECODED", 1 << 18)
    clip = finished(desk.add(short, "long", owned=False))
    assert clip.state == "refused" and "of the viewer" in clip.error and "cfd2gray translate" in clip.error


def test_downloads_are_the_files_of_translate(desk, translator, short, tmp_path):
    clip = finished(desk.add(short, "short", owned=False))
    seen = desk.seen(clip)
    translator(short).save(tmp_path / "alone.mp4")
    for format in ("dcm", "mp4", "npz", "html"):
        write_download(seen, format, tmp_path / f"x.{format}", keep_screen=False)
        assert download_name(seen, format, 1) == f"grey-{seen.clip.info.source_digest[:8]}.{format}"
    assert (tmp_path / "x.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    assert not (tmp_path / "x.mp4.json").exists()
    with av.open(str(tmp_path / "x.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 6
    assert read_clip(tmp_path / "x.dcm").frames.shape[0] == 6
    arrays = np.load(tmp_path / "x.npz", allow_pickle=False)
    sector = seen.analysis.sector
    assert arrays["grey"].shape == (6, 160, 160) and not arrays["grey"][:, ~sector].any()
    assert arrays["synthetic"] and str(arrays["model"]) == translator.weights.name
    write_download(seen, "npz", tmp_path / "whole.npz", keep_screen=True)
    assert np.array_equal(np.load(tmp_path / "whole.npz")["grey"], seen.result.grey)
    with pytest.raises(ValueError, match="a download is one of"):
        write_download(seen, "exe", tmp_path / "x.exe", keep_screen=False)


def test_a_folder_is_listed_and_looked_at_and_a_bad_file_stops_nothing(translator, short, tmp_path):
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.npy", "deep/<b>.npy", os.fsdecode(b"\xff.npy")):
        (folder / name).write_bytes(short.read_bytes())
    (folder / "bad.dcm").write_bytes(b"bad" * 100)
    (tmp_path / "scratch").mkdir()
    desk = Desk(lambda: translator, tmp_path / "scratch", folder=folder)
    try:
        end = time.monotonic() + 60
        while len(desk.clips) < 4 or any(clip.state in (*BUSY, "listed") for clip in list(desk.clips.values())):
            assert time.monotonic() < end
            time.sleep(0.02)
        found = {clip.name: clip for clip in desk.clips.values()}
        assert {name: clip.state for name, clip in found.items()} == {
            "a.npy": "glanced", "deep/<b>.npy": "glanced", "\udcff.npy": "glanced", "bad.dcm": "refused"
        }  # fmt: skip
        json.dumps([clip.told() for clip in found.values()], ensure_ascii=False).encode()
        desk.mark(found["\udcff.npy"], "reject")
        desk.mark(found["a.npy"], "keep")
        assert (tmp_path / "archive.marks.csv").read_bytes().count(b"\xff.npy,reject,cfd,") == 1
        assert b"\na.npy,keep,cfd," in (tmp_path / "archive.marks.csv").read_bytes()
        desk.open(found["a.npy"])
        assert finished(found["a.npy"]).state == "ready" and found["a.npy"].mark == "keep"
    finally:
        desk.close()


def test_work_that_nobody_waits_for_is_broken_off(translator, short, tmp_path):
    long = np.concatenate([np.load(short)] * 14)
    np.save(tmp_path / "long.npy", long)
    (tmp_path / "scratch").mkdir()
    desk = Desk(lambda: translator, tmp_path / "scratch")
    removed, last = (desk.add(tmp_path / "long.npy", name, owned=False) for name in ("removed", "last"))
    desk.remove(removed)
    while last.state != "translating":
        assert last.state in BUSY
        time.sleep(0.01)
    desk.close()
    desk._worker.join(120)  # at the end of the window that the network works on
    assert not desk._worker.is_alive() and last.state == "refused" and not last.facts.get("translated")
