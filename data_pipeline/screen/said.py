"""What a person says of a screen, where the analysis is unsure or wrong: it overrides what was found."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib

import cv2
import numpy as np

KINDS = ("cfd", "power", "bmode")
Polygon = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """Anything left ``None`` is found in the pixels.

    Attributes:
      kind: ``cfd``, ``power`` or ``bmode``.
      box: corners (x, y) of the colour box in pixels: two opposite ones of an upright rectangle, or three and more.
      sector: corners of the imaged sector, alike.
      mask: bool [H, W], or [T, H, W] for each frame: what colour and its outline cover; nothing else is hidden.
      known: sectors of earlier clips of the same console, each with the intersection over union from which it is taken
        for the one that is seen.
    """

    kind: str | None = None
    box: Polygon | None = None
    sector: Polygon | None = None
    mask: np.ndarray | None = None
    known: tuple[tuple[Polygon, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(f"the kind that is said must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for name, corners in (("box", self.box), ("sector", self.sector)):
            if corners is not None and len(corners) < 2:
                raise ValueError(f"a {name} needs two opposite corners or three and more, got {len(corners)}")

    @classmethod
    def of(
        cls,
        *,
        kind: str | None = None,
        box: str | None = None,
        sector: str | None = None,
        mask: pathlib.Path | None = None,
    ) -> Said:
        """From the command line: ``box`` and ``sector`` are ``x0,y0,x1,y1`` or polygons ``x0,y0,x1,y1,x2,y2,...``.

        Args:
          mask: an image (white is hidden) or ``.npy``.

        Raises:
          ValueError: unknown kind; corners that are no even number of numbers; a mask that cannot be read.
        """
        return cls(
            kind=kind,
            box=box and _polygon("box", box),
            sector=sector and _polygon("sector", sector),
            mask=None if mask is None else _mask_of(mask),
        )

    @property
    def in_short(self) -> str:
        """What was said, as a digest in words to append; empty where nothing was."""
        corners = repr((self.kind, self.box, self.sector))
        mask = b"" if self.mask is None else f"{self.mask.shape}".encode() + np.packbits(self.mask).tobytes()
        if corners == repr((None, None, None)) and not mask:
            return ""
        return f", corrected by hand ({hashlib.sha256(corners.encode() + mask).hexdigest()[:16]})"

    def scaled(self, x: float, y: float) -> Said:
        """The same for frames enlarged by ``x`` and ``y``."""
        turned = lambda p: p and tuple((a * x, b * y) for a, b in p)  # noqa: E731
        mask = self.mask
        if mask is not None:
            planes = mask.reshape(-1, *mask.shape[-2:]).astype(np.uint8)
            resized = [cv2.resize(p, None, fx=x, fy=y, interpolation=cv2.INTER_NEAREST) for p in planes]
            mask = np.stack(resized).reshape(*mask.shape[:-2], *resized[0].shape) > 0
        known = tuple((turned(polygon), least) for polygon, least in self.known)
        return dataclasses.replace(self, box=turned(self.box), sector=turned(self.sector), mask=mask, known=known)

    def masks_for(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The mask as bool [T, H, W] of frames of this shape, or None when none is said.

        Raises:
          ValueError: a mask of another size or of another number of frames.
        """
        if self.mask is None:
            return None
        if self.mask.shape[-2:] != shape[1:] or (self.mask.ndim == 3 and len(self.mask) not in (1, shape[0])):
            raise ValueError(
                f"the mask must be [{shape[1]}, {shape[2]}] like the frames, or one for each of the {shape[0]} frames "
                f"that are worked on at once; got {list(self.mask.shape)}"
            )
        return np.broadcast_to(self.mask, shape)


def polygon_mask(name: str, corners: Polygon, shape: tuple[int, int]) -> np.ndarray:
    """bool [H, W] inside the corners (x, y); two are opposite ones of an upright rectangle.

    Raises:
      ValueError: corners beside the frame.
    """
    points = np.array(corners, np.float32)
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    if not mask.any():
        raise ValueError(f"the {name} {corners} lies beside the frame of {shape[1]} x {shape[0]} px")
    return mask > 0


def _polygon(name: str, text: str) -> Polygon:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"a {name} is written x0,y0,x1,y1 in pixels, got {text!r}") from None
    if len(numbers) % 2:
        raise ValueError(f"a {name} is pairs of x and y, got {len(numbers)} numbers in {text!r}")
    return tuple(zip(numbers[::2], numbers[1::2]))


def _mask_of(path: pathlib.Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"no mask at {path}; give an image (white is hidden) or .npy [H, W] or [T, H, W]")
    if path.suffix.lower() == ".npy":
        values = np.load(path, allow_pickle=False)
    else:
        values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if values is None or values.ndim not in (2, 3):
        raise ValueError(f"{path} holds no mask; give an image (white is hidden) or .npy [H, W] or [T, H, W]")
    return values > (127 if values.dtype == np.uint8 and values.max() > 1 else 0)
