"""Clips as the public echocardiography models read them. Sources of every number: ``docs/recipes.md``.

A recipe does what a model's own conversion does to a clip before it lies on disk, and leaves to the model's own loader what
that does itself (choosing frames, its crop, normalisation): done twice, the model would be fed what it never saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from data_pipeline.schema import ClipInfo

Window = tuple[slice, slice]
"""Rows and columns of a frame."""

MOST_CUT = 0.1
"""Share of the sector that a crop may cut before a person is told: a tenth loses no chamber."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How clips of one model are written: square grey frames, every frame of the clip, uint8.

    Attributes:
      name: As in ``--for``.
      suffix: Kind of file, one that the model's own code opens.
      window: Frame size (rows, columns) in pixels -> the part that is brought to ``size``.
      size: Side in pixels of that part in the file.
      interpolation: Of OpenCV.
      margin: Pixels around that part, of what lies around it in the clip, which the model's own loader cuts away. The frame in
        the file is ``size + 2 * margin`` wide.
      shown: Side in pixels -> bool [side, side], what the model's conversion leaves to be seen; None: everything.
      fps: Rate that the model's conversion states whatever the clip's is; None: the clip's own.
      folder: Name of a folder for these clips and nothing else, where the model's loader opens every file in it; else "".
      code: Repository and functions that it follows.
      loader: What is left to the model's own loader.
    """

    name: str
    suffix: str
    window: Callable[[int, int], Window]
    size: int
    interpolation: int
    margin: int = 0
    shown: Callable[[int], np.ndarray] | None = None
    fps: float | None = None
    folder: str = ""
    code: str
    loader: str

    @property
    def side(self) -> int:
        """Rows and columns of a frame in the file."""
        return self.size + 2 * self.margin


def _whole(height: int, width: int) -> Window:
    return slice(0, height), slice(0, width)


def _middle(height: int, width: int, *, cut: Callable[[float], int]) -> Window:
    """The middle square; of an odd difference ``cut`` says how much goes on each side."""
    off = cut(abs(width - height) / 2)
    return (
        (slice(0, height), slice(off, width - off)) if width > height else (slice(off, height - off), slice(0, width))
    )


def _square(height: int, width: int) -> Window:
    return _middle(height, width, cut=int)


def _square_less_tenth_of_its_height(height: int, width: int) -> Window:
    """EchoNet-Dynamic: from every side of the middle square a tenth of its height, which counts for its columns as well."""
    rows, columns = _square(height, width)
    side = rows.stop - rows.start
    off = side // 10
    return _inner(rows, off), slice(columns.start + off, min(columns.start + side - off, columns.stop))


def _rounded_square(height: int, width: int) -> Window:
    return _middle(height, width, cut=round)


def _rounded_square_less_tenths(height: int, width: int) -> Window:
    """EchoPrime, EchoCLIP: a tenth of its rows above and below, of its columns left and right."""
    rows, columns = _rounded_square(height, width)
    return _inner(rows, int(0.1 * (rows.stop - rows.start))), _inner(columns, int(0.1 * (columns.stop - columns.start)))


def _inner(part: slice, off: int) -> slice:
    return slice(part.start + off, part.stop - off)


def _below_two_diagonals(side: int) -> np.ndarray:
    """EchoNet-Dynamic: two upper corners are black."""
    rows, columns = np.mgrid[:side, :side]
    edge = side // 2 + side // 10
    return (columns + rows > edge) & (columns - rows < edge)


_CROP_AND_SCALE = "crop_and_scale (middle square, less a tenth on every side, cubic to 224 px)"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="echonet", suffix=".avi", window=_square_less_tenth_of_its_height, size=112,
            interpolation=cv2.INTER_CUBIC, shown=_below_two_diagonals, folder="Videos",
            code="echonet/dynamic: scripts/ConvertDICOMToAVI.ipynb (makeVideo, mask)",
            loader="every second of 64 frames, mean and deviation of the training set",
        ),
        Recipe(
            name="echoprime", suffix=".mp4", window=_rounded_square_less_tenths, size=224, margin=28,
            interpolation=cv2.INTER_CUBIC,
            code="echonet/EchoPrime: utils/utils.py (crop_and_scale), echo_prime/model.py (process_mp4s)",
            loader=f"{_CROP_AND_SCALE}; every second of the first 32 frames, mean and deviation",
        ),
        Recipe(
            name="echoclip", suffix=".avi", window=_rounded_square_less_tenths, size=224, margin=28,
            interpolation=cv2.INTER_CUBIC,
            code="echonet/echo_CLIP: utils.py (crop_and_scale, read_avi), zero_shot_example.py",
            loader=f"{_CROP_AND_SCALE}; every second of the first 40 frames, mean and deviation of CLIP",
        ),
        Recipe(
            name="panecho", suffix=".avi", window=_square, size=256, interpolation=cv2.INTER_AREA,
            code="CarDS-Yale/PanEcho: src/dataset.py (EchoNetDynamicDataset, EchoDataset)",
            loader="16 frames in a row, the middle 224 px, mean and deviation of ImageNet",
        ),
        Recipe(
            name="echojepa", suffix=".mp4", window=_whole, size=336, interpolation=cv2.INTER_AREA, fps=30.0,
            code="bowang-lab/EchoJEPA: data/convert_dicom.py (process_dicom)",
            loader="every second of 32 frames, 256 px, the middle 224 px, mean and deviation of ImageNet",
        ),
    )
}  # fmt: skip
"""Name as in ``--for`` -> recipe."""


def recipe_named(name: str) -> Recipe:
    """The recipe of a model.

    Raises:
      ValueError: For a model that there is none for.
    """
    if name not in RECIPES:
        raise ValueError(f"there are recipes for {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]


def prepared(recipe: Recipe, frames: np.ndarray) -> np.ndarray:
    """Frames as ``recipe`` writes them.

    Args:
      frames: uint8 [T, H, W], cleaned.

    Returns:
      uint8 [T, side, side].
    """
    out = np.empty((len(frames), recipe.side, recipe.side), np.uint8)
    rows, columns = recipe.window(*frames.shape[1:])
    inner = slice(recipe.margin, recipe.margin + recipe.size)
    for frame, made in zip(frames, out):
        if recipe.margin:  # the squares of the two scales meet within half a pixel
            around = _rounded_square(*frame.shape)
            made[:] = cv2.resize(frame[around], (recipe.side, recipe.side), interpolation=recipe.interpolation)
        made[inner, inner] = cv2.resize(
            frame[rows, columns], (recipe.size, recipe.size), interpolation=recipe.interpolation
        )
        if recipe.shown is not None:
            made *= recipe.shown(recipe.side)
    return out


def sector_kept(recipe: Recipe, sector: np.ndarray) -> float:
    """Share of the sector, bool [H, W], that lies in the window and is left to be seen; 1 where there is no sector."""
    rows, columns = recipe.window(*sector.shape)
    part = sector[rows, columns].astype(np.float32)
    if not sector.any():
        return 1.0
    if recipe.shown is not None:
        small = cv2.resize(part, (recipe.size, recipe.size), interpolation=cv2.INTER_AREA) * recipe.shown(recipe.size)
        return float(min(small.mean() * part.size / sector.sum(), 1.0))
    return float(part.sum() / sector.sum())


def written_info(recipe: Recipe, info: ClipInfo, shape: tuple[int, int]) -> ClipInfo:
    """What the file of a clip with frames of ``shape`` (H, W) says of itself: its rate, and the form of its pixels."""
    rows, columns = recipe.window(*shape)
    aspect = info.pixel_aspect * (rows.stop - rows.start) / (columns.stop - columns.start)
    stated = {} if recipe.fps is None else {"fps": recipe.fps, "frame_times": ()}
    return dataclasses.replace(
        info, height=recipe.side, width=recipe.side, pixel_aspect=1.0 if abs(aspect - 1) < 0.02 else aspect, **stated
    )


def recipe_facts(recipe: Recipe, info: ClipInfo, sector: np.ndarray) -> dict[str, Any]:
    """What is written beside a clip: its size in the file, and under ``recipe`` what was done and what was left undone."""
    rows, columns = recipe.window(*sector.shape)
    written = written_info(recipe, info, (sector.shape[0], sector.shape[1]))
    done = {
        "for": recipe.name,
        "code": recipe.code,
        "window": [rows.start, rows.stop, columns.start, columns.stop],
        "window_pixels": recipe.size,
        "margin_pixels": recipe.margin,
        "stated_fps": float(written.fps),
        "sector_kept": round(sector_kept(recipe, sector), 3),
        "left_to_the_loader": recipe.loader,
    }
    return {
        "height": recipe.side,
        "width": recipe.side,
        "pixel_aspect": round(float(written.pixel_aspect), 5),
        "recipe": done,
    }
