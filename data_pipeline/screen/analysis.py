"""What is colour in a clip: sector, colour box, painted pixels, drawn outline, and which kind of clip this is.

Decisions that hold for the whole clip (sector, tint, static user interface, box) come from a subset of frames; the
colour mask is made frame by frame.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, Region, check_frames
from data_pipeline.screen import colour_box, colour_mask
from data_pipeline.screen import kind as clip_kind
from data_pipeline.screen.fan_fit import FanFit, FanOptions, fit_fan, spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """Every threshold of the analysis."""

    fan: FanOptions = FanOptions()
    colour: colour_mask.ColourOptions = colour_mask.ColourOptions()
    box: colour_box.BoxOptions = colour_box.BoxOptions()
    kind: clip_kind.KindOptions = clip_kind.KindOptions()
    static_frames: int = 24
    """Frames that static decisions look at."""
    window: int = 10
    """Frames within which a moving box stands still."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FlowAnalysis:
    """What `analyse` found, or what is known already (then the defaults do)."""

    geometry: Geometry = Fan()
    sector: np.ndarray
    """bool [H, W]."""
    strata: np.ndarray
    """uint8 [T, H, W], flags of the schema."""
    kind: str = "cfd"
    """``cfd``, ``power``, ``tissue``, ``bmode``, ``spectral``, ``mmode``, ``quad`` or ``other``."""
    score: float = 1.0
    """How certain the kind is, 0..1."""
    reason: str = "known beforehand"
    """One sentence for a person."""
    box_found: bool = True
    """The drawn outline of the box was seen (otherwise the box is the colour's extent)."""
    colour_seen: float = 0.0
    """Share of frames that show colour, whatever the verdict: such a clip is no greyscale target."""

    @property
    def is_cfd(self) -> bool:
        return self.kind == "cfd"


def analyse(
    frames: np.ndarray,
    *,
    regions: tuple[Region, ...] = (),
    image_type: tuple[str, ...] = (),
    options: FlowOptions | None = None,
) -> FlowAnalysis:
    """Analyse one clip.

    Args:
      frames: uint8 ``[T, H, W, 3]`` RGB, T >= 1; meant for 64..1024 px.
      regions, image_type: of the DICOM header (`schema.ClipInfo`). Pixels decide, tags only break ties.

    Returns:
      `FlowAnalysis`. A clip without colour has ``SECTOR`` only in its strata.

    Raises:
      ValueError: wrong shape or dtype.
    """
    check_frames(frames, channels=3)
    options = options or FlowOptions()
    fan, state, verdict = _decide(frames, regions, image_type, options)
    strata = np.repeat((fan.sector * np.uint8(SECTOR))[None], len(frames), axis=0)
    geometry = fan.geometry
    if verdict.has_colour and state.box is not None:
        geometry = state.steered
        for span, box in _boxes_over_time(frames, state, options):
            marker = _Marker.of(box, state)
            if marker is not None:
                for frame, plane in zip(frames[span], strata[span]):
                    marker.mark(frame, plane, state.tint, options)
    return FlowAnalysis(
        geometry=geometry,
        sector=fan.sector,
        strata=strata,
        kind=verdict.kind,
        score=verdict.score,
        reason=verdict.reason,
        colour_seen=verdict.colour_seen if verdict.has_colour else _colour_seen(frames, state, options),
        box_found=bool(verdict.has_colour and state.box is not None and state.box.outlined),
    )


class LiveMasks:
    """`analyse` for frames that are still coming: static decisions from ``frames``, masks one frame at a time.

    The box is taken to stand still. Arguments and errors are those of `analyse`.

    Attributes:
      kind, reason: see `FlowAnalysis`.
      sector: bool [H, W].
      box: bool [H, W]: where colour is looked for; nowhere when the kind has no colour.
    """

    def __init__(
        self,
        frames: np.ndarray,
        *,
        regions: tuple[Region, ...] = (),
        image_type: tuple[str, ...] = (),
        options: FlowOptions | None = None,
    ):
        check_frames(frames, channels=3)
        self._options = options or FlowOptions()
        fan, state, verdict = _decide(frames, regions, image_type, self._options)
        self.kind, self.reason, self.sector = verdict.kind, verdict.reason, fan.sector
        self._tint, self._marker = state.tint, None
        self.box = np.zeros_like(fan.sector)
        if verdict.has_colour and state.box is not None:
            self._marker = _Marker.of(state.box, state)
        if self._marker is not None:
            self.box[self._marker.part] = self._marker.near | self._marker.outline

    def strata(self, frame: np.ndarray) -> np.ndarray:
        """Flags of the schema, uint8 [H, W], for a frame uint8 [H, W, 3] of the same size."""
        if frame.shape != (*self.sector.shape, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frames of this stream must be uint8 {[*self.sector.shape, 3]}, got {frame.dtype} {list(frame.shape)}"
            )
        plane = self.sector * np.uint8(SECTOR)
        if self._marker is not None:
            self._marker.mark(frame, plane, self._tint, self._options)
        return plane


def _decide(
    frames: np.ndarray, regions: tuple[Region, ...], image_type: tuple[str, ...], options: FlowOptions
) -> tuple[FanFit, _Static, clip_kind.Verdict]:
    """What holds for the whole clip."""
    some = spread(frames, options.static_frames)
    fan = fit_fan(some, options=options.fan)
    state = _Static.of(some, fan, options)
    evidence = clip_kind.evidence(
        frames, some, state.coloured, state.ground, fan.sector, state.box, state.geometry, options.kind
    )
    return fan, state, clip_kind.judge(evidence, regions=regions, image_type=image_type, options=options.kind)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Static:
    """Decisions that hold for the whole clip; arrays are cut to ``ground``, the bounding box of the sector."""

    ground: tuple[slice, slice]
    sector: np.ndarray
    geometry: Geometry
    """In coordinates of ``ground``, without steer."""
    tint: colour_mask.Tint | None
    interface: np.ndarray
    """bool [h, w]: static colour, grown by 1 px."""
    coloured: np.ndarray
    """bool [n, h, w] of the frames looked at, without traces."""
    box: colour_box.ColourBox | None
    steered: Geometry
    """The clip's geometry (full frame), with the steer of the box."""

    @staticmethod
    def of(some: np.ndarray, fan: FanFit, options: FlowOptions) -> _Static:
        ys, xs = np.nonzero(fan.sector.any(axis=1))[0], np.nonzero(fan.sector.any(axis=0))[0]
        ground = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
        sector = fan.sector[ground]
        cut = np.ascontiguousarray(some[(slice(None), *ground)])
        tint = colour_mask.fit_tint(cut, sector)
        coloured = np.stack([_colour(frame, sector, tint, options) for frame in cut])
        interface = np.zeros(sector.shape, bool)
        if not colour_mask.is_frozen(cut, sector):
            interface = colour_mask.static_colour(cut, coloured, options=options.colour, area=int(sector.sum()))
            interface = cv2.dilate(interface.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        coloured = np.stack([colour_mask.without_traces(mask) for mask in coloured & ~interface])
        geometry = fan.geometry.moved(ground[1].start, ground[0].start)
        box = _locate(cut, coloured, geometry, options)
        return _Static(
            ground=ground,
            sector=sector,
            geometry=geometry,
            tint=tint,
            interface=interface,
            coloured=coloured,
            box=box,
            steered=fan.geometry.leaning(box.steer) if box is not None else fan.geometry,
        )


def _colour_seen(frames: np.ndarray, state: _Static, options: FlowOptions) -> float:
    """Share of ``frames`` with colour in pieces thicker than strokes, looked at with half the resolution."""
    sector, interface = state.sector[::2, ::2], state.interface[::2, ::2]
    least, seen = options.kind.present * max(int(sector.sum()), 1), 0
    for frame in frames[(slice(None), *state.ground)]:
        level = colour_mask.colour_level(np.ascontiguousarray(frame[::2, ::2]), state.tint)
        strong = (level > options.colour.strong) & sector & ~interface
        if np.count_nonzero(strong) >= least:
            seen += clip_kind.thick_share(colour_mask.without_traces(strong), 1.0) >= least
    return seen / len(frames)


def _locate(
    cut: np.ndarray, coloured: np.ndarray, geometry: Geometry, options: FlowOptions
) -> colour_box.ColourBox | None:
    """The box of frames uint8 [n, h, w, 3] with colour masks bool [n, h, w]."""
    weight = np.zeros(coloured.shape[1:], np.float32)
    for frame, mask in zip(cut, coloured):
        weight += colour_mask.thick(_flow_like(frame, mask))
    return colour_box.locate_box(_without_specks(weight), _darkest(cut), geometry, options=options.box)


def _colour(
    frame: np.ndarray,
    sector: np.ndarray,
    tint: colour_mask.Tint | None,
    options: FlowOptions,
    *,
    no_seed: np.ndarray | None = None,
) -> np.ndarray:
    """bool [H, W]; ``no_seed``: where a strong pixel does not start a component (bleed of a coloured outline)."""
    level = colour_mask.colour_level(frame, tint)
    if no_seed is not None:
        level[no_seed] = np.minimum(level[no_seed], options.colour.strong)
    return colour_mask.hysteresis(level, weak=options.colour.weak, strong=options.colour.strong) & sector


def _flow_like(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``mask`` without what is green: an ECG trace must not stretch the box."""
    return mask & ~colour_mask.green_share(frame, mask) if mask.any() else mask


def _without_specks(weight: np.ndarray) -> np.ndarray:
    """``weight`` without components that hold less than 0.5 % of it: left-over text and codec noise."""
    count, labels = cv2.connectedComponents((weight > 0).astype(np.uint8))
    sums = np.bincount(labels.ravel(), weights=weight.ravel(), minlength=count)
    sums[0] = 0
    keep = sums > 0.005 * sums.sum()
    return np.where(keep[labels], weight, 0).astype(np.float32)


def _darkest(frames: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: second lowest (lowest below 8 frames) ``max(R, G, B)`` over time."""
    levels = np.stack([cv2.max(cv2.max(*cv2.split(frame)[:2]), frame[..., 2].copy()) for frame in frames])
    return np.partition(levels, 1, axis=0)[1] if len(levels) >= 8 else levels.min(axis=0)


def _boxes_over_time(
    frames: np.ndarray, state: _Static, options: FlowOptions
) -> list[tuple[slice, colour_box.ColourBox]]:
    """Spans of frames and the box in each: one for the whole clip, or one per window where the box moves.

    A box that moves leaves no static outline, so only clips without one are looked at window by window. Windows in
    which no outline is seen (the box is on its way) take the extent of their own colour: nothing coloured is left out.
    """
    whole = [(slice(0, len(frames)), state.box)]
    if state.box.outlined or len(frames) < 8:
        return whole
    found = []
    for part in np.array_split(np.arange(len(frames)), max(round(len(frames) / options.window), 2)):
        span = slice(int(part[0]), int(part[-1]) + 1)
        cut = np.ascontiguousarray(spread(frames[span], 6)[(slice(None), *state.ground)])
        coloured = [_colour(frame, state.sector, state.tint, options) & ~state.interface for frame in cut]
        coloured = np.stack([colour_mask.without_traces(mask) for mask in coloured])
        found.append((span, _locate(cut, coloured, state.geometry, options)))
    seen = [box for _, box in found if box is not None and box.outlined]
    if len(seen) < 0.5 * len(found):
        return whole
    return [(span, box or state.box) for span, box in found]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Marker:
    """The masks of one box, cut to the rectangle around it, and how to mark a frame with them."""

    part: tuple[slice, slice]
    """In the full frame."""
    box: np.ndarray
    near: np.ndarray
    outline: np.ndarray
    painted_outline: np.ndarray
    """Static colour at the outline: a yellow or green box is not flow."""
    no_seed: np.ndarray
    """The outline with the chroma that codecs smear beside it, and static marks: flow may cover but not begin there."""

    @staticmethod
    def of(box: colour_box.ColourBox, state: _Static) -> _Marker | None:
        shape = state.sector.shape
        inside, near, outline = colour_box.box_masks(box, state.geometry, shape, near_px=2.0)
        around = (near | outline) & state.sector
        if not around.any():
            return None
        ys, xs = np.nonzero(around.any(axis=1))[0], np.nonzero(around.any(axis=0))[0]
        cut = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
        core, bleed = (cv2.dilate(outline.astype(np.uint8), np.ones((n, n), np.uint8)).astype(bool) for n in (5, 7))
        top, left = state.ground[0].start, state.ground[1].start
        return _Marker(
            part=tuple(slice(c.start + at, c.stop + at) for c, at in zip(cut, (top, left))),
            box=(inside & state.sector)[cut],
            near=(near & state.sector)[cut],
            outline=(outline & state.sector)[cut],
            painted_outline=(core & state.interface)[cut],
            no_seed=(bleed | state.interface)[cut],
        )

    def mark(self, frame: np.ndarray, plane: np.ndarray, tint: colour_mask.Tint | None, options: FlowOptions) -> None:
        """Set BOX, FLOW and OUTLINE of one frame (uint8 [H, W, 3]) in ``plane`` (uint8 [H, W])."""
        cut = np.ascontiguousarray(frame[self.part])
        flow = _colour(cut, self.near, tint, options, no_seed=self.no_seed) & ~self.painted_outline
        hole_px = max(int(options.colour.hole_px * frame.shape[0] * frame.shape[1] / (480 * 640)), 2)
        flow = colour_mask.fill_holes(flow, cut[..., 1], hole_px=hole_px)
        plane[self.part] |= self.box * np.uint8(BOX) | flow * np.uint8(FLOW) | self.outline * np.uint8(OUTLINE)
