"""What a person corrects on the page, checked, and turned into what `data_pipeline.screen.said.Said` takes."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from data_pipeline.screen.said import KINDS, Polygon, Said

MOST_CORNERS = 64
MOST_POINTS = 20_000
"""Of all strokes together; a hand makes some hundred a second."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line of the brush: in frame ``frame``, or in all of them where that is None; ``erase`` takes away."""

    points: Polygon
    radius: float
    erase: bool = False
    frame: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corrections:
    """Nothing is corrected that is left out; corners (x, y) in pixels of the clip."""

    kind: str | None = None
    box: Polygon | None = None
    sector: Polygon | None = None
    strokes: tuple[Stroke, ...] = ()

    @classmethod
    def of(cls, said: Any, *, shape: tuple[int, int, int]) -> Corrections:
        """From the page's JSON, for a clip of ``shape`` (T, H, W).

        Raises:
          ValueError: For anything that is no correction of such a clip.
        """
        if not isinstance(said, Mapping) or not set(said) <= {"kind", "box", "sector", "strokes"}:
            raise ValueError(f"a correction names kind, box, sector or strokes, got {str(said)[:80]!r}")
        kind = said.get("kind")
        if kind is not None and kind not in KINDS:
            raise ValueError(f"the kind must be one of {', '.join(KINDS)}, got {str(kind)[:40]!r}")
        strokes = said.get("strokes") or ()
        if not _is_list(strokes):
            raise ValueError("strokes are a list")
        made = tuple(_stroke(stroke, shape) for stroke in strokes)
        if sum(len(stroke.points) for stroke in made) > MOST_POINTS:
            raise ValueError(
                f"at most {MOST_POINTS} points of the brush; give a mask as a file: cfd2gray translate --mask"
            )
        box, sector = (_polygon(name, said.get(name), shape) for name in ("box", "sector"))
        return cls(kind=kind, box=box, sector=sector, strokes=made)

    @property
    def without_mask(self) -> Said:
        """Kind, box and sector alone: what the brush paints upon is found with these."""
        return Said(kind=self.kind, box=self.box, sector=self.sector)

    def painted(self, found: np.ndarray) -> np.ndarray:
        """The brush over ``found``, bool [T, H, W]: what colour covers."""
        mask = found.astype(np.uint8)
        for stroke in self.strokes:
            line = np.round(np.array(stroke.points)).astype(np.int32).reshape(-1, 1, 2)
            touched = np.zeros(mask.shape[1:], np.uint8)
            cv2.polylines(touched, [line], False, 1, thickness=max(1, round(2 * stroke.radius)))
            for x, y in (line[0, 0], line[-1, 0]):
                cv2.circle(touched, (int(x), int(y)), max(1, round(stroke.radius)), 1, -1)
            mask[slice(None) if stroke.frame is None else stroke.frame, touched > 0] = 0 if stroke.erase else 1
        return mask > 0

    def command(self, name: str) -> str:
        """The same on the command line; what was painted is the file ``mask.npy`` there."""
        words = ["cfd2gray", "translate", name, "-o", "grey.dcm"]
        words += ["--kind", self.kind] if self.kind else []
        for option, polygon in (("--box", self.box), ("--sector", self.sector)):
            words += [option, ",".join(f"{v:g}" for corner in polygon for v in corner)] if polygon else []
        return shlex.join([*words, *(["--mask", "mask.npy"] if self.strokes else [])])

    def as_json(self) -> dict[str, Any]:
        """What `of` takes."""
        return dataclasses.asdict(self)


def outline(mask: np.ndarray, *, most: int = 12) -> list[list[int]]:
    """Corners (x, y) of the largest piece of a bool [H, W] mask, few enough to be dragged; none for an empty one."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not lines:
        return []
    line = max(lines, key=cv2.contourArea)
    tolerance = 0.004 * cv2.arcLength(line, True)
    corners = cv2.approxPolyDP(line, tolerance, True)
    while len(corners) > most:
        tolerance *= 1.3
        corners = cv2.approxPolyDP(line, tolerance, True)
    return [[int(x), int(y)] for x, y in corners[:, 0]]


def around(mask: np.ndarray) -> list[int] | None:
    """x, y, width and height of what a bool [H, W] mask covers, with a little room; None for an empty one."""
    spans = []
    for axis in (0, 1):
        found = np.flatnonzero(mask.any(axis=axis))
        if not len(found):
            return None
        room = max(2, (int(found[-1]) - int(found[0])) // 40)
        first, last = max(0, int(found[0]) - room), min(mask.shape[1 - axis] - 1, int(found[-1]) + room)
        spans.append((first, last - first + 1))
    (x, width), (y, height) = spans
    return [x, y, width, height]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _polygon(name: str, corners: Any, shape: tuple[int, int, int]) -> Polygon | None:
    if corners is None:
        return None
    if not _is_list(corners) or not 3 <= len(corners) <= MOST_CORNERS:
        raise ValueError(f"a {name} has 3 to {MOST_CORNERS} corners, got {str(corners)[:60]}")
    return tuple(_point(corner, shape) for corner in corners)


def _point(corner: Any, shape: tuple[int, int, int]) -> tuple[float, float]:
    _, height, width = shape
    numbers = corner if _is_list(corner) and len(corner) == 2 else (None, None)
    if not all(_is_number(number) for number in numbers):
        raise ValueError(f"a corner is two numbers x, y in pixels, got {str(corner)[:40]}")
    x, y = numbers
    return round(min(max(float(x), 0.0), width - 1.0), 1), round(min(max(float(y), 0.0), height - 1.0), 1)


def _stroke(stroke: Any, shape: tuple[int, int, int]) -> Stroke:
    fields = {"points", "radius", "erase", "frame"}
    if not isinstance(stroke, Mapping) or not set(stroke) <= fields or not _is_list(stroke.get("points")):
        raise ValueError(f"a stroke has {', '.join(sorted(fields))}, got {str(stroke)[:80]}")
    radius, frame = stroke.get("radius"), stroke.get("frame")
    if not stroke["points"] or not _is_number(radius) or not 0.5 <= radius <= max(shape[1:]):
        raise ValueError(f"a stroke needs points and a radius of 0.5 to {max(shape[1:])} px, got {str(radius)[:40]}")
    if frame is not None and (type(frame) is not int or not 0 <= frame < shape[0]):
        raise ValueError(f"a stroke's frame is 0 to {shape[0] - 1}, or null for all, got {str(frame)[:40]}")
    points = tuple(_point(point, shape) for point in stroke["points"])
    return Stroke(points=points, radius=float(radius), erase=stroke.get("erase") is True, frame=frame)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
