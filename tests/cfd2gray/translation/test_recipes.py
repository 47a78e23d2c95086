"""Clips for public models: what each model's own loader gets from our files, against plain versions of its documented rules."""

import json

import av
import cv2
import numpy as np
import pytest

from cfd2gray import cli
from cfd2gray.commands import translate as command
from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.files import Output, translate_file
from cfd2gray.translation.folders.batch import translate_files
from cfd2gray.translation.folders.plan import Batch
from cfd2gray.translation.output.recipes import RECIPES, prepared, sector_kept
from cfd2gray.translation.output.video import write_video
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator

H264_LOSS = 2.0
"""Mean difference in grey levels that coding in H.264 may leave; FFV1 leaves none."""


@pytest.fixture(scope="module")
def translator():
    return make_translator(causal=False)


@pytest.fixture(scope="module")
def screen():
    """A simulated clip on a wide screen, as consoles write them: uint8 [T, H, W, 3]."""
    clip = simulate_pair("A4C", 3, height=181, width=200, frames=5, split="test").cfd
    return np.pad(clip, ((0, 0), (13, 12), (36, 41), (0, 0)))  # an odd difference, where the rules round apart


@pytest.fixture(scope="module")
def source(screen, tmp_path_factory):
    path = tmp_path_factory.mktemp("screen") / "screen.mkv"
    write_video(path, screen, fps=50.0)
    return path


@pytest.fixture(scope="module")
def grey(translator, source):
    """The cleaned translation before any recipe: uint8 [T, H, W]."""
    result = translator(source)
    cleaning = Cleaning.of(result.clip.frames, result.analysis)
    return np.stack([cleaning(frame) for frame in result.grey])


def by_opencv(path):
    """uint8 [T, H, W, 3]: as many frames as the container announces, as EchoNet's loader demands."""
    capture = cv2.VideoCapture(str(path))
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = [capture.read() for _ in range(announced)]
    assert announced and all(there for there, _ in frames) and not capture.read()[0]
    return np.stack([frame for _, frame in frames]), capture.get(cv2.CAP_PROP_FPS)


def by_pyav(path):
    """uint8 [T, H, W, 3] RGB, as torchvision's reader decodes it."""
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), rate


# Plain versions of the rules in docs/recipes.md, each on one frame uint8 [H, W].


def echonet_rule(frame):
    height, width = frame.shape
    spare = (width - height) // 2
    square = frame[:, spare : width - spare]
    tenth = height // 10
    small = cv2.resize(square[tenth:-tenth, tenth : height - tenth], (112, 112), interpolation=cv2.INTER_CUBIC)
    for y in range(112):
        for x in range(112):
            if x + y <= 67 or x - y >= 67:
                small[y, x] = 0
    return small


def echoprime_rule(frame):
    height, width = frame.shape[:2]
    if width != height:
        spare = int(round((width - height) / 2))
        frame = frame[:, spare:-spare]
    across, down = int(frame.shape[1] * 0.1), int(frame.shape[0] * 0.1)
    return cv2.resize(frame[down:-down, across:-across], (224, 224), interpolation=cv2.INTER_CUBIC)


def panecho_rule(frame):
    height, width = frame.shape
    spare = (width - height) // 2
    square = cv2.resize(frame[:, spare : width - spare], (256, 256), interpolation=cv2.INTER_AREA)
    return square[16:240, 16:240]


def echojepa_rule(frame):
    squeezed = cv2.resize(frame, (336, 336), interpolation=cv2.INTER_AREA)
    return cv2.resize(squeezed, (256, 256), interpolation=cv2.INTER_LINEAR)[16:240, 16:240]


def panecho_loader(frame):
    return cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)[16:240, 16:240]


def echojepa_loader(frame):
    return cv2.resize(frame, (256, 256), interpolation=cv2.INTER_LINEAR)[16:240, 16:240]


@pytest.mark.parametrize(
    "name, rule, read, loader, rate, loss",
    [
        ("echonet", echonet_rule, by_opencv, lambda frame: frame, 50, 0),
        ("echoprime", echoprime_rule, by_pyav, echoprime_rule, 50, H264_LOSS),
        ("echoclip", echoprime_rule, by_opencv, echoprime_rule, 50, 0),
        ("panecho", panecho_rule, by_opencv, panecho_loader, 50, 0),
        ("echojepa", echojepa_rule, by_pyav, echojepa_loader, 30, H264_LOSS),
    ],
)
def test_the_models_loader_gets_what_its_rule_makes_of_the_clip(
    translator, source, grey, tmp_path, name, rule, read, loader, rate, loss
):
    recipe = RECIPES[name]
    target = tmp_path / f"clip{recipe.suffix}"
    output = Output(format=recipe.suffix, hasher=KeyedHasher(b"k" * 32), recipe=recipe)
    facts = translate_file(translator, source, target, output)
    frames, stated = read(target)
    assert frames.shape == (len(grey), recipe.side, recipe.side, 3) and stated == pytest.approx(rate)
    assert np.ptp(frames.astype(int), axis=3).max() <= 2  # grey: the order of channels cannot matter
    golden = np.stack([rule(frame) for frame in grey]).astype(float)
    got = np.stack([loader(np.ascontiguousarray(frame[..., 0])) for frame in frames]).astype(float)
    assert golden.std() > 20  # a picture, not a black square
    uncoded = np.stack([loader(frame) for frame in prepared(recipe, grey)])
    np.testing.assert_array_equal(uncoded, golden)
    if loss:
        assert np.abs(got - golden).mean() < loss
    else:
        np.testing.assert_array_equal(got, golden)
    sidecar = json.loads(target.with_name(target.name + ".json").read_text())
    assert sidecar["synthetic"] is True and sidecar["recipe"] == facts["recipe"]
    assert (sidecar["height"], sidecar["fps"]) == (recipe.side, 50)
    assert sidecar["recipe"]["for"] == name and sidecar["recipe"]["stated_fps"] == rate


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 65), (65, 64), (480, 640), (300, 123)])
def test_any_frame_fits(name, shape):
    recipe = RECIPES[name]
    frames = np.full((2, *shape), 200, np.uint8)
    made = prepared(recipe, frames)
    assert made.shape == (2, recipe.side, recipe.side) and made.dtype == np.uint8
    assert made[0, recipe.side // 2, recipe.side // 2] == 200
    np.testing.assert_array_equal(made[1:], prepared(recipe, frames[1:]))  # piece by piece the same
    if recipe.margin:  # the loader's own crop finds its square, and takes the margin away
        np.testing.assert_array_equal(echoprime_rule(made[0]), made[0, 28:-28, 28:-28])


def test_what_a_crop_cuts_of_the_sector_is_told(translator, screen, tmp_path):
    sector = np.zeros((100, 200), bool)
    sector[:, :100] = True
    assert sector_kept(RECIPES["echojepa"], sector) == 1.0
    assert sector_kept(RECIPES["panecho"], sector) == pytest.approx(0.5)
    assert sector_kept(RECIPES["echonet"], sector) == pytest.approx(0.5 * 0.8 * 0.8, abs=0.12)
    said = []
    recipe = RECIPES["echonet"]
    output = Output(format=".avi", hasher=KeyedHasher(b"k" * 32), recipe=recipe)
    write_video(tmp_path / "close.mkv", screen[:, 13:-12, 36:-41], fps=50.0)  # the sector fills it
    facts = translate_file(translator, tmp_path / "close.mkv", tmp_path / "clip.avi", output, tell=said.append)
    assert facts["recipe"]["sector_kept"] < 0.9 and any("of the sector" in line for line in said)


def test_a_folder_for_echonet_holds_clips_alone(translator, source, grey, tmp_path):
    out = tmp_path / "out"
    recipe = RECIPES["echonet"]
    found = translate_files(translator, [source], out, recipe=recipe)
    (clip,) = (out / "Videos").iterdir()  # its loader opens every file that is there
    assert found["translated"][0]["output"] == f"Videos/{clip.name}"
    sidecar = json.loads((out / "sidecars" / f"{clip.name}.json").read_text())
    assert sidecar["synthetic"] and sidecar["recipe"]["for"] == "echonet"
    assert "for echonet (echonet/dynamic" in (out / "DATA_CARD.md").read_text()
    assert translate_files(translator, [source], out, recipe=recipe)["there"] == 1
    other = translate_files(translator, [source], out, recipe=RECIPES["panecho"])
    assert len(other["translated"]) == 1  # the same kind of file, but not the same clip
    np.testing.assert_array_equal(by_opencv(clip)[0][..., 0], prepared(recipe, grey))


def test_a_result_is_saved_for_a_model_as_the_command_does_it(translator, source, grey, tmp_path):
    result = translator(source)
    facts = result.save(tmp_path / "clip.avi", recipe="panecho")
    np.testing.assert_array_equal(by_opencv(tmp_path / "clip.avi")[0][..., 0], prepared(RECIPES["panecho"], grey))
    assert facts["recipe"]["for"] == "panecho" and facts["width"] == 256
    with pytest.raises(ValueError, match="recipes for echonet, .* got 'echo'"):
        result.save(tmp_path / "other.avi", recipe="echo")


def test_what_does_not_go_together_is_refused_in_one_line(translator, source, tmp_path):
    out, wrong = tmp_path / "out", []
    for options in (
        {"format": "dcm"},
        {"confidence": True},
        {"corner_mark": True},
        {"clean": False},
        {"mode": "clinical"},
        {"batch": Batch(keep_names=True)},
    ):
        with pytest.raises(ValueError) as refusal:
            translate_files(translator, [source], out, recipe=RECIPES["echonet"], **options)
        wrong.append(str(refusal.value))
    with pytest.raises(ValueError, match=r"writes \.avi, got \.mp4"):
        translate_files(translator, [source], tmp_path / "x.mp4", recipe=RECIPES["echonet"])
    assert not out.exists() and not any("\n" in line for line in wrong)
    for line, word in zip(wrong, [".avi", "confidence", "corner-mark", "keep-screen", "clinical", "keep-names"]):
        assert word in line and "echonet" in line


def test_the_command_offers_every_recipe(source, tmp_path, capsys):
    assert tuple(RECIPES) == command._RECIPES
    for name, recipe in RECIPES.items():
        assert cli.main(["translate", str(source.parent), "-o", str(tmp_path / "out"), "--for", name, "--dry-run"]) == 0
        assert f"as {recipe.suffix}" in capsys.readouterr().out
    assert cli.main(["translate", "--example", "--for", "panecho"]) == 2
    assert "leave --example and --explain out" in capsys.readouterr().err
