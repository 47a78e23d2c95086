"""Names as people burn them into pictures: drawn in any font, size, colour and place, with the box that each one fills."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import string

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
TRUETYPE = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSans-Oblique",
)  # fmt: skip
HELD_OUT = (cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX_SMALL, "STIXGeneral", "DejaVuSerif-Bold", "cmss10")
"""Fonts that nothing was trained on."""
GLYPHS = (3, 30)
SCALES = (0.4, 2.0)
"""Of OpenCV's Hershey fonts, whose capitals are 22 px tall at 1."""
_FOLDER = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Name:
    """A drawn name.

    Attributes:
      text: what it says.
      cover: float32 [h, w] in 0..1, how much of each pixel ink fills; no empty rows or columns around it.
    """

    text: str
    cover: np.ndarray


def random_text(rng: np.random.Generator) -> str:
    """3..30 glyphs: names, dates, numbers, in the ways that scanners write them."""
    count = int(round(np.exp(rng.uniform(np.log(GLYPHS[0]), np.log(GLYPHS[1])))))
    letters = string.ascii_uppercase if rng.random() < 0.6 else string.ascii_letters
    alphabet = np.array(list(letters + (string.digits if rng.random() < 0.5 else "")))
    glyphs = rng.choice(alphabet, count)
    if count > 6:
        for mark in rng.choice(list(" ^,-./:_"), int(rng.integers(1, 3))):
            glyphs[int(rng.integers(2, count - 2))] = mark
    if rng.random() < 0.15:
        glyphs = rng.choice(np.array(list(string.digits + "/.-: ")), count)
        glyphs[[0, -1]] = rng.choice(list(string.digits), 2)
    return "".join(glyphs)


def draw_name(
    rng: np.random.Generator, *, fonts: tuple[int | str, ...] = HERSHEY + TRUETYPE, widest: int = 1 << 14
) -> Name:
    """A name in one of ``fonts`` at a random scale of `SCALES`, made shorter where it would be wider than ``widest`` px."""
    text, font = random_text(rng), fonts[int(rng.integers(len(fonts)))]
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    heavy, smooth = rng.random(), rng.random() < 0.6
    while True:
        if isinstance(font, str):
            cover = _truetype(text, font, max(round(30 * scale), 9))
        else:
            cover = _hershey(text, font, scale, 1 + int(heavy * (0.5 + 2.5 * scale)), smooth)
        if cover.shape[1] <= widest or len(text) == GLYPHS[0]:
            return Name(text=text, cover=cover)
        text = text[: max(GLYPHS[0], min(len(text) - 1, int(len(text) * widest / cover.shape[1])))].rstrip() or text[:3]


def _hershey(text: str, font: int, scale: float, thickness: int, smooth: bool) -> np.ndarray:
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    canvas = np.zeros((height + below + 4 * thickness + 8, width + 4 * thickness + 24), np.uint8)
    at = (2 * thickness + 4, height + 2 * thickness + 4)
    cv2.putText(canvas, text, at, font, scale, 255, thickness, cv2.LINE_AA if smooth else cv2.LINE_8)
    return _tight(canvas)


def _truetype(text: str, font: str, size: int) -> np.ndarray:
    face = _face(font, size)
    left, top, right, bottom = face.getbbox(text)
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=face)
    return _tight(np.asarray(image))


@functools.lru_cache(256)
def _face(font: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FOLDER / f"{font}.ttf"), size)


def _tight(canvas: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    return canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255


def random_ink(rng: np.random.Generator, lowest: float) -> np.ndarray:
    """float32 [3]: white, grey or tinted, its brightest channel between ``lowest`` and 255."""
    level = rng.uniform(min(lowest, 250), 255)
    tint = np.ones(3)
    if rng.random() < 0.3:
        tint = np.where(rng.random(3) < 0.5, 1.0, rng.uniform(0, 1, 3))
    return (level * tint / tint.max()).astype(np.float32)


def burn(frames: np.ndarray, name: Name, row: int, column: int, ink: np.ndarray) -> None:
    """Draw a name into frames uint8 [T, H, W, 3], in place, its top left pixel at (row, column); what sticks out is cut."""
    height, width = frames.shape[1:3]
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + name.cover.shape[0], height), min(column + name.cover.shape[1], width)
    if top >= bottom or left >= right:
        return
    cover = name.cover[top - row : bottom - row, left - column : right - column, None]
    part = frames[:, top:bottom, left:right]
    part[...] = np.rint(part * (1 - cover) + ink * cover).astype(np.uint8)
