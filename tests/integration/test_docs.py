"""What README and docs promise: commands run or at least parse, links and names exist, the site builds and loads nothing.

A ```bash block runs here, in order, in a folder with `archive/`, `ARCHIVE/` and `clip.dcm`, unless its title says why not.
"""

import ast
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import cfd2gray
from cfd2gray import cli
from tests.cfd2gray.evaluation.browser import browser, needs_browser
from tests.data_pipeline.tiny_archive import dual_screen, grey_screen, simulated, write_dicom

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
REASONS = {
    "needs the network", "needs a bucket", "needs a cluster", "needs a GPU", "needs the data sets", "needs a trained run",
    "needs Orthanc", "takes minutes", "on several machines", "opens a page in your browser",
}  # fmt: skip
"""Why a block is not run but only parsed."""


def blocks(text):
    """``(reason, command lines)`` of the ```bash blocks; reason is empty for what runs. Comments are cut, lines joined."""
    for title, body in re.findall(r'^ *```bash(?: title="(.*?)")?\n(.*?)^ *```$', text, re.M | re.S):
        lines = body.replace("\\\n", " ").replace("$K", "1").replace("$N", "2").splitlines()
        split = [shlex.split(line, comments=True) for line in lines]
        yield title, [words for words in split if words]


def by_name(page):
    return str(page.relative_to(ROOT))


RUN = [page for page in PAGES if any(not reason for reason, _ in blocks(page.read_text()))]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """What the pages call `archive` and `clip.dcm`: a simulated screen with colour, one without, and one with both."""
    folder, pair = tmp_path_factory.mktemp("clips"), simulated()
    write_dicom(folder / "clip.dcm", pair.cfd, patient="A", view="A4C")
    write_dicom(folder / "archive" / "IM1.dcm", pair.cfd, patient="A", view="A4C")
    write_dicom(folder / "archive" / "IM2.dcm", grey_screen(simulated("PLAX")), patient="B", view="PLAX")
    write_dicom(folder / "archive" / "IM3.dcm", dual_screen(simulated("A4C", 2)), patient="C", view="A4C")
    shutil.copytree(folder / "archive", folder / "ARCHIVE")
    return folder


@pytest.mark.parametrize("page", RUN, ids=by_name)
def test_what_a_page_says_to_type_works(page, clips, tmp_path, monkeypatch, capsys):
    shutil.copytree(clips, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for reason, lines in blocks(page.read_text()):
        for words in lines if not reason else ():
            assert words[0] == "cfd2gray", f"{words}: only cfd2gray is run here; give the block a title of REASONS"
            assert cli.main(words[1:]) == 0, (words, capsys.readouterr())


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_what_is_not_run_is_parsed_and_says_why(page):
    for reason, lines in blocks(page.read_text()):
        assert reason in REASONS | {""}
        for words in lines:
            if words[0] == "cfd2gray" and not {"COMMAND", "..."} & set(words):
                args, extra = cli.build_parser().parse_known_args(words[1:])
                assert args.run and all(word.startswith("--config.") for word in extra), words


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_in_running_text_have_these_options(page):
    (commands,) = (action.choices for action in cli.build_parser()._actions if action.choices)
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for span in re.findall(r"`cfd2gray ([^`]*)`", text):
        words = [word for word in span.replace("\n", " ").split() if word != "..."]
        if words and words[0][0].isalpha() and words[0].islower():
            command = commands[words[0]]
            nested = [action.choices for action in command._actions if isinstance(action.choices, dict)]
            for parser in [
                command,
                *(parser for choices in nested for parser in choices.values() if words[1] in choices),
            ]:
                known = {name for action in parser._actions for name in action.option_strings}
            for word in words:
                if word.startswith("--") and not word.startswith("--config."):
                    assert word.partition("=")[0] in known, span


def test_the_first_command_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["translate", "--example"]) == 0
    printed = capsys.readouterr().out.strip()
    share = re.compile(r"[\d.]+(?= % of the pixels)")  # a mask's edge may round otherwise on another processor
    assert share.sub("P", printed) in share.sub("P", README)
    shown, measured = (float(share.search(text)[0]) for text in (README, printed))
    assert abs(shown - measured) < 0.5


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "docs/translate.md"])
def test_python_of_the_pages_runs(page, clips, tmp_path, monkeypatch):
    shutil.copytree(clips, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cfd2gray.pages.player.Player.open", lambda self: None)  # the one line that needs a screen
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    space = {}
    exec(compile(code, page, "exec"), space)
    assert space["grey"].dtype == "uint8" and (tmp_path / "python.dcm").exists()
    assert ast.parse(code) and space["cfd2gray"] is cfd2gray


def test_the_moving_picture_is_there_and_small():
    third = README.splitlines()[2]
    picture = ROOT / re.search(r"\((.*?)\)", third)[1]
    assert picture.suffix == ".gif" and picture.stat().st_size <= 1_500_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages as `make docs` builds them: a warning or a dead link fails."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", os.fspath(folder)]
    done = subprocess.run(
        command, cwd=ROOT, text=True, capture_output=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_site_is_in_its_menu_and_loads_nothing_from_elsewhere(site):
    built = sorted(site.glob("*.html"))
    assert {page.stem for page in built} == {page.stem for page in (ROOT / "docs").glob("*.md")} | {"404"}
    loads = re.compile(r'<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc="(?:https?:)?//|<link\b[^>]*>', re.I)
    for page in built:
        for tag in loads.findall(page.read_text()):
            link = re.search(r'rel="?([\w-]+)', tag)
            assert link and (link[1] in ("canonical", "prev", "next") or "//" not in tag), f"{page.name}: {tag}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style.name


def test_the_api_page_is_made_of_the_docstrings(site):
    page = (site / "api.html").read_text()
    for owner in (cfd2gray.Translator, cfd2gray.Result):
        for name in {name for name in vars(owner) if not name.startswith("_")} & {"from_pretrained", "save", "explain"}:
            assert f"{owner.__name__}.{name}" in page
    assert "PairRecord" in page and "Raises:" in page


@needs_browser
def test_the_site_in_a_browser_asks_nobody_else(site, tmp_path):
    asked = "performance.getEntriesByType('resource').map(e => e.name)"
    with browser(tmp_path) as page:
        for name in ("index.html", "how_it_works.html", "api.html"):
            page.open(site / name)
            page.wait("document.readyState === 'complete'")
            assert [address for address in page.script(f"return {asked}") if not address.startswith("file:")] == [], (
                name
            )
            broken = "return [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
            assert page.script(broken) == []


def test_the_slicer_module_compiles_and_its_command_parses():
    """Slicer itself is not there: only what needs nothing of it is run."""
    source = (ROOT / "docs" / "examples" / "slicer_cfd2gray.py").read_text()
    assert len(source.splitlines()) <= 80
    (function,) = [
        n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "translate_command"
    ]
    space = {}
    exec(compile(ast.Module([function], []), "slicer", "exec"), space)
    args = cli.build_parser().parse_args(space["translate_command"]("cfd2gray", "clip.dcm", "grey.npy")[1:])
    assert args.confidence and args.out == pathlib.Path("grey.npy")
