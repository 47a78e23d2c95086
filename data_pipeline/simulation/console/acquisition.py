"""What simulator and painter share: the draw of a duplex acquisition, and its assembly into frames and masks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterable

import cv2
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR
from data_pipeline.simulation.console.box import (
    BOX_SIZES,
    OutlineStyle,
    ScanBox,
    draw_box,
    draw_box_path,
    draw_outline_style,
)
from data_pipeline.simulation.console.codec import Codec, draw_codec, transcode
from data_pipeline.simulation.console.colour import ColourFlow, ColourLayer
from data_pipeline.simulation.console.colour_maps import POWER_FAMILIES, VELOCITY_FAMILIES, ColourMap, draw_colour_map
from data_pipeline.simulation.console.colour_settings import ColourSettings, draw_colour_settings
from data_pipeline.simulation.console.ui import Screen, draw_screen, drawn_over, make_screen
from data_pipeline.simulation.scan_grid import ScanGrid


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcquisitionOptions:
    """What a caller may fix or restrict of an acquisition; the rest is drawn.

    Attributes:
      families: colour maps to draw from (keys of ``VELOCITY_FAMILIES`` and ``POWER_FAMILIES``); ``None``: all.
      mode: ``velocity``, ``variance`` or ``power``; ``None`` draws.
      nyquist_cm_s: range to draw from; ``None`` takes the view's own.
      packet: range of pulses per colour line; ``None`` draws 6..16.
      depth_share, angle_deg, width_share: size of the box, see `box.draw_box`; ``None`` takes what is usual for the
        organ (`box.BOX_SIZES`).
      outline: fixed style of the box outline; ``None`` draws.
      artefacts: factor on the chances of blooming, low priority, flash, twinkle and too much gain.
      ui_share: share of clips where screen text, marks or an ECG trace run over the sector.
      screen: the whole screen with bars, text and ECG instead of a record cut to its sector.
      video_share: share of clips stored as H.264 or MPEG-4; the others are JPEG.
      codec: fixed codec of the colour clip (and of a shared target); ``None`` draws.
      supersample: chances of painting colour on a grid 1, 2 or 3 times finer than the frame (below 256 px).
      line_keep: range of the share of beams that the duplex B-mode keeps.
      moving_box: share of clips whose box moves.
    """

    families: tuple[str, ...] | None = None
    mode: str | None = None
    nyquist_cm_s: tuple[float, float] | None = None
    packet: tuple[int, int] | None = None
    depth_share: tuple[float, float] | None = None
    angle_deg: tuple[float, float] | None = None
    width_share: tuple[float, float] | None = None
    outline: OutlineStyle | None = None
    artefacts: float = 1.0
    ui_share: float = 0.1
    screen: bool = False
    video_share: float = 0.08
    codec: Codec | None = None
    supersample: tuple[float, float, float] = (0.3, 0.5, 0.2)
    line_keep: tuple[float, float] = (0.35, 1.0)
    moving_box: float = 0.05

    def digest(self) -> str:
        """Eight hex digits that name these options; part of a clip's identity."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]

    def __post_init__(self) -> None:
        if self.nyquist_cm_s is not None and not 0 < self.nyquist_cm_s[0] <= self.nyquist_cm_s[1] <= 1000:
            raise ValueError(f"nyquist_cm_s must be an increasing range inside (0, 1000] cm/s, got {self.nyquist_cm_s}")
        for name in ("ui_share", "video_share", "moving_box"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if not 0.05 <= self.line_keep[0] <= self.line_keep[1] <= 1:
            raise ValueError(f"line_keep must be an increasing range inside 0.05..1, got {self.line_keep}")
        if len(self.supersample) != 3 or min(self.supersample) < 0 or abs(sum(self.supersample) - 1) > 1e-6:
            raise ValueError(f"supersample must be three chances that add up to 1, got {self.supersample}")
        if self.mode not in (None, "velocity", "variance", "power"):
            raise ValueError(f"mode must be None, velocity, variance or power, got {self.mode!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acquisition:
    """Everything drawn about one duplex acquisition. ``hold``: colour and B-mode are refreshed every so many frames."""

    settings: ColourSettings
    colour_map: ColourMap
    boxes: tuple[ScanBox, ...]
    outline: OutlineStyle
    supersample: int
    codec: Codec
    target_codec: Codec
    line_keep: float
    hold: int
    overlay: bool
    shown: dict[str, float]

    def params(self) -> dict:
        """JSON-serialisable account of the draw."""
        box = self.boxes[0]
        return {
            "colour": _plain(dataclasses.asdict(self.settings)),
            "colour_map": _plain(self.colour_map.settings),
            "box": _plain(dataclasses.asdict(box)),
            "box_moves": any(other != box for other in self.boxes),
            "outline": _plain(dataclasses.asdict(self.outline)),
            "codec": _plain(dataclasses.asdict(self.codec)),
            "target_codec": _plain(dataclasses.asdict(self.target_codec)),
            "supersample": self.supersample,
            "line_keep": round(self.line_keep, 4),
            "hold": self.hold,
            "overlay": self.overlay,
            "shown": _plain(self.shown),
        }

    def flow(self, fan: ScanGrid, rng: np.random.Generator, *, fps: float) -> ColourFlow:
        return ColourFlow(
            fan, self.boxes, self.settings, self.colour_map, rng,
            fps=fps, outline=self.outline, supersample=self.supersample,
        )  # fmt: skip

    def screen(
        self, rng: np.random.Generator, fan: ScanGrid, *, phase: np.ndarray, fps: float, whole: bool
    ) -> Screen | None:
        """What the user interface draws round the sector (``whole``) or, in some clips, over it."""
        if not (whole or self.overlay):
            return None
        return make_screen(
            rng, fan, self.colour_map, nyquist_cm_s=self.settings.nyquist_cm_s, shown=self.shown, phase=phase, fps=fps,
            over_sector=not whole,
        )  # fmt: skip


def draw_palette(rng: np.random.Generator, options: AcquisitionOptions) -> ColourMap:
    """The bar of a clip: velocity 78 %, variance 14 %, power 8 % unless the options say otherwise."""
    kind = ("velocity", "variance", "power")[int(np.searchsorted((0.78, 0.92), rng.random(), side="right"))]
    kind = options.mode or kind
    allowed = options.families
    if options.mode is None and allowed is not None:
        has_power = any(family in POWER_FAMILIES for family in allowed)
        has_velocity = any(family in VELOCITY_FAMILIES for family in allowed)
        kind = "velocity" if kind == "power" and not has_power else "power" if not has_velocity else kind
    return draw_colour_map(rng, kind=kind, families=allowed)


def draw_acquisition(
    rng: np.random.Generator,
    fan: ScanGrid,
    centre: tuple[float, float],
    *,
    options: AcquisitionOptions,
    frames: int,
    fps: float,
    domain: str,
    nyquist_range: tuple[float, float],
    shared: bool,
    colour_map: ColourMap,
    box: ScanBox | None = None,
) -> Acquisition:
    """Draw box, colour settings, outline, storage and duplex quality of one clip.

    Args:
      colour_map: from `draw_palette`; its kind is the mode.
      centre: of the box, ``(r px, t)``.
      box: fixes the box; checked against the fan.
    """
    if frames < 1:
        raise ValueError(f"frames must be >= 1, got {frames}")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must lie in (0, 1000], got {fps}")
    if box is None:
        usual = BOX_SIZES.get(domain, BOX_SIZES["heart"])
        box = draw_box(
            rng, fan, centre, depth_share=options.depth_share or usual.depth_share,
            angle_deg=options.angle_deg or usual.angle_deg, width_share=options.width_share or usual.width_share,
            steer=fan.steer,
        )  # fmt: skip
    box.check(fan)
    boxes = draw_box_path(rng, fan, box, frames, chance=options.moving_box)
    settings, shown = draw_colour_settings(
        rng, nyquist_range=options.nyquist_cm_s or nyquist_range, domain=domain, frames=frames, fps=fps,
        box_beams=(box.t1 - box.t0) / fan.dt, mode=colour_map.kind, packet=options.packet, artefacts=options.artefacts,
    )  # fmt: skip
    outline = draw_outline_style(rng)
    codec, other = draw_codec(rng, video_share=options.video_share), draw_codec(rng, video_share=0.0)
    codec = options.codec or codec
    finer = 1 + int(np.searchsorted(np.cumsum(options.supersample)[:2], rng.random(), side="right"))
    keep, coarse, holds, held = rng.uniform(*options.line_keep), rng.random(), rng.random(), int(rng.integers(2, 4))
    return Acquisition(
        settings=settings,
        colour_map=colour_map,
        boxes=boxes,
        outline=options.outline or outline,
        supersample=finer if min(fan.height, fan.width) < 256 else 1,
        codec=codec,
        # A shared target went through the same recorder; a restored one was stored on its own.
        target_codec=codec if shared else other,
        line_keep=float(keep) if coarse < 0.65 else 1.0,
        hold=held if holds < 0.12 and frames > 3 and fps > 24 else 1,
        overlay=bool(rng.random() < options.ui_share),
        shown=shown,
    )


def thin_lines(polar: np.ndarray, keep: float) -> np.ndarray:
    """Duplex B-mode has fewer beams: ``[n_r, n_t]`` resampled to ``keep`` of its columns and back."""
    count = max(16, int(polar.shape[1] * keep))
    if count >= polar.shape[1]:
        return polar
    few = cv2.resize(polar, (count, polar.shape[0]), interpolation=cv2.INTER_AREA)
    return cv2.resize(few, (polar.shape[1], polar.shape[0]), interpolation=cv2.INTER_LINEAR)


@functools.lru_cache(maxsize=8)
def _sector(fan: ScanGrid) -> np.ndarray:
    """uint8 ``[H, W, 3]``: 1 inside the sector."""
    return np.ascontiguousarray(np.repeat(fan.mask.astype(np.uint8)[..., None], 3, axis=2))


def compose(
    duplex: np.ndarray,
    layers: Iterable[ColourLayer],
    acquisition: Acquisition,
    fan: ScanGrid,
    *,
    screen: Screen | None = None,
    whole_screen: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the layers over the duplex B-mode and store the clip.

    Args:
      duplex: uint8 ``[T, H, W]``.
      layers: one `ColourLayer` per frame.
      screen: what the user interface draws, if anything; ``whole_screen`` keeps it outside the sector too.
    Returns: ``cfd`` uint8 ``[T, H, W, 3]`` and ``strata`` uint8 ``[T, H, W]``. Outside the sector the clip is black
      unless ``whole_screen``.
    """
    sector = _sector(fan)
    cfd = np.stack([cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) for frame in duplex])
    strata = np.empty(duplex.shape, np.uint8)
    strata[:] = sector[..., 0] * np.uint8(SECTOR)
    for k, layer in enumerate(layers):
        layer.over(cfd[k])
        part = strata[k][layer.window]
        part |= layer.box * np.uint8(BOX) | layer.flow * np.uint8(FLOW) | layer.outline * np.uint8(OUTLINE)
    if screen is not None:
        draw_screen(cfd, screen)
        for k, plane in enumerate(strata):  # what stands over the sector hides it like the box's outline
            plane[(sector[..., 0] > 0) & drawn_over(screen, k)] |= np.uint8(OUTLINE)
    if not whole_screen:
        cfd *= sector
    cfd = transcode(cfd, acquisition.codec)
    if not whole_screen and acquisition.codec.name != "none":
        cfd *= sector
    return cfd, strata


def store_target(grey: np.ndarray, acquisition: Acquisition, fan: ScanGrid) -> np.ndarray:
    """uint8 ``[T, H, W]`` -> ``[T, H, W, 1]`` through the target's codec, black outside the sector."""
    out = transcode(grey[..., None], acquisition.target_codec)
    return out * _sector(fan)[..., :1]


def _plain(values: dict) -> dict:
    """Python scalars, rounded to six digits, tuples as lists: the same JSON text on every platform."""

    def plain(value):
        if isinstance(value, (tuple, list)):
            return [plain(v) for v in value]
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, (float, np.floating)):
            return float(f"{float(value):.6g}") if math.isfinite(value) else None
        return value

    return {key: plain(value) for key, value in values.items()}
