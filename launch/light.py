"""Build the light distribution: the same package, without what only training and evaluation need.

    python -m launch.light -o dist

Extras can add dependencies to a distribution but take none away, so that this is a second one from the same sources. Install
one of the two: both bring the package ``cfd2gray``.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).parent.parent
NAME = "cfd2gray-light"
ABOUT = "Translate colour-flow-Doppler ultrasound video to greyscale video, on a CPU without JAX and TensorFlow"


def light_project(text: str) -> str:
    """``pyproject.toml`` of the light distribution, from that of the full one.

    Raises:
      ValueError: When a package that is to be left out is no dependency.
    """
    project = tomllib.loads(text)
    without, dependencies = project["tool"][NAME]["without"], project["project"]["dependencies"]
    names = [re.match(r"[A-Za-z0-9._-]+", dependency)[0] for dependency in dependencies]
    if unknown := sorted(set(without) - set(names)):
        raise ValueError(f"pyproject.toml: {NAME} leaves out {', '.join(unknown)}, which cfd2gray does not depend on")
    kept = [dependency for name, dependency in zip(names, dependencies) if name not in without]
    listed = "".join(f"  {json.dumps(dependency)},\n" for dependency in kept)
    text = re.sub(r"(?ms)^dependencies = \[.*?^\]\n", lambda _: f"dependencies = [\n{listed}]\n", text, count=1)
    text = re.sub(r"(?ms)^\[project.optional-dependencies\]\n.*?(?=^\[)", "", text, count=1)
    text = text.replace('name = "cfd2gray"', f'name = "{NAME}"', 1)
    return re.sub(r"(?m)^description = .*$", f"description = {json.dumps(ABOUT)}", text, count=1)


def build(out: pathlib.Path) -> pathlib.Path:
    """Build the wheel into ``out`` and return its path."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "build", "dist", "demo", "*.egg-info")
        shutil.copytree(ROOT, tree, ignore=ignored)
        (tree / "pyproject.toml").write_text(light_project((ROOT / "pyproject.toml").read_text()))
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--quiet",
            "--wheel-dir",
            str(out.resolve()),
            str(tree),
        ]
        subprocess.run(command, check=True)
    return max(out.glob("cfd2gray_light-*.whl"), key=lambda path: path.stat().st_mtime)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the light distribution.")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("dist"))
    print(build(parser.parse_args().out))


if __name__ == "__main__":
    main()
