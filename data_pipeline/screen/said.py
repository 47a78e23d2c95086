"""What a person says of a screen, where the analysis is unsure or wrong: it overrides what was found."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

KINDS = ("cfd", "power", "bmode")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """Anything left ``None`` is found in the pixels.

    Attributes:
      kind: ``cfd``, ``power`` or ``bmode``.
      box: corners (x, y) of the colour box in pixels: two opposite ones of an upright rectangle, or three and more.
    """

    kind: str | None = None
    box: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(f"the kind that is said must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.box is not None and len(self.box) < 2:
            raise ValueError(f"a box needs two opposite corners or three and more, got {len(self.box)}")

    @classmethod
    def of(cls, *, kind: str | None = None, box: str | None = None) -> Said:
        """From the command line: ``box`` is ``x0,y0,x1,y1`` or a polygon ``x0,y0,x1,y1,x2,y2,...``.

        Raises:
          ValueError: unknown kind; a box that is no even number of numbers.
        """
        if box is None:
            return cls(kind=kind)
        try:
            numbers = [float(part) for part in box.split(",")]
        except ValueError:
            raise ValueError(f"a box is written x0,y0,x1,y1 in pixels, got {box!r}") from None
        if len(numbers) % 2:
            raise ValueError(f"a box is pairs of x and y, got {len(numbers)} numbers in {box!r}")
        return cls(kind=kind, box=tuple(zip(numbers[::2], numbers[1::2])))

    def box_mask(self, shape: tuple[int, int]) -> np.ndarray | None:
        """bool [H, W], or None when no box is said.

        Raises:
          ValueError: a box that lies beside the frame.
        """
        if self.box is None:
            return None
        corners = np.array(self.box, np.float32)
        if len(corners) == 2:
            (x0, y0), (x1, y1) = corners
            corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
        if not mask.any():
            raise ValueError(f"the box {self.box} lies beside the frame of {shape[1]} x {shape[0]} px")
        return mask > 0
