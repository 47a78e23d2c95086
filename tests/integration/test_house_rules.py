"""The map of rooms and who may enter which, the packages that land in site-packages, and what no file may name."""

import ast
import functools
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile
from graphlib import CycleError, TopologicalSorter

ROOT = pathlib.Path(__file__).parents[2]
INSTALLED_AS = {"configs": "cfd2gray.configs", "launch": "cfd2gray.launch", "benchmarks": "cfd2gray.benchmarks"}
"""Folders of the repository that are installed inside the package."""

FLOOR = "schema geometry pixels files storage parallel threads mistakes"
MAY_ENTER = {
    # data_pipeline, bottom-up: every room may also enter FLOOR
    "data_pipeline.readers": "",
    "data_pipeline.screen": "readers",
    "data_pipeline.census": "readers screen",
    "data_pipeline.records": "",
    "data_pipeline.loading": "records screen",
    "data_pipeline.simulation": "screen records loading",
    "data_pipeline.pairs": "readers screen census simulation",
    # cfd2gray, bottom-up: what of data_pipeline may be entered stands after it
    "cfd2gray.models": "data_pipeline.schema",
    "cfd2gray.metrics": "models data_pipeline.schema",
    "cfd2gray.losses": "models metrics",
    "cfd2gray.configs": "",
    "cfd2gray.parsing": "models data_pipeline.screen data_pipeline.simulation",
    "cfd2gray.weights": "models",
    "cfd2gray.runtimes": "models weights",
    "cfd2gray.translation": "models weights runtimes pages data_pipeline.readers data_pipeline.screen",
    "cfd2gray.training": "models metrics losses weights translation"
    " data_pipeline.loading data_pipeline.records data_pipeline.simulation data_pipeline.screen",
    "cfd2gray.pages": "data_pipeline.census",
    "cfd2gray.evaluation": "models metrics weights runtimes translation training pages data_pipeline",
    "cfd2gray.viewer": "weights runtimes translation pages data_pipeline.readers data_pipeline.screen",
    "cfd2gray.dicomweb": "translation viewer data_pipeline.readers",
    "cfd2gray.launch": "models metrics losses weights runtimes translation training evaluation pages data_pipeline",
    "cfd2gray.benchmarks": "models metrics losses weights runtimes translation training launch pages data_pipeline",
}
"""A room -> the rooms that it may enter, named within its package or in full. The command line and demo may enter all."""
SMALL_FILES = {"cfd2gray": "config mesh cpu_cores cache_folder compile_cache exit_codes run_folder __version__"}
"""Files beside the rooms of cfd2gray that any room above `models` may use."""
NEVER = {"data_pipeline": {"cfd2gray", "jax", "flax", "optax", "orbax", "tensorflow"}}
LOW = {"cfd2gray.models", "cfd2gray.metrics", "cfd2gray.losses", "cfd2gray.configs"}
"""Rooms that see of data_pipeline only what the map names."""


def modules():
    for folder in ("data_pipeline", "cfd2gray", *INSTALLED_AS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield (name.replace(folder, INSTALLED_AS[folder], 1) if folder in INSTALLED_AS else name), path


@functools.cache
def arrows():
    """Module -> everything that it imports, anywhere in the file: our modules by name, others by their top level."""
    ours = {name for name, _ in modules()}

    def resolve(target):
        while target not in ours and "." in target:
            target = target.rpartition(".")[0]
        return target

    found = {}
    for name, path in modules():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: imports are written in full"
                targets |= {f"{node.module}.{alias.name}" for alias in node.names}
        found[name] = {resolve(target) for target in targets} - {name}
    return found


def room_of(module):
    return next((room for room in MAY_ENTER if module == room or module.startswith(room + ".")), None)


def test_rooms_enter_only_the_rooms_of_the_map():
    wrong = []
    for module, targets in arrows().items():
        room = room_of(module)
        package = module.split(".")[0]
        wrong += [f"{module} imports {t}" for t in targets if t.split(".")[0] in NEVER.get(package, ())]
        if room is None:
            continue
        names = MAY_ENTER[room].split() + (FLOOR if package == "data_pipeline" else SMALL_FILES[package]).split()
        allowed = {room, *(n if n.startswith("data_pipeline") else f"{package}.{n}" for n in names)}
        if "data_pipeline.schema" in allowed or package == "cfd2gray" and room not in LOW:
            allowed |= {f"data_pipeline.{name}" for name in FLOOR.split()}
        for target in targets:
            inside = any(target == a or target.startswith(a + ".") for a in allowed) or target == "cfd2gray"
            if target.split(".")[0] in ("cfd2gray", "data_pipeline") and not inside:
                wrong.append(f"{module} imports {target}")
    assert not wrong, "arrows that the map does not have: " + "; ".join(wrong)


def test_every_room_is_on_the_map():
    rooms = {".".join(name.split(".")[:2]) for name, path in modules() if path.name == "__init__.py" and "." in name}
    assert rooms - {"cfd2gray.commands"} == set(MAY_ENTER)


def order(graph):
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError("a circle: " + " -> ".join(error.args[1])) from None


def test_no_circles_between_rooms_or_modules():
    rooms = {}
    for module, targets in arrows().items():
        if room := room_of(module):
            rooms.setdefault(room, set()).update({room_of(target) for target in targets} - {room, None})
    order(rooms)
    order({m: targets - {"cfd2gray"} for m, targets in arrows().items()})


def test_translating_loads_no_training():
    code = "import sys, cfd2gray; cfd2gray.Translator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    # optax itself comes with flax.nnx, which imports it.
    never = ("cfd2gray.losses", "cfd2gray.training", "cfd2gray.evaluation", "cfd2gray.models.discriminator")
    late = ("orbax", "grain", "clu", "tensorflow", "matplotlib")
    assert "cfd2gray.translation.translator" in loaded
    assert not [name for name in loaded if name.startswith(never) or name.split(".")[0] in late]


def test_no_folder_is_a_heap():
    files = {}
    for name, path in modules():
        files.setdefault(path.parent, []).append(name)
    for folder, names in files.items():
        assert len(names) <= 17, f"{folder.relative_to(ROOT)} holds {len(names)} files: more than one room"


def test_no_module_is_a_junk_drawer_or_swallows_errors():
    for name, path in modules():
        text = path.read_text()
        assert not re.search(r"(^|\.)(utils?|helpers?|misc)$", name), f"{name}: one idea a file, named after it"
        assert not re.search(r"except( Exception)?:\s*\n\s*pass", text), f"{name} swallows an error"
        assert len(text.splitlines()) <= 350, f"{name} holds more than one idea"


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
        "cfd2gray/weights/assets/VGG16.md", "cfd2gray/weights/assets/pretrained.json", "cfd2gray/pages/templates/page.html",
        "data_pipeline/simulation/views/heart.py", "cfd2gray/py.typed", "cfd2gray/example_clip.mp4", "data_pipeline/py.typed",
    ):  # fmt: skip
        assert needed in names, needed
