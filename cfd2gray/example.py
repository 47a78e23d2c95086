"""The first thing to try: a small synthetic clip that ships with the package, translated, with a page to look at."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

from cfd2gray.translation.translator import Translator
from data_pipeline.files import atomic_path

CLIP = pathlib.Path(__file__).parent / "example_clip.mp4"
"""Made by `cfd2gray simulate`; its container says that it is synthetic."""


def translate_example(translator: Translator, out: pathlib.Path) -> dict[str, Any]:
    """Write ``colour.mp4``, ``grey.mp4`` and ``player.html`` into the new folder ``out`` and say what to do next.

    Raises:
      ValueError: When ``out`` exists.
    """
    if out.exists():
        raise ValueError(f"{out} is there already: open {out / 'player.html'}, or name another folder with -o")
    result = translator(CLIP)
    out.mkdir(parents=True)
    with atomic_path(out / "colour.mp4") as temporary:
        shutil.copyfile(CLIP, temporary)
    facts = result.save(out / "grey.mp4")
    page = result.player().save(out / "player.html")
    print(
        f"{out / 'colour.mp4'}    the clip: synthetic, {facts['frames']} frames {facts['width']}x{facts['height']}\n"
        f"{out / 'grey.mp4'}      without colour: {100 * facts['synthesised_share']:.1f} % of the pixels synthesised\n"
        f"{page}   both side by side; open it in a web browser\n\n"
        "next, on clips of your own:\n"
        "  cfd2gray translate CLIP -o grey.dcm            # or .mp4 .mkv .avi .gif .npy\n"
        "  cfd2gray translate FOLDER -o greyscale         # every clip below it\n"
        "  cfd2gray view CLIP                             # both side by side, in your browser\n"
        "  cfd2gray translate CLIP --explain seen.png     # what is taken for colour"
    )
    return facts
