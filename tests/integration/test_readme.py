"""What README and docs promise: their commands parse, the first one prints what is shown, links and names exist."""

import ast
import pathlib
import re
import shlex

import pytest

import cfd2gray
from cfd2gray import cli

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "launch" / "README.md",
    ROOT / "CONTRIBUTING.md",
]


def commands(text):
    """`cfd2gray ...` lines of indented and fenced blocks, continued lines joined, comments cut."""
    joined = text.replace("\\\n", " ")
    return [
        shlex.split(found[1], comments=True) for found in re.finditer(r"^(?:    )?cfd2gray ([a-z-].*)$", joined, re.M)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_command_line_parses(page, capsys):
    for words in commands(page.read_text()):
        if set(words) & {"COMMAND", "..."} or words[0] == "sweep" or "$" in " ".join(words):  # a shell's variables
            continue
        args, extra = cli.build_parser().parse_known_args(words)
        assert args.run and all(word.startswith("--config.") for word in extra), words


def test_the_readme_names_enough_commands_to_be_worth_a_test():
    assert len(commands(README)) >= 10


def test_the_first_command_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["translate", "--example"]) == 0
    printed = capsys.readouterr().out.strip()
    share = re.compile(r"[\d.]+(?= % of the pixels)")  # a mask's edge may round otherwise on another processor
    indented = "\n".join(f"    {line}".rstrip() for line in printed.splitlines())
    assert share.sub("P", indented) in share.sub("P", README)
    shown, measured = (float(share.search(text)[0]) for text in (README, printed))
    assert abs(shown - measured) < 0.5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), target


def test_python_of_the_readme_uses_what_there_is():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    tree = ast.parse(code)
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {(node.value.id, node.attr) for node in attributes if isinstance(node.value, ast.Name)}
    for owner, thing in (("cfd2gray", cfd2gray), ("translator", cfd2gray.Translator), ("result", cfd2gray.Result)):
        for name in {name for named, name in used if named == owner}:
            assert hasattr(thing, name) or name in getattr(thing, "__dataclass_fields__", ()), name
    assert ("result", "save") in used and ("result", "show") in used


def test_the_moving_picture_is_there_and_small():
    third = README.splitlines()[2]
    picture = ROOT / re.search(r"\((.*?)\)", third)[1]
    assert picture.suffix == ".gif" and picture.stat().st_size <= 1_500_000
