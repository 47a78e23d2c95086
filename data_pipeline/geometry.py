"""The shape of a sector in the frame, in pixels and radians (0 = straight down, positive to the image's right).

Every shape has beam coordinates ``(depth, lateral)``, constant along the sides of a colour box: radius and beam angle of
a `Fan`, row and column of a `Rectangle`. A `Hull` is a picture without a model, of which only the bounding box is known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import cv2
import numpy as np

FAN_KINDS = ("phased", "curvilinear")
KINDS = (*FAN_KINDS, "linear", "hull")
"""Names of the shapes in records."""
_PLACE = ("cm_per_px", "native_height", "native_width", "scale", "dx", "dy")
_FAN = ("apex_x", "apex_y", "r0", "r1", "t0", "t1")
_FIELDS = ("kind", *_FAN, "x0", "x1", "steer", *_PLACE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """What all shapes share: `Fan`, `Rectangle`, `Hull`.

    ``native_*`` and ``scale, dx, dy`` say how to get back to the frame the clip was cut from:
    ``x_native = x * scale + dx``. ``cm_per_px`` is 0 where unknown.
    """

    cm_per_px: float = 0.0
    native_height: int = 0
    native_width: int = 0
    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    kind = ""
    """One of `KINDS`."""
    steer = 0.0
    """Lean of the colour lines, rad; only linear probes have one."""

    @property
    def depth(self) -> tuple[float, float]:
        """Radii (px from the apex) or rows between which the sector lies."""
        raise NotImplementedError

    @property
    def lateral(self) -> tuple[float, float]:
        """Beam angles (rad) or columns between which the sector lies."""
        raise NotImplementedError

    @property
    def anchor(self) -> tuple[float, float]:
        """``(x, y)`` px about which a sector of another depth is the same picture: the apex, or the probe's middle."""
        raise NotImplementedError

    def coordinates(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """``(depth, lateral)`` of every pixel of a frame ``(H, W)``, float32 ``[H, W]`` each."""
        raise NotImplementedError

    def points(self, depth: np.ndarray, lateral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `coordinates`: ``(x, y)`` px, float32 ``[n, m]``, of depths [n] crossed with laterals [m]."""
        raise NotImplementedError

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """bool ``[H, W]``: pixels inside the shape (a hull: its bounding box)."""
        raise NotImplementedError

    def moved(self, dx: float, dy: float, *, scale: float = 1.0) -> Self:
        """The shape in coordinates ``((x - dx) / scale, (y - dy) / scale)``; ``cm_per_px`` follows."""
        raise NotImplementedError

    def leaning(self, steer: float) -> Self:
        """The shape with colour lines that lean by ``steer`` rad; the lines of fans never do."""
        return self

    def lateral_px(self, depth: np.ndarray) -> np.ndarray | float:
        """Pixels per unit of ``lateral`` at ``depth``."""
        return 1.0

    def fields(self) -> dict[str, Any]:
        """JSON-serialisable; `from_fields` reads it. All shapes have the same keys, in records of every age."""
        return dict.fromkeys(_FAN + ("x0", "x1", "steer"), 0.0) | {
            "kind": self.kind, **{name: getattr(self, name) for name in _PLACE},
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fan(Geometry):
    """A ring section about an apex: ``phased`` (``r0`` near 0) or ``curvilinear`` (``r0`` large)."""

    kind: str = "phased"
    apex_x: float = 0.0
    apex_y: float = 0.0
    r0: float = 0.0
    r1: float = 0.0
    t0: float = 0.0
    t1: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in FAN_KINDS:
            raise ValueError(f"the kind of a fan must be one of {FAN_KINDS}, got {self.kind!r}")

    @property
    def depth(self) -> tuple[float, float]:
        return self.r0, self.r1

    @property
    def lateral(self) -> tuple[float, float]:
        return self.t0, self.t1

    @property
    def anchor(self) -> tuple[float, float]:
        return self.apex_x, self.apex_y

    def coordinates(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        dx, dy = x - np.float32(self.apex_x), y - np.float32(self.apex_y)
        return cv2.magnitude(dx, dy), np.arctan2(dx, dy)

    def points(self, depth: np.ndarray, lateral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        depth = depth[:, None]
        x = np.float32(self.apex_x) + depth * np.sin(lateral)[None]
        return x, np.float32(self.apex_y) + depth * np.cos(lateral)[None]

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        radius, angle = self.coordinates(shape)
        return (radius >= self.r0) & (radius <= self.r1) & (angle >= self.t0) & (angle <= self.t1)

    def moved(self, dx: float, dy: float, *, scale: float = 1.0) -> Self:
        return dataclasses.replace(
            self, apex_x=(self.apex_x - dx) / scale, apex_y=(self.apex_y - dy) / scale, r0=self.r0 / scale,
            r1=self.r1 / scale, cm_per_px=self.cm_per_px * scale,
        )  # fmt: skip

    def lateral_px(self, depth: np.ndarray) -> np.ndarray:
        return np.maximum(depth, 1.0)

    def fields(self) -> dict[str, Any]:
        return super().fields() | {name: getattr(self, name) for name in _FAN}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rectangle(Geometry):
    """Rows ``y0..y1`` and columns ``x0..x1`` (ends exclusive) of a linear probe, whose colour lines lean by ``steer``.

    ``lateral`` of a pixel is the column, at row ``y0``, of the colour line through it.
    """

    x0: float = 0.0
    x1: float = 0.0
    y0: float = 0.0
    y1: float = 0.0
    steer: float = 0.0
    """rad, positive when deeper lies to the right."""

    kind = "linear"

    @property
    def depth(self) -> tuple[float, float]:
        return self.y0, self.y1

    @property
    def lateral(self) -> tuple[float, float]:
        return self.x0, self.x1

    @property
    def anchor(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, self.y0

    def coordinates(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        return y, x - (y - np.float32(self.y0)) * np.float32(math.tan(self.steer))

    def points(self, depth: np.ndarray, lateral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = np.repeat(depth[:, None], len(lateral), axis=1)
        return lateral[None] + (y - np.float32(self.y0)) * np.float32(math.tan(self.steer)), y

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        y, x = np.ogrid[: shape[0], : shape[1]]
        return (y >= self.y0) & (y < self.y1) & (x >= self.x0) & (x < self.x1)

    def moved(self, dx: float, dy: float, *, scale: float = 1.0) -> Self:
        return dataclasses.replace(
            self, x0=(self.x0 - dx) / scale, x1=(self.x1 - dx) / scale, y0=(self.y0 - dy) / scale,
            y1=(self.y1 - dy) / scale, cm_per_px=self.cm_per_px * scale,
        )  # fmt: skip

    def leaning(self, steer: float) -> Self:
        return dataclasses.replace(self, steer=steer)

    def fields(self) -> dict[str, Any]:
        # Records hold rows under the names of radii, and the place of native (0, 0) under those of the apex.
        return super().fields() | {
            "x0": self.x0, "x1": self.x1, "r0": self.y0, "r1": self.y1, "steer": self.steer,
            "apex_x": (0.0 - self.dx) / self.scale, "apex_y": (0.0 - self.dy) / self.scale,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hull(Rectangle):
    """No model fits: the bounding box of what is lit, treated like a rectangle where a box must be found in it."""

    kind = "hull"


def from_fields(fields: Mapping[str, Any]) -> Geometry:
    """The shape that `Geometry.fields` wrote; missing fields take their defaults.

    Raises:
      ValueError: unknown kind or field.
    """
    values = Fan().fields() | dict(fields)
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise ValueError(f"a geometry has the fields {_FIELDS}, got {unknown} as well")
    place = {name: values[name] for name in _PLACE}
    if values["kind"] in FAN_KINDS:
        return Fan(kind=values["kind"], **{name: values[name] for name in _FAN}, **place)
    if values["kind"] not in KINDS:
        raise ValueError(f"the kind of a geometry must be one of {KINDS}, got {values['kind']!r}")
    shape = Rectangle if values["kind"] == "linear" else Hull
    return shape(
        x0=values["x0"], x1=values["x1"], y0=values["r0"], y1=values["r1"], steer=values["steer"], **place
    )  # fmt: skip
