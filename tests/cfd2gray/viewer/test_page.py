"""The page in a real browser: drop, play, swipe, correct, save, by keyboard alone, in a narrow window, in two tabs."""

import base64
import json
import pathlib
import time

import cv2
import numpy as np
import pytest

from cfd2gray.example import CLIP
from data_pipeline.readers import read_clip
from tests.cfd2gray.evaluation.browser import as_wide_as, browser, needs_browser, violations
from tests.cfd2gray.viewer.serving import served

pytestmark = needs_browser

SHOWN = "document.querySelector('#picture').dataset.frame !== undefined"
READY = f"{SHOWN} && document.querySelector('.caption.right').textContent.includes('synthetic')"
IDLE = "!document.querySelector('[data-tool]').disabled"
PIXELS = "return [...document.querySelector('#picture').getContext('2d').getImageData(arguments[0], arguments[1], 1, 1).data]"
HOSTILE = "<img src=x onerror=alert(1)>.npy"


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "short.npy"
    frames = read_clip(CLIP).frames[:8]
    np.save(path, np.stack([cv2.resize(frame, (160, 160), interpolation=cv2.INTER_AREA) for frame in frames]))
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory, short):
    folder = tmp_path_factory.mktemp("data") / "archive"
    folder.mkdir()
    (folder / HOSTILE).write_bytes(short.read_bytes())
    (folder / "noise.npy").write_bytes(b"no clip" * 99)
    still = np.load(short)[:2].mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    np.save(folder / "grey.npy", still)
    return folder


@pytest.fixture(scope="module")
def viewer(tmp_path_factory, archive):
    with served(tmp_path_factory.mktemp("scratch"), archive) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory, viewer):
    downloads = tmp_path_factory.mktemp("downloads")
    with browser(downloads, size=(1280, 900)) as found:
        found.downloads = downloads
        yield found


@pytest.fixture
def fresh(page, viewer):
    """The gallery, with whatever earlier tests left in it."""
    page.open("about:blank")
    page.open(viewer.url)
    page.wait("document.querySelectorAll('.card-clip').length >= 3", seconds=240)
    yield page
    assert not [line for line in page.errors() if "status of 4" not in line]


@pytest.fixture
def clip(fresh, viewer, short):
    """A translated clip without corrections on the page, paused at its first frame."""
    clips = [
        viewer.clip(each["id"]) for each in json.loads(viewer.ask("clips")[2])["clips"] if each["name"] == "short.npy"
    ]
    plain = [each["id"] for each in clips if each["state"] == "ready" and not any(each["said"].values())]
    if plain:
        fresh.script("location.hash = `clip=${arguments[0]}`", plain[0])
    else:
        drop(fresh, short)
    fresh.wait(f"{READY} && {IDLE}", seconds=240)
    fresh.script("document.querySelector('#main').focus()")
    fresh.key("\ue011")  # Home
    fresh.wait("document.querySelector('#picture').dataset.frame === '0'")
    return fresh


def drop(page, *paths):
    """What dragging files onto the page does: files of this machine in a drop event."""
    page.script("document.body.insertAdjacentHTML('beforeend', '<input type=file multiple id=fixture hidden>')")
    page.type("#fixture", "\n".join(map(str, paths)))
    page.script(
        "const data = new DataTransfer(), input = document.getElementById('fixture');"
        "for (const file of input.files) data.items.add(file); input.remove();"
        "for (const type of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent("
        "new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}))"
    )


def drag(page, css, *offsets):
    """Press at the element's centre, move by each offset (px, from the centre), release."""
    element = {"element-6066-11e4-a52e-4f735466cecf": page.find(css)}
    moves = [{"type": "pointerMove", "duration": 30, "x": x, "y": y, "origin": element} for x, y in offsets]
    steps = [
        {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": element},
        {"type": "pointerDown", "button": 0},
    ]
    steps += [*moves, {"type": "pointerUp", "button": 0}]
    page._call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]})


def text(page, css):
    return page.script("return document.querySelector(arguments[0]).textContent", css)


def value(page, css, name):
    return page.script("return document.querySelector(arguments[0])[arguments[1]]", css, name)


def test_a_dropped_clip_plays_between_colour_and_grey(clip):
    assert text(clip, "#clip-name") == "short.npy" and "colour flow" in text(clip, "#clip-facts")
    if value(clip, "#zoom", "ariaPressed") == "true":
        clip.click("#zoom")
    width = value(clip, "#picture", "width")
    assert width == 160
    for x in range(60, 100, 4):  # left of the divider it is the clip, right of it there is no colour
        left = clip.script(PIXELS, x, 70)
        assert (max(left[:3]) - min(left[:3]) < 3) >= (x >= 80)
    clip.script("const s = document.querySelector('#swipe'); s.value = 100; s.dispatchEvent(new Event('input'))")
    everywhere = [clip.script(PIXELS, x, 70)[:3] for x in range(60, 100, 4)]
    assert max(max(pixel) - min(pixel) for pixel in everywhere) > 60
    clip.script("const s = document.querySelector('#swipe'); s.value = 50; s.dispatchEvent(new Event('input'))")
    drag(clip, "#stage", (-120, 0))
    assert int(value(clip, "#swipe", "value")) < 35
    clip.click("#play")
    clip.wait("document.querySelector('#picture').dataset.frame === '5'", seconds=20)
    clip.wait("document.querySelector('#picture').dataset.frame === '1'", seconds=20)  # it goes round
    clip.click("#play")


def test_frames_can_be_reached_by_keys(clip):
    frame = "document.querySelector('#picture').dataset.frame"
    for key, shown in (
        ("\ue014", 1),
        ("\ue014", 2),
        ("\ue012", 1),
        ("\ue010", 7),
        ("\ue014", 0),
        ("\ue012", 7),
        ("\ue011", 0),
    ):
        clip.key(key)
        clip.wait(f"{frame} === '{shown}'")
    clip.key(" ")
    clip.wait("document.querySelector('#play').textContent === 'Pause'")
    clip.key(" ")
    single = value(clip, "#picture", "width")
    clip.key("v")
    clip.wait("document.querySelector('[data-view=beside]').ariaPressed === 'true'")
    assert value(clip, "#picture", "width") == 2 * single
    clip.key("1")
    assert value(clip, "[data-layer=confidence]", "checked")
    clip.script("document.querySelector('#swipe').blur()")
    clip.key("?")
    clip.wait("document.querySelector('#keys').open")
    clip.click("#keys-on")  # single keys can be switched off
    clip.click("#keys-close")
    clip.key("1")
    assert value(clip, "[data-layer=confidence]", "checked")
    clip.script("document.querySelector('#keys-on').click()")
    clip.key("1")
    assert not value(clip, "[data-layer=confidence]", "checked")


def test_every_layer_shows_something_of_its_own(clip):
    shots = {}
    for layer in ("none", "confidence", "synthesised", "sector", "box", "hidden"):
        if layer != "none":
            clip.click(f"[data-layer={layer}]")
            time.sleep(0.4)
        shots[layer] = clip.script("return document.querySelector('#picture').toDataURL()")
        if layer != "none":
            clip.click(f"[data-layer={layer}]")
    assert len(set(shots.values())) == len(shots)


def test_the_box_is_dragged_and_the_clip_translated_again(clip, viewer):
    before = clip.script("return document.querySelector('#picture').toDataURL()")
    clip.script("document.querySelector('#correct').open = true")
    clip.click("[data-tool=box]")
    clip.wait("document.querySelectorAll('#surface .corner').length >= 3")
    drag(clip, "#surface .corner:nth-of-type(1)", (30, 25))
    clip.key("\ue014")  # the corner has the focus: an arrow moves it by a pixel, not the frame
    assert value(clip, "#frame", "value") == "0" and not value(clip, "#apply", "disabled")
    corners = clip.script("return document.querySelectorAll('#surface .corner').length")
    clip.click("#add-corner")
    assert clip.script("return document.querySelectorAll('#surface .corner').length") == corners + 1
    clip.key("\ue017")  # Delete
    assert clip.script("return document.querySelectorAll('#surface .corner').length") == corners
    clip.click("#apply")
    clip.wait("document.querySelector('#draft').textContent === 'Your corrections are applied.'", seconds=240)
    clip.wait(
        f"{READY} && document.querySelector('#picture').toDataURL() !== arguments[0]".replace(
            "arguments[0]", json.dumps(before)
        ),
        seconds=20,
    )
    assert "--box" in text(clip, "#command")
    id = clip.script("return location.hash.slice(6)")
    assert len(viewer.clip(id)["said"]["box"]) == corners
    clip.click("#reset")
    clip.wait(
        "document.querySelector('#draft').textContent === '' && !document.querySelector('[data-format]').disabled",
        seconds=90,
    )


def test_the_mask_is_painted_and_the_kind_chosen(clip, viewer):
    id = clip.script("return location.hash.slice(6)")
    clip.script("document.querySelector('#correct').open = true")
    clip.click("[data-tool=paint]")
    drag(clip, "#surface", (60, 30), (90, 20))
    clip.script("document.querySelector('#surface').focus()")
    clip.key("\ue013")
    clip.key(" ")  # by keyboard
    clip.click("[data-brush=erase]")
    drag(clip, "#surface", (-40, -10))
    clip.click("#undo")
    clip.click("#apply")
    clip.wait("document.querySelector('#draft').textContent === 'Your corrections are applied.'", seconds=240)
    strokes = viewer.clip(id)["said"]["strokes"]
    assert len(strokes) == 2 and len(strokes[0]["points"]) >= 3 and not strokes[0]["erase"]
    assert "--mask mask.npy" in text(clip, "#command") and not value(clip, "#mask-file", "hidden")
    clip.click("[name=kind][value=bmode]")
    clip.click("#apply")
    clip.wait("document.querySelector('.caption.right').textContent === 'greyscale, a copy'", seconds=240)
    assert viewer.clip(id)["kind"] == "bmode"


def test_what_is_saved_lands_on_the_disk(clip):
    for format, mark in (("dcm", b"DICM"), ("mp4", b"ftyp"), ("npz", b"PK"), ("html", b"<!doctype html>")):
        clip.click(f"[data-format={format}]")
        clip.wait(f"document.querySelector('#saved').textContent.includes('.{format},')", seconds=240)
        end = time.monotonic() + 20
        while not (found := [p for p in clip.downloads.glob(f"grey-*.{format}") if mark in p.read_bytes()[:256]]):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert "short" not in found[0].name


def test_the_gallery_sorts_marks_and_says_why_a_clip_is_refused(fresh, archive):
    fresh.wait("!document.querySelector('#gallery-facts').textContent.includes('still')", seconds=240)
    assert fresh.script("return document.querySelectorAll('[onerror]').length") == 0
    names = fresh.script("return [...document.querySelectorAll('.card-clip b')].map((name) => name.textContent)")
    assert HOSTILE in names and names[-1] == "noise.npy"
    assert "expected DICOM" in fresh.script("return [...document.querySelectorAll('.card-clip')].at(-1).textContent")
    lines = fresh.script("return [...document.querySelectorAll('.about span')].map((line) => line.textContent)")
    certainties = [int(line.split(": ")[1].split(" % sure")[0]) for line in lines if " % sure" in line]
    assert certainties == sorted(certainties)
    fresh.click(".card-clip [data-mark=reject]")
    fresh.wait("document.querySelector('.card-clip.reject')")
    table = archive.with_name("archive.marks.csv")
    assert table.read_text().splitlines()[0] == "clip,mark,kind,certainty,reason" and ",reject," in table.read_text()
    fresh.script("document.querySelector('.card-clip a').click()")
    fresh.wait("!document.querySelector('#marks').hidden", seconds=120)
    fresh.key("k")
    fresh.wait("document.querySelector('#marks [data-mark=keep]').ariaPressed === 'true'")
    assert ",keep," in table.read_text() and ",reject," not in table.read_text()
    fresh.wait(SHOWN, seconds=240)
    fresh.key("n")
    fresh.wait(
        "document.querySelector('#clip-name').textContent !== arguments[0]".replace(
            "arguments[0]", json.dumps(names[0])
        )
    )


def test_two_tabs_see_the_same_clips(fresh, viewer, short):
    first = fresh._call("GET", "/window")
    second = fresh._call("POST", "/window/new", {"type": "tab"})["handle"]
    try:
        fresh._call("POST", "/window", {"handle": second})
        fresh.open(viewer.url)
        fresh.wait("document.querySelectorAll('.card-clip').length >= 3", seconds=120)
        drop(fresh, short)
        fresh.wait("location.hash.includes('clip')", seconds=120)
        id = fresh.script("return location.hash.slice(6)")
        fresh._call("POST", "/window", {"handle": first})
        fresh.wait(f"[...document.querySelectorAll('.card-clip a')].some((a) => a.hash === '#clip={id}')", seconds=120)
        fresh.script(f"location.hash = 'clip={id}'")
        fresh.wait(READY, seconds=240)
        fresh._call("POST", "/window", {"handle": second})
        fresh.wait(READY, seconds=240)
        fresh.click("#remove")
        fresh._call("POST", "/window", {"handle": first})
        fresh.wait("!location.hash.includes('clip')", seconds=120)  # gone here, too
    finally:
        fresh._call("POST", "/window", {"handle": second})
        fresh._call("DELETE", "/window")
        fresh._call("POST", "/window", {"handle": first})


def test_two_gigabytes_go_to_the_disk_and_are_refused_with_the_reason(fresh, viewer, tmp_path):
    large = tmp_path / "large.dcm"
    with large.open("wb") as file:
        file.truncate(2 << 30)
    status = pathlib.Path(f"/proc/{viewer.process.pid}/status")
    held = lambda: int(status.read_text().partition("VmHWM:")[2].split()[0]) >> 10  # noqa: E731
    before = held()
    fresh.type(".drop input, #add input", str(large))
    fresh.wait("document.querySelector('#refusal span').textContent.includes('expected DICOM')", seconds=120)
    assert held() - before < 300
    fresh.click("#remove")
    fresh.wait("!location.hash.includes('clip')")
    (folder,) = viewer.folders()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 28


def tabbed_to(page, css, *, most=80):
    for _ in range(most):
        if page.script("return document.activeElement.matches(arguments[0])", css):
            return
        page.key("\ue004")
    raise AssertionError(f"the Tab key does not reach {css}")


def test_everything_is_done_by_keyboard_alone(fresh):
    fresh.script("document.activeElement.blur()")
    tabbed_to(fresh, ".card-clip a")
    assert fresh.script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    fresh.key("\ue007")  # Enter
    fresh.wait(f"location.hash.includes('clip') && {SHOWN}", seconds=240)
    fresh.wait("!document.querySelector('[data-format=mp4]').disabled", seconds=240)
    for css in ("#play", "#frame", "#zoom", "[data-layer]", "#correct summary", "[data-format=mp4]"):
        tabbed_to(fresh, css)
    fresh.script("document.querySelector('#play').focus()")
    tabbed_to(fresh, "#correct summary")
    fresh.key("\ue007")
    tabbed_to(fresh, "[data-tool=box]")
    fresh.wait("!document.querySelector('[data-tool=box]').disabled", seconds=120)
    fresh.key(" ")
    fresh.wait("document.querySelectorAll('#surface .corner').length >= 3")
    tabbed_to(fresh, "#surface .corner", most=200)
    was = fresh.script("return document.activeElement.getAttribute('aria-label')")
    fresh.key("\ue015")
    assert fresh.script("return document.activeElement.getAttribute('aria-label')") != was
    tabbed_to(fresh, "#apply", most=200)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_fails_the_rules_of_accessibility(fresh, short, theme, width):
    fresh.script("document.documentElement.dataset.theme = arguments[0]", theme)
    with as_wide_as(fresh, width):
        for place in ("gallery", "clip"):
            if place == "clip":
                fresh.script(
                    "[...document.querySelectorAll('.card-clip a')].find((a) => a.textContent.includes('onerror')).click()"
                )
                fresh.wait(READY, seconds=240)
                fresh.script("document.querySelector('#correct').open = true")
                fresh.wait(IDLE, seconds=240)
                fresh.script("document.querySelector('[data-tool=paint]').click()")
            assert fresh.script("return document.documentElement.scrollWidth <= innerWidth")
            assert not violations(fresh), place


def test_touch_targets_are_large_enough(fresh):
    small = fresh.script(
        "return [...document.querySelectorAll('button, a.brand, label.button, select')].filter((e) => e.offsetParent && "
        "e.getBoundingClientRect().height < 24).map((e) => e.outerHTML)"
    )
    assert not small


def test_screens_are_as_sharp_as_the_clip(clip, short):
    frames = np.load(short)
    if value(clip, "#zoom", "ariaPressed") == "true":
        clip.click("#zoom")
    clip.click("[data-view=colour]")
    png = clip.script("return document.querySelector('#picture').toDataURL('image/png')").split(",")[1]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(shown, frames[0])  # what is judged is what was in the file, pixel by pixel
    clip.click("[data-view=swipe]")
