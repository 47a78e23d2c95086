"""The design's import map, the packages that land in site-packages, and what no file may name."""

import ast
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
ALLOWED = {
    # package -> our packages it may import
    "data_pipeline": {"data_pipeline"},
    "cfd2gray.models": {"cfd2gray.models"},
    "cfd2gray.metrics": {"cfd2gray.metrics", "cfd2gray.models", "data_pipeline"},
    "cfd2gray.losses": {"cfd2gray.losses", "cfd2gray.models", "cfd2gray.metrics"},
    "cfd2gray.configs": {"cfd2gray.configs"},
}
"""Packages not named here (training, evaluation, translation, weights, launch, the top level) sit above all of these."""
INSTALLED_AS = {"configs": "cfd2gray.configs", "launch": "cfd2gray.launch", "benchmarks": "cfd2gray.benchmarks"}
"""Folders of the repository that are installed inside the package."""
ALLOWED_OUTSIDE = {"data_pipeline": {"jax", "flax", "optax", "orbax", "tensorflow"}}


def modules():
    for folder in ("data_pipeline", "cfd2gray", *INSTALLED_AS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield (name.replace(folder, INSTALLED_AS[folder], 1) if folder in INSTALLED_AS else name), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_imports_follow_the_map():
    wrong = []
    for name, path in modules():
        for package, allowed in ALLOWED.items():
            if not (name == package or name.startswith(package + ".")):
                continue
            for target in imports(path):
                ours = target.split(".")[0] in ("cfd2gray", "data_pipeline")
                inside = any(target == a or target.startswith(a + ".") for a in allowed)
                forbidden = target.split(".")[0] in ALLOWED_OUTSIDE.get(package, ())
                if (ours and not inside) or forbidden:
                    wrong.append(f"{name} imports {target}")
    assert not wrong, "arrows that the map does not have: " + "; ".join(wrong)


def test_no_module_is_a_junk_drawer_or_swallows_errors():
    for name, path in modules():
        text = path.read_text()
        assert not re.search(r"(^|\.)(utils?|helpers?|misc)$", name), f"{name}: one idea a file, named after it"
        assert not re.search(r"except( Exception)?:\s*\n\s*pass", text), f"{name} swallows an error"
        assert len(text.splitlines()) <= 420, f"{name} holds more than one idea"


def test_every_package_is_listed_for_installation():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {name for name, path in modules() if path.name == "__init__.py"}
    assert found == listed


def test_the_wheel_carries_its_data_and_no_generic_names(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, ROOT]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"cfd2gray", "data_pipeline"}
    for needed in (
        "cfd2gray/configs/default.py", "cfd2gray/launch/local.py", "cfd2gray/weights/assets/vgg16_conv3.safetensors",
        "cfd2gray/weights/assets/VGG16.md", "cfd2gray/weights/assets/pretrained.json", "cfd2gray/evaluation/report/page.html",
        "data_pipeline/simulation/views/heart.py",
    ):  # fmt: skip
        assert needed in names, needed
