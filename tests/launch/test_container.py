"""The image without a builder: the steps of `Containerfile` in folders of this machine, and what goes into the build."""

import json
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FILE = ROOT / "launch" / "Containerfile"


def stages():
    """Stage -> its instructions, lines joined."""
    found, name = {}, ""
    for line in re.sub(r"\\\n\s*", " ", FILE.read_text()).splitlines():
        if match := re.match(r"FROM (\S+) AS (\w+)", line):
            name = match[2]
            found[name] = [line]
        elif line and not line.startswith("#") and name:
            found[name].append(line)
    return found


def context():
    """The files that .dockerignore lets into a build: everything is shut out, then some names are let in."""
    first, *rules = [line for line in (ROOT / ".dockerignore").read_text().split("\n") if line and line[0] != "#"]
    assert first == "*"
    wanted = [ROOT / rule[1:] for rule in rules if rule.startswith("!")]
    assert all(path.exists() for path in wanted)
    files = [file for path in wanted for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return [f.relative_to(ROOT) for f in files if "__pycache__" not in f.parts and "egg-info" not in str(f)]


def test_every_stage_stands_on_another_and_copies_what_is_in_the_build():
    found, files = stages(), {str(path) for path in context()}
    assert list(found) == ["wheel", "base", "cuda", "tpu", "beam"]
    for name, lines in found.items():
        source = lines[0].split()[1]
        assert source in found or "/" in source, name
        for line in lines:
            if match := re.match(r"COPY (?:--from=(\w+) )?(\S+) \S+", line):
                assert match[1] in found or match[2] == "." or match[2] in files, line
    for name in ("cuda", "tpu"):
        assert found[name][-2:] == ["USER cfd2gray", 'ENTRYPOINT ["cfd2gray"]']
    assert not any(part in str(f) for f in files for part in (".venv", "runs/", "demo/", "build/", "records-"))


@pytest.mark.parametrize("stage", ["cuda", "tpu", "beam"])
def test_the_extras_that_are_installed_exist(stage):
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (line,) = (line for line in stages()[stage] if line.startswith("RUN pip install"))
    asked = re.search(r"\.whl\)\[([\w,-]+)\]", line)[1].split(",")
    assert set(asked) <= set(known)


def test_its_steps_make_a_wheel_that_starts(tmp_path):
    """`COPY . .`, `pip wheel`, and the entry point from the installed wheel alone, its dependencies from here."""
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    for path in context():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = wheels.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert "cfd2gray/launch/constraints.txt" in inside and not any(name.startswith("tests") for name in inside)
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True, capture_output=True)
    code = "import json, cfd2gray.cli, data_pipeline; print(json.dumps([cfd2gray.__file__, data_pipeline.__file__]))"
    start = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    told = subprocess.run(start, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert all(path.startswith(str(site)) for path in json.loads(told))
    pytest.importorskip("apache_beam")  # what a runner's worker unpickles first
    code = "import data_pipeline.records.beam as b; print(b._PackBatch.__module__, b.__file__)"
    start = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    told = subprocess.run(start, check=True, capture_output=True, text=True, cwd=tmp_path).stdout.split()
    assert told[0] == "data_pipeline.records.beam" and told[1].startswith(str(site))
    run = f"import sys; sys.path.insert(0, {str(site)!r}); from cfd2gray.cli import main; sys.exit(main(['train', '--help']))"
    assert (
        "--workdir" in subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, cwd=tmp_path).stdout
    )


def test_the_image_of_beams_workers_holds_one_beam_which_starts_it():
    """Its steps in order: a Beam that the extras accept, for a Python of ours, and nothing in the way of its entry point."""
    import tomllib

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    lines = stages()["beam"]
    (version,) = re.findall(r"^ARG BEAM=(\S+)$", FILE.read_text(), re.MULTILINE)
    python = re.fullmatch(r"FROM docker\.io/apache/beam_python(3\.\d+)_sdk:\$\{BEAM\} AS beam", lines[0])[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(f"{python}.0")
    assert f"python:{python}-slim" in stages()["wheel"][0]  # the wheel is made by the Python that installs it
    for extra in ("beam", "beam-gcp"):
        (asked,) = map(Requirement, project["optional-dependencies"][extra])
        assert asked.specifier.contains(version)
    assert lines[1] == "ARG BEAM"  # else the number is empty behind FROM
    assert lines[2] == "COPY --from=wheel /wheels /wheels"
    assert lines[3].startswith("RUN pip install") and lines[3].endswith('"apache-beam[gcp]==${BEAM}"')
    assert len(lines) == 4  # no ENTRYPOINT, CMD or USER


def test_versions_of_the_image_are_pinned_and_fit_what_is_asked_for():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.version import Version

    lines = (ROOT / "launch" / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        asked = Requirement(text)
        assert Version(pinned[asked.name.lower()]) in asked.specifier, text
