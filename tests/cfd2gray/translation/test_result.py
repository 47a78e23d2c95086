"""What a notebook meets: `cfd2gray.read`, a translator for paths and clips, results that show, save and explain themselves."""

import html
import re
import subprocess
import sys

import numpy as np
import pydicom
import pytest

import cfd2gray
from cfd2gray.translation.detail import digest
from cfd2gray.translation.files import Output, translate_file
from cfd2gray.translation.output.video import write_video
from cfd2gray.translation.translator import Translator
from data_pipeline.readers import IngestError, read_clip
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.simulation import export
from tests.cfd2gray.evaluation.browser import browser, needs_browser
from tests.cfd2gray.translation.test_translator import make_translator


@pytest.fixture(scope="module")
def translator():
    return make_translator()


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim") / "clips"
    export.simulate(folder, views=("A4C",), clips=1, size=128, frames=5, seed=3, kind="dicom", workers=1)
    (path,) = (p for p in folder.glob("*.dcm") if ".grey" not in p.name)
    return path


@pytest.fixture(scope="module")
def result(translator, dicom):
    return translator(dicom)


def test_a_path_and_its_clip_give_a_result_and_an_array_gives_an_array(translator, dicom, result):
    clip = cfd2gray.read(dicom)
    of_clip, of_array = translator(clip), translator(clip.frames)
    assert isinstance(of_clip, cfd2gray.Result) and isinstance(of_array, np.ndarray)
    np.testing.assert_array_equal(of_clip.grey, result.grey)
    np.testing.assert_array_equal(of_clip.grey, translator(str(dicom)).grey)
    assert of_array.shape == result.grey.shape and of_array.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".dcm", ".mkv", ".npy"])
def test_save_writes_the_bytes_of_the_command_line(translator, dicom, result, tmp_path, suffix):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    output = Output(format=suffix, hasher=KeyedHasher(bytes(range(32))), confidence=True)
    facts = translate_file(translator, dicom, tmp_path / f"command{suffix}", output)
    folder = tmp_path / "new" / "folder"
    assert result.save(folder / f"mine{suffix}", key_file=tmp_path / "key", confidence=True) == facts
    names = {p.name.replace("mine", "command") for p in folder.iterdir()}
    assert names == {p.name for p in tmp_path.iterdir() if p.name.startswith("command")}
    for path in folder.iterdir():
        if path.suffix != ".json":
            assert path.read_bytes() == (tmp_path / path.name.replace("mine", "command")).read_bytes(), path.name
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        result.save(folder / f"mine{suffix}")


def test_a_saved_dicom_says_that_it_is_synthetic(result, tmp_path):
    result.save(tmp_path / "grey.dcm")
    assert pydicom.dcmread(tmp_path / "grey.dcm").SeriesDescription.startswith("SYNTHETIC")


def test_what_pixels_depend_on_stands_in_the_dicom_and_makes_it_another_instance(translator, dicom, tmp_path):
    def saved(name, translator=translator, **said):
        translator.of_clip(dicom, **said).save(tmp_path / name, key_file=tmp_path / "key")
        return pydicom.dcmread(tmp_path / name)

    def told(ds):
        return ds.ContributingEquipmentSequence[0].ContributionDescription

    other = Translator(translator.weights, texture=0.5, detail=False)
    first, again, drawn = saved("a.dcm"), saved("b.dcm"), saved("c.dcm", other)
    corrected = saved("d.dcm", box="30,40,90,100")
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert len({ds.SOPInstanceUID for ds in (first, drawn, corrected)}) == 3
    assert told(first) == f"weights sha256 {translator.weights.digest}, {translator.settings}"
    assert translator.settings.endswith(f"detail of other frames sha256 {digest()}") and "by hand" in told(corrected)
    assert told(drawn).endswith(", texture 0.5")


def test_the_cell_shows_a_player_that_fetches_nothing(result):
    shown = result._repr_html_()
    assert shown.startswith("<iframe") and 'sandbox="allow-scripts"' in shown
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])
    assert page == result.player().page and page.count("<canvas") == 3 and "not for diagnosis" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page.replace("http-equiv", "")


def test_a_player_is_cleaned_unless_asked_and_can_be_kept(result, tmp_path):
    assert result.player(keep_screen=True).page != result.player().page
    path = result.player(max_frames=2).save(tmp_path / "pages" / "player.html")
    assert "first 2 of 5 frames shown" in path.read_text()
    with pytest.raises(ValueError, match="exists"):
        result.player().save(path)


def test_show_opens_a_page_that_only_its_owner_reads(result, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("BROWSER", "/nonexistent/browser %s")
    monkeypatch.setattr("webbrowser._tryorder", [])
    result.show()
    (page,) = tmp_path.glob("cfd2gray-*.html")
    assert page.stat().st_mode & 0o077 == 0 and str(page) in capsys.readouterr().out


def test_explain_draws_frames_and_verdict(result, tmp_path):
    picture = result.explain()
    assert picture.height == 2 * result.grey.shape[1] + 40
    picture.save(tmp_path / "seen.png")


def test_reprs_are_one_line_and_name_nobody(translator, dicom, result):
    clip = cfd2gray.read(dicom)
    assert re.fullmatch(r"Clip\(5 frames 128x128, [\d.]+ frames/s, dicom\)", repr(clip))
    assert re.fullmatch(r"Result\(5 frames 128x128, cfd, [\d.]+ % of the pixels synthesised\)", repr(result))
    assert repr(translator).startswith("Translator('test', runtime=")
    assert "\n" not in repr(result.player())
    assert "identity" not in repr(clip.info)


def test_greyscale_passes_and_corrections_are_heard(translator, dicom, result, tmp_path):
    write_video(tmp_path / "grey.mkv", result.grey, fps=20)
    grey = translator(tmp_path / "grey.mkv")
    assert not grey.coloured and "a copy" in grey.player().page and "no colour" in repr(grey)
    np.testing.assert_array_equal(grey.grey, read_clip(tmp_path / "grey.mkv").frames[..., 0])
    assert translator.of_clip(dicom, kind="bmode").synthesised.max() == 0
    with pytest.raises(IngestError, match="missing"):
        translator(tmp_path / "missing.dcm")


LIGHT = """
import sys, cfd2gray
assert dir(cfd2gray) == sorted(cfd2gray.__all__) and {"read", "Translator", "Result", "Clip"} <= set(dir(cfd2gray))
heavy = {"numpy", "jax", "cv2", "pydicom", "openvino", "jinja2"} & set(sys.modules)
assert not heavy, heavy
for name in dir(cfd2gray):
    assert getattr(cfd2gray, name) is not None
"""


def test_names_complete_and_importing_stays_light():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


@needs_browser
def test_the_cell_plays_in_a_browser_without_touching_the_notebook(result, tmp_path):
    """In a frame that may run its script and nothing else, as notebooks insert it."""
    page = tmp_path / "notebook.html"
    page.write_text(f"<!doctype html><title>mine</title><body>{result._repr_html_()}</body>")
    with browser(tmp_path) as window:
        window.open(page)
        window._call("POST", "/frame", {"id": 0})
        window.wait("document.querySelector('.clip').dataset.ready")
        window.click(".play")  # pauses
        before = window.script("return document.querySelector('canvas').dataset.frame")
        window.key("\ue014")  # arrow to the right
        window.wait(f"document.querySelector('canvas').dataset.frame !== '{before}'")
        frames = window.script("return [...document.querySelectorAll('canvas')].map((c) => c.dataset.frame)")
        assert len(set(frames)) == 1 and len(frames) == 3
        picture = "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 99, 99).data"
        assert window.script(f"return {picture}.some((value, k) => k % 4 < 3 && value > 50)")
        assert window.script("return document.documentElement.scrollHeight <= window.innerHeight")
        assert not window.errors()
