"""One clip's player as a page of its own, small enough for a notebook's cell."""

from __future__ import annotations

import dataclasses
import html
import math
import os
import pathlib
import tempfile
import webbrowser
from collections.abc import Mapping

import numpy as np

from cfd2gray.pages.blocks import Clips
from cfd2gray.pages.page import NOT_FOR_DIAGNOSIS, render
from cfd2gray.pages.sprites import JPEG_QUALITY, outline_pixels, resized_clip, sheet
from data_pipeline.files import atomic_path

_FRAME_PX = 200
"""px of the page besides the pictures: title, captions, controls, and the note below."""
_WIDTH_PX = 1000
"""px that a notebook's cell is taken to be wide."""


@dataclasses.dataclass(frozen=True, repr=False)
class Player:
    """A page as text; ``height`` in px is what it needs in a notebook's cell."""

    page: str
    height: int
    about: str

    def __repr__(self) -> str:
        return f"Player({self.about}; .save('player.html') keeps it, .open() shows it in the web browser)"

    def _repr_html_(self) -> str:
        # A frame of its own: the page's style and script meet neither the notebook's nor another player's.
        return (
            f'<iframe title="cfd2gray: {html.escape(self.about, quote=True)}" sandbox="allow-scripts" '
            f'style="width:100%;height:{self.height}px;border:0" srcdoc="{html.escape(self.page, quote=True)}"></iframe>'
        )

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the page, which needs nothing beside it.

        Raises:
          ValueError: When ``path`` exists.
        """
        target = pathlib.Path(path)
        if target.exists():
            raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            temporary.write_text(self.page, encoding="utf-8")
        return target

    def open(self) -> None:
        """Show it in the web browser, from a temporary file that its owner alone can read and that stays there.

        Deleting it would take it from a browser that is still starting, or from who opens it by hand.
        """
        handle, name = tempfile.mkstemp(prefix="cfd2gray-", suffix=".html")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.page)
        shown = webbrowser.open(pathlib.Path(name).as_uri())
        where = "the page" if shown else "no web browser here; open the page"
        print(f"{where} {name}: it shows the clip and stays there; delete it when you have seen it")


def clip_player(
    panels: Mapping[str, np.ndarray],
    *,
    outline: np.ndarray,
    fps: float,
    name: str,
    numbers: Mapping[str, str],
    max_frames: int,
    max_side: int,
) -> Player:
    """Clips of one size and length side by side, in lock-step.

    Args:
      panels: Caption -> uint8 ``[T, H, W]`` or RGB ``[T, H, W, 3]``.
      outline: bool ``[T, H, W]``, drawn where a person asks for it.
      name, numbers: What stands above it.
      max_frames, max_side: Of what is shown.
    """
    total, height, width = next(iter(panels.values())).shape[:3]
    frames, scale = min(total, max_frames), min(1.0, max_side / max(height, width))
    columns = math.ceil(math.sqrt(frames))
    shown = {caption: resized_clip(clip[:frames], scale) for caption, clip in panels.items()}
    height, width = next(iter(shown.values())).shape[1:3]
    mask = resized_clip(outline[:frames].astype(np.uint8) * 255, scale) > 127
    clip = {
        "name": name,
        "tag": "",
        "metrics": dict(numbers),
        "fps": fps,
        "frames": frames,
        "total": total,
        "width": width,
        "height": height,
        "columns": columns,
        "panels": [{"name": c, "sheet": sheet(f, columns=columns, quality=JPEG_QUALITY)} for c, f in shown.items()],
        "outline": sheet(outline_pixels(mask), columns=columns, quality=None),
    }
    page = render(
        "player.html", title=f"cfd2gray: {name}", block=Clips(clips=[clip]), clips=[clip], note=NOT_FOR_DIAGNOSIS
    )
    tall = round(min(_WIDTH_PX / len(panels), max(1.5 * width, 200)) * height / width)
    return Player(page, tall + _FRAME_PX, name)


def trust(grey: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """uint8 ``[T, H, W]`` as RGB, the redder the less ``confidence`` (float ``[T, H, W]`` in [0, 1]) there is."""
    doubt = (1.0 - confidence)[..., None]
    red = np.array([225.0, 60.0, 40.0])
    return np.rint(grey[..., None] * (1 - 0.7 * doubt) + 0.7 * doubt * red).astype(np.uint8)
